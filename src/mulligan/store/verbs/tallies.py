"""Verbs on what is counted: tallies as they are written, their sums by day and since ever, and what is broken just now."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from mulligan.core.job import Item, ItemKey
from mulligan.core.tallies import Tally
from mulligan.store.interface import Run, one
from mulligan.store.verbs.items import as_json


class Subject(NamedTuple):
    """What can be broken: a window of a task, whichever job it is in, or a single work item."""

    task: int
    name: str


class Tallies:
    """Counting, summing up, and reading what was counted."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def add(self, rows: Sequence[Tally]) -> None:
        """Write what was counted; nobody is waited for."""
        self._run("add_tallies", {"rows": as_json(rows)})

    def any(self) -> bool:
        """Return whether anything is not summed up yet."""
        return one(self._run("any_tally", {})) is not None

    def begin(self) -> bool:
        """Be the only one who sums up until the transaction ends; False when another process is at it."""
        return one(self._run("begin_folding", {})) is not None

    def take(self, limit: int) -> list[Tally]:
        """Remove what was counted first, and return it, to be added to the sums in this transaction."""
        return [Tally(*row) for row in self._run("take_tallies", {"limit": limit})]

    def add_to_trends(self, rows: Sequence[Tally]) -> None:
        """Add to the sums by day; each task, day, measure, kind and detail at most once."""
        self._run("add_to_trends", {"rows": as_json(rows)})

    def add_to_totals(self, rows: Sequence[Tally]) -> None:
        """Add to the sums since ever; each task, measure, kind and detail at most once, the day is of no account."""
        self._run("add_to_totals", {"rows": as_json((row.task, *row[2:]) for row in rows)})

    def by_day(self, tasks: Sequence[int], first: int, end: int) -> list[Tally]:
        """Return what was counted of tasks on the days from `first` to `end`, without that one, up to this moment."""
        where = {"tasks": json.dumps(tasks), "first": first, "end": end}
        return [Tally(*row) for row in self._run("read_trends", where)]

    def since_ever(self, tasks: Sequence[int]) -> list[Tally]:
        """Return all that was ever counted of tasks, up to this moment; as of day 0."""
        return [Tally(task, 0, *rest) for task, *rest in self._run("read_totals", {"tasks": json.dumps(tasks)})]

    def any_broken_window(self, tasks: Collection[int]) -> Callable[[], bool]:
        """Look whether any window of some tasks has failed and not succeeded since; returns what tells it."""
        if not tasks:
            return lambda: False
        found = self._run("any_broken_window", {"tasks": json.dumps(sorted(tasks))})
        return lambda: one(found) is not None

    def in_broken_windows(self, keys: Iterable[ItemKey]) -> set[ItemKey]:
        """Return those items whose window has failed, in whichever job, and not succeeded since."""
        return {ItemKey(*row) for row in self._run("in_broken_windows", {"keys": as_json(keys)})}

    def subjects(self, keys: Iterable[ItemKey]) -> dict[ItemKey, Subject]:
        """Return as what items can be broken."""
        rows = self._run("subjects", {"keys": as_json(keys)})
        return {ItemKey(job, number): Subject(task, name) for job, number, task, name in rows}

    def first_failures(self, items: Iterable[Item]) -> dict[ItemKey, int]:
        """Return when the first attempt failed that did, in the present generations of items."""
        rows = self._run("first_failures", {"rows": as_json((item.job, item.number, item.generation) for item in items)})
        return {ItemKey(job, number): first_ms for job, number, first_ms in rows if first_ms is not None}

    def open_outages(self, since: Iterable[tuple[Subject, int]]) -> None:
        """Note that subjects are broken, and since when, where that is not known yet."""
        self._run("open_outages", {"rows": as_json((*subject, since_ms) for subject, since_ms in since)})

    def close_outages(self, subjects: Iterable[Subject]) -> dict[Subject, int]:
        """Note that subjects are broken no more; returns since when those were that had been, each to one caller only."""
        rows = self._run("close_outages", {"rows": as_json(subjects)})
        return {Subject(task, name): since_ms for task, name, since_ms in rows}

    def unsealed(self) -> int:
        """Return how many jobs are being submitted just now."""
        return int(one(self._run("count_unsealed", {}))[0])  # type: ignore[index]  # a count has a row
