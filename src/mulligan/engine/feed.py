"""What those who watch are told of a store: its events in their order, and which jobs and pipelines have changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mulligan.core.job import TERMINAL, Counts, Item, ItemKey, JobStatus, job_status
from mulligan.core.labels import CANCELLING, PLAIN, item_label
from mulligan.engine.engine import Engine
from mulligan.store.store import Session
from mulligan.store.verbs.bulk import BulkRow
from mulligan.store.verbs.jobs import SeenJob
from mulligan.store.verbs.records import EventPlace, EventRow

NEWEST = 1_000
"""So many of the newest jobs are looked at each time: ids do not become visible in their order where several submit at once."""
BURST = 20_000
"""So many new jobs since the last look are taken into view at most."""
OPEN = 5_000
"""So many jobs that have not ended are kept in view, the newest."""
LOOKED_THROUGH = 200_000
"""So many of the newest jobs are looked through for those when a view begins."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event, with the job or work item that it is about as it is now; `pipeline` is the task at the top of all that called."""

    place: EventPlace
    kind: str
    at_ms: int
    job: int
    root: int
    pipeline: str
    task: str
    run_id: str
    item: ItemKey | None
    generation: int | None
    reason: str | None
    status: JobStatus
    label: str | None


@dataclass(frozen=True, slots=True)
class OperationTold:
    """The end of a bulk operation, which is as it stands here; of no single job, and of no single pipeline."""

    place: EventPlace
    kind: str
    at_ms: int
    operation: BulkRow

    def may_be_about(self, name: str, value: object) -> bool:
        """Return whether its filter leaves room for this: a task by its name, a job by its id."""
        asked = json.loads(self.operation.filter).get(name)
        return asked is None or str(asked) == str(value)


class Moved(NamedTuple):
    """A job whose counts have changed, or that has begun, ended, or is being cancelled."""

    job: int
    root: int
    pipeline: str


class Feed:
    """Reads events of one namespace."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def end(self) -> EventPlace:
        """Return the place after which everything stands that is yet to come."""
        with self._engine.store.read() as session:
            return session.records.events_end()

    def after(self, place: EventPlace, limit: int = 500) -> tuple[list[Told | OperationTold], EventPlace, bool]:
        """Return the events after a place, where to go on, and whether there may be more. None is skipped, none comes twice."""
        now_ms = self._engine.clock.now_ms()
        with self._engine.store.read() as session:
            rows = session.records.events(place, limit)
            told = self._told(session, rows, now_ms) if rows else []
        return told, rows[-1].place if rows else place, len(rows) == limit

    def _told(self, session: Session, rows: Sequence[EventRow], now_ms: int) -> list[Told | OperationTold]:
        ended = {row.number for row in rows if row.job is None and row.number is not None}
        operations = {each.id: each for each in session.bulk.some(ended)} if ended else {}
        jobs = {each.job: each for each in session.jobs.seen({row.job for row in rows if row.job is not None})}
        keys = {ItemKey(row.job, row.number) for row in rows if row.job is not None and row.number is not None}
        items = {item.key: item for item in session.items.read(keys)} if keys else {}
        names = {row.id: row.name for row in session.tasks.all(self._engine.definitions.namespace)}
        found: list[Told | OperationTold] = []
        for row in rows:
            if row.job is None:
                operation = operations.get(row.number or 0)
                found += [] if operation is None else [OperationTold(row.place, row.kind, row.at_ms, operation)]
                continue
            job = jobs.get(row.job)
            item = None if row.number is None else items.get(ItemKey(row.job, row.number))
            # What retention has removed is told to nobody, and of other namespaces nothing at all.
            if job is None or job.namespace != self._engine.definitions.namespace or (row.number is not None and item is None):
                continue
            found.append(_of_job(row, job) if item is None else _of_item(row, job, item, names.get(item.task, ""), now_ms))
        return found


class View:
    """Notices which jobs and pipelines have changed since it looked last, at a cost that does not grow with what has ended."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._jobs: dict[int, tuple[Counts, int | None, int | None]] = {}
        self._pipelines: dict[str, tuple[int | None, int | None]] | None = None
        self._newest = 0

    def look(self, also: Iterable[int] = ()) -> tuple[list[Moved], list[str]]:
        """Return the jobs and the names of pipelines that have changed; `also`: jobs that something was heard of."""
        with self._engine.store.read() as session:
            first, newest = self._pipelines is None, session.jobs.newest()
            known = session.jobs.open(newest - LOOKED_THROUGH, OPEN) if first else self._jobs
            since = newest - NEWEST if first else max(newest - BURST, min(self._newest, newest) - NEWEST)
            seen = session.jobs.seen({*known, *range(max(since, 0) + 1, newest + 1), *also})
            rows = session.tasks.all(self._engine.definitions.namespace)
        self._newest = newest
        changed = [] if first else self._changed_pipelines({row.name: (row.definition, row.paused_ms) for row in rows})
        self._pipelines = {row.name: (row.definition, row.paused_ms) for row in rows}
        return self._moved(seen, set(also), quiet=first), changed

    def _moved(self, seen: Sequence[SeenJob], heard: set[int], *, quiet: bool) -> list[Moved]:
        moved = []
        for each in seen:
            if each.namespace != self._engine.definitions.namespace:
                continue
            now = (each.counts, each.cancel_ms, each.ended_ms)
            if not quiet and (self._jobs.get(each.job) != now or each.job in heard):
                moved.append(Moved(each.job, each.root, each.pipeline))
            self._jobs[each.job] = now
        self._forget()
        return moved

    def _forget(self) -> None:
        """Keep in mind the newest jobs, and of those that have not ended the newest."""
        newest = {job: state for job, state in self._jobs.items() if job > self._newest - NEWEST}
        living = sorted((job for job, state in self._jobs.items() if state[2] is None), reverse=True)[:OPEN]
        self._jobs = newest | {job: self._jobs[job] for job in living}

    def _changed_pipelines(self, now: dict[str, tuple[int | None, int | None]]) -> list[str]:
        before = self._pipelines or {}
        return sorted(name for name in {*now, *before} if now.get(name) != before.get(name))


def _of_job(row: EventRow, job: SeenJob) -> Told:
    status = job_status(job.counts)
    label = PLAIN.get(status) if status in TERMINAL or job.cancel_ms is None else CANCELLING
    return _told(row, job, job.pipeline, None, status, label)


def _of_item(row: EventRow, job: SeenJob, item: Item, task: str, now_ms: int) -> Told:
    return _told(row, job, task, item.key, item.status, item_label(item, now_ms))


def _told(row: EventRow, job: SeenJob, task: str, item: ItemKey | None, status: JobStatus, label: str | None) -> Told:
    return Told(
        place=row.place,
        kind=row.kind,
        at_ms=row.at_ms,
        job=job.job,
        root=job.root,
        pipeline=job.pipeline,
        task=task,
        run_id=job.run_id,
        item=item,
        generation=row.generation,
        reason=row.reason,
        status=status,
        label=label,
    )
