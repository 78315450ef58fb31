"""Verbs that remove what is old: details of finished jobs, workers that have ended, and what only recent moments need."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mulligan.core.job import ItemKey
from mulligan.store.interface import Run, one
from mulligan.store.verbs.items import as_json

DETAILS = (
    "prune_outages",
    "prune_attempts",
    "prune_checkpoints",
    "prune_logs",
    "prune_progress",
    "prune_successors",
    "prune_events",
    "prune_calls",
    "prune_inputs",
    "prune_items",
)


class PastJob(NamedTuple):
    """A job whose details may go: it had `items`, of which those before `first` are gone."""

    job: int
    named: bool
    """Whether its run id was given, and therefore stays."""
    items: int
    first: int


class PastSuccess(NamedTuple):
    """An item that succeeded for a window."""

    task: int
    start_ms: int
    end_ms: int
    job: int
    number: int
    key: str
    definition: int
    ended_ms: int


class PastWindow(NamedTuple):
    """What is known of a successful item whose details were removed; `rows` as its last success and those before it said."""

    task: int
    start_ms: int
    definition: int
    rows: int | None
    ended_ms: int


class Past:
    """Finding and removing what is old, a piece at a time."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def begin(self) -> bool:
        """Be the only one who removes until the transaction ends; False when another process is at it."""
        return one(self._run("begin_retention", {})) is not None

    def pruning(self, limit: int) -> list[PastJob]:
        """Return and lock jobs of which some details are gone already."""
        return [PastJob(job, bool(named), *rest) for job, named, *rest in self._run("pruning_jobs", {"limit": limit})]

    def ended(self, before_ms: int, limit: int) -> list[PastJob]:
        """Return and lock jobs that ended before a moment, the oldest first."""
        rows = self._run("past_jobs", {"before": before_ms, "limit": limit})
        return [PastJob(job, bool(named), *rest) for job, named, *rest in rows]

    def successes(self, keys: Iterable[ItemKey]) -> list[PastSuccess]:
        """Return those of the items that succeeded for a window."""
        return [PastSuccess(*row) for row in self._run("past_successes", {"keys": as_json(keys)})]

    def keep_windows(self, found: Sequence[tuple[PastSuccess, int | None]]) -> None:
        """Keep what later questions need of windows that succeeded, each once, with the rows that were written for it."""
        rows = as_json((*each[:7], rows, each.ended_ms) for each, rows in found)
        self._run("keep_windows", {"rows": rows})

    def windows(self, keys: Iterable[ItemKey]) -> dict[ItemKey, PastWindow]:
        """Return what is kept of removed items that succeeded for a window."""
        rows = self._run("windows_past", {"keys": as_json(keys)})
        return {ItemKey(job, number): PastWindow(*rest) for job, number, *rest in rows}

    def remove_details(self, keys: Sequence[ItemKey]) -> None:
        """Remove items and all that belongs to them."""
        rows = as_json(keys)
        for name in DETAILS:
            self._run(name, {"keys": rows})

    def mark(self, job: int, following: int | None, now_ms: int) -> None:
        """Note that details of a job were removed, and from which item on there are still some."""
        self._run("mark_pruned", {"job": job, "next": following, "now": now_ms})

    def remove_events(self, jobs: Sequence[int]) -> None:
        """Remove the events of jobs themselves."""
        self._run("prune_job_events", {"jobs": json.dumps(jobs)})

    def remove_jobs(self, jobs: Sequence[int]) -> None:
        """Remove jobs whose details are gone."""
        self._run("prune_jobs", {"jobs": json.dumps(jobs)})

    def remove_workers(self, before_ms: int, limit: int) -> int:
        """Remove worker instances that hold nothing since a moment; returns how many."""
        found = [row[0] for row in self._run("old_workers", {"before": before_ms, "limit": limit})]
        for name in ("prune_arrivals", "prune_worker_tasks", "prune_workers") if found else ():
            self._run(name, {"workers": json.dumps(found)})
        return len(found)

    def remove_operations(self, before_ms: int, limit: int) -> int:
        """Remove what is kept of transactions before a moment, for commits whose answer was lost; returns how many."""
        return len(list(self._run("prune_operations", {"before": before_ms, "limit": limit})))

    def free_pages(self) -> tuple[int, int]:
        """Return how many pages of the store's file hold nothing, and how many there are; zeros where that is not our concern."""
        free, every = one(self._run("free_pages", {})) or (0, 0)
        return int(free), int(every)

    def give_back_pages(self) -> None:
        """Give some free pages back to the file system."""
        self._run("give_back_pages", {})
