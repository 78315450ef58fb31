"""Mulligan as a contender: on SQLite one worker with two children, on PostgreSQL two workers with one each."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import bodies, tasks
from bench.contender import POSTGRES, Entry, Kind
from mulligan import connect


class Mulligan:
    """Mulligan with a durability of FULL or NORMAL on SQLite, or on PostgreSQL."""

    def __init__(self, entry: Entry) -> None:
        self._url = os.environ.get(POSTGRES, "")
        self._workers, self._processes = 2, "1"
        if entry.store == "SQLite":
            os.environ["MULLIGAN_SYNCHRONOUS"] = entry.durability  # the worker inherits it
            self._url = f"sqlite:///{bodies.folder() / 'mulligan.db'}"
            self._workers, self._processes = 1, "2"
        self._client = connect(self._url)
        self._job: Any = None

    def workers(self, many: bool = True) -> Sequence[Sequence[str]]:
        """Return the commands that start the workers."""
        command = [sys.executable, "-m", "mulligan.cli.main", "worker", str(Path(tasks.__file__)), "--database", self._url]
        if not many:
            return [[*command, "--processes", "2"]]
        return [[*command, "--processes", self._processes]] * self._workers

    def submit(self, kind: Kind, count: int) -> None:
        """Submit one job with an item for each number."""
        self._job = self._client.map(getattr(tasks, kind), range(count))

    def done(self) -> int:
        """Return how many items have ended."""
        return int(self._job.refresh().counts.ended)

    def committed(self) -> set[int]:
        """Return the numbers of the items that succeeded."""
        return {int(each.key) for each in self._client.work_items(job=self._job.id, status="SUCCESS")}

    def round_trip(self) -> None:
        """Submit one item and wait for it."""
        self._client.submit(tasks.plain, 1).wait()

    def steps(self, count: int) -> None:
        """Run one item that saves steps."""
        self._client.submit(tasks.steps, count).wait()

    def close(self) -> None:
        """Close the store."""
        self._client.services.close()


def make(entry: Entry) -> Mulligan:
    """Return the contender."""
    return Mulligan(entry)
