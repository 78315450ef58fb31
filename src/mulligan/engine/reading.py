"""Jobs and work items as people and programs see them: with labels, errors and progress, and by filters."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mulligan.core import labels
from mulligan.core.failure import RuleSet
from mulligan.core.job import TERMINAL, Attempt, Counts, Item, ItemKey, Job, JobStatus, job_status
from mulligan.engine.engine import Engine
from mulligan.engine.explain import Known, explain
from mulligan.engine.filters import item_filters
from mulligan.engine.finding import check_details, find_listed_job, missing_item
from mulligan.store.listing import ItemDetail
from mulligan.store.store import Session


class JobView(NamedTuple):
    """A job with what is not in its row."""

    row: Job
    status: JobStatus
    label: str
    progress: float
    """Per cent."""
    error_message: str | None


class ItemView(NamedTuple):
    """A work item with what is not in its row."""

    detail: ItemDetail
    label: str
    error_message: str | None
    progress: float
    """Per cent."""
    tz: str
    """Name of the time zone of its window."""
    parent: ItemKey | None
    """The work item of the workflow that called it."""
    safe_to_retry: bool | None


class History(NamedTuple):
    """A work item, how it was tried, and why it is where it is."""

    view: ItemView
    attempts: Sequence[Attempt]
    """Those that have ended, oldest first."""
    explanation: str


class WorkerView(NamedTuple):
    """A worker, and whether it `living`, `stopped`, `lost`, or `dead` but not yet noticed."""

    id: int
    name: str
    pid: int
    state: str
    started_ms: int
    seen_ms: int
    refused: int


class Reading:
    """Reads what is shown, through an engine."""

    def __init__(self, engine: Engine, rules: Callable[[], tuple[RuleSet, RuleSet]]) -> None:
        """`rules` returns the project's failure rules and the built-in ones."""
        self._engine = engine
        self._rules = rules

    def waits_for(self, session: Session, task: int) -> str | None:
        """Say what keeps a task's items from starting besides their due time, or None."""
        row = session.tasks.by_id(task)
        if row is not None and row.paused_ms is not None:
            return labels.paused(row.name)
        return None if task in session.tasks.with_workers() else labels.NO_WORKER

    def jobs(self, filters: Mapping[str, Any], limit: int) -> list[JobView]:
        """Return jobs of this namespace, newest first; filters as `filters.job_filters` returns them."""
        with self._engine.store.read() as session:
            plain = {"namespace": self._engine.definitions.namespace, **filters}
            return [self.job_view(session, row) for row in self._engine.store.listing.jobs(plain, limit)]

    def job(self, id: int) -> JobView:
        """Return a job; raises NotFound."""
        with self._engine.store.read() as session:
            return self.job_view(session, find_listed_job(session, id))

    def job_view(self, session: Session, row: Job) -> JobView:
        """Return what is shown of a job."""
        return JobView(row, shown_status(row), self.job_label(session, row), _job_progress(session, row), job_error(session, row))

    def job_label(self, session: Session, row: Job) -> str:
        """Return a job's status as people read it."""
        status = shown_status(row)
        if status in TERMINAL:
            return labels.PLAIN[status]
        now_ms = self._engine.clock.now_ms()
        next_ms = session.jobs.next_retry(row.id) if row.counts.retry else None
        first = session.jobs.first_wait(row.id, now_ms) if status is JobStatus.PENDING else None
        waits_for = self.waits_for(session, row.task) if row.sealed else "being submitted"
        wait, next_ms = first or (None, next_ms)
        return labels.job_label(status, row.cancel_ms is not None, next_ms, now_ms, waits_for, wait)

    def item(self, key: ItemKey) -> ItemView:
        """Return a work item; raises NotFound."""
        with self._engine.store.read() as session:
            found = self._engine.store.listing.items({"job": key.job, "number": key.number}, 1)
            if not found:
                raise missing_item(session, key)
            return self.item_views(session, found)[0]

    def items(self, filters: Mapping[str, Any], limit: int) -> list[ItemView]:
        """Return a page of work items by job and number; filters as `plain_filters` returns them."""
        with self._engine.store.read() as session:
            return self.item_views(session, self._engine.store.listing.items(filters, limit))

    def item_views(self, session: Session, details: Sequence[ItemDetail]) -> list[ItemView]:
        """Return what is shown of some work items."""
        now_ms = self._engine.clock.now_ms()
        waits = {task: self.waits_for(session, task) for task in {each.item.task for each in details if not each.item.ended_ms}}
        jobs = {each.item.job for each in details}
        zones = session.jobs.run_ids(jobs) if jobs else {}
        parents = {job: session.calls.parent(job) for job in session.calls.which(jobs)} if jobs else {}
        return [
            ItemView(
                each,
                labels.item_label(each.item, now_ms, waits.get(each.item.task)),
                item_error(each),
                item_progress(session, each),
                zones[each.item.job][1],
                parents.get(each.item.job),
                self._engine.definitions.get(session, each.item.definition).idempotent,
            )
            for each in details
        ]

    def plain_filters(self, filters: Mapping[str, Any]) -> dict[str, Any]:
        """Return filters of work items as the store takes them: a job that is not there is not found, and no empty answer.

        Work items that are named neither by their job nor by their ids are those of this namespace. Raises ArgumentsInvalid.
        """
        plain = item_filters(filters)
        if "job" in plain:
            with self._engine.store.read() as session:
                check_details(session, plain["job"])
        elif "ids" not in plain:
            plain.setdefault("namespace", self._engine.definitions.namespace)
        if not {"job", "ids", "parent"} & set(plain):
            plain["roots"] = True
        return plain

    def call_counts(self, session: Session, item: Item) -> Counts:
        """Return how many of the calls of a workflow's item are in each status."""
        job = session.calls.jobs([item]).get(item.key)
        row = None if job is None else session.jobs.read(job)
        return Counts() if row is None else row.counts

    def explain(self, key: ItemKey) -> str:
        """Say why a work item is in the state it is in: every decision with its rule, counters and arithmetic."""
        return self.history(key).explanation

    def history(self, key: ItemKey) -> History:
        """Return a work item, its ended attempts, and why it is in the state it is in; raises NotFound."""
        project, default = self._rules()
        with self._engine.store.read() as session:
            view = self.item(key)
            item = view.detail.item
            known = Known(
                item=item,
                key=view.detail.input.key,
                label=view.label,
                waits_for=self.waits_for(session, item.task),
                attempts=session.items.attempts(item.key),
                definition=self._engine.definitions.get(session, item.definition),
                project=project,
                default=default,
                now_ms=self._engine.clock.now_ms(),
                calls=self.call_counts(session, item),
            )
        return History(view, known.attempts, explain(known))


def traceback_of(attempts: Sequence[Attempt]) -> str:
    """Return the traceback of the last of some attempts that failed; empty where there is none."""
    failures = [each.failure for each in attempts if each.failure is not None]
    return str(json.loads(failures[-1] or "{}").get("traceback") or "") if failures else ""


def worker_views(session: Session, is_free: Callable[[str], bool]) -> list[WorkerView]:
    """Return the newest workers; `is_free` says whether a worker's lock is, which it is once the worker is dead."""
    locks = {each.id: each.lock for each in session.workers.open()}
    found = []
    for number, _, name, pid, started_ms, seen_ms, stopped_ms, lost_ms, refused in session.workers.all():
        state = "lost" if lost_ms is not None else "stopped" if stopped_ms is not None else "living"
        if state == "living" and number in locks and is_free(locks[number]):
            state = "dead"
        found.append(WorkerView(number, name, pid, state, started_ms, seen_ms, refused))
    return found


def shown_status(row: Job) -> JobStatus:
    """Return the status of a job; of one that is not submitted completely nothing runs, whatever was cancelled of it."""
    return job_status(row.counts) if row.sealed else JobStatus.PENDING


def job_error(session: Session, row: Job) -> str | None:
    """Return the message of the first work item of a job that failed, or None."""
    if not row.counts.failure:
        return None
    if row.pruned_ms is not None:
        return labels.removed(row.id, row.pruned_ms)
    found = session.jobs.first_failure(row.id)
    return labels.failure_message(found[1], found[3]) if found else None


def item_error(detail: ItemDetail) -> str | None:
    """Return the message of a work item's last failure, or None."""
    if detail.item.status is JobStatus.FAILURE:
        return labels.failure_message(detail.item.reason, detail.error_message)
    return detail.error_message


def item_progress(session: Session, detail: ItemDetail) -> float:
    """Return per cent, 0 to 100, as the running attempt told it."""
    if detail.item.status is JobStatus.SUCCESS:
        return 100.0
    return _told(session, detail.item.key, detail.item.token) if detail.item.token else 0.0


def _told(session: Session, key: ItemKey, token: int) -> float:
    found = session.records.progress(key)
    if found is None or found[0] != token or not found[2]:
        return 0.0
    return max(0.0, min(100.0, 100.0 * found[1] / found[2]))


def _job_progress(session: Session, row: Job) -> float:
    """Return per cent of the work items that have ended; of a single item, what it told itself while it runs."""
    counts = row.counts
    if counts.total == 1 and counts.started:
        items = session.items.read([ItemKey(row.id, 0)])
        return _told(session, items[0].key, items[0].token) if items else 0.0
    return 100.0 * counts.ended / counts.total if counts.total else 100.0 * row.sealed
