"""Does what was asked to some work items inside a transaction: chooses those that it fits, moves them, tells the audit."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from mulligan.core.events import CancelRequested, Event, MadeDue, OverwriteRequested, RetryMode, RetryRequested
from mulligan.core.job import TERMINAL, WAITING, Item, ItemKey, JobStatus
from mulligan.engine.asking import EXAMPLES, Asker, Plan, line
from mulligan.engine.engine import Engine, held, jobs_behind
from mulligan.engine.exchanging import Ends
from mulligan.engine.generations import next_generations
from mulligan.engine.judging import warn
from mulligan.engine.neighbours import Together, alone, beside, held_back, warning
from mulligan.store.store import Session

UNSUCCESSFUL = frozenset({JobStatus.FAILURE, JobStatus.REVOKED})
MOVED_ON = "has moved on"
ACTED = "acted"
"""The kind of event that tells of a person's action; its reason is the verb."""
GONE = "is not there any more"


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, and how it is told to the audit."""

    verb: str
    asker: Asker
    expected: str
    dry_run: bool = False
    reopens: bool = False
    """Whether the items' jobs are wanted again, so that a cancel of the past must be taken back."""
    in_order: bool = False
    """Whether items that were put in order once shall keep it."""
    together: Together = alone
    """Tells which items besides those of the transaction shall run again too."""


E = TypeVar("E", bound=Event)
Chooser = Callable[[Session, Sequence[Item]], list[Event | None]]
"""Says what to do to each of some items."""


def retrying(engine: Engine, mode: RetryMode) -> Chooser:
    """Choose a new generation for what FAILED or was REVOKED."""

    def choose(session: Session, items: Sequence[Item]) -> list[Event | None]:
        begun = next_generations(session, engine.definitions, items, engine.clock.now_ms())
        events = {key: RetryRequested(mode, *each) for key, each in begun.items()}
        return [events[each.job, each.task] if each.status in UNSUCCESSFUL else None for each in items]

    return choose


def cancelling() -> Chooser:
    """Choose to cancel what has not ended, and has not been asked to."""
    return _each_by(lambda item: CancelRequested() if _can_cancel(item) else None)


def making_due(now_ms: int) -> Chooser:
    """Choose to make due what waits for a later moment."""

    def choose(item: Item) -> Event | None:
        waits = item.status in WAITING and item.due_ms > now_ms and not held(item)
        return MadeDue() if waits else None

    return _each_by(choose)


class Doing:
    """Does things to work items, through an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def to_page(
        self,
        session: Session,
        page: Sequence[ItemKey],
        generations: Mapping[ItemKey, int],
        asked: Asked,
        choose: Chooser,
        ends: Ends,
    ) -> Plan:
        """Do what is asked to every item of a page that `choose` gives an event for, if it is still in its generation."""
        plan = Plan()
        behind = jobs_behind(session, dict.fromkeys(page, False))
        session.jobs.lock({key.job for key in page} | behind | session.calls.below(page))
        items = session.items.read(page)
        plan.skipped.update({GONE: len(set(page)) - len(items)} if len(items) < len(set(page)) else {})
        self._do(session, self._chosen(session, items, generations, plan, choose), plan, asked, ends)
        return plan

    def overwrite(
        self, session: Session, seen: Mapping[ItemKey, int], plan: Plan, asked: Asked, ends: Ends, *, forward: bool
    ) -> None:
        """Run items again that are still as they succeeded; `forward`: one after the other, in this order."""
        places = {key: place for place, key in enumerate(seen)}
        session.jobs.lock({key.job for key in seen} | session.calls.below(seen))
        found = sorted(session.items.read(seen), key=lambda each: places[each.key])
        plan.skipped.update({GONE: len(seen) - len(found)} if len(found) < len(seen) else {})
        wanted = [item for item in found if item.status is JobStatus.SUCCESS and item.generation == seen[item.key]]
        if len(wanted) < len(found):
            plan.skipped[MOVED_ON] += len(found) - len(wanted)
        begun = next_generations(session, self._engine.definitions, wanted, self._engine.clock.now_ms())
        every = [(item, OverwriteRequested(*begun[item.job, item.task])) for item in wanted]
        chosen = self._reopened(session, every, plan, asked)
        if forward:
            chosen = [(item, replace(event, held=place > 0)) for place, (item, event) in enumerate(chosen)]
        done = self._do(session, list(chosen), plan, replace(asked, reopens=False), ends)
        if forward and not asked.dry_run:
            session.records.chain(list(itertools.pairwise(item.key for item, _ in done)))

    def tell(self, session: Session, items: Sequence[Item], verb: str) -> None:
        """Add an event of each job that was acted on; where that is one work item, of the item."""
        told: list[tuple[int, int | None]] = [(job, None) for job in sorted({item.job for item in items})]
        if len(items) == 1:
            told = [(items[0].job, items[0].number)]
        if told:
            session.records.add_events(ACTED, told, verb, self._engine.clock.now_ms())

    def audit(self, session: Session, asked: Asked, target: object, plan: Plan) -> None:
        """Tell the audit what was done, unless nothing was to be done."""
        if asked.dry_run:
            return
        found = {"left alone": dict(plan.skipped), "warnings": plan.warnings, "unsafe": sorted(plan.judgements)}
        said = json.dumps({key: value for key, value in found.items() if value})
        now_ms = self._engine.clock.now_ms()
        row = line(asked.asker, now_ms, asked.verb, str(target), expected=asked.expected, found=said, changed=plan.total)
        session.records.add_audit(row)

    def _do(
        self, session: Session, chosen: list[tuple[Item, Event]], plan: Plan, asked: Asked, ends: Ends
    ) -> list[tuple[Item, Event]]:
        if asked.reopens:
            chosen = self._reopened(session, chosen, plan, asked)
        if asked.in_order:
            chosen = _in_order(session, chosen)
        if asked.verb == "recover":
            self._warn(session, chosen, plan)
        if not asked.dry_run:
            moves = self._engine.settle_in(session, chosen, self._engine.clock.now_ms(), ends)
            if len(moves) < len(chosen):
                moved = {each.before.key for each in moves}
                chosen = [(item, event) for item, event in chosen if item.key in moved]
            self.tell(session, [item for item, _ in chosen], asked.verb)
        plan.total, plan.chosen = len(chosen), [item for item, _ in chosen]
        plan.examples = [f"{asked.verb} {item.key} ({item.status})" for item, _ in chosen[:EXAMPLES]]
        return chosen

    def _reopened(self, session: Session, chosen: list[tuple[Item, E]], plan: Plan, asked: Asked) -> list[tuple[Item, E]]:
        """Take back the cancel flag of jobs whose items are wanted again; leave those alone that must not run now."""
        for task in sorted({item.task for item, _ in chosen}):
            session.tasks.lock(task)  # which of several items for a window runs is decided by one at a time
        rows = [row for row in map(session.jobs.read, {item.job for item, _ in chosen}) if row is not None]
        flagged = [row for row in rows if row.cancel_ms is not None]
        unready = {row.id: "the job is still being cancelled" for row in flagged if row.ended_ms is None}
        unready |= {row.id: "the job is still being submitted" for row in rows if not row.sealed}
        plan.skipped.update(unready[item.job] for item, _ in chosen if item.job in unready)
        # What is begun anew forgets its calls, which must not go on beside those that come.
        unended = session.calls.unended(item.key for item, _ in chosen) if asked.verb == "restart" else set()
        plan.skipped.update(
            "its calls have not ended yet" for item, _ in chosen if item.key in unended and item.job not in unready
        )
        if unended:
            chosen = [pair for pair in chosen if pair[0].key not in unended]
        free = [item for item, _ in chosen if item.job not in unready]
        others = beside(session, free, asked.together)
        plan.skipped.update(others.unwanted.values())
        if (said := warning(others)) is not None:
            plan.warnings.append(said)
        left = chosen
        if unready or others.unwanted:
            left = [pair for pair in chosen if pair[0].job not in unready and pair[0].key not in others.unwanted]
        for job in {item.job for item, _ in left} & {row.id for row in flagged}:
            if not asked.dry_run:
                session.jobs.unflag_cancel(job)
        return left

    def _chosen(
        self,
        session: Session,
        items: Sequence[Item],
        generations: Mapping[ItemKey, int],
        plan: Plan,
        choose: Chooser,
    ) -> list[tuple[Item, Event]]:
        there = [item for item in items if generations.get(item.key) in (None, item.generation)]
        if len(there) < len(items):
            plan.skipped[MOVED_ON] += len(items) - len(there)
        chosen: list[tuple[Item, Event]] = []
        for item, event in zip(there, choose(session, there), strict=True):
            if event is None:
                plan.skipped[f"is {item.status}"] += 1
            else:
                chosen.append((item, event))
        return chosen

    def _warn(self, session: Session, chosen: Sequence[tuple[Item, Event]], plan: Plan) -> None:
        by_task: dict[int, list[ItemKey]] = {}
        for item, _ in chosen:
            by_task.setdefault(item.task, []).append(item.key)
        for task, keys in by_task.items():
            current = self._engine.definitions.newest(session, task)
            for each in warn(session, self._engine.definitions, keys, current):
                if each not in plan.warnings:
                    plan.warnings.append(each)


def _each_by(choose: Callable[[Item], Event | None]) -> Chooser:
    return lambda _, items: [choose(item) for item in items]


def _in_order(session: Session, chosen: list[tuple[Item, Event]]) -> list[tuple[Item, Event]]:
    waiting = held_back(session, (item.key for item, _ in chosen))
    if not waiting:
        return chosen
    return [
        (item, replace(event, held=item.key in waiting) if isinstance(event, RetryRequested) else event) for item, event in chosen
    ]


def _can_cancel(item: Item) -> bool:
    return item.status not in TERMINAL and item.cancel_ms is None
