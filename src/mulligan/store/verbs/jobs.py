"""Verbs on jobs and on adding their work items."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from mulligan.core.errors import Refused
from mulligan.core.job import Counts, Job, JobStatus, Reason, Wait
from mulligan.core.submission import NewItem
from mulligan.store.interface import Run, one
from mulligan.store.rows import job_of
from mulligan.store.verbs.items import as_json


class NewJob(NamedTuple):
    """The row of a job to be."""

    task: int
    run_id: str
    kind: str
    input_digest: str
    tz: str
    labels: dict[str, str]
    sealed: bool
    named: bool
    """Whether its run id was given, so that it may be given again: then it outlives the job's details."""
    total_ms: int | None = None
    """A total_timeout given with the submission; None where that of the task's definition holds."""
    traceparent: str | None = None
    """The span in which it was submitted, as W3C writes it."""


class ItemDefaults(NamedTuple):
    """What all items of a submission share."""

    task: int
    definition: int
    once: bool
    priority: int
    due_ms: int
    wait: Wait
    deadline_ms: int | None
    cutoff_ms: int | None


class RunIdRow(NamedTuple):
    """The job that has a run id already."""

    job: int
    input_digest: str
    sealed: bool
    touched_ms: int


class SeenJob(NamedTuple):
    """A job as it is, and the job at the top of all that called each other, whose task is the pipeline."""

    job: int
    root: int
    namespace: str
    pipeline: str
    run_id: str
    cancel_ms: int | None
    ended_ms: int | None
    counts: Counts


class ResultRow(NamedTuple):
    """How an item ended; `result` is JSON."""

    number: int
    status: JobStatus
    reason: Reason
    failure_class: str | None
    result: str | None
    error_type: str | None
    error_message: str | None


class Jobs:
    """Adding, flagging and reading jobs."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def by_run_id(self, task: int, run_id: str) -> RunIdRow | None:
        """Return the job of a task with this run id."""
        row = one(self._run("find_job_by_run_id", {"task": task, "run_id": run_id}))
        return RunIdRow(row[0], row[1], bool(row[2]), row[3]) if row else None

    def lock(self, jobs: Iterable[int]) -> None:
        """Let nobody else change the items of these jobs until the transaction ends; waits for who does.

        Where statements are sent together, this goes with the next whose rows are asked for, before it.
        """
        self._run("lock_jobs", {"jobs": json.dumps(sorted(set(jobs)))})

    def add(self, job: NewJob, now_ms: int) -> int | None:
        """Add a job without items; returns its id, or None when its task has a job of this run id already."""
        return self._add(job, 0, now_ms)

    def add_whole(self, job: NewJob, items: Sequence[NewItem], defaults: ItemDefaults, now_ms: int) -> int | None:
        """Add a job that is complete with these items, and has ended where there are none; returns what `add` does."""
        added = self._add(job, len(items), now_ms)
        if added is not None and items:
            self._put(added, 0, items, defaults, now_ms)
        return added

    def _add(self, job: NewJob, pending: int, now_ms: int) -> int | None:
        row = one(self._run("add_job", self._columns(job, pending, now_ms)))
        return row[0] if row else None

    @staticmethod
    def _columns(job: NewJob, pending: int, now_ms: int) -> dict[str, Any]:
        return {
            **job._asdict(),
            "labels": json.dumps(job.labels),
            "sealed": int(job.sealed),
            "named": int(job.named),
            "pending": pending,
            "ended_ms": now_ms if job.sealed and not pending else None,
            "now": now_ms,
        }

    def add_items(self, job: int, first: int, items: Sequence[NewItem], defaults: ItemDefaults, now_ms: int) -> None:
        """Add items to a job that is not sealed, numbered from `first` on, all with the same defaults.

        Raises Refused when the job is gone: others took its submission for dead.
        """
        if one(self._run("grow_job", {"job": job, "count": len(items), "now": now_ms})) is None:
            raise Refused(f"job {job}: its submission stood still for too long and was given up: submit it again")
        self._put(job, first, items, defaults, now_ms)

    def _put(self, job: int, first: int, items: Sequence[NewItem], defaults: ItemDefaults, now_ms: int) -> None:
        shared = {**defaults._asdict(), "once": int(defaults.once), "job": job, "now": now_ms}
        numbers = as_json([number] for number in range(first, first + len(items)))
        self._run("add_items", {**shared, "rows": numbers})
        self._run("add_inputs", {"job": job, "task": defaults.task, "rows": self._inputs(first, items)})

    @staticmethod
    def _inputs(first: int, items: Sequence[NewItem]) -> str:
        return as_json(
            (first + place, each.key, each.arguments, *(each.window or (None, None))) for place, each in enumerate(items)
        )

    def seal(self, job: int, input_digest: str, release_ms: int | None, now_ms: int) -> bool:
        """Make a job complete; its held items become due from `release_ms` on, a chunk at a time.

        Returns whether it has ended by that, having nothing to do. Raises Refused when the job is gone.
        """
        values = {"job": job, "input_digest": input_digest, "release_ms": release_ms, "now": now_ms}
        row = one(self._run("seal_job", values))
        if row is None:
            raise Refused(f"job {job}: its submission stood still for too long and was given up: submit it again")
        return row[0] is not None

    def abandoned(self, before_ms: int, uploads_before_ms: int) -> list[tuple[int, bool]]:
        """Return jobs that are not complete and that nobody has added to since a moment, and whether they come in chunks."""
        rows = self._run("abandoned_jobs", {"before": before_ms, "uploads_before": uploads_before_ms})
        return [(row[0], bool(row[1])) for row in rows]

    def drop_unsealed(self, job: int) -> None:
        """Forget a job whose submission was never completed."""
        self.lock([job])
        for name in ("drop_outages", "drop_items", "drop_inputs", "drop_events", "drop_job", "end_upload"):
            self._run(name, {"job": job})

    def releasing(self) -> list[tuple[int, int]]:
        """Return sealed jobs whose items have not all been made due, with their due time."""
        return [(job, due_ms) for job, due_ms in self._run("releasing_jobs", {})]

    def release(self, job: int, due_ms: int, wait: Wait, limit: int, first: int = 0) -> int | None:
        """Make the next held items of a job due, from a number on; returns the number to go on from.

        None: none is left, and the job is done releasing.
        """
        where = {"job": job, "due_ms": due_ms, "wait": wait, "limit": limit, "first": first}
        numbers = [row[0] for row in self._run("release_items", where)]
        if len(numbers) == limit:
            return int(max(numbers)) + 1
        self._run("released_job", {"job": job})
        return None

    def read(self, job: int) -> Job | None:
        """Return a job, or None."""
        return self.reading(job)()

    def reading(self, job: int) -> Callable[[], Job | None]:
        """Have a job read as it is now; returns what tells it, also after the transaction: it then goes along with the commit."""
        rows = self._run("read_job", {"job": job})

        def told() -> Job | None:
            row = one(rows)
            return job_of(row) if row else None

        return told

    def newest(self) -> int:
        """Return the id of the newest job; 0 where there is none."""
        return int((one(self._run("newest_job", {})) or (0,))[0])

    def open(self, after: int, limit: int) -> list[int]:
        """Return the newest jobs after one that have not ended: it looks through all of these."""
        return [row[0] for row in self._run("open_jobs", {"after": after, "limit": limit})]

    def seen(self, jobs: Iterable[int]) -> list[SeenJob]:
        """Return jobs as they are, each with its pipeline; what is not there is left out."""
        rows = self._run("jobs_and_pipelines", {"jobs": json.dumps(list(jobs))})
        return [SeenJob(row[0], row[1], row[2], row[3], row[4], row[5], row[6], Counts(*row[7:])) for row in rows]

    def run_ids(self, jobs: Iterable[int]) -> dict[int, tuple[str, str]]:
        """Return run id and time zone of jobs."""
        rows = self._run("read_jobs", {"jobs": json.dumps(list(jobs))})
        return {job: (run_id, tz) for job, run_id, tz, _ in rows}

    def limits(self, jobs: Iterable[int]) -> dict[int, int]:
        """Return the total_timeout in ms of those jobs that were submitted with one of their own."""
        return dict(self._run("job_limits", {"jobs": json.dumps(list(jobs))}))

    def next_retry(self, job: int) -> int | None:
        """Return when the first item of a job is tried again."""
        row = one(self._run("next_retry", {"job": job}))
        return row[0] if row else None

    def first_wait(self, job: int, now_ms: int) -> tuple[Wait, int] | None:
        """Return what the first of a job's pending items waits for, and when it is due; None when one is due already."""
        row = one(self._run("first_wait", {"job": job, "now": now_ms}))
        return (Wait(row[0]), row[1]) if row else None

    def results(self, job: int, first: int, limit: int) -> list[ResultRow]:
        """Return how the items of a job ended, from a number on, in order."""
        rows = self._run("job_results", {"job": job, "first": first, "limit": limit})
        return [ResultRow(row[0], JobStatus(row[1]), Reason(row[2]), *row[3:]) for row in rows]

    def first_failure(self, job: int) -> tuple[int, Reason, str | None, str | None] | None:
        """Return number, reason, error type and message of the first item of a job that failed."""
        row = one(self._run("first_failure", {"job": job}))
        return (row[0], Reason(row[1]), row[2], row[3]) if row else None

    def flag_cancel(self, job: int, now_ms: int) -> bool:
        """Ask for a job to be cancelled; False when it was asked before or has ended."""
        return one(self._run("flag_job", {"job": job, "now": now_ms})) is not None

    def unflag_cancel(self, job: int) -> None:
        """Take the request back, because its items are wanted again."""
        self._run("unflag_job", {"job": job})

    def cancelling(self) -> list[int]:
        """Return jobs that shall be cancelled and have not ended."""
        return [row[0] for row in self._run("cancelling_jobs", {})]
