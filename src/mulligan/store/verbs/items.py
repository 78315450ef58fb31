"""Verbs on work items and their ended attempts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from mulligan.core.job import Attempt, Item, ItemKey, JobStatus, Outcome, Reason
from mulligan.core.lifecycle import Transition
from mulligan.store.interface import Run, one
from mulligan.store.rows import (
    STATUS,
    Head,
    Input,
    Taken,
    attempt_of,
    attempt_row,
    changed_item,
    input_of,
    item_of,
    moves,
    settled_item,
    success_row,
)

NUL = "\\u0000"


def as_json(rows: Iterable[Iterable[Any]]) -> str:
    """Return rows as the one JSON parameter of a batch statement, without NUL bytes, which not every database can hold."""
    given = list(map(tuple, rows))  # what has names for its places, or is a kind of tuple, takes seven times as long
    text = to_json(given).decode()
    if NUL in text:  # or what looks like it: the end of an escaped backslash
        return to_json([[_without_nul(each) for each in row] for row in given]).decode()
    return text


def _without_nul(value: Any) -> Any:
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def mended(rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as JSON, with a question mark for what is no valid text: an outcome has to be kept, whatever it says."""
    try:
        return as_json(rows)
    except PydanticSerializationError:
        clean = [[each.encode("utf-8", "replace").decode() if isinstance(each, str) else each for each in row] for row in rows]
        return as_json(clean)


class Items:
    """Claiming, changing and reading work items."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def heads(self, tasks: Sequence[int]) -> Callable[[], list[Head]]:
        """Look for each task, kind and priority with waiting items what their earliest due time is; returns what tells it."""
        rows = self._run("heads", {"tasks": json.dumps(tasks)})
        return lambda: [Head(task, bool(once), priority, due_ms) for task, once, priority, due_ms in rows]

    def claim(self, worker: int, task: int, once: bool, priority: int, limit: int, now_ms: int) -> Callable[[], list[Taken]]:
        """Start the first due items of a task for a worker; returns what tells them as they are now, with what they are for."""
        where = {"task": task, "once": int(once), "priority": priority, "now": now_ms, "limit": limit}
        jobs = json.dumps([row[0] for row in self._run("lock_ready_jobs", where)])
        found = list(self._run("claimable", {**where, "jobs": jobs}))
        if not found:
            return list
        rows = as_json((row[0], row[1], row[12]) for row in found)
        taken = list(self._run("start_items", {"rows": rows, "worker": worker, "now": now_ms}))
        self.count((row[0], STATUS[row[6]], JobStatus.STARTED) for row in found)
        if len(taken) != len(found):
            raise AssertionError("claimed items changed inside their own transaction")
        since = {(job, number): claimed_ms for job, number, claimed_ms in taken}
        runs = {job: run for job, *run in self._run("read_jobs", {"jobs": json.dumps(list({row[0] for row in found}))})}
        taken_rows = [Taken((*row, since[row[0], row[1]], *runs[row[0]]), worker) for row in found]
        return lambda: taken_rows

    def apply(self, transitions: Sequence[Transition], now_ms: int) -> tuple[list[Transition], list[int]]:
        """Write transitions whose row is still as it was before, with their attempts and counters.

        Returns those that were written, and the jobs that ended by it; the others changed nothing.
        """
        if not transitions:
            return [], []
        ordered = sorted(transitions, key=lambda each: each.before[:2])
        plain: list[Transition] = []
        others: list[Transition] = []
        for each in ordered:
            (plain if _is_plain_success(each) else others).append(each)
        changed, jobs_ended = self._write(plain, others, now_ms)
        written = ordered if len(changed) == len(ordered) else [each for each in ordered if each.before[:2] in changed]
        return written, jobs_ended

    def _write(
        self, plain: Sequence[Transition], others: Sequence[Transition], now_ms: int
    ) -> tuple[set[tuple[int, int]], list[int]]:
        """Write plain successes and other moves, step by step; returns the items that were as expected, and the jobs that end."""
        changed: set[tuple[int, int]] = set()
        if plain:
            rows = as_json(settled_item(each.after, each.before.version) for each in plain)
            changed.update(self._run("settle_items", {"rows": rows}))
        if others:
            rows = as_json(changed_item(each.after, each.before.version) for each in others)
            changed.update(self._run("apply_items", {"rows": rows}))
        if len(changed) < len(plain) + len(others):
            plain, others = ([t for t in each if t.before[:2] in changed] for each in (plain, others))
        self._add_attempts(plain, others)
        moved = ((t.before.job, t.before.status, t.after.status) for t in (*plain, *others))
        return changed, self.count(moved, now_ms)

    def count(self, pairs: Iterable[tuple[int, JobStatus | None, JobStatus]], now_ms: int | None = None) -> list[int]:
        """Change the counters of jobs by (job, status before, status after); returns the jobs that have ended."""
        rows = [row for row in moves(pairs) if any(row[1:])]
        if not rows:
            return []
        counted = self._run("count_moves", {"rows": json.dumps(rows), "now": now_ms})
        return [job for job, ended_ms in counted if ended_ms is not None]

    def read(self, keys: Iterable[ItemKey], *, removed: bool = False) -> list[Item]:
        """Return the items that exist among the keys; `removed`: also those of jobs that are being removed just now."""
        return [item_of(row) for row in self._run("read_items", {"keys": as_json(keys), "removed": int(removed)})]

    def running(self, task: int) -> int:
        """Return how many items of a task run, on all workers together."""
        return int(one(self._run("count_running", {"task": task}))[0])  # type: ignore[index]  # a count has a row

    def held_by(self, worker: int, limit: int) -> list[Item]:
        """Return items that a worker has started."""
        return [item_of(row) for row in self._run("held_by", {"worker": worker, "limit": limit})]

    def asked_to_stop(self, worker: int) -> list[tuple[ItemKey, int]]:
        """Return key and token of a worker's running items that somebody wants cancelled."""
        return [(ItemKey(job, number), token) for job, number, token in self._run("asked_to_stop", {"worker": worker})]

    def expired(self, now_ms: int, limit: int) -> list[Item]:
        """Return items that still wait after their deadline."""
        return [item_of(row) for row in self._run("expired", {"now": now_ms, "limit": limit})]

    def next_deadline(self) -> int | None:
        """Return the earliest deadline of a waiting item."""
        row = one(self._run("next_deadline", {}))
        return row[0] if row else None

    def running_of(self, job: int) -> list[Item]:
        """Return the items of a job that run."""
        return [item_of(row) for row in self._run("running_of_job", {"job": job})]

    def waiting_of(self, job: int, limit: int, first: int = 0) -> list[Item]:
        """Return the first items of a job that wait, from a number on."""
        return [item_of(row) for row in self._run("waiting_of_job", {"job": job, "limit": limit, "first": first})]

    def forgive_crashes(self, key: ItemKey, token: int, worker: int) -> None:
        """Forget deaths of the child process before the checkpoint that was just saved."""
        self._run("forgive_crashes", {"job": key.job, "number": key.number, "token": token, "worker": worker})

    def attempts(self, key: ItemKey) -> list[Attempt]:
        """Return the ended attempts of an item, oldest first."""
        return [attempt_of(row) for row in self._run("read_attempts", {"job": key.job, "number": key.number})]

    def input(self, key: ItemKey) -> Input | None:
        """Return what an item is for, or None when there is no such item."""
        row = one(self._run("read_input", {"job": key.job, "number": key.number}))
        return input_of(row) if row else None

    def rows_written(self, keys: Iterable[ItemKey]) -> dict[ItemKey, list[tuple[Outcome, int | None]]]:
        """Return for each item what its attempts said that they wrote, oldest first."""
        found: dict[ItemKey, list[tuple[Outcome, int | None]]] = {}
        ordered = sorted(self._run("rows_written", {"keys": as_json(keys)}), key=lambda row: row[:3])
        for job, number, _, outcome, rows in ordered:
            found.setdefault(ItemKey(job, number), []).append((Outcome(outcome), rows))
        return found

    def _add_attempts(self, plain: Iterable[Transition], others: Iterable[Transition]) -> None:
        for name, row_of, transitions in (("add_successes", success_row, plain), ("add_attempts", attempt_row, others)):
            rows = [row_of(each.attempt) for each in transitions if each.attempt is not None]
            if rows:
                self._run(name, {"rows": mended(rows)})


def _is_plain_success(transition: Transition) -> bool:
    return transition.after.reason is Reason.SUCCEEDED and transition.attempt is not None
