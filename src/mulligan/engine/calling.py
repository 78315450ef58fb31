"""The calls of workflows: storing them for the bodies that make them, and what a workflow's end or cancel means to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mulligan.core.events import CancelRequested, Event, RetryRequested
from mulligan.core.job import TERMINAL, Item, ItemKey, Wait
from mulligan.core.lifecycle import Transition
from mulligan.core.replay import Past, round_of
from mulligan.core.submission import NewCall
from mulligan.engine.exchanging import Claim, Ends, Wanted
from mulligan.engine.generations import next_generations
from mulligan.store.store import Session
from mulligan.store.verbs.calls import CallRow
from mulligan.store.verbs.jobs import ItemDefaults

if TYPE_CHECKING:
    from mulligan.engine.engine import Engine

CANCEL_AT_ONCE = 5_000
"""Waiting calls of a workflow revoked in the transaction that cancels it; the rest follows in chunks."""
KNOWN = 10_000
"""Of so many jobs it is kept in mind whether they hold calls."""


def root_of(session: Session, key: ItemKey) -> ItemKey:
    """Return the work item of the workflow in which a call was made, at the top of all that called each other; else the item."""
    while (parent := session.calls.parent(key.job)) is not None:
        key = parent
    return key


class Calling:
    """What an engine does about calls."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._holds: dict[int, bool] = {}
        self._tops: dict[int, int] = {}

    def note(self, job: int, *, holds_calls: bool) -> None:
        """Keep in mind whether a job holds calls, which never changes."""
        if len(self._holds) >= KNOWN:
            self._holds.clear()
        self._holds[job] = holds_calls

    def workflows(self, session: Session, items: Iterable[Item]) -> list[Item]:
        """Return those of the items that are workflows."""
        found = list(items)
        bodies = {each for each in {item.definition for item in found} if self._is_workflow(session, each)}
        return [item for item in found if item.definition in bodies] if bodies else []

    def jobs_below(self, session: Session, items: Iterable[Item]) -> set[int]:
        """Return the jobs that hold the calls of items, and of their calls: to be locked together with those of the items."""
        found = self.workflows(session, items)
        return session.calls.below(item.key for item in found) if found else set()

    def histories(self, claims: Sequence[Claim]) -> dict[ItemKey, tuple[Past, ...]]:
        """Return the calls that workflows have made so far, for their bodies to be replayed.

        To be called once the claims are committed: a call that ends later finds who holds its workflow, and one that ends just
        now is waited for, so that none is missed.
        """
        items = [each.item for each in claims if each.definition.workflow]
        if not items:
            return {}
        with self._engine.store.write() as session:
            jobs = session.calls.jobs(items)
            if not jobs:
                return {}
            session.jobs.lock(jobs.values())
            found = session.calls.read(jobs.values())
        return {key: tuple(found.get(job, ())) for key, job in jobs.items()}

    def add(self, session: Session, worker: int, wanted: Sequence[Wanted], now_ms: int, ends: Ends) -> bool:
        """Store calls; of an attempt that no longer owns its workflow nothing is stored. Returns whether anything was."""
        by_body: dict[ItemKey, tuple[Item, list[NewCall]]] = {}
        for item, call in wanted:
            by_body.setdefault(item.key, (item, []))[1].append(call)
        stored = False
        for item, calls in by_body.values():
            if session.calls.may_call(item, worker):
                self._add(session, item, calls, now_ms, ends)
                stored = True
        return stored

    def follow(self, session: Session, moved: Sequence[Transition], now_ms: int, ends: Ends) -> set[int]:
        """Do what moves mean to calls: tell who waits for one, end or cancel those of a workflow. Returns the jobs of calls."""
        ended = [each.after.key for each in moved if each.after.status in TERMINAL]
        calls = self._that_hold_calls(session, {key.job for key in ended})
        if called := [key for key in ended if key.job in calls]:
            ends.callers |= set(session.calls.arrive(called))
        bodies = {item.key for item in self.workflows(session, (each.after for each in moved))}
        if bodies:
            self._follow_bodies(session, [each for each in moved if each.after.key in bodies], now_ms, ends)
        return calls

    def pipelines(self, session: Session, jobs: set[int]) -> dict[int, int]:
        """Return of those jobs that hold calls the task of the workflow at the top, which is the pipeline that they belong to."""
        calls = self._that_hold_calls(session, jobs)
        for job in calls - self._tops.keys():
            if len(self._tops) >= KNOWN:
                self._tops.clear()
            top = session.jobs.read(root_of(session, ItemKey(job, 0)).job)
            if top is not None:
                self._tops[job] = top.task
        return {job: self._tops[job] for job in calls if job in self._tops}

    def _is_workflow(self, session: Session, definition: int) -> bool:
        return self._engine.definitions.get(session, definition).workflow

    def _that_hold_calls(self, session: Session, jobs: set[int]) -> set[int]:
        unknown = [job for job in jobs if job not in self._holds]
        if unknown:
            found = session.calls.which(unknown)
            for job in unknown:
                self.note(job, holds_calls=job in found)
            return found | {job for job in jobs if self._holds.get(job)}
        return {job for job in jobs if self._holds[job]}

    def _follow_bodies(self, session: Session, moved: Sequence[Transition], now_ms: int, ends: Ends) -> None:
        verbs = session.calls
        if over := [each.after.key for each in moved if each.after.status in TERMINAL]:
            verbs.seal(over, now_ms)
        if again := [each.after for each in moved if each.after.generation > each.before.generation]:
            verbs.reopen(again)
        cancelled = [each.after.key for each in moved if each.after.cancel_ms is not None and each.before.cancel_ms is None]
        if cancelled:
            for job in verbs.flag_cancel(cancelled, now_ms):
                items = session.items.waiting_of(job, CANCEL_AT_ONCE) + session.items.running_of(job)
                self._engine.settle_in(session, [(item, CancelRequested()) for item in items], now_ms, ends)

    def _add(self, session: Session, item: Item, calls: Sequence[NewCall], now_ms: int, ends: Ends) -> None:
        job = session.calls.open(item.key, now_ms)
        self.note(job, holds_calls=True)
        round = round_of(item)  # noqa: A001 - its name everywhere
        # What is there has come with a commit whose answer was lost.
        there = self._there(session, job, calls, round, now_ms)
        missing = [each for each in calls if each.place not in there]
        again = {each.place: ItemKey.of(each.again) for each in missing if each.again is not None}
        rows = [CallRow(each.place, again[each.place].number, each.digest, round) for each in missing if each.place in again]
        number = session.calls.count(job)
        for group in _alike([each for each in missing if each.place not in again]):
            defaults = self._defaults(session, item, group[0], now_ms)
            session.jobs.add_items(job, number, [each.item for each in group], defaults, now_ms)
            rows += [CallRow(each.place, number + place, each.digest, round) for place, each in enumerate(group)]
            number += len(group)
        if rows:
            session.calls.put(job, rows)
        if again:
            given = {again[each.place]: each.options.total_timeout_s for each in missing if each.place in again}
            self._run_again(session, item, given, now_ms, ends)

    def _there(self, session: Session, job: int, calls: Sequence[NewCall], round: int, now_ms: int) -> set[str]:
        """Return the places where just this is called in this round; another task with the same arguments is another call."""
        rows = session.calls.at(job, (each.place for each in calls))
        alike = {each.place: each for each in calls if (row := rows.get(each.place)) and row[2:] == (each.digest, round)}
        if not alike:
            return set()
        tasks = {item.key.number: item.task for item in session.items.read(ItemKey(job, rows[place].number) for place in alike)}
        publish = self._engine.definitions.publish
        wanted = {place: publish(session, each.definition, now_ms, current=False).task for place, each in alike.items()}
        return {place for place, task in wanted.items() if tasks[rows[place].number] == task}

    def _run_again(self, session: Session, parent: Item, given: Mapping[ItemKey, float | None], now_ms: int, ends: Ends) -> None:
        """Start a new generation of calls that failed, now that their workflow is retried.

        `given`: the total_timeout of each call, where it has one of its own.
        """
        items = session.items.read(given)
        begun = next_generations(session, self._engine.definitions, items, now_ms)
        pairs: list[tuple[Item, Event]] = []
        for item in items:
            generation = begun[item.job, item.task]
            total_s = given[item.key]
            own_ms = generation.cutoff_ms if total_s is None else now_ms + round(total_s * 1000)
            cutoff_ms = _sooner(own_ms, parent.cutoff_ms)
            pairs.append((item, RetryRequested("recover", generation.definition, generation.once, cutoff_ms)))
        self._engine.settle_in(session, pairs, now_ms, ends)

    def _defaults(self, session: Session, parent: Item, call: NewCall, now_ms: int) -> ItemDefaults:
        definition, options = call.definition, call.options
        published = self._engine.definitions.publish(session, definition, now_ms, current=False)
        total_s = definition.total_timeout_s if options.total_timeout_s is None else options.total_timeout_s
        cutoff_ms = _sooner(None if total_s is None else now_ms + round(total_s * 1000), parent.cutoff_ms)
        due_ms = max(now_ms, options.start_at_ms or 0) + round((options.delay_s or 0) * 1000)
        return ItemDefaults(
            task=published.task,
            definition=published.definition,
            once=definition.once,
            # What is urgent is so with all that it calls.
            priority=min(definition.priority, parent.priority) if options.priority is None else options.priority,
            due_ms=due_ms,
            wait=Wait.SCHEDULE if due_ms > now_ms else Wait.READY,
            deadline_ms=_sooner(cutoff_ms, options.expires_ms),
            cutoff_ms=cutoff_ms,
        )


def _alike(calls: Sequence[NewCall]) -> list[list[NewCall]]:
    """Return calls in groups that share their task and their options."""
    groups: dict[tuple[int, int], list[NewCall]] = {}
    for each in calls:
        groups.setdefault((id(each.definition), id(each.options)), []).append(each)
    return list(groups.values())


def _sooner(one_ms: int | None, other_ms: int | None) -> int | None:
    known = [each for each in (one_ms, other_ms) if each is not None]
    return min(known) if known else None
