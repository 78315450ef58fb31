"""Verbs that look at work items by the window they are for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mulligan.core.job import ItemKey, JobStatus
from mulligan.store.interface import Run, one
from mulligan.store.verbs.items import as_json


class Rival(NamedTuple):
    """Another work item for the same window."""

    key: ItemKey
    status: JobStatus
    ended_ms: int | None


class Windows:
    """Which windows of a task are there, and in which state."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def taken(self, task: int, start_ms: int, end_ms: int) -> set[tuple[int, int]]:
        """Return the windows starting in a range that succeeded or are in flight."""
        where = {"task": task, "start": start_ms, "end": end_ms}
        return {(start, end) for start, end in self._run("windows_taken", where)}

    def newest(
        self, task: int, start_ms: int, end_ms: int, job: int | None = None
    ) -> dict[tuple[int, int], tuple[ItemKey, JobStatus]]:
        """Return the newest item of each window starting in a range, also a removed one, with its status; of a job its own.

        The newest is one that is in flight, else the last that ended.
        """
        rows = self._run("windows_newest", {"task": task, "start": start_ms, "end": end_ms, "job": job})
        return {(start, end): (ItemKey(job, number), JobStatus(status)) for start, end, job, number, status in rows}

    def page(self, task: int, after: tuple[int, int], end_ms: int, limit: int) -> list[tuple[int, int]]:
        """Return the first windows that come after one, in their order, and start before a moment."""
        where = {"task": task, "start": after[0], "after": after[1], "end": end_ms, "limit": limit}
        return [(start, end) for start, end in self._run("windows_page", where)]

    def count(self, task: int, start_ms: int, end_ms: int, job: int | None, limit: int) -> int:
        """Return how many windows start in a range, of one job or of all; no more than `limit` are counted."""
        where = {"task": task, "start": start_ms, "end": end_ms, "job": job, "limit": limit}
        return int(one(self._run("count_windows", where))[0])  # type: ignore[index]  # a count is always there

    def beside(self, task: int, start_ms: int, end_ms: int, job: int | None) -> tuple[int | None, int | None]:
        """Return the starts of the last window before a range, and of the first one that starts at its end or later."""
        row = one(self._run("windows_beside", {"task": task, "start": start_ms, "end": end_ms, "job": job}))
        return row[0], row[1]  # type: ignore[index]  # two numbers or nulls

    def of(self, keys: Iterable[ItemKey]) -> dict[ItemKey, tuple[int, int]]:
        """Return the windows of the items that have one."""
        rows = self._run("windows_of", {"keys": as_json(keys)})
        return {ItemKey(job, number): (start, end) for job, number, start, end in rows}

    def rivals(self, keys: Iterable[ItemKey]) -> list[tuple[ItemKey, Rival]]:
        """Return for items that have a window the others of that window, with the same arguments."""
        rows = sorted(self._run("window_rivals", {"keys": as_json(keys)}), key=lambda row: row[:4])
        return [(ItemKey(*row[:2]), Rival(ItemKey(*row[2:4]), JobStatus(row[4]), row[5])) for row in rows]

    def later_written(self, task: int, window_start_ms: int, since_ms: int, limit: int) -> list[tuple[ItemKey, str]]:
        """Return items of later windows that succeeded after a moment, also removed ones, in order of their windows."""
        where = {"task": task, "window_start": window_start_ms, "since": since_ms, "limit": limit}
        return [(ItemKey(job, number), key) for _, job, number, key in self._run("later_written", where)]
