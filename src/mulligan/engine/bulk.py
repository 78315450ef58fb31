"""Bulk operations as people ask for them: a plan first, the work items fixed at creation, looked at and aborted later.

What is done to the work items, page by page, is in `bulk_pages`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mulligan.core.bulk import FIRST_PAGE, FITTING, BulkAction, BulkState
from mulligan.core.errors import ArgumentsInvalid, MoreMatch, MulliganError, NotFound, OverwriteUnsafe, Refused
from mulligan.core.events import RetryMode
from mulligan.core.job import ItemKey, JobStatus
from mulligan.core.recovery import Judgement, Verdict
from mulligan.core.shown import shown
from mulligan.engine.asking import EXAMPLES, Asker, Plan, Target, line
from mulligan.engine.commands import refusal
from mulligan.engine.engine import Engine
from mulligan.engine.filters import chosen, text
from mulligan.engine.judging import judge
from mulligan.engine.matching import PAGE, Matching, in_window_order
from mulligan.engine.reading import Reading
from mulligan.store.store import Session
from mulligan.store.verbs.bulk import BulkRow, NewBulk

FORWARD_MOST = 10_000
"""Windows that are put in order are started all at once or not at all, so there must not be too many of them."""
ALIVE_MS = 5_000
"""A creation that added nothing for so long is taken for dead by who makes the same request again."""
DROP = 5_000
"""Work items that are forgotten in one transaction."""
CUT_OFF = "its creation was cut off before all of its work items had been written down: nothing was done; ask for it again"


@dataclass(frozen=True, slots=True)
class BulkWanted:
    """What is asked for: an action on all work items that match filters as users name them."""

    action: BulkAction
    filters: Mapping[str, Any]
    asker: Asker
    mode: RetryMode = "recover"
    name: str = ""
    accept_risk: bool = False
    forward: bool = False
    expected: int | None = None
    """How many matching items the asker has seen: if there are more by now, it is refused."""
    pipelines: tuple[str, ...] | None = None
    """What the asker is limited to; None: nothing."""
    sees: Callable[[list[ItemKey]], list[ItemKey]] = list
    """Leaves out items that such an asker may not see."""


class Bulk:
    """Creates bulk operations, and finds and aborts them."""

    def __init__(self, engine: Engine, reading: Reading) -> None:
        self._engine = engine
        self._reading = reading
        self._matching = Matching(engine.store)

    def create(self, wanted: BulkWanted) -> BulkRow:
        """Write down which work items match now, and begin; whoever does chores does the rest.

        The same request (`asker.operation`) gives the operation that it has made before. Raises MoreMatch where more match than
        expected, OverwriteUnsafe with the evidence, Refused for what is refused of single items, ArgumentsInvalid and ConfigError
        for filters that are none. Then nothing is left of it.
        """
        filters = self.filters(wanted)
        there = self._of_request(wanted.asker.operation)
        if there is not None:
            return there
        id = self._add(wanted)  # noqa: A001 - its name everywhere
        try:
            together = self._collect(id, wanted, filters)
            if wanted.action is BulkAction.OVERWRITE and not wanted.accept_risk:
                self._refuse_unsafe(id, wanted)
            self._begin(id, wanted, together)
        except BaseException as error:
            self._forget(id, str(error) if isinstance(error, MulliganError) else CUT_OFF)
            raise
        return self.find(id)

    def find(self, id: int) -> BulkRow:
        """Return an operation; raises NotFound."""
        with self._engine.store.read() as session:
            row = session.bulk.read(id)
        if row is None:
            raise NotFound(f"there is no operation {id}")
        return row

    def all(self, before: int, limit: int, sees: Callable[[BulkRow], bool] = lambda _: True) -> list[BulkRow]:
        """Return operations older than an id, newest first: as many of those that somebody may see as are wanted."""
        found: list[BulkRow] = []
        while len(found) < limit:
            with self._engine.store.read() as session:
                page = session.bulk.before(before, limit)
            found += [row for row in page if sees(row)]
            if len(page) < limit:
                break
            before = page[-1].id
        return found[:limit]

    def abort(self, id: int, asker: Asker) -> BulkRow:
        """Stop an operation before its next page. What was done stays done; of one that has ended nothing is changed."""
        now_ms = self._engine.clock.now_ms()
        with self._engine.store.write() as session:
            aborted = session.bulk.end(id, BulkState.ABORTED, None, now_ms)
            row = session.bulk.read(id)
            if row is None:
                raise NotFound(f"there is no operation {id}")
            found = f"{row.done} of {row.matched} done" if aborted else f"it was {row.state} before"
            session.records.add_audit(
                line(asker, now_ms, "abort operation", f"operation {id}", found=found, changed=int(aborted))
            )
            if aborted:
                session.records.add_bulk_event(id, row.state, now_ms)
        return row

    def filters(self, wanted: BulkWanted) -> dict[str, Any]:
        """Return the filters of what is asked for as the store takes them: only statuses that the action fits."""
        fitting = FITTING[wanted.action]
        plain = self._reading.plain_filters(chosen(wanted.filters))
        given = [JobStatus(each) for each in plain.get("status", fitting)]
        other = [each for each in given if each not in fitting]
        if other:
            raise ArgumentsInvalid(f"status: {wanted.action} is for what is {' or '.join(fitting)}, not {other[0]}")
        if wanted.forward and wanted.action is not BulkAction.OVERWRITE:
            raise ArgumentsInvalid(f"forward: it is for overwrite, not for {wanted.action}")
        limited = {} if wanted.pipelines is None else {"tasks": wanted.pipelines}
        return {**plain, "status": given, **limited}

    def pages(self, wanted: BulkWanted, filters: Mapping[str, Any]) -> Iterator[dict[ItemKey, int]]:
        """Yield the items that match, with their generations; what belongs together comes in the first page, all of it."""
        target = Target(filters=filters)
        if wanted.forward:
            yield self._forward(wanted, target)
            return
        first = self._matching.in_order(target) if wanted.action is BulkAction.RETRY else {}
        yield self._aimed(wanted, first, filters)
        for found in self._matching.pages(target):
            yield self._aimed(wanted, {key: found.generations[key] for key in found.keys if key not in first}, filters)

    def _aimed(self, wanted: BulkWanted, page: dict[ItemKey, int], filters: Mapping[str, Any]) -> dict[ItemKey, int]:
        """Have workflows stand for their calls, which are not retried by themselves."""
        if "roots" in filters or not page:
            return page
        target = Target(items=tuple(page), generations=tuple(page.values()))
        if wanted.action is BulkAction.RETRY:
            target = self._matching.with_roots(target, wanted.mode)
        elif wanted.action is BulkAction.OVERWRITE:
            self._matching.refuse_calls(target)
        seen = set(wanted.sees(list(target.items)))
        return {key: generation for key, generation in zip(target.items, target.generations, strict=True) if key in seen}

    def _forward(self, wanted: BulkWanted, target: Target) -> dict[ItemKey, int]:
        """Return the windows that match and those written since, in the order of their windows."""
        matching: dict[ItemKey, int] = {}
        for found in self._matching.pages(target):
            matching.update(self._aimed(wanted, found.generations, target.filters or {}))
            _refuse_many(len(matching))
        if not matching:
            return {}
        with self._engine.store.read() as session:
            keys = in_window_order(session, list(matching))
            _refuse_many(len(keys))
            there = {item.key: item.generation for item in session.items.read(keys)}
        return {key: matching.get(key, there[key]) for key in keys if key in there}

    def _of_request(self, request: str | None) -> BulkRow | None:
        """Return the operation that a request has made before, once it has all its items; end it if its maker died."""
        while request is not None:
            now_ms = self._engine.clock.now_ms()
            with self._engine.store.write() as session:
                id = session.bulk.of_request(request)  # noqa: A001 - its name everywhere
                row = None if id is None else session.bulk.read(id)
                if row is None or row.state is not BulkState.COLLECTING:
                    return row
                if now_ms - row.touched_ms > ALIVE_MS:
                    session.bulk.end(row.id, BulkState.FAILED, CUT_OFF, now_ms)
                    return None
            self._engine.clock.sleep(0.1)
        return None

    def _add(self, wanted: BulkWanted) -> int:
        asker = wanted.asker
        mode = wanted.mode if wanted.action is BulkAction.RETRY else None
        new = NewBulk(
            name=text(wanted.name, "name") or _name_of(wanted),
            action=wanted.action,
            mode=mode,
            filter=json.dumps({name: value for name, value in wanted.filters.items() if value is not None}, default=str),
            accept_risk=wanted.accept_risk,
            forward=wanted.forward,
            actor=asker.actor,
            source=asker.source,
            reason=asker.reason,
            address=asker.address,
            request=asker.operation,
            pipelines=wanted.pipelines,
        )
        with self._engine.store.write() as session:
            made = session.bulk.add(new, FIRST_PAGE, self._engine.clock.now_ms())
        if made is None:
            raise Refused("the same request is being carried out just now: ask again in a moment")
        return made

    def _collect(self, id: int, wanted: BulkWanted, filters: Mapping[str, Any]) -> int:
        """Write down the items, a page in each transaction; returns how many of the first belong together."""
        place = matched = together = 0
        for number, page in enumerate(self.pages(wanted, filters)):
            added: int | None = 0
            if page:
                with self._engine.store.write() as session:
                    added = session.bulk.add_items(id, place, page, self._engine.clock.now_ms())
            if added is None:
                raise Refused(f"operation {id} was aborted, or given up, before it had all its work items: nothing was done")
            place, matched = place + len(page), matched + added
            together = place if number == 0 else together
            _refuse_more(wanted.expected, matched)
        return together

    def _refuse_unsafe(self, id: int, wanted: BulkWanted) -> None:
        """Raise OverwriteUnsafe, which the audit keeps, where it is not known of all items that they may be overwritten."""
        unsafe: dict[str, Judgement] = {}
        count = place = 0
        last = False
        while not last:
            with self._engine.store.read() as session:
                page = session.bulk.page(id, place, PAGE)
                unsafe |= unsafe_of(session, self._engine, list(page.items))
            count, place, last = count + len(page.items), page.next, page.last
        if not unsafe:
            return
        plan = Plan(unsafe=len(unsafe))
        with self._engine.store.write() as session:
            found = json.dumps({"unsafe": sorted(unsafe)[:EXAMPLES], "unsafe_total": plan.unsafe})
            now_ms = self._engine.clock.now_ms()
            target = f"filter {_shown_filter(wanted)}"
            session.records.add_audit(line(wanted.asker, now_ms, "overwrite refused", target, found=found, changed=0))
        raise OverwriteUnsafe(refusal(unsafe, count))

    def _begin(self, id: int, wanted: BulkWanted, together: int) -> None:
        now_ms = self._engine.clock.now_ms()
        with self._engine.store.write() as session:
            if not session.bulk.begin(id, together, now_ms):
                raise Refused(f"operation {id} was aborted, or given up, before it began: nothing was done")
            row = session.bulk.read(id)
            matched = 0 if row is None else row.matched
            expected = "" if wanted.expected is None else f"{wanted.expected} work items"
            target = f"operation {id}: filter {_shown_filter(wanted)}"
            said = f"{matched} work items"
            session.records.add_audit(
                line(wanted.asker, now_ms, f"bulk {wanted.action}", target, expected=expected, found=said, changed=0)
            )
            if not matched and session.bulk.end(id, BulkState.DONE, None, now_ms):
                session.records.add_bulk_event(id, BulkState.DONE, now_ms)

    def _forget(self, id: int, why: str) -> None:
        """Forget an operation that never began; what is left when this is cut off, retention removes."""
        now_ms = self._engine.clock.now_ms()
        with self._engine.store.write() as session:
            if not session.bulk.end(id, BulkState.FAILED, why, now_ms):
                return
        dropped = DROP
        while dropped >= DROP:
            with self._engine.store.write() as session:
                dropped = session.bulk.drop(id, DROP)


def unsafe_of(session: Session, engine: Engine, keys: Sequence[ItemKey]) -> dict[str, Judgement]:
    """Return the verdicts on those of some successful items that are not known to be safe to overwrite."""
    judged = judge(session, engine.definitions, keys)
    return {str(key): each for key, each in judged.items() if each.verdict is not Verdict.SAFE}


def parse_operation_id(id: str | int) -> int:
    """Return the number of an operation's id; raises NotFound, since what is no id names nothing."""
    said = id if isinstance(id, str) else shown(id)
    if said.isascii() and said.isdigit() and len(said) < 19:
        return int(said)
    raise NotFound(f"there is no operation {shown(id)}: an operation's id is a number such as 7")


def _refuse_more(expected: int | None, matched: int) -> None:
    if expected is not None and matched > expected:
        raise MoreMatch(
            f"over {expected:,} work items match by now, more than were seen: nothing was done; look at the plan again, "
            "or leave out what was expected"
        )


def _refuse_many(count: int) -> None:
    if count > FORWARD_MOST:
        raise Refused(
            f"forward: over {FORWARD_MOST:,} windows would have to be put in order at once; choose fewer of them, or overwrite "
            "without it"
        )


def _name_of(wanted: BulkWanted) -> str:
    task = wanted.filters.get("task")
    verb = wanted.mode if wanted.action is BulkAction.RETRY else wanted.action
    return f"{verb} {task}" if isinstance(task, str) else str(verb)


def _shown_filter(wanted: BulkWanted) -> str:
    given = {name: value for name, value in wanted.filters.items() if value is not None}
    return json.dumps(given, default=str, sort_keys=True)
