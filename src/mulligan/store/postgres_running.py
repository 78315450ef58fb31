"""Runs named statements by libpq itself: prepared once on each connection, then for a third of what a cursor costs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus

Connection = psycopg.Connection[Any]
PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")
_GOOD = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.EMPTY_QUERY)
# A type that is left open (0) is what the statement makes of it. Numbers are all of one type, else each size of a number would be
# another statement to prepare.
_DUMPERS: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    int: (20, lambda value: b"%d" % value),
    bool: (16, lambda value: b"t" if value else b"f"),
    float: (701, lambda value: repr(value).encode()),
    UUID: (2950, lambda value: str(value).encode()),
}


class Prepared:
    """The named statements of a store, as far as each connection has prepared them.

    `keep` is False behind a pooler in transaction mode, where the next transaction may have another session.
    """

    def __init__(self, texts: Mapping[str, str], *, keep: bool) -> None:
        self._parsed = {name: _numbered(text) for name, text in texts.items()}
        self._keep = keep
        self._sessions: WeakKeyDictionary[Connection, _Session] = WeakKeyDictionary()

    def run(self, connection: Connection, name: str, parameters: Mapping[str, Any]) -> list[Any]:
        """Run a statement and return its rows; raises psycopg.Error."""
        text, names = self._parsed[name]
        types, values = _dumped([parameters[each] for each in names])
        session = self._sessions.get(connection)
        if session is None:
            session = self._sessions[connection] = _Session(connection)
        if not self._keep:
            return session.rows(connection.pgconn.exec_params(text, values, types))
        place = session.known.get((name, types))
        if place is None:
            place = session.prepare(name, text, types)
        return session.rows(connection.pgconn.exec_prepared(place, values))  # type: ignore[arg-type]  # None is allowed here too


class _Session:
    """What one connection has prepared, and how its rows become values."""

    def __init__(self, connection: Connection) -> None:
        # Not the connection itself, by which it is kept.
        self._libpq = connection.pgconn
        self._encoding = connection.info.encoding
        self._loader = Transformer(connection)
        self.known: dict[tuple[str, tuple[int, ...]], bytes] = {}

    def prepare(self, name: str, text: bytes, types: tuple[int, ...]) -> bytes:
        place = f"mulligan_{len(self.known)}".encode()
        self._check(self._libpq.prepare(place, text, types))
        self.known[name, types] = place
        return place

    def rows(self, result: Any) -> list[Any]:
        self._check(result)
        if not result.nfields:
            return []
        self._loader.set_pgresult(result)
        return self._loader.load_rows(0, result.ntuples, tuple)

    def _check(self, result: Any) -> None:
        if result.status not in _GOOD:
            raise error_of(self._libpq, result, self._encoding)


def error_of(libpq: Any, result: Any, encoding: str) -> psycopg.Error:
    """Return what a result that is no good says, as the error that the driver would raise."""
    lost = libpq.status != psycopg.pq.ConnStatus.OK
    if lost and not result.error_field(psycopg.pq.DiagnosticField.SQLSTATE):
        return psycopg.OperationalError(result.error_message.decode(encoding, "replace") or "the connection was lost")
    return psycopg.errors.error_from_result(result, encoding=encoding)


def _numbered(text: str) -> tuple[bytes, tuple[str, ...]]:
    """Return a statement with $1, $2, … for its parameters, and their names in that order."""
    names: dict[str, int] = {}
    numbered = PARAMETER.sub(lambda found: f"${names.setdefault(found[1], len(names) + 1)}", text)
    return numbered.encode(), tuple(names)


def _dumped(values: list[Any]) -> tuple[tuple[int, ...], list[bytes | None]]:
    types, dumped = [], []  # type: list[int], list[bytes | None]
    for value in values:
        if value is None:
            types.append(0)
            dumped.append(None)
        elif isinstance(value, str):
            data = value.encode()
            if b"\0" in data:
                raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
            types.append(0)
            dumped.append(data)
        else:
            oid, dump = _DUMPERS[type(value)]
            types.append(oid)
            dumped.append(dump(value))
    return tuple(types), dumped
