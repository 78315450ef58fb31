"""Verbs on what attempts leave behind (checkpoints, logs, progress) and on what is kept for people (events, audit)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from mulligan.core.job import ItemKey
from mulligan.store.interface import Run, one
from mulligan.store.rows import AuditRow, CheckpointRow
from mulligan.store.verbs.items import as_json


class Saved(NamedTuple):
    """What an item's attempts saved: results of steps by key, and the newest cursor; JSON all of it."""

    steps: dict[str, str]
    cursor: str | None


class EventPlace(NamedTuple):
    """Where an event stands among all; ids alone do not become visible in their order where several write at once."""

    position: int
    id: int


FIRST = EventPlace(0, 0)


class EventRow(NamedTuple):
    """Something that people or programs may want to hear of. The end of a bulk operation is of no job, and `number` is its id."""

    place: EventPlace
    at_ms: int
    kind: str
    job: int | None
    number: int | None
    generation: int | None
    reason: str | None


class Records:
    """Checkpoints, logs, progress, successors, events and the audit."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def saved(self, keeping: Sequence[tuple[int, int, int]]) -> dict[ItemKey, Saved]:
        """Return the steps and the newest cursor that count for items: job, number, and from which generation on they count."""
        rows = as_json(keeping)
        found: dict[ItemKey, Saved] = {}
        oldest_first = sorted(self._run("read_saved", {"rows": rows}), key=lambda row: row[:3])
        for job, number, _, kind, key, value in oldest_first:
            saved = found.setdefault(ItemKey(job, number), Saved({}, None))
            if kind == "step":
                saved.steps[key] = value
            else:
                found[ItemKey(job, number)] = saved._replace(cursor=value)
        return found

    def checkpoints(self, key: ItemKey) -> list[CheckpointRow]:
        """Return all that is saved of an item, old generations included."""
        return [CheckpointRow(*row) for row in self._run("read_checkpoints", {"job": key.job, "number": key.number})]

    def checkpoint_definitions(self, keys: Iterable[ItemKey]) -> list[int]:
        """Return the definitions under which the checkpoints were saved that a recover of these items would use."""
        given = list(keys)
        saving = {job for (job,) in self._run("jobs_with_checkpoints", {"jobs": json.dumps(sorted({key.job for key in given}))})}
        saved = [key for key in given if key.job in saving]
        return [row[0] for row in self._run("checkpoint_definitions", {"keys": as_json(saved)})] if saved else []

    def save_checkpoint(self, key: ItemKey, row: CheckpointRow, worker: int) -> Callable[[], bool]:
        """Save a step's result, or replace the cursor of this generation, for the attempt that owns its item.

        Returns what tells whether it does; if not, nothing is saved.
        """
        values = {**row._asdict(), "job": key.job, "number": key.number, "now": row.at_ms, "worker": worker}
        found = self._run("save_checkpoint", values)
        return lambda: one(found) is not None

    def drop_old_checkpoints(self, key: ItemKey, keep_from: int) -> None:
        """Forget what was saved before a restart, now that the new generation has succeeded."""
        self._run("drop_old_checkpoints", {"job": key.job, "number": key.number, "keep_from": keep_from})

    def add_logs(self, rows: Sequence[tuple[int, int, int, int, str]], now_ms: int) -> None:
        """Add pieces of log: job, number, token, part, text."""
        self._run("add_logs", {"rows": as_json(rows), "now": now_ms})

    def logs(self, key: ItemKey, token: int = 0, part: int = -1) -> list[tuple[int, int, int, str]]:
        """Return up to a thousand pieces of log after (token, part): token, part, time in ms, text."""
        where = {"job": key.job, "number": key.number, "token": token, "part": part}
        return [tuple(row) for row in self._run("read_logs", where)]

    def set_progress(self, rows: Sequence[tuple[int, int, int, float, float]], now_ms: int) -> None:
        """Note how far attempts are: job, number, token, done, total."""
        self._run("set_progress", {"rows": as_json(rows), "now": now_ms})

    def progress(self, key: ItemKey) -> tuple[int, float, float] | None:
        """Return token, done and total as last told by an attempt."""
        row = one(self._run("read_progress", {"job": key.job, "number": key.number}))
        return tuple(row) if row else None

    def chain(self, pairs: Sequence[tuple[ItemKey, ItemKey]]) -> None:
        """Note for each first item that the second waits for its success."""
        for key, after in pairs:
            values = {"job": key.job, "number": key.number, "next_job": after.job, "next_number": after.number}
            self._run("add_successor", values)

    def leave_order(self, key: ItemKey) -> ItemKey | None:
        """Take an item out of its order, since it succeeded; returns the one after it, which now follows the one before it."""
        before = self.predecessors([key]).get(key)
        row = one(self._run("find_successor", {"job": key.job, "number": key.number}))
        after = ItemKey(*row) if row else None
        for each in (before, key if after else None):
            if each is not None:
                self._run("drop_successor", {"job": each.job, "number": each.number})
        if before and after:
            self.chain([(before, after)])
        return after

    def followers(self, keys: Iterable[ItemKey]) -> dict[ItemKey, ItemKey]:
        """Return the items that come right after some in their orders."""
        rows = self._run("followers", {"keys": as_json(keys)})
        return {ItemKey(*row[:2]): ItemKey(*row[2:]) for row in rows}

    def predecessors(self, keys: Iterable[ItemKey]) -> dict[ItemKey, ItemKey]:
        """Return the items that some come after in an order, where they have not succeeded since."""
        rows = self._run("predecessors", {"keys": as_json(keys)})
        return {ItemKey(*row[:2]): ItemKey(*row[2:]) for row in rows}

    def held_behind(self, key: ItemKey) -> list[ItemKey]:
        """Return the items that wait one behind the other after one, in that order."""
        return [ItemKey(*row) for row in self._run("held_behind", {"job": key.job, "number": key.number})]

    def in_order_unsuccessful(self) -> list[ItemKey]:
        """Return what was put in order once and did not succeed."""
        return [ItemKey(*row) for row in self._run("in_order_unsuccessful", {})]

    def any_successor(self) -> bool:
        """Return whether any item waits for another."""
        return one(self._run("any_successor", {})) is not None

    def add_event(self, kind: str, key: ItemKey | int, generation: int | None, reason: str | None, now_ms: int) -> None:
        """Add an event of an item or of a job."""
        job, number = (key, None) if isinstance(key, int) else key
        values = {"now": now_ms, "kind": kind, "job": job, "number": number, "generation": generation, "reason": reason}
        self._run("add_event", values)

    def add_events(self, kind: str, keys: Iterable[tuple[int, int | None]], reason: str, now_ms: int) -> None:
        """Add an event of each of some jobs (with no number) or items."""
        self._run("add_events", {"now": now_ms, "kind": kind, "rows": as_json(keys), "reason": reason})

    def events_end(self) -> EventPlace:
        """Return the place after which everything stands that is yet to come."""
        return EventPlace(*(one(self._run("events_end", {})) or FIRST))

    def add_bulk_event(self, operation: int, reason: str, now_ms: int) -> None:
        """Add the event of a bulk operation's end."""
        values = {"now": now_ms, "kind": "operation_ended", "job": None, "number": operation, "generation": None}
        self._run("add_event", {**values, "reason": reason})

    def events(self, after: EventPlace = FIRST, limit: int = 1000) -> list[EventRow]:
        """Return the events after a place, none of which is skipped for having been committed late."""
        rows = self._run("read_events", {"position": after.position, "id": after.id, "limit": limit})
        return [EventRow(EventPlace(row[0], row[1]), *row[2:]) for row in rows]

    def add_audit(self, row: AuditRow) -> None:
        """Add a line to the audit; its id is given by the store."""
        self._run("add_audit", {**row._asdict(), "now": row.at_ms})

    def audit(self, target: str | None = None, limit: int = 100, before: int = 2**63 - 1) -> list[AuditRow]:
        """Return the newest lines of the audit before the one of an id, of one target or of all."""
        return [AuditRow(*row) for row in self._run("read_audit", {"target": target, "limit": limit, "before": before})]
