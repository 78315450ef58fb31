"""What a contender must be able to do to be measured, and which contenders there are."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Literal, NamedTuple, Protocol, cast

Kind = Literal["plain", "once", "flaky", "nap"]


class Contender(Protocol):
    """One job system with one setting, in an empty folder of its own."""

    def worker(self) -> Sequence[str]:
        """Return the command that starts a worker with two processes, or what comes closest."""
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


ENTRIES = {
    "mulligan-full": Entry("Mulligan FULL", "FULL", "process, 2 children", "bench.with_mulligan"),
    "mulligan-normal": Entry("Mulligan NORMAL", "NORMAL", "process, 2 children", "bench.with_mulligan"),
    "huey-full": Entry("huey FULL", "FULL", "thread, 4 workers", "bench.with_huey"),
    "huey-off": Entry("huey OFF", "OFF", "thread, 4 workers", "bench.with_huey"),
}


def contender(name: str) -> Contender:
    """Make a contender by its name."""
    entry = ENTRIES[name]
    return cast("Contender", import_module(entry.module).make(entry.durability))
