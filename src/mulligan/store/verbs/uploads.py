"""Verbs on jobs that are submitted in chunks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from mulligan.store.interface import Run, one


class UploadRow(NamedTuple):
    """What the work items of a job share that is submitted in chunks; `arguments` is JSON."""

    job: int
    definition: int
    priority: int
    due_ms: int
    deadline_ms: int | None
    cutoff_ms: int | None
    arguments: str


class Uploads:
    """Jobs that are not sealed yet, and to which their submitter adds."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def add(self, row: UploadRow) -> None:
        """Note that a job is submitted in chunks."""
        self._run("add_upload", row._asdict())

    def find(self, job: int) -> UploadRow | None:
        """Return what is noted of a job, or None where it is not submitted in chunks, or not any more."""
        row = one(self._run("find_upload", {"job": job}))
        return None if row is None else UploadRow(*row)

    def end(self, job: int) -> None:
        """Forget it: the job is sealed."""
        self._run("end_upload", {"job": job})

    def inputs(self, job: int, first: int, count: int) -> list[tuple[str, str]]:
        """Return keys and arguments of a run of a job's work items, from a number on."""
        return [(row[0], row[1]) for row in self._run("inputs_from", {"job": job, "first": first, "count": count})]

    def keys(self, job: int, keys: Sequence[str]) -> list[str]:
        """Return those of some keys that work items of a job have."""
        return [row[0] for row in self._run("keys_there", {"job": job, "keys": json.dumps(list(keys))})]
