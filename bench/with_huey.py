"""huey as a contender: one consumer with four threads that look for work every millisecond, on SQLite."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.contender import Kind

LOOK_S, LOOK_LEAST_OFTEN_S = "0.001", "0.01"


class Huey:
    """huey with a durability of FULL or OFF; it has nothing between."""

    def __init__(self, durability: str) -> None:
        os.environ["BENCH_DURABILITY"] = durability  # before the import below, and for the consumer
        from bench import huey_tasks

        self._tasks: Any = huey_tasks
        self._storage = huey_tasks.huey.storage
        self._count = 0

    def workers(self, kind: Kind, *, alone: bool) -> Sequence[Sequence[str]]:  # noqa: ARG002 - it has one consumer
        """Return the command that starts the consumer."""
        consumer = str(Path(sys.executable).with_name("huey_consumer"))
        options = ["-k", "thread", "-w", "4", "-q", "-d", LOOK_S, "-m", LOOK_LEAST_OFTEN_S, "-s", "1"]
        return [[sys.executable, consumer, "bench.huey_tasks.huey", *options]]

    def submit(self, kind: Kind, count: int) -> None:
        """Enqueue call after call: huey has no submission of many at once."""
        call = getattr(self._tasks, kind)
        for number in range(count):
            call(number)
        self._count = count

    def done(self) -> int:
        """Return how many calls have left a result and wait for nothing more; a failed attempt leaves one too."""
        waiting = self._storage.queue_size() + self._storage.schedule_size()
        return int(min(self._storage.result_store_size(), self._count - waiting))

    def committed(self) -> set[int]:
        """Return the numbers whose result is stored."""
        values = map(self._tasks.huey.serializer.deserialize, self._storage.result_items().values())
        return {value for value in values if isinstance(value, int)}

    def round_trip(self) -> None:
        """Enqueue one call and look for its result every millisecond or two."""
        self._tasks.plain(1).get(blocking=True, backoff=1.0, max_delay=0.002)

    def steps(self, count: int) -> None:
        """There are none."""
        raise NotImplementedError(f"huey saves no steps, so not {count} either")

    def close(self) -> None:
        """Close the store."""
        self._storage.close()


def make(durability: str) -> Huey:
    """Return the contender."""
    return Huey(durability)
