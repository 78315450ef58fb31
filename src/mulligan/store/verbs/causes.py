"""Verbs on causes: counting what fails by them, and reading the counts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mulligan.core.fingerprint import Fingerprint
from mulligan.core.job import FailureClass, Item, ItemKey, JobStatus
from mulligan.core.lifecycle import Transition
from mulligan.store.interface import Run
from mulligan.store.verbs.items import as_json


class CauseRow(NamedTuple):
    """What is counted of one cause for one task; times in milliseconds since 1970 UTC."""

    cause: str
    task: str
    """Its name."""
    version: int
    failure_class: FailureClass
    """As it was judged last."""
    error_type: str
    title: str
    parts: str
    """JSON: pairs of what it is and its value."""
    failures: int
    """Failures of all time, those of jobs that were removed and of items that succeeded later among them."""
    failed_now: int
    """Work items that are in FAILURE of it now; calls of workflows are not among them."""
    first_ms: int
    last_ms: int
    sample: ItemKey
    """The work item that failed of it last."""
    sample_token: int


class CausePlace(NamedTuple):
    """Where a cause stands among all, by when it was seen first."""

    first_ms: int
    cause: str


@dataclass(slots=True)
class _Noted:
    """What is to be counted of one cause for one task."""

    failures: int = 0
    failed_now: int = 0
    failure_class: FailureClass | None = None
    what: Fingerprint | None = None
    sample: Item | None = None
    at_ms: int = 0

    def row(self, task: int, cause: str) -> tuple[Any, ...]:
        counts = (self.failures, self.failed_now, self.at_ms, self.at_ms)
        if self.what is None or self.sample is None:
            return (task, cause, 0, "", "", "", "", *counts, 0, 0, 0)
        what, item = self.what, self.sample
        parts = json.dumps(what.parts, ensure_ascii=False)
        kind = str(self.failure_class or FailureClass.UNKNOWN)
        words = (what.version, kind, what.error_type, what.title, parts)
        return (task, cause, *words, *counts, item.job, item.number, item.token)


class Causes:
    """Counts by cause. What is noted in a transaction is written at its end.

    These rows are the only ones that workers of different jobs share. So they are locked last, in one order, and held for no
    longer than the commit takes.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._local = threading.local()

    def note(self, task: int, move: Transition, now_ms: int, *, root: bool) -> None:
        """Have a move of a work item counted for a task; `root`: it is no call of a workflow."""
        if move.cause is not None:
            noted = self._of(task, move.cause.cause)
            noted.failures += 1
            noted.what, noted.sample = noted.what or move.cause, move.after
            noted.failure_class, noted.at_ms = move.after.failure_class, max(noted.at_ms, now_ms)
        if root and move.before.cause is not None and move.before.status is JobStatus.FAILURE:
            self._of(task, move.before.cause).failed_now -= 1
        if root and move.after.cause is not None and move.after.status is JobStatus.FAILURE:
            self._of(task, move.after.cause).failed_now += 1

    def forget_failed(self, keys: Iterable[ItemKey]) -> None:
        """Count work items that are about to be removed as failed no more."""
        self._forget(self._run("failed_by_cause", {"keys": as_json(keys)}))

    def forget_unsealed(self, job: int) -> None:
        """The same for those of a submission that was never completed."""
        self._forget(self._run("failed_unsealed_by_cause", {"job": job}))

    def write(self) -> None:
        """Write what was noted in this transaction."""
        noted = self._noted()
        # In the order in which everybody takes them, so that nobody waits in a ring.
        rows = [each.row(*key) for key, each in sorted(noted.items()) if each.failures or each.failed_now or each.what]
        noted.clear()
        if rows:
            self._run("count_causes", {"rows": as_json(rows)})

    def drop_notes(self) -> None:
        """Forget what was noted in a transaction that failed."""
        self._noted().clear()

    def page(
        self,
        namespace: str,
        limit: int,
        *,
        task: str | None = None,
        tasks: Sequence[str] | None = None,
        failure_class: str | None = None,
        since_ms: int | None = None,
        after: CausePlace | None = None,
    ) -> list[CausePlace]:
        """Return causes, those that were seen first last; `since_ms`: those seen then or later; of tasks: of these alone."""
        values = {
            **_whose(namespace, task, tasks),
            "failure_class": failure_class,
            "since": since_ms,
            "first": None if after is None else after.first_ms,
            "cause": None if after is None else after.cause,
            "limit": limit,
        }
        return [CausePlace(first_ms, cause) for cause, first_ms in self._run("list_causes", values)]

    def read(
        self, namespace: str, causes: Iterable[str], *, task: str | None = None, tasks: Sequence[str] | None = None
    ) -> list[CauseRow]:
        """Return what is counted of causes for each task, the newest first."""
        values = {**_whose(namespace, task, tasks), "causes": json.dumps(list(causes))}
        rows = self._run("read_causes", values)
        return [_row(*row) for row in rows]

    def prune(self, before_ms: int, limit: int) -> int:
        """Remove causes that were seen last before a moment and of which nothing is failed now; returns how many."""
        return len(list(self._run("prune_causes", {"before": before_ms, "limit": limit})))

    def _forget(self, rows: Iterable[Any]) -> None:
        for task, cause, count in rows:
            self._of(task, cause).failed_now -= count

    def _of(self, task: int, cause: str) -> _Noted:
        noted = self._noted()
        found = noted.get((task, cause))
        if found is None:
            found = noted[task, cause] = _Noted()
        return found

    def _noted(self) -> dict[tuple[int, str], _Noted]:
        # Of the thread, as the transaction is: on a server several of them write at a time.
        found: dict[tuple[int, str], _Noted] | None = getattr(self._local, "noted", None)
        if found is None:
            found = self._local.noted = {}
        return found


def _whose(namespace: str, task: str | None, tasks: Sequence[str] | None) -> Mapping[str, Any]:
    return {"namespace": namespace, "name": task, "tasks": None if tasks is None else json.dumps(list(tasks))}


def _row(*row: Any) -> CauseRow:
    return CauseRow._make((*row[:3], FailureClass(row[3]), *row[4:11], ItemKey(row[11], row[12]), row[13]))
