"""What a person can ask for: cancel, retry, retry now, overwrite, pause and resume. Every command leaves a line in the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mulligan.core.errors import NotFound, OverwriteUnsafe, Refused
from mulligan.core.events import CancelRequested, RetryMode
from mulligan.core.job import Item, ItemKey, JobStatus
from mulligan.core.recovery import Judgement, Verdict
from mulligan.engine.asking import EXAMPLES, Asker, Plan, Target, line
from mulligan.engine.doing import ACTED, MOVED_ON, Asked, Chooser, Doing, cancelling, making_due, retrying
from mulligan.engine.engine import Engine, jobs_behind
from mulligan.engine.finding import missing_item
from mulligan.engine.judging import judge
from mulligan.engine.matching import Matching, in_window_order
from mulligan.store.store import Session

CANCEL_AT_ONCE = 5_000
"""Waiting items of a job revoked in the transaction that flags it; the rest follows in chunks."""


class Commands:
    """Operators' actions, through an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._matching = Matching(engine.store)
        self._doing = Doing(engine)

    def cancel(self, target: Target, asker: Asker, *, dry_run: bool = False) -> Plan:
        """Cancel what has not ended. Waiting items are REVOKED at once, running ones asked to stop."""
        plan = Plan()
        if target.job is not None and not target.items:
            self._cancel_job(target.job, asker, plan, dry_run=dry_run)
        else:
            asked = Asked("cancel", asker, "not ended", dry_run=dry_run)
            self._each(target, plan, asked, cancelling())
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
        target = self._matching.with_roots(target, mode)
        plan = Plan()
        asked = Asked(mode, asker, "FAILURE or REVOKED", dry_run=dry_run, reopens=True, in_order=True)
        self._each(target, plan, asked, retrying(self._engine, mode))
        return plan

    def retry_now(self, target: Target, asker: Asker, *, dry_run: bool = False) -> Plan:
        """Make waiting items due at once, in the same generation and with the same budgets."""
        plan = Plan()
        asked = Asked("retry now", asker, "waiting, not due", dry_run=dry_run)
        self._each(target, plan, asked, making_due(self._engine.clock.now_ms()))
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
        self._matching.refuse_calls(target)
        plan = Plan()
        seen = self._successes(target, window, plan)
        keys = list(seen)
        with self._engine.store.read() as session:
            if forward and keys:
                keys = in_window_order(session, keys)
            seen = {item.key: item.generation for item in session.items.read(keys)} | seen
            judged = judge(session, self._engine.definitions, keys)
        unsafe = {str(key): each for key, each in judged.items() if each.verdict is not Verdict.SAFE}
        plan.unsafe, plan.judgements = len(unsafe), dict(list(unsafe.items())[:EXAMPLES])
        asked = Asked("overwrite", asker, "SUCCESS, risk accepted" if accept_risk else "SUCCESS, SAFE", dry_run=dry_run)
        if unsafe and not accept_risk and not dry_run:
            with self._engine.store.write() as session:
                self._doing.audit(session, replace(asked, verb="overwrite refused"), target, plan)
            raise OverwriteUnsafe(refusal(unsafe, len(keys)))
        self._overwrite({key: seen[key] for key in keys}, target, plan, asked, forward=forward)
        return plan

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
        now_ms, ends = engine.clock.now_ms(), engine.ends()
        with engine.store.write() as session:
            session.jobs.lock({job} | self._brought_along(session, job, 0))
            row = session.jobs.read(job)
            if row is None:
                raise NotFound(f"there is no job {job}")
            plan.total = row.counts.total - row.counts.ended
            if row.counts.ended:
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
            asked = Asked("cancel", asker, "not ended")
            self._doing.audit(session, asked, Target(job=job), plan)
        ends.ring(engine.bell)
        first = 0
        while items := self._revoke_chunk(job, first):
            first = items[-1].number + 1

    def _revoke_chunk(self, job: int, first: int = 0) -> list[Item]:
        now_ms, ends = self._engine.clock.now_ms(), self._engine.ends()
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

    def _each(self, target: Target, plan: Plan, asked: Asked, choose: Chooser) -> None:
        """Do what is asked to every item that `choose` gives an event for: a page in each transaction, with its audit."""
        self._check_there(target.items)
        for page, generations, last in self._matching.pages_in_order(target) if asked.in_order else self._matching.pages(target):
            ends = self._engine.ends()
            with self._engine.store.write() as session:
                part = self._doing.to_page(session, page, generations, asked, choose, ends)
                if part.total or (last and not plan.total):
                    self._doing.audit(session, asked, target, part)
            plan.add(part)
            ends.ring(self._engine.bell)
        if plan.total and not asked.dry_run:
            self._engine.bell.wake_workers()

    def _check_there(self, keys: Sequence[ItemKey]) -> None:
        if not keys:
            return
        with self._engine.store.read() as session:
            missing = set(keys) - {item.key for item in session.items.read(keys)}
            if missing:
                raise missing_item(session, min(missing))

    def _successes(self, target: Target, window: tuple[int | None, int | None], plan: Plan) -> dict[ItemKey, int]:
        """Return the successful items that a target stands for, each with the generation it was seen in."""
        if target.items:
            self._check_there(target.items)
            pages = list(self._matching.pages(target))
        else:
            filters = {**(target.filters or {}), "window_start": window[0], "window_end": window[1]}
            pages = list(self._matching.pages(Target(job=target.job, filters=filters)))
        seen = {key: generation for _, generations, _ in pages for key, generation in generations.items()}
        with self._engine.store.read() as session:
            items = session.items.read([key for keys, _, _ in pages for key in keys])
        found: dict[ItemKey, int] = {}
        for item in items:
            if seen.get(item.key, item.generation) != item.generation:
                plan.skipped[MOVED_ON] += 1
            elif item.status is not JobStatus.SUCCESS:
                plan.skipped[f"is {item.status}"] += 1
            else:
                found[item.key] = item.generation
        return found

    def _overwrite(self, seen: Mapping[ItemKey, int], target: Target, plan: Plan, asked: Asked, *, forward: bool) -> None:
        ends = self._engine.ends()
        with self._engine.store.write() as session:
            self._doing.overwrite(session, seen, plan, asked, ends, forward=forward)
            self._doing.audit(session, asked, target, plan)
        if plan.total and not asked.dry_run:
            self._engine.bell.wake_workers()


def refusal(unsafe: Mapping[str, Judgement], total: int) -> str:
    """Say what is not known to be safe, with the evidence for the worst of it."""
    worst = Verdict.UNSAFE if any(each.verdict is Verdict.UNSAFE for each in unsafe.values()) else Verdict.UNKNOWN
    key, example = next((key, each) for key, each in unsafe.items() if each.verdict is worst)
    return (
        f"overwriting is {worst} for {len(unsafe)} of {total} work items; {key}: {'; '.join(example.evidence)}. "
        "Nothing was started. Pass accept_risk=True to do it anyway"
    )
