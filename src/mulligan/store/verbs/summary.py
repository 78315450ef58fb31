"""Verbs that sum up: what runs and what ended, by task; the newest runs of each; how attempts ended, in short."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from mulligan.core.job import Counts, FailureClass, ItemKey, Outcome
from mulligan.store.interface import Row, Run


class Unended(NamedTuple):
    """The jobs of a task that have not ended."""

    jobs: int
    counts: Counts


class EndedSince(NamedTuple):
    """The jobs of a task that ended since a moment, with their work items."""

    jobs: int
    success: int
    failure: int
    revoked: int


class RunRow(NamedTuple):
    """A job in short."""

    id: int
    created_ms: int
    sealed: bool
    counts: Counts


class End(NamedTuple):
    """How an attempt ended."""

    outcome: Outcome
    failure_class: FailureClass | None


class Ends(NamedTuple):
    """The first and the last of a job's work items: their keys, and the time between them where they are for windows."""

    task: str
    tz: str
    first: str
    last: str
    window: tuple[int, int] | None


class Summary:
    """Sums over jobs, and the newest of what there is much of."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def unended(self) -> dict[int, Unended]:
        """Return by task what has not ended; calls of workflows are not counted."""
        rows = self._run("unended_counts", {})
        return {task: Unended(jobs, Counts(*(int(each) for each in counts))) for task, jobs, *counts in rows}

    def ended(self, since_ms: int) -> dict[int, EndedSince]:
        """Return by task what ended since a moment; calls of workflows are not counted."""
        rows = self._run("ended_counts", {"since": since_ms})
        return {task: EndedSince(*(int(each) for each in found)) for task, *found in rows}

    def runs(self, namespace: str, limit: int) -> dict[int, list[RunRow]]:
        """Return by task its newest jobs, the newest last."""
        found: dict[int, list[RunRow]] = {}
        for task, job, created_ms, sealed, *counts in self._run("recent_runs", {"namespace": namespace, "limit": limit}):
            found.setdefault(task, []).append(RunRow(job, created_ms, bool(sealed), Counts(*counts)))
        return found

    def first_ends(self, jobs: Iterable[int]) -> dict[int, list[End]]:
        """Return how the attempts of the first work item of each job ended, oldest first."""
        found: dict[int, list[End]] = {}
        for job, outcome, failure_class in self._run("first_ends", {"jobs": json.dumps(list(jobs))}):
            found.setdefault(job, []).append(End(Outcome(outcome), failure_class and FailureClass(failure_class)))
        return found

    def ranges(self, jobs: Iterable[int]) -> dict[int, Ends]:
        """Return which work items some jobs have, in short."""
        found: dict[int, list[Row]] = {}
        for job, *row in self._run("job_ranges", {"jobs": json.dumps(list(jobs))}):
            found.setdefault(job, []).append(row)
        return {job: _ends(rows) for job, rows in found.items()}

    def failed_by_class(self, job: int, limit: int) -> list[tuple[FailureClass | None, int]]:
        """Return how many work items of a job failed, by class, looking at no more than `limit`."""
        rows = self._run("failed_by_class", {"job": job, "limit": limit})
        return [(name and FailureClass(name), count) for name, count in rows]

    def last_logs(self, key: ItemKey, limit: int, token: int = 0, part: int = -1) -> list[tuple[int, int, int, str]]:
        """Return the last pieces of an item's log after (token, part), oldest first: token, part, time in ms, text."""
        where = {"job": key.job, "number": key.number, "token": token, "part": part, "limit": limit}
        return [tuple(row) for row in self._run("last_logs", where)][::-1]


def _ends(rows: list[Row]) -> Ends:
    task, tz, first = rows[0][:3]
    times = [row[3:5] for row in rows if row[3] is not None]
    window = (min(start for start, _ in times), max(end for _, end in times)) if times else None
    return Ends(task, tz, first, rows[-1][2], window)
