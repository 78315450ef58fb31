"""What a person can ask for: cancel, retry, retry now, overwrite, pause and resume. Every command leaves a line in the audit."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from mulligan.core.errors import NotFound, OverwriteUnsafe, Refused
from mulligan.core.events import CancelRequested, Event, MadeDue, OverwriteRequested, RetryMode, RetryRequested
from mulligan.core.job import TERMINAL, WAITING, Item, ItemKey, JobStatus
from mulligan.core.recovery import Judgement, Verdict
from mulligan.engine.asking import EXAMPLES, Asker, Plan, Target, line
from mulligan.engine.calling import root_of
from mulligan.engine.engine import Engine, held, jobs_behind
from mulligan.engine.exchanging import Ends
from mulligan.engine.finding import check_details, missing_item
from mulligan.engine.generations import next_generations
from mulligan.engine.judging import judge, warn
from mulligan.engine.neighbours import beside, held_back, warning
from mulligan.store.store import Session

ACTED = "acted"
"""The kind of event that tells of a person's action; its reason is the verb."""
CANCEL_AT_ONCE = 5_000
"""Waiting items of a job revoked in the transaction that flags it; the rest follows in chunks."""
PAGE = 2_000
UNSUCCESSFUL = frozenset({JobStatus.FAILURE, JobStatus.REVOKED})


@dataclass(frozen=True, slots=True)
class _Asked:
    verb: str
    asker: Asker
    expected: str
    dry_run: bool = False
    reopens: bool = False
    """Whether the items' jobs are wanted again, so that a cancel of the past must be taken back."""
    in_order: bool = False
    """Whether items that were put in order once shall keep it."""


E = TypeVar("E", bound=Event)
Chooser = Callable[[Session, Sequence[Item]], list[Event | None]]
"""Says what to do to each of some items."""


class Commands:
    """Operators' actions, through an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def cancel(self, target: Target, asker: Asker, *, dry_run: bool = False) -> Plan:
        """Cancel what has not ended. Waiting items are REVOKED at once, running ones asked to stop."""
        plan = Plan()
        if target.job is not None and not target.items:
            self._cancel_job(target.job, asker, plan, dry_run=dry_run)
        else:
            asked = _Asked("cancel", asker, "not ended", dry_run=dry_run)
            self._each(target, plan, asked, _each_by(lambda item: CancelRequested() if _can_cancel(item) else None))
        if not dry_run:
            self._engine.bell.wake_workers()
        return plan

    def retry(self, target: Target, mode: RetryMode, asker: Asker, *, dry_run: bool = False) -> Plan:
        """Start a new generation of what FAILED or was REVOKED: `recover` keeps checkpoints, `restart` drops them.

        Where another work item of the same window is in flight, an item is left alone; where one has written it since, the
        plan warns. What `overwrite(forward=True)` had put in order goes in that order again.
        """
        if mode not in ("recover", "restart"):
            raise Refused(f"type {mode!r}: retry takes 'recover' or 'restart'")
        target = self._with_roots(target, mode)
        plan = Plan()

        def choose(session: Session, items: Sequence[Item]) -> list[Event | None]:
            begun = next_generations(session, self._engine.definitions, items, self._engine.clock.now_ms())
            return [RetryRequested(mode, *begun[each.key]) if each.status in UNSUCCESSFUL else None for each in items]

        asked = _Asked(mode, asker, "FAILURE or REVOKED", dry_run=dry_run, reopens=True, in_order=True)
        self._each(target, plan, asked, choose)
        return plan

    def retry_now(self, target: Target, asker: Asker, *, dry_run: bool = False) -> Plan:
        """Make waiting items due at once, in the same generation and with the same budgets."""
        plan = Plan()
        now_ms = self._engine.clock.now_ms()

        def choose(item: Item) -> Event | None:
            waits = item.status in WAITING and item.due_ms > now_ms and not held(item)
            return MadeDue() if waits else None

        self._each(target, plan, _Asked("retry now", asker, "waiting, not due", dry_run=dry_run), _each_by(choose))
        return plan

    def overwrite(
        self,
        target: Target,
        asker: Asker,
        *,
        window: tuple[int | None, int | None] = (None, None),
        accept_risk: bool = False,
        forward: bool = False,
        dry_run: bool = False,
    ) -> Plan:
        """Run what succeeded again, of a job only the windows inside a range. Raises OverwriteUnsafe with the evidence.

        `forward` also runs the later windows that were written since, all of them one after the other in order. Where
        one of them fails or is cancelled, those after it are REVOKED; a retry starts them again, each after the one before
        it where that is retried too or is in flight.
        An item that has moved on since it was seen or judged is left alone.
        """
        self._refuse_calls(target)
        plan = Plan()
        seen = self._successes(target, window, plan)
        keys = list(seen)
        with self._engine.store.read() as session:
            if forward and keys:
                keys = self._with_later(session, keys)
            seen = {item.key: item.generation for item in session.items.read(keys)} | seen
            judged = judge(session, self._engine.definitions, keys)
        unsafe = {str(key): each for key, each in judged.items() if each.verdict is not Verdict.SAFE}
        plan.unsafe, plan.judgements = len(unsafe), dict(list(unsafe.items())[:EXAMPLES])
        asked = _Asked("overwrite", asker, "SUCCESS, risk accepted" if accept_risk else "SUCCESS, SAFE", dry_run=dry_run)
        if unsafe and not accept_risk and not dry_run:
            with self._engine.store.write() as session:
                self._audit(session, replace(asked, verb="overwrite refused"), target, plan)
            raise OverwriteUnsafe(_refusal(unsafe, len(keys)))
        self._overwrite({key: seen[key] for key in keys}, target, plan, asked, forward=forward)
        return plan

    def _with_roots(self, target: Target, mode: RetryMode) -> Target:
        """Return a target in which the workflow stands for each call of it: its body has to go on with what comes of the call.

        Raises Refused where that workflow succeeded, or where a call alone is to be restarted.
        """
        target = self._with_calls_named(target)
        if not target.items:
            return target
        with self._engine.store.read() as session:
            roots = {key: root_of(session, key) for key in target.items}
            called = {key: root for key, root in roots.items() if root != key}
            if not called:
                return target
            there = {item.key: item for item in session.items.read(set(roots.values()))}
        for key, root in called.items():
            if mode == "restart":
                raise Refused(f"work item {key} is a call of workflow {root} and not restarted by itself: restart {root}")
            if root in there and there[root].status is JobStatus.SUCCESS:
                raise Refused(f"work item {key} is a call of workflow {root}, which succeeded: to run it again, overwrite {root}")
        seen = dict(zip(target.items, target.generations, strict=False))
        items = tuple(dict.fromkeys(roots.values()))
        generations = tuple(seen.get(key, there[key].generation) for key in items if key in seen or key in there)
        return Target(items=items, generations=generations if target.generations else ())

    def _with_calls_named(self, target: Target) -> Target:
        """Return a target that names its work items one by one where a job or a filter stands for calls of workflows."""
        filters = {"job": target.job, **(target.filters or {})}
        jobs = {job for job, *_ in filters.get("ids") or ()} | ({filters["job"]} - {None})
        with self._engine.store.read() as session:
            if target.items or (filters.get("parent") is None and not session.calls.which(jobs)):
                return target
        found = {key: generation for _, page, _ in self._pages(target) for key, generation in page.items()}
        return Target(items=tuple(found), generations=tuple(found.values()))

    def _refuse_calls(self, target: Target) -> None:
        keys = self._with_calls_named(target).items
        with self._engine.store.read() as session:
            for key in keys:
                if (root := root_of(session, key)) != key:
                    raise Refused(f"work item {key} is a call of workflow {root}: overwrite {root}, with all that it calls")

    def pause(self, task: str, asker: Asker, *, paused: bool) -> bool:
        """Pause or resume a task: nothing of it is started while it is paused. Returns whether that changed anything."""
        engine = self._engine
        now_ms = engine.clock.now_ms()
        with engine.store.write() as session:
            row = session.tasks.find(engine.definitions.namespace, task)
            if row is None:
                raise NotFound(f"no task {task!r} is published in namespace {engine.definitions.namespace!r}")
            session.tasks.lock(row.id)
            row = session.tasks.by_id(row.id) or row
            changed = (row.paused_ms is None) is paused
            session.tasks.set_paused(row.id, now_ms if paused else None)
            action = "pause" if paused else "resume"
            found = "paused" if row.paused_ms is not None else "running"
            session.records.add_audit(line(asker, now_ms, action, f"task {task}", found=found, changed=int(changed)))
        engine.bell.wake_workers()
        return changed

    def go_on_cancelling(self) -> int:
        """Revoke what still waits in cancelled jobs, a chunk of each; returns how many items that were."""
        with self._engine.store.read() as session:
            jobs = session.jobs.cancelling()
        return sum(len(self._revoke_chunk(job)) for job in jobs)

    def _cancel_job(self, job: int, asker: Asker, plan: Plan, *, dry_run: bool) -> None:
        engine = self._engine
        now_ms, ends = engine.clock.now_ms(), Ends()
        with engine.store.write() as session:
            session.jobs.lock({job} | self._brought_along(session, job, 0))
            row = session.jobs.read(job)
            if row is None:
                raise NotFound(f"there is no job {job}")
            plan.total = row.counts.total - row.counts.ended
            plan.skipped["ended already"] = row.counts.ended
            if dry_run:
                return
            if session.jobs.flag_cancel(job, now_ms):
                session.records.add_events(ACTED, [(job, None)], "cancel", now_ms)
                some = session.items.waiting_of(job, CANCEL_AT_ONCE) + session.items.running_of(job)
                engine.settle_in(session, [(item, CancelRequested()) for item in some], now_ms, ends)
            else:
                plan.total = 0
                plan.skipped["cancellation was requested before, or the job has ended"] += 1
            asked = _Asked("cancel", asker, "not ended")
            self._audit(session, asked, Target(job=job), plan)
        ends.ring(engine.bell)
        first = 0
        while items := self._revoke_chunk(job, first):
            first = items[-1].number + 1

    def _revoke_chunk(self, job: int, first: int = 0) -> list[Item]:
        now_ms, ends = self._engine.clock.now_ms(), Ends()
        with self._engine.store.write() as session:
            session.jobs.lock({job} | self._brought_along(session, job, first))
            row = session.jobs.read(job)
            if row is None or row.cancel_ms is None or row.ended_ms is not None:
                return []  # the cancel is through, and what waits again is wanted again
            items = session.items.waiting_of(job, CANCEL_AT_ONCE, first)
            self._engine.settle_in(session, [(item, CancelRequested()) for item in items], now_ms, ends)
        ends.ring(self._engine.bell)
        return items

    def _brought_along(self, session: Session, job: int, first: int) -> set[int]:
        """Return the jobs of what moves with the items of a job that are cancelled together."""
        items = session.items.waiting_of(job, CANCEL_AT_ONCE, first) + (session.items.running_of(job) if first == 0 else [])
        return jobs_behind(session, {item.key: False for item in items}) | self._engine.calling.jobs_below(session, items)

    def _each(self, target: Target, plan: Plan, asked: _Asked, choose: Chooser) -> None:
        """Do what is asked to every item that `choose` gives an event for: a page in each transaction, with its audit."""
        self._check_there(target.items)
        for page, generations, last in self._pages_in_order(target) if asked.in_order else self._pages(target):
            part, ends = Plan(), Ends()
            with self._engine.store.write() as session:
                behind = jobs_behind(session, dict.fromkeys(page, False))
                session.jobs.lock({key.job for key in page} | behind | session.calls.below(page))
                items = session.items.read(page)
                self._do(session, self._chosen(session, items, generations, part, choose), part, asked, ends)
                if part.total or (last and not plan.total):
                    self._audit(session, asked, target, part)
            plan.add(part)
            ends.ring(self._engine.bell)
        if plan.total and not asked.dry_run:
            self._engine.bell.wake_workers()

    def _do(
        self, session: Session, chosen: list[tuple[Item, Event]], plan: Plan, asked: _Asked, ends: Ends
    ) -> list[tuple[Item, Event]]:
        if asked.reopens:
            chosen = self._reopened(session, chosen, plan, asked)
        if asked.in_order:
            chosen = _in_order(session, chosen)
        if asked.verb == "recover":
            self._warn(session, chosen, plan)
        if not asked.dry_run:
            moves = self._engine.settle_in(session, chosen, self._engine.clock.now_ms(), ends)
            moved = {each.before.key for each in moves}
            chosen = [(item, event) for item, event in chosen if item.key in moved]
            self._tell(session, [item.key for item, _ in chosen], asked.verb)
        plan.total = len(chosen)
        plan.examples = [f"{asked.verb} {item.key} ({item.status})" for item, _ in chosen[:EXAMPLES]]
        return chosen

    def _check_there(self, keys: Sequence[ItemKey]) -> None:
        if not keys:
            return
        with self._engine.store.read() as session:
            missing = set(keys) - {item.key for item in session.items.read(keys)}
            if missing:
                raise missing_item(session, min(missing))

    def _reopened(self, session: Session, chosen: list[tuple[Item, E]], plan: Plan, asked: _Asked) -> list[tuple[Item, E]]:
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
        chosen = [pair for pair in chosen if pair[0].key not in unended]
        free = [item for item, _ in chosen if item.job not in unready]
        others = beside(session, free)
        plan.skipped.update(others.unwanted.values())
        if (said := warning(others)) is not None:
            plan.warnings.append(said)
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
            plan.skipped["has moved on"] += len(items) - len(there)
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

    def _pages(self, target: Target) -> Iterator[tuple[list[ItemKey], dict[ItemKey, int], bool]]:
        """Yield the keys that a target stands for, the generation each was seen in, and whether these are the last."""
        if target.items:
            seen = dict(zip(target.items, target.generations, strict=False))
            keys = list(dict.fromkeys(target.items))
            for start in range(0, len(keys), PAGE):
                yield keys[start : start + PAGE], seen, start + PAGE >= len(keys)
            return
        filters = dict(target.filters or {})
        if target.job is not None:
            filters["job"] = target.job
            with self._engine.store.read() as session:
                check_details(session, target.job)
        after: ItemKey | None = None
        while True:
            found = self._engine.store.listing.keys({**filters, "after": after}, PAGE)
            last = len(found) < PAGE
            yield list(found), found, last
            if last:
                return
            after = max(found)

    def _pages_in_order(self, target: Target) -> Iterator[tuple[list[ItemKey], dict[ItemKey, int], bool]]:
        """Yield first, all at once, what was put in order: else one could start before what it comes after is wanted."""
        with self._engine.store.read() as session:
            ordered = session.records.in_order_unsuccessful()
        first = self._among(target, ordered)
        if first:
            yield list(first), first, False
        for page, generations, last in self._pages(target):
            yield [key for key in page if key not in first], generations, last

    def _among(self, target: Target, keys: Sequence[ItemKey]) -> dict[ItemKey, int]:
        """Return those of some items that a target stands for, with the generation each was seen in."""
        seen = dict(itertools.zip_longest(target.items, target.generations[: len(target.items)]))
        if target.items:
            with self._engine.store.read() as session:
                items = session.items.read(key for key in keys if key in seen)
            return {item.key: item.generation if seen[item.key] is None else seen[item.key] for item in items}
        filters = dict(target.filters or {}) | ({} if target.job is None else {"job": target.job})
        named = filters.pop("ids", None)
        keys = keys if named is None else sorted(set(keys) & {ItemKey(*each) for each in named})
        listing = self._engine.store.listing
        pages = (listing.keys({**filters, "ids": keys[at : at + PAGE]}, PAGE) for at in range(0, len(keys), PAGE))
        return {key: generation for page in pages for key, generation in page.items()}

    def _successes(self, target: Target, window: tuple[int | None, int | None], plan: Plan) -> dict[ItemKey, int]:
        """Return the successful items that a target stands for, each with the generation it was seen in."""
        if target.items:
            self._check_there(target.items)
            pages = list(self._pages(target))
        else:
            filters = {**(target.filters or {}), "window_start": window[0], "window_end": window[1]}
            pages = list(self._pages(Target(job=target.job, filters=filters)))
        seen = {key: generation for _, generations, _ in pages for key, generation in generations.items()}
        with self._engine.store.read() as session:
            items = session.items.read([key for keys, _, _ in pages for key in keys])
        found: dict[ItemKey, int] = {}
        for item in items:
            if seen.get(item.key, item.generation) != item.generation:
                plan.skipped["has moved on"] += 1
            elif item.status is not JobStatus.SUCCESS:
                plan.skipped[f"is {item.status}"] += 1
            else:
                found[item.key] = item.generation
        return found

    def _with_later(self, session: Session, keys: Sequence[ItemKey]) -> list[ItemKey]:
        """Add the later windows that were written since, and put all of them in the order of their windows."""
        starts = {key: window[0] for key, window in session.windows.of(keys).items()}
        if not starts:
            raise Refused("forward=True needs work items that have a window")
        first = min(starts, key=lambda key: starts[key])
        item = session.items.read([first])[0]
        later = session.windows.later_written(item.task, starts[first], item.ended_ms or 0, 1_000_000)
        every = list(dict.fromkeys([*keys, *(key for key, _ in later)]))
        there = {item.key for item in session.items.read(every)}
        gone = [name for key, name in later if key not in there]
        if gone:
            raise Refused(
                f"{len(gone)} later windows were written since whose details retention has removed, {gone[0]} the first of them: "
                "they cannot be run again in this order. Submit them with a backfill of only='all', or leave out forward=True"
            )
        places = {key: window[0] for key, window in session.windows.of(every).items()}
        return sorted(every, key=lambda key: (places.get(key, 0), key))

    def _overwrite(self, seen: Mapping[ItemKey, int], target: Target, plan: Plan, asked: _Asked, *, forward: bool) -> None:
        places = {key: place for place, key in enumerate(seen)}
        ends = Ends()
        with self._engine.store.write() as session:
            session.jobs.lock({key.job for key in seen} | session.calls.below(seen))
            found = sorted(session.items.read(seen), key=lambda each: places[each.key])
            wanted = [item for item in found if item.status is JobStatus.SUCCESS and item.generation == seen[item.key]]
            if len(wanted) < len(found):
                plan.skipped["has moved on"] += len(found) - len(wanted)
            begun = next_generations(session, self._engine.definitions, wanted, self._engine.clock.now_ms())
            every = [(item, OverwriteRequested(*begun[item.key])) for item in wanted]
            chosen = self._reopened(session, every, plan, asked)
            if forward:
                chosen = [(item, replace(event, held=place > 0)) for place, (item, event) in enumerate(chosen)]
            done = self._do(session, list(chosen), plan, replace(asked, reopens=False), ends)
            if forward and not asked.dry_run:
                session.records.chain(list(itertools.pairwise(item.key for item, _ in done)))
            self._audit(session, asked, target, plan)
        if plan.total and not asked.dry_run:
            self._engine.bell.wake_workers()

    def _tell(self, session: Session, keys: Sequence[ItemKey], verb: str) -> None:
        """Add an event of each job that was acted on; where that is one work item, of the item."""
        told: list[tuple[int, int | None]] = [(job, None) for job in sorted({key.job for key in keys})]
        if len(keys) == 1:
            told = [(keys[0].job, keys[0].number)]
        if told:
            session.records.add_events(ACTED, told, verb, self._engine.clock.now_ms())

    def _audit(self, session: Session, asked: _Asked, target: Target, plan: Plan) -> None:
        if asked.dry_run:
            return
        found = {"left alone": dict(plan.skipped), "warnings": plan.warnings, "unsafe": sorted(plan.judgements)}
        said = json.dumps({key: value for key, value in found.items() if value})
        now_ms = self._engine.clock.now_ms()
        row = line(asked.asker, now_ms, asked.verb, str(target), expected=asked.expected, found=said, changed=plan.total)
        session.records.add_audit(row)


def _each_by(choose: Callable[[Item], Event | None]) -> Chooser:
    return lambda _, items: [choose(item) for item in items]


def _in_order(session: Session, chosen: list[tuple[Item, Event]]) -> list[tuple[Item, Event]]:
    waiting = held_back(session, [item.key for item, _ in chosen])
    if not waiting:
        return chosen
    return [
        (item, replace(event, held=item.key in waiting) if isinstance(event, RetryRequested) else event) for item, event in chosen
    ]


def _can_cancel(item: Item) -> bool:
    return item.status not in TERMINAL and item.cancel_ms is None


def _refusal(unsafe: Mapping[str, Judgement], total: int) -> str:
    worst = Verdict.UNSAFE if any(each.verdict is Verdict.UNSAFE for each in unsafe.values()) else Verdict.UNKNOWN
    key, example = next((key, each) for key, each in unsafe.items() if each.verdict is worst)
    return (
        f"overwriting is {worst} for {len(unsafe)} of {total} work items; {key}: {'; '.join(example.evidence)}. "
        "Nothing was started. Pass accept_risk=True to do it anyway"
    )
