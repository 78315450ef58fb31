"""What a contender must be able to do to be measured, and which contenders there are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, cast

Kind = Literal["plain", "once", "flaky", "nap", "sleep"]
ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".venv-peers" / "bin" / "python"
"""The Python in which the peers are installed; `make bench` makes it."""


class Contender(Protocol):
    """One job system with one setting, in an empty folder or database of its own."""

    def workers(self, kind: Kind, *, alone: bool) -> Sequence[Sequence[str]]:
        """Return the commands that start its workers: two processes that work, or what comes closest; `alone`: one worker."""
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
    """A contender as it is listed: what it is, how it is set, and what it needs."""

    title: str
    setting: str
    durability: str
    module: str
    package: str
    postgres: bool = False

    @property
    def python(self) -> str:
        """The Python that runs it."""
        return sys.executable if self.package == "mulligan" else str(PEERS)


_CHILDREN = "2 child processes"
ENTRIES = {
    "mulligan-full": Entry(
        "Mulligan, SQLite FULL", f"one worker, executor process, {_CHILDREN}; synchronous FULL", "FULL",
        "with_mulligan", "mulligan",
    ),
    "mulligan-normal": Entry(
        "Mulligan, SQLite NORMAL", "the same; synchronous NORMAL", "NORMAL", "with_mulligan", "mulligan"
    ),
    "mulligan-postgres": Entry(
        "Mulligan, PostgreSQL",
        f"two workers with one child each (W2, W4, W5: one with {_CHILDREN}), executor process; synchronous_commit on",
        "postgres", "with_mulligan", "mulligan", postgres=True,
    ),
    "huey-full": Entry("huey, SQLite FULL", "one consumer, 4 threads; fsync", "FULL", "with_huey", "huey"),
    "huey-off": Entry("huey, SQLite OFF", "the same; no fsync, its default", "OFF", "with_huey", "huey"),
    "dbos-sqlite": Entry(
        "DBOS, SQLite", "one process, 50 workflows at once (W4: 8), looks every 10 ms; as it comes: FULL", "sqlite",
        "with_dbos", "dbos",
    ),
    "dbos-postgres": Entry(
        "DBOS, PostgreSQL", "two processes, the same", "postgres", "with_dbos", "dbos", postgres=True
    ),
    "pgqueuer": Entry(
        "PgQueuer, PostgreSQL",
        "two processes on uvloop and asyncpg, batches of 100 (W2: 1; W4: 8 at once, heartbeat 5 s), LISTEN/NOTIFY",
        "postgres", "with_pgqueuer", "pgqueuer", postgres=True,
    ),
}  # fmt: skip


def contender(name: str) -> Contender:
    """Make a contender by its name."""
    entry = ENTRIES[name]
    return cast("Contender", import_module(f"bench.{entry.module}").make(entry.durability))


@cache
def versions() -> dict[str, str]:
    """Return the versions of the packages of all contenders that are installed; a peer that is not there is not in it."""
    found: dict[str, str] = {}
    for python in sorted({each.python for each in ENTRIES.values()}):
        packages = sorted({each.package for each in ENTRIES.values() if each.python == python})
        for package in packages:
            told = version_of(python, package)
            found.update({package: told} if told else {})
    return found


def version_of(python: str, package: str) -> str:
    """Return the version of a package in a Python, or nothing where it cannot be imported there."""
    code = f"import {package}; from importlib.metadata import version; print(version({package!r}))"
    try:
        ran = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    except OSError:
        return ""
    return ran.stdout.strip() if not ran.returncode else ""
