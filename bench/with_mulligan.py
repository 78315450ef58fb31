"""Mulligan as a contender, on SQLite with one worker and on PostgreSQL with two; two children in all."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import bodies, tasks
from bench.contender import Kind
from bench.stores import DATABASE
from mulligan import connect


class Mulligan:
    """Mulligan with a durability of FULL or NORMAL, or on PostgreSQL."""

    def __init__(self, durability: str) -> None:
        self._postgres = durability == "postgres"
        if self._postgres:
            self._url = os.environ[DATABASE]
        else:
            os.environ["MULLIGAN_SYNCHRONOUS"] = durability  # the worker inherits it
            self._url = f"sqlite:///{bodies.folder() / 'mulligan.db'}"
        self._client = connect(self._url)
        self._job: Any = None

    def workers(self, kind: Kind, *, alone: bool, children: int = 2) -> Sequence[Sequence[str]]:  # noqa: ARG002 - all kinds are alike
        """Return the commands that start the workers, each with its share of the children."""
        count = 2 if self._postgres and not alone else 1
        command = [sys.executable, "-m", "mulligan.cli.main", "worker", str(Path(tasks.__file__)), "--database", self._url]
        return [[*command, "--processes", str(children // count)]] * count

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

    def call(self, task: Any, *args: Any) -> Any:
        """Submit one call and wait for its result."""
        return self._client.submit(task, *args).result()

    def map(self, task: Any, elements: Sequence[Any]) -> Any:
        """Submit a job with an item for each element, and return it."""
        return self._client.map(task, elements)

    def close(self) -> None:
        """Close the store."""
        self._client.services.close()


def make(durability: str) -> Mulligan:
    """Return the contender."""
    return Mulligan(durability)
