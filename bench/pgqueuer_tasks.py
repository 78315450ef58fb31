"""The measured entry points of PgQueuer; run as a program, a process that works on them until it is killed."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import uvloop
from pgqueuer import AsyncpgDriver, PgQueuer, RetryRequested, run

from bench import bodies

DATABASE = "BENCH_DATABASE"
NAPS_AT_ONCE = 8
HEARTBEAT_S = 5


@asynccontextmanager
async def application() -> AsyncIterator[Any]:
    """Give the entry points, on a connection of their own."""
    connection = await asyncpg.connect(os.environ[DATABASE])
    made = PgQueuer(AsyncpgDriver(connection))

    @made.entrypoint("plain")
    async def plain(job: Any) -> None:  # noqa: ARG001 - what a call is for
        bodies.nothing()

    @made.entrypoint("flaky")
    async def flaky(job: Any) -> None:
        try:
            bodies.fail_at_first(int(job.payload))
        except ValueError as failed:
            raise RetryRequested(delay=timedelta(0), reason=str(failed)) from failed

    @made.entrypoint("nap", concurrency_limit=NAPS_AT_ONCE)
    async def nap(job: Any) -> None:
        await asyncio.to_thread(bodies.nap, int(job.payload))

    try:
        yield made
    finally:
        await connection.close()


if __name__ == "__main__":
    uvloop.run(run(application, batch_size=int(sys.argv[1]), heartbeat_timeout=timedelta(seconds=HEARTBEAT_S)))
