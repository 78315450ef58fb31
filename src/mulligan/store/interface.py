"""The seam to a database: what the verbs need to run a named statement, and what the engine needs to hold a transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol

Row = Sequence[Any]


Rows = Iterable[Any]
"""What a statement returns. It is run in its turn, but where a database is a journey away it is sent, with all that was run
before it, when its rows are asked for or at the commit: so ask for none that nobody needs, nor before all that can go along."""
Run = Callable[[str, Mapping[str, Any]], Rows]
"""Runs the statement of a name with named parameters."""


class Database(Protocol):
    """A database with a write transaction, a read snapshot, and named statements in both."""

    dialect: str
    shown: str
    """Where it is, for people."""
    at_once: bool
    """Whether each statement is a journey, and one may change several tables."""

    def write(self) -> AbstractContextManager[None]: ...

    def read(self, *, patient: bool = False, single: bool = False) -> AbstractContextManager[None]: ...

    def in_writer(self, name: str, parameters: Mapping[str, Any]) -> Rows: ...

    def in_reader(self, name: str, parameters: Mapping[str, Any]) -> Rows: ...

    def text_in_reader(self, text: str, parameters: Mapping[str, Any]) -> Rows: ...

    def wait_at_most(self, busy_ms: int) -> None: ...

    def read_at_most(self, limit_s: float) -> None: ...

    def fail_with(self, hurt: Callable[[str], None] | None) -> None: ...

    def close(self) -> None: ...


Audience = Literal["worker", "waiter"]


class Hints(Protocol):
    """Something that becomes readable when it is worth looking."""

    def fileno(self) -> int: ...

    def drain(self) -> None: ...

    def close(self) -> None: ...


class Lock(Protocol):
    """The lock by which others see that a worker lives; `path` is what they look for."""

    path: Any

    def release(self, keep_file: bool = False) -> None: ...


class Presence(Protocol):
    """How the processes on one store notice each other."""

    @property
    def certain(self) -> bool:
        """Whether a free lock proves that its worker is dead."""
        ...

    def lock(self, instance: str) -> Lock: ...

    def is_free(self, lock: str) -> bool: ...

    def forget(self, lock: str) -> None: ...

    def listen(self, audience: Audience) -> Hints | None: ...

    def wake_workers(self) -> None: ...

    def wake_waiters(self) -> None: ...

    def close(self) -> None: ...


def one(rows: Iterable[Any]) -> Any | None:
    """Return the first row, or None."""
    found = list(rows)
    return found[0] if found else None
