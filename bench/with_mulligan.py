"""Mulligan as a contender: one worker with two children, on SQLite."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import bodies, tasks
from bench.contender import Kind
from mulligan import connect


class Mulligan:
    """Mulligan with a durability of FULL or NORMAL."""

    def __init__(self, durability: str) -> None:
        os.environ["MULLIGAN_SYNCHRONOUS"] = durability  # the worker inherits it
        self._url = f"sqlite:///{bodies.folder() / 'mulligan.db'}"
        self._client = connect(self._url)
        self._job: Any = None

    def worker(self) -> Sequence[str]:
        """Return the command that starts a worker."""
        file = str(Path(tasks.__file__))
        return [sys.executable, "-m", "mulligan.cli.main", "worker", file, "--database", self._url, "--processes", "2"]

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


def make(durability: str) -> Mulligan:
    """Return the contender."""
    return Mulligan(durability)
