"""A client's gateway to a store in this process: through the engine, as the API is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from mulligan.core import labels
from mulligan.core.definition import Definition
from mulligan.core.errors import NotFound
from mulligan.core.job import Attempt as AttemptRow
from mulligan.core.job import Counts, ItemKey, Job
from mulligan.core.submission import Submission
from mulligan.core.trends import Every, Trend
from mulligan.engine.asking import Asker, Plan, Target
from mulligan.engine.causes import CauseReading
from mulligan.engine.commands import Commands
from mulligan.engine.engine import Engine
from mulligan.engine.filters import cause_filters, job_filters
from mulligan.engine.finding import check_details, find_job, find_listed_job, missing_item
from mulligan.engine.logs import log_page
from mulligan.engine.reading import Reading, WorkerView, item_error, shown_status, worker_views
from mulligan.engine.submitting import Submitting
from mulligan.engine.trending import Trending
from mulligan.gateway.causes import Cause, CauseSample, cause_of, sample_of
from mulligan.gateway.interface import Act, Attempt, Ended, ItemFacts, ItemTold, JobFacts, JobTold, LogPage, LogPiece, at
from mulligan.gateway.keys import KeyAdmin
from mulligan.gateway.operations import Operations
from mulligan.sdk.continuing import current_traceparent
from mulligan.store.interface import Hints, Presence
from mulligan.store.listing import MAX_PAGE, ItemDetail
from mulligan.store.rows import AuditRow

POLL_S = 0.5
"""How often whoever waits looks by itself; hints make it quicker."""
PAGE = 1_000


class StoreGateway:
    """Reads and acts through an engine."""

    def __init__(
        self,
        engine: Engine,
        commands: Commands,
        submitting: Submitting,
        reading: Reading,
        trending: Trending,
        operations: Operations,
        keys: KeyAdmin,
        presence: Presence,
        asker: Callable[[str], Asker],
        close: Callable[[], None],
    ) -> None:
        """`asker` says who asks for something with a reason; `close` closes the store."""
        self._engine = engine
        self._commands = commands
        self._submitting = submitting
        self._reading = reading
        self._presence = presence
        self._asker = asker
        self._trending = trending
        self._causes = CauseReading(engine)
        self.operations: Operations = operations
        self.keys: KeyAdmin = keys
        self.close = close

    def now_ms(self) -> int:
        return self._engine.clock.now_ms()

    def published(self, task: str) -> Definition:
        with self._engine.store.read() as session:
            return self._engine.definitions.current(session, task)[1]

    def take(self, submission: Submission) -> JobFacts:
        taken = self._submitting.take(replace(submission, traceparent=current_traceparent()), self._asker(""))
        if taken.row is not None:
            return self._job(taken.row)
        with self._engine.store.read(single=True) as session:
            return self._job(find_job(session, taken.job))

    def plan(self, submission: Submission) -> Plan:
        return self._submitting.plan(submission)

    def job(self, id: int) -> JobFacts:
        with self._engine.store.read(single=True) as session:
            return self._job(find_listed_job(session, id))

    def look(self, id: int, within_s: float | None = None) -> JobFacts:  # noqa: ARG002 - a store answers at once, or never
        return self.job(id)

    def jobs(self, filters: Mapping[str, Any], limit: int) -> list[JobFacts]:
        plain = {"namespace": self._engine.definitions.namespace, **job_filters(filters)}
        return [self._job(row) for row in self._engine.store.listing.jobs(plain, limit)]

    def item(self, key: ItemKey) -> ItemFacts:
        found = self._engine.store.listing.items({"job": key.job, "number": key.number}, 1)
        if not found:
            with self._engine.store.read() as session:
                raise missing_item(session, key)
        return self._item(found[0])

    def items(self, filters: Mapping[str, Any], limit: int) -> list[ItemFacts]:
        found = self._engine.store.listing.items(self._reading.plain_filters(filters), limit)
        return [self._item(each) for each in found]

    def all_items(self, filters: Mapping[str, Any]) -> Iterator[ItemFacts]:
        found = self._engine.store.listing.all_items(self._reading.plain_filters(filters))
        return (self._item(each) for each in found)

    def calls(self, key: ItemKey, filters: Mapping[str, Any], limit: int) -> list[ItemFacts]:
        with self._engine.store.read() as session:
            job = session.calls.jobs(session.items.read([key])).get(key)
        return [] if job is None else self.items({**filters, "job": job}, limit)

    def call_counts(self, key: ItemKey) -> Counts:
        with self._engine.store.read() as session:
            items = session.items.read([key])
            return self._reading.call_counts(session, items[0]) if items else Counts()

    def results(self, job: int) -> Iterator[Ended]:
        first = 0
        while True:
            with self._engine.store.read() as session:
                check_details(session, job)
                page = session.jobs.results(job, first, PAGE)
            for row in page:
                message = labels.failure_message(row.reason, row.error_message)
                yield Ended(f"{job}-{row.number}", row.status, row.result, row.failure_class, row.error_type, message)
            if len(page) < PAGE:
                return
            first = page[-1].number + 1

    def attempts(self, key: ItemKey) -> list[Attempt]:
        with self._engine.store.read() as session:
            check_details(session, key.job)
            return [_attempt(row) for row in session.items.attempts(key)]

    def logs(self, key: ItemKey, after: str | None = None) -> LogPage:
        with self._engine.store.read() as session:
            check_details(session, key.job)
            pieces, following = log_page(session, key, after)
        return LogPage([LogPiece(*each) for each in pieces], following)

    def explain(self, key: ItemKey) -> str:
        return self._reading.explain(key)

    def act(self, act: Act) -> Plan:
        target, asker, commands = self._target(act), self._asker(act.reason), self._commands
        match act.verb:
            case "cancel":
                return commands.cancel(target, asker, dry_run=act.dry_run)
            case "retry":
                return commands.retry(target, act.mode, asker, dry_run=act.dry_run)
            case "retry_now":
                return commands.retry_now(target, asker, dry_run=act.dry_run)
            case "overwrite":
                risk, forward = act.accept_risk, act.forward
                return commands.overwrite(
                    target, asker, window=act.window, accept_risk=risk, forward=forward, dry_run=act.dry_run
                )

    def pause(self, task: str, reason: str, *, paused: bool) -> bool:
        return self._commands.pause(task, self._asker(reason), paused=paused)

    def causes(self, filters: Mapping[str, Any]) -> Iterator[Cause]:
        plain, after = cause_filters(filters), None
        while True:
            page = self._causes.page(plain, MAX_PAGE, after)
            yield from map(cause_of, page)
            if len(page) < MAX_PAGE:
                return
            after = page[-1].place

    def cause(self, id: str) -> Cause:
        return cause_of(self._causes.cause(id))

    def cause_sample(self, id: str) -> CauseSample | None:
        return sample_of(self._causes.sample(self._causes.cause(id)))

    def trends(self, every: Every, task: str | None, since: Any, until: Any) -> list[Trend]:
        return self._trending.read(every, task, since, until)

    def workers(self) -> list[WorkerView]:
        with self._engine.store.read() as session:
            return worker_views(session, self._presence.is_free)

    def audit(self, target: str | None, limit: int) -> list[AuditRow]:
        with self._engine.store.read() as session:
            return session.records.audit(target, limit)

    def has_worker(self, task: str) -> bool:
        with self._engine.store.read() as session:
            row = session.tasks.find(self._engine.definitions.namespace, task)
            return row is not None and row.id in session.tasks.with_workers()

    def listen(self, job: int) -> Hints | None:  # noqa: ARG002 - a hint is for all who wait
        return self._presence.listen("waiter")

    def pause_s(self, waited_s: float, hints: Hints | None) -> float:  # noqa: ARG002 - hints come at once, so looking need not be frequent
        return POLL_S

    def _target(self, act: Act) -> Target:
        if act.item is not None:
            return Target(items=(act.item,), generations=() if act.generation is None else (act.generation,))
        return Target(job=act.job) if act.job is not None else Target(filters=self._reading.plain_filters(act.filters))

    def _job(self, row: Job) -> JobFacts:
        def told() -> JobTold:
            with self._engine.store.read() as session:
                view = self._reading.job_view(session, row)
            return JobTold(view.label, view.progress, view.error_message)

        return JobFacts(
            id=row.id,
            task=row.task_name,
            run_id=row.run_id,
            kind=row.kind,
            tz=row.tz,
            status=shown_status(row),
            counts=row.counts,
            labels=row.labels,
            cancel_requested=row.cancel_ms is not None,
            created_ms=row.created_ms,
            ended_ms=row.ended_ms,
            removed_ms=row.pruned_ms,
            told=told,
        )

    def _item(self, detail: ItemDetail) -> ItemFacts:
        item = detail.item

        def told() -> ItemTold:
            with self._engine.store.read() as session:
                if session.jobs.read(item.job) is None:
                    raise NotFound(f"there is no job {item.job} any more")
                view = self._reading.item_views(session, [detail])[0]
            return ItemTold(view.label, view.progress, view.tz, view.parent, view.safe_to_retry)

        return ItemFacts(
            id=item.key,
            task=detail.task,
            key=detail.input.key,
            window=detail.input.window,
            arguments=detail.input.arguments,
            status=item.status,
            reason=item.reason,
            generation=item.generation,
            attempt=item.attempt,
            failure_class=item.failure_class,
            cause=item.cause,
            error_message=item_error(detail),
            result=detail.result if item.status == "SUCCESS" else None,
            due_ms=item.due_ms,
            claimed_ms=item.claimed_ms,
            worker=detail.worker,
            created_ms=item.created_ms,
            ended_ms=item.ended_ms,
            told=told,
        )


def _attempt(row: AttemptRow) -> Attempt:
    return Attempt(
        generation=row.generation,
        number=row.attempt,
        outcome=row.outcome,
        failure_class=row.failure_class,
        rule=row.rule,
        error_type=row.error_type,
        error_message=row.error_message,
        decision=row.reason,
        claimed_at=at(row.claimed_ms),
        started_at=None if row.started_ms is None else at(row.started_ms),
        ended_at=at(row.ended_ms),
        charged=row.entry is not None,
        delay_s=None if row.delay_ms is None else row.delay_ms / 1000,
        cause=row.cause,
        rows=row.rows,
        exit_code=row.exit_code,
        signal=row.signal,
    )
