"""Verbs on bulk operations and the work items that each of them is for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mulligan.core.bulk import BulkAction, BulkState
from mulligan.core.events import RetryMode
from mulligan.core.job import Item, ItemKey
from mulligan.store.interface import Run, one
from mulligan.store.verbs.items import as_json


class NewBulk(NamedTuple):
    """What was asked for, by whom. `filter` is JSON; `request` is the id of the request, where it came with one."""

    name: str
    action: BulkAction
    mode: RetryMode | None
    filter: str
    accept_risk: bool
    forward: bool
    actor: str
    source: str
    reason: str
    address: str
    request: str | None
    pipelines: tuple[str, ...] | None
    """The pipelines that its maker is limited to; None: it was not."""


class BulkRow(NamedTuple):
    """A bulk operation: `place` items have been looked at, the first `together` of them at once; `done` were acted on."""

    id: int
    name: str
    action: BulkAction
    mode: RetryMode | None
    filter: str
    accept_risk: bool
    forward: bool
    actor: str
    source: str
    reason: str
    address: str
    pipelines: tuple[str, ...] | None
    state: BulkState
    error: str | None
    matched: int
    place: int
    together: int
    done: int
    skipped: dict[str, int]
    """How many items were left alone, by why."""
    size: int
    due_ms: int
    created_ms: int
    touched_ms: int
    started_ms: int | None
    ended_ms: int | None

    @property
    def progress(self) -> float:
        """Per cent of its items that it has come by, 0 to 100."""
        if self.state is BulkState.DONE:
            return 100.0
        return 100.0 * (self.done + sum(self.skipped.values())) / self.matched if self.matched else 0.0


class BulkPage(NamedTuple):
    """Work items of an operation with the generation in which each was seen, and the place after the last of them."""

    items: dict[ItemKey, int]
    next: int
    last: bool


class Bulks:
    """Making, advancing and ending bulk operations."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def add(self, new: NewBulk, size: int, now_ms: int) -> int | None:
        """Add an operation without items; returns its id, None where the same request has made one."""
        values = {
            **new._asdict(),
            "accept_risk": int(new.accept_risk),
            "forward": int(new.forward),
            "pipelines": None if new.pipelines is None else json.dumps(new.pipelines),
        }
        row = one(self._run("add_bulk", {**values, "size": size, "now": now_ms}))
        return None if row is None else int(row[0])

    def of_request(self, request: str) -> int | None:
        """Return the operation that a request has made before."""
        row = one(self._run("find_bulk_of_request", {"request": request}))
        return None if row is None else int(row[0])

    def add_items(self, id: int, first: int, items: Mapping[ItemKey, int], now_ms: int) -> int | None:
        """Add items that are not among those of an operation yet, each with its generation, at places from `first` on.

        Returns how many, None where the operation takes no more.
        """
        rows = as_json((first + place, *key, generation) for place, (key, generation) in enumerate(items.items()))
        added = len(list(self._run("add_bulk_items", {"id": id, "rows": rows})))
        return added if one(self._run("grow_bulk", {"id": id, "count": added, "now": now_ms})) else None

    def begin(self, id: int, together: int, now_ms: int) -> bool:
        """Begin an operation that has all its items, the first `together` of them at once; False where it was given up."""
        return one(self._run("begin_bulk", {"id": id, "together": together, "now": now_ms})) is not None

    def read(self, id: int) -> BulkRow | None:
        """Return an operation."""
        row = one(self._run("find_bulk", {"id": id}))
        return None if row is None else _row_of(row)

    def some(self, ids: Iterable[int]) -> list[BulkRow]:
        """Return some operations; what is not there is left out."""
        return [_row_of(row) for row in self._run("find_bulks", {"ids": json.dumps(list(ids))})]

    def before(self, id: int, limit: int) -> list[BulkRow]:
        """Return operations older than an id, newest first."""
        return [_row_of(row) for row in self._run("list_bulk", {"before": id, "limit": limit})]

    def due(self, now_ms: int) -> list[int]:
        """Return operations the next page of which is due."""
        return [row[0] for row in self._run("due_bulks", {"now": now_ms})]

    def lock(self, id: int) -> bool:
        """Have an operation to oneself until the transaction ends; False where another process does a page of it."""
        return one(self._run("lock_bulk", {"id": id})) is not None

    def page(self, id: int, place: int, limit: int) -> BulkPage:
        """Return the items of an operation from a place on."""
        rows = list(self._run("bulk_page", {"id": id, "place": place, "limit": limit + 1}))
        found = rows[:limit]
        items = {ItemKey(job, number): generation for _, job, number, generation in found}
        return BulkPage(items, found[-1][0] + 1 if found else place, len(rows) <= limit)

    def among(self, id: int, keys: Iterable[ItemKey]) -> set[ItemKey]:
        """Return those of some items that an operation is for."""
        return {ItemKey(*row) for row in self._run("among_bulk", {"id": id, "keys": as_json(keys)})}

    def advance(self, before: BulkRow, after: BulkRow, now_ms: int) -> bool:
        """Note what a page has brought; False where somebody else has done that, or ended the operation."""
        values = {
            "id": before.id,
            "before": before.place,
            "place": after.place,
            "done": after.done - before.done,
            "skipped": json.dumps(after.skipped),
            "size": after.size,
            "due_ms": after.due_ms,
        }
        return one(self._run("advance_bulk", {**values, "now": now_ms})) is not None

    def postpone(self, id: int, due_ms: int, now_ms: int) -> None:
        """Have the next page of an operation wait."""
        self._run("postpone_bulk", {"id": id, "due_ms": due_ms, "now": now_ms})

    def end(self, id: int, state: BulkState, error: str | None, now_ms: int) -> bool:
        """End an operation; False where it has ended."""
        return one(self._run("end_bulk", {"id": id, "state": state, "error": error, "now": now_ms})) is not None

    def abandoned(self, before_ms: int) -> list[int]:
        """Return operations that have not got all their items, and that nobody has added to since a moment."""
        return [row[0] for row in self._run("abandoned_bulks", {"before": before_ms})]

    def past(self, before_ms: int) -> int | None:
        """Return an operation that ended before a moment."""
        row = one(self._run("past_bulks", {"before": before_ms}))
        return None if row is None else int(row[0])

    def drop(self, id: int, limit: int) -> int:
        """Remove up to so many items of an operation, and itself with the last; returns how much that was."""
        count = len(list(self._run("drop_bulk_items", {"id": id, "limit": limit})))
        if count < limit:
            self._run("prune_bulk_events", {"id": id})
            count += len(list(self._run("drop_bulk", {"id": id})))
        return count

    def saved(self, items: Sequence[Item]) -> dict[str, int]:
        """Return how many checkpoints of each kind a recover of some items would use."""
        keys = as_json((item.job, item.number, item.keep_from) for item in items)
        return {kind: int(count) for kind, count in self._run("count_saved", {"keys": keys})}

    def kept_calls(self, items: Sequence[Item]) -> int:
        """Return how many successful calls a recover of some workflows' items would keep."""
        keys = as_json((item.job, item.number, item.keep_from) for item in items)
        return int(one(self._run("count_kept_calls", {"keys": keys}))[0])  # type: ignore[index]  # a sum has a row


def _row_of(row: Sequence[object]) -> BulkRow:
    found = BulkRow(*row)  # type: ignore[arg-type]
    pipelines = None if found.pipelines is None else tuple(json.loads(str(found.pipelines)))
    return found._replace(
        action=BulkAction(found.action),
        state=BulkState(found.state),
        accept_risk=bool(found.accept_risk),
        forward=bool(found.forward),
        pipelines=pipelines,
        skipped=json.loads(str(found.skipped)),
    )
