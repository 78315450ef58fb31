"""PgQueuer as a contender: two processes on uvloop, told by the database that there is work."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Coroutine, Sequence
from typing import Any

import asyncpg
from pgqueuer import AsyncpgDriver, Queries

from bench.contender import Kind
from bench.pgqueuer_tasks import DATABASE

CHUNK = 1000
LOOK_S = 0.001
BATCH, NAPS, ALONE = 100, 10, 1
"""How many calls a process takes at a time: of many, of naps, and of one after the other, where a batch would only wait."""


class PgQueuer:
    """PgQueuer in an empty database."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        install = [sys.executable, "-m", "pgqueuer", "--pg-dsn", os.environ[DATABASE], "install"]
        subprocess.run(install, check=True, capture_output=True)
        self._connection: Any = self._run(asyncpg.connect(os.environ[DATABASE]))
        self._queries = Queries(AsyncpgDriver(self._connection))
        self._numbers: dict[int, int] = {}

    def workers(self, kind: Kind, *, alone: bool) -> Sequence[Sequence[str]]:
        """Return the commands that start its processes."""
        batch = NAPS if kind == "nap" else ALONE if alone else BATCH
        return [[sys.executable, "-m", "bench.pgqueuer_tasks", str(batch)]] * 2

    def submit(self, kind: Kind, count: int) -> None:
        """Enqueue calls, a thousand at a time."""
        for first in range(0, count, CHUNK):
            numbers = range(first, min(count, first + CHUNK))
            payloads = [str(each).encode() for each in numbers]
            ids = self._run(self._queries.enqueue([kind] * len(numbers), payloads, [0] * len(numbers)))
            self._numbers.update(zip(map(int, ids), numbers, strict=True))

    def done(self) -> int:
        """Return how many calls have left the queue, which is where they go when they have succeeded."""
        return len(self._numbers) - int(self._run(self._connection.fetchval("select count(*) from pgqueuer")))

    def committed(self) -> set[int]:
        """Return the numbers of the calls that the log says succeeded."""
        rows = self._run(self._connection.fetch("select job_id from pgqueuer_log where status = 'successful'"))
        return {self._numbers[row[0]] for row in rows}

    def round_trip(self) -> None:
        """Enqueue one call and look every millisecond whether it has left the queue."""
        self._run(self._one())

    async def _one(self) -> None:
        [number] = await self._queries.enqueue("plain", b"1")
        while await self._connection.fetchval("select 1 from pgqueuer where id = $1", number):  # noqa: ASYNC110 - told of by nobody
            await asyncio.sleep(LOOK_S)

    def steps(self, count: int) -> None:
        """There are none."""
        raise NotImplementedError(f"PgQueuer saves no steps, so not {count} either")

    def close(self) -> None:
        """Close the connection."""
        self._run(self._connection.close())

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)


def make(store: str) -> PgQueuer:  # noqa: ARG001 - it has PostgreSQL only
    """Return the contender."""
    return PgQueuer()
