"""Verbs on the calls of workflows: work items of a job that is not listed, one for each item whose body makes calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mulligan.core.job import Counts, Item, ItemKey
from mulligan.core.replay import Past
from mulligan.store.interface import Run, one
from mulligan.store.rows import past_of
from mulligan.store.verbs.items import as_json

COLUMNS = 12


class CallRow(NamedTuple):
    """What was called last at a place of a body."""

    place: str
    number: int
    digest: str
    round: int


class Calls:
    """Adding calls, reading them for a replay, and telling who waits for them that they have ended."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def open(self, key: ItemKey, now_ms: int) -> int:
        """Return the job that holds the calls of a workflow's item; makes it where there is none yet."""
        where = {"job": key.job, "number": key.number, "now": now_ms}
        found = one(self._run("find_calls_job", where)) or one(self._run("add_calls_job", where))
        return int(found[0])  # type: ignore[index]  # there before, or made just now: its item is locked

    def may_call(self, item: Item, worker: int) -> bool:
        """Return whether an attempt still owns its workflow's item, and may go on making calls."""
        where = {"job": item.job, "number": item.number, "token": item.token, "worker": worker}
        return one(self._run("is_calling", where)) is not None

    def count(self, job: int) -> int:
        """Return how many items a job has."""
        return int(one(self._run("count_items", {"job": job}))[0])  # type: ignore[index]  # it is there

    def at(self, job: int, places: Iterable[str]) -> dict[str, CallRow]:
        """Return what was called last at some places."""
        found = self._run("calls_at", {"job": job, "places": json.dumps(list(places))})
        return {row[0]: CallRow(*row) for row in found}

    def put(self, job: int, rows: Iterable[CallRow]) -> None:
        """Note what is called at some places, in place of what was called there before."""
        ordered = as_json((each.place, each.number, each.digest, each.round) for each in rows)
        self._run("set_calls", {"job": job, "rows": ordered})

    def jobs(self, items: Sequence[Item]) -> dict[ItemKey, int]:
        """Return the jobs that hold the calls of some workflows' items, as far as there are any."""
        keys = as_json((item.job, item.number, item.keep_from) for item in items)
        return {ItemKey(job, number): calls for job, number, calls in self._run("calls_jobs", {"keys": keys})}

    def counts(self, items: Sequence[Item]) -> dict[ItemKey, Counts]:
        """Return how many calls of some workflows' items are in each status, of those that have called anything."""
        keys = as_json((item.job, item.number, item.keep_from) for item in items)
        return {ItemKey(*row[:2]): Counts(*row[2:]) for row in self._run("calls_counts", {"keys": keys})}

    def below(self, keys: Iterable[ItemKey]) -> set[int]:
        """Return the jobs that hold the calls of some workflows, and those of the workflows among these calls, and so on."""
        return {row[0] for row in self._run("calls_below", {"keys": as_json(keys)})}

    def unended(self, keys: Iterable[ItemKey]) -> set[ItemKey]:
        """Return which of some workflows have called something that has not ended, or whose own calls have not."""
        return {ItemKey(*row) for row in self._run("calls_unended", {"keys": as_json(keys)})}

    def children(self, keys: Iterable[ItemKey]) -> set[int]:
        """Return the jobs that hold the calls of some workflows, those of earlier generations among them."""
        return {row[0] for row in self._run("calls_children", {"keys": as_json(keys)})}

    def items_of(self, jobs: Iterable[int]) -> list[ItemKey]:
        """Return all work items of some jobs."""
        return [ItemKey(*row) for row in self._run("items_of_jobs", {"jobs": json.dumps(sorted(jobs))})]

    def which(self, jobs: Iterable[int]) -> set[int]:
        """Return which of some jobs hold the calls of a workflow."""
        return {row[0] for row in self._run("calls_of_jobs", {"jobs": json.dumps(sorted(jobs))})}

    def parent(self, job: int) -> ItemKey | None:
        """Return the workflow's item whose calls a job holds, or None."""
        row = one(self._run("find_parent", {"job": job}))
        return None if row is None else ItemKey(*row)

    def read(self, jobs: Iterable[int]) -> dict[int, list[Past]]:
        """Return all calls of some jobs that hold calls."""
        found: dict[int, list[Past]] = {}
        for row in self._run("read_calls", {"jobs": json.dumps(sorted(jobs))}):
            found.setdefault(row[COLUMNS], []).append(past_of(row))
        return found

    def arrive(self, keys: Iterable[ItemKey]) -> list[int]:
        """Note that these calls have ended for the workers that run the bodies which wait for them; returns the workers."""
        return [row[0] for row in self._run("add_arrivals", {"keys": as_json(keys)})]

    def any_arrived(self, worker: int) -> bool:
        """Return whether something has arrived for a worker."""
        return one(self._run("any_arrival", {"worker": worker})) is not None

    def arrived(self, worker: int) -> list[tuple[ItemKey, Past]]:
        """Return what has ended since this was asked last, of the calls of the bodies that a worker runs, and whose they are."""
        keys = [tuple(row) for row in self._run("take_arrivals", {"worker": worker})]
        if not keys:
            return []
        rows = self._run("read_called", {"keys": as_json(keys)})
        return [(ItemKey(row[COLUMNS], row[COLUMNS + 1]), past_of(row)) for row in rows]

    def seal(self, keys: Iterable[ItemKey], now_ms: int) -> None:
        """Add no more calls to workflows that have ended."""
        self._run("seal_calls", {"keys": as_json(keys), "now": now_ms})

    def reopen(self, items: Iterable[Item]) -> None:
        """Take calls again, of workflows that run again."""
        self._run("reopen_calls", {"keys": as_json((item.job, item.number, item.keep_from) for item in items)})

    def flag_cancel(self, keys: Iterable[ItemKey], now_ms: int) -> list[int]:
        """Ask for the calls of some workflows to be cancelled; returns the jobs that hold those that have not ended."""
        return [row[0] for row in self._run("flag_calls", {"keys": as_json(keys), "now": now_ms})]
