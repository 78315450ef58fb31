"""The seam to a database: what the verbs need to run a named statement, and what the engine needs to hold a transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Row = Sequence[Any]


class Rows(Protocol):
    """The rows that a statement returned."""

    def __iter__(self) -> Iterator[Any]: ...

    def fetchall(self) -> list[Any]: ...


Run = Callable[[str, Mapping[str, Any]], Rows]
"""Runs the statement of a name with named parameters."""


class Database(Protocol):
    """A database with a write transaction, a read snapshot, and named statements in both."""

    dialect: str

    def write(self) -> AbstractContextManager[None]: ...

    def read(self) -> AbstractContextManager[None]: ...

    def in_writer(self, name: str, parameters: Mapping[str, Any]) -> Rows: ...

    def in_reader(self, name: str, parameters: Mapping[str, Any]) -> Rows: ...

    def text_in_reader(self, text: str, parameters: Mapping[str, Any]) -> Rows: ...

    def close(self) -> None: ...


def one(rows: Iterable[Any]) -> Any | None:
    """Return the first row, or None."""
    found = list(rows)
    return found[0] if found else None
