"""Verbs on worker instances."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mulligan.store.interface import Run, one
from mulligan.store.rows import WorkerRow


class Workers:
    """Adding workers, their heartbeats, and their ends."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def add(self, instance: str, name: str, pid: int, lock: str, lease_ms: int, tasks: Mapping[int, int], now_ms: int) -> int:
        """Add a worker instance that has loaded tasks (task to definition); returns its id."""
        values = {"instance": instance, "name": name, "pid": pid, "lock": lock, "lease_ms": lease_ms, "now": now_ms}
        self._run("add_worker", values)
        worker = int(one(self._run("find_worker", {"instance": instance}))[0])  # type: ignore[index]  # just added
        for task, definition in tasks.items():
            self._run("add_worker_task", {"worker": worker, "task": task, "definition": definition})
        return worker

    def beat(self, worker: int, now_ms: int) -> int | None:
        """Count a heartbeat; returns the oldest schema that code must know, None when the worker was declared lost or stopped."""
        found = one(self._run("beat", {"worker": worker, "now": now_ms}))
        return None if found is None else int(found[0])

    def is_living(self, worker: int) -> Callable[[], bool]:
        """Look whether a worker has neither been stopped nor declared lost; returns what tells it."""
        found = self._run("is_living", {"worker": worker})
        return lambda: one(found) is not None

    def count_refused(self, worker: int, count: int) -> None:
        """Count writes that were refused because they came too late."""
        self._run("count_refused", {"worker": worker, "count": count})

    def stop(self, worker: int, now_ms: int) -> bool:
        """Note that a worker ended in order; False when it had ended before."""
        return one(self._run("stop_worker", {"worker": worker, "now": now_ms})) is not None

    def lose(self, worker: int, beat: int, now_ms: int) -> bool:
        """Note that a worker is lost whose last heartbeat was this one; False when it has beaten since, or had ended before."""
        return one(self._run("lose_worker", {"worker": worker, "beat": beat, "now": now_ms})) is not None

    def close(self, worker: int, now_ms: int) -> None:
        """Note that nothing is held by an ended worker any more."""
        self._run("close_worker", {"worker": worker, "now": now_ms})

    def open(self) -> list[WorkerRow]:
        """Return the workers that live, and those that ended but still hold work items."""
        return [WorkerRow(*row) for row in self._run("open_workers", {})]

    def all(self) -> list[tuple[Any, ...]]:
        """Return the newest workers: id, instance, name, pid, started, seen, stopped, lost, refused."""
        return [tuple(row) for row in self._run("list_workers", {})]
