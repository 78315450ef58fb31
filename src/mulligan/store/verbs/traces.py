"""Verbs that read what traces are made of; used only where there are any."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from mulligan.core.job import FailureClass, ItemKey, Reason
from mulligan.store.interface import Run
from mulligan.store.verbs.items import as_json


class OriginRow(NamedTuple):
    """Where a job comes from: the work item that called it, if one did, and the job at the top of all that called each other."""

    job: int
    parent: ItemKey | None
    root: int
    namespace: str
    task: str
    run_id: str
    created_ms: int
    traceparent: str | None


class AttemptRow(NamedTuple):
    """What became of an attempt, as far as the wait after it is concerned."""

    token: int
    generation: int
    attempt: int
    reason: Reason
    failure_class: FailureClass | None
    claimed_ms: int
    ended_ms: int
    delay_ms: int | None


class Traces:
    """Reading many at once."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def origins(self, jobs: Iterable[int]) -> list[OriginRow]:
        """Return where jobs come from; what is not there is left out."""
        rows = self._run("job_origins", {"jobs": json.dumps(sorted(set(jobs)))})
        return [OriginRow(row[0], None if row[1] is None else ItemKey(row[1], row[2]), *row[3:]) for row in rows]

    def attempts(self, keys: Iterable[ItemKey]) -> dict[ItemKey, list[AttemptRow]]:
        """Return the ended attempts of items, oldest first."""
        found: dict[ItemKey, list[AttemptRow]] = {}
        for job, number, token, generation, attempt, reason, kind, *rest in self._run("attempts_of", {"keys": as_json(keys)}):
            failure_class = None if kind is None else FailureClass(kind)
            row = AttemptRow(token, generation, attempt, Reason(reason), failure_class, *rest)
            found.setdefault(ItemKey(job, number), []).append(row)
        return found

    def keys(self, keys: Iterable[ItemKey]) -> dict[ItemKey, str]:
        """Return by what key each item is known within its job."""
        return {ItemKey(job, number): key for job, number, key in self._run("keys_of", {"keys": as_json(keys)})}

    def ends(self, jobs: Iterable[int]) -> dict[int, list[tuple[str, int]]]:
        """Return when each job has ended (`job_ended`), and when somebody acted on it (`acted`), in order."""
        found: dict[int, list[tuple[str, int]]] = {}
        for job, kind, at_ms in self._run("ends_of", {"jobs": json.dumps(sorted(set(jobs)))}):
            found.setdefault(job, []).append((kind, at_ms))
        return found
