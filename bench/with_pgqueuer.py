"""PgQueuer as a contender: two processes on PostgreSQL that take up to a hundred jobs at a time."""

# mypy: ignore-errors
# It is installed in an environment of its own.

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import asyncpg
from pgqueuer import AsyncpgDriver, PgQueuer, Queries, RetryRequested

from bench import bodies
from bench.contender import POSTGRES, Entry, Kind

TAKEN = 100
"""Jobs that a worker takes at a time where there are many; where they come singly it takes one, and waits for no others."""
SENT = 1_000
LOOK_S = 0.001


class PgQueuerContender:
    """PgQueuer, which forgets a job when it is done."""

    def __init__(self) -> None:
        self._url = os.environ[POSTGRES]
        install = [sys.executable, "-m", "pgqueuer", "--pg-dsn", self._url, "install"]
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
        self._loop = asyncio.new_event_loop()
        self._connection = self._loop.run_until_complete(asyncpg.connect(self._url))
        self._queries = Queries(AsyncpgDriver(self._connection))
        self._count = 0

    def workers(self, many: bool = True) -> Sequence[Sequence[str]]:
        """Return the commands that start two workers."""
        code = f"from bench.with_pgqueuer import work; work({TAKEN if many else 1})"
        return [[sys.executable, "-c", code]] * (2 if many else 1)

    def submit(self, kind: Kind, count: int) -> None:
        """Enqueue a thousand at a time."""
        self._count = count
        for first in range(0, count, SENT):
            numbers = range(first, min(count, first + SENT))
            payloads = [str(number).encode() for number in numbers]
            self._loop.run_until_complete(self._queries.enqueue([kind] * len(numbers), payloads, [0] * len(numbers)))

    def done(self) -> int:
        """Return how many are not in the queue any more."""
        return self._count - self._loop.run_until_complete(self._connection.fetchval("select count(*) from pgqueuer"))

    def committed(self) -> set[int]:
        """Which are done cannot be told by number."""
        raise NotImplementedError

    def round_trip(self) -> None:
        """Enqueue one job and look every millisecond whether it is gone."""
        self._loop.run_until_complete(self._one())

    def steps(self, count: int) -> None:
        """There are none."""
        raise NotImplementedError(f"PgQueuer saves no steps, so not {count} either")

    def close(self) -> None:
        """Let go of the database."""
        self._loop.run_until_complete(self._connection.close())
        self._loop.close()

    async def _one(self) -> None:
        [job] = await self._queries.enqueue("plain", b"0")
        gone = "select not exists (select 1 from pgqueuer where id = $1)"
        while not await self._connection.fetchval(gone, job):  # noqa: ASYNC110 - it has no other way to tell
            await asyncio.sleep(LOOK_S)


@contextlib.asynccontextmanager
async def _queue() -> AsyncIterator[PgQueuer]:
    connection = await asyncpg.connect(os.environ[POSTGRES])
    queue = PgQueuer(AsyncpgDriver(connection))

    @queue.entrypoint("plain")
    async def plain(job) -> None:  # noqa: ARG001 - what a job is for
        bodies.nothing()

    @queue.entrypoint("flaky")
    async def flaky(job) -> None:
        try:
            bodies.fail_at_first(int(job.payload))
        except ValueError as error:
            raise RetryRequested(delay=timedelta(0), reason=str(error)) from error

    yield queue
    await connection.close()


def work(taken: int) -> None:
    """Be a worker that takes so many jobs at a time."""
    import pgqueuer
    import uvloop

    uvloop.run(pgqueuer.run(_queue, batch_size=taken))


def make(entry: Entry) -> PgQueuerContender:  # noqa: ARG001 - there is one kind of it
    """Return the contender."""
    return PgQueuerContender()
