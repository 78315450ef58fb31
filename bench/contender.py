"""What a contender must be able to do to be measured, and which contenders there are."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Literal, NamedTuple, Protocol, cast

Kind = Literal["plain", "once", "flaky", "nap"]
Store = Literal["SQLite", "PostgreSQL"]


class Contender(Protocol):
    """One job system with one setting, in an empty folder of its own."""

    def workers(self, many: bool = True) -> Sequence[Sequence[str]]:
        """Return the commands that start the workers; together they have two processes, or what comes closest.

        `many`: for many items that are there at once; else for one after the other, each as soon as can be.
        """
        ...

    def submit(self, kind: Kind, count: int) -> None:
        """Submit calls with the numbers from 0 on; returns when they are stored."""
        ...

    def done(self) -> int:
        """Return how many of the submitted calls have ended, as the store says."""
        ...

    def committed(self) -> set[int]:
        """Return the numbers of the calls of `nap` whose outcome is in the store."""
        ...

    def round_trip(self) -> None:
        """Submit one call and return when its end is seen."""
        ...

    def steps(self, count: int) -> None:
        """Have one task save so many steps; returns when it has ended. Raises NotImplementedError where there are none."""
        ...

    def close(self) -> None:
        """Let go of the store."""
        ...


class Entry(NamedTuple):
    """A contender as it is listed."""

    title: str
    durability: str
    executor: str
    module: str
    store: Store = "SQLite"
    peer: bool = False
    """Whether it has an environment of its own, and does a tenth as much in a second."""


ENTRIES = {
    "mulligan-full": Entry("Mulligan FULL", "FULL", "process, 2 children", "bench.with_mulligan"),
    "mulligan-normal": Entry("Mulligan NORMAL", "NORMAL", "process, 2 children", "bench.with_mulligan"),
    "mulligan-postgres": Entry(
        "Mulligan PostgreSQL", "on", "process, 2 workers of 1 child (W2, W5: 1 worker)", "bench.with_mulligan", "PostgreSQL"
    ),
    "huey-full": Entry("huey FULL", "FULL", "thread, 4 workers", "bench.with_huey", peer=True),
    "huey-off": Entry("huey OFF", "OFF", "thread, 4 workers", "bench.with_huey", peer=True),
    "dbos": Entry("DBOS", "FULL", "thread, 50 workflows at once", "bench.with_dbos", peer=True),
    "dbos-postgres": Entry("DBOS PostgreSQL", "on", "2 processes of 50 threads", "bench.with_dbos", "PostgreSQL", peer=True),
    "pgqueuer": Entry("PgQueuer", "on", "2 processes, asyncio, batches of 100", "bench.with_pgqueuer", "PostgreSQL", peer=True),
}
POSTGRES = "BENCH_POSTGRES"
"""The variable that names the database of one run on PostgreSQL; it is empty at first."""


def contender(name: str) -> Contender:
    """Make a contender by its name."""
    entry = ENTRIES[name]
    return cast("Contender", import_module(entry.module).make(entry))
