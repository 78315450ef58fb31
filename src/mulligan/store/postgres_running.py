"""Runs named statements by libpq itself: prepared once on each connection, and sent together in one journey to the server."""

from __future__ import annotations

import re
import select
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus

Connection = psycopg.Connection[Any]
Asked = tuple[str, Mapping[str, Any]]
"""The name of a statement, and its parameters."""
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

    def run(self, connection: Connection, asked: Sequence[Asked]) -> list[list[Any]]:
        """Run statements one after the other, in one journey, and return the rows of each.

        Raises psycopg.Error of the first that fails; those after it are not run. A connection is closed that was left in the
        middle of its answers.
        """
        session = self._sessions.get(connection)
        if session is None:
            session = self._sessions[connection] = _Session(connection, keep=self._keep)
        sendable = [session.sendable(name, *self._parsed[name], parameters) for name, parameters in asked]
        if len(sendable) == 1 and not sendable[0].new:
            return [session.rows(session.alone(sendable[0]))]
        try:
            results = session.together(sendable)
        except BaseException:
            connection.close()
            raise
        return [session.rows(each) for each in results]


class _Sendable(NamedTuple):
    place: bytes | None
    """The name it is prepared under, if it is."""
    text: bytes
    types: tuple[int, ...]
    values: list[bytes | None]
    new: bool
    """Whether it has to be prepared first."""


class _Session:
    """What one connection has prepared, and how its rows become values."""

    def __init__(self, connection: Connection, *, keep: bool) -> None:
        # Not the connection itself, by which it is kept.
        self._libpq = connection.pgconn
        self._encoding = connection.info.encoding
        self._loader = Transformer(connection)
        self._keep = keep
        self._known: dict[tuple[str, tuple[int, ...]], bytes] = {}
        self._named = 0

    def sendable(self, name: str, text: bytes, names: Sequence[str], parameters: Mapping[str, Any]) -> _Sendable:
        types, values = _dumped([parameters[each] for each in names])
        place, new = None, False
        if self._keep:
            place = self._known.get((name, types))
            new = place is None
            if place is None:  # what is sent after it in the same journey can count on it, or is not run
                self._named += 1
                place = self._known[name, types] = f"{name}_{self._named}".encode()
        return _Sendable(place, text, types, values, new)

    def alone(self, each: _Sendable) -> Any:
        # None is allowed among the values too.
        if each.place is None:
            return self._libpq.exec_params(each.text, each.values, each.types)
        return self._libpq.exec_prepared(each.place, each.values)  # type: ignore[arg-type]

    def together(self, sendable: Sequence[_Sendable]) -> list[Any]:
        """Return the results of statements that are sent at once: fewer than there are statements where one failed."""
        libpq = self._libpq
        libpq.enter_pipeline_mode()
        for each in sendable:
            self._queue(each)
        libpq.pipeline_sync()
        results = self._answered()
        libpq.exit_pipeline_mode()
        return self._without_preparing(sendable, results)

    def _queue(self, each: _Sendable) -> None:
        if each.place is None:
            self._libpq.send_query_params(each.text, each.values, each.types)
            return
        if each.new:
            self._libpq.send_prepare(each.place, each.text, each.types)
        self._libpq.send_query_prepared(each.place, each.values)

    def _answered(self) -> list[Any]:
        """Send what is queued, and return what comes back, up to the first failure."""
        libpq = self._libpq
        ready = select.poll()
        ready.register(libpq.socket, select.POLLIN | select.POLLOUT)
        while libpq.flush():  # reading too, or both sides would wait for the other to read
            ready.poll()
            libpq.consume_input()
        ready.modify(libpq.socket, select.POLLIN)
        results: list[Any] = []
        while True:
            while libpq.is_busy():  # libpq's own wait would keep all other threads waiting
                ready.poll()
                libpq.consume_input()
            result = libpq.get_result()
            if libpq.status != ConnStatus.OK:
                raise psycopg.OperationalError("the connection was lost") if result is None else self._error(result)
            if result is None:  # the end of what one statement returned
                continue
            if result.status == ExecStatus.PIPELINE_SYNC:
                break
            if result.status != ExecStatus.PIPELINE_ABORTED:
                results.append(result)
        return results

    def _without_preparing(self, sendable: Sequence[_Sendable], results: Sequence[Any]) -> list[Any]:
        """Leave out what came back of preparing, unless that is what failed; forget the names of what was not prepared."""
        left, kept = iter(results), []
        for each in sendable:
            result = next(left, None)
            if each.new and result is not None and result.status in _GOOD:
                result = next(left, None)
            elif each.new:
                self._known = {key: place for key, place in self._known.items() if place != each.place}
            if result is not None:
                kept.append(result)
        return kept

    def rows(self, result: Any) -> list[Any]:
        self._check(result)
        if not result.nfields:
            return []
        self._loader.set_pgresult(result)
        return self._loader.load_rows(0, result.ntuples, tuple)

    def _check(self, result: Any) -> None:
        if result.status not in _GOOD:
            raise self._error(result)

    def _error(self, result: Any) -> psycopg.Error:
        return error_of(self._libpq, result, self._encoding)


def run_simple(connection: Connection, text: str) -> None:
    """Run statements without parameters or rows in one journey, outside of what psycopg keeps of a transaction."""
    result = connection.pgconn.exec_(text.encode())
    if result.status not in _GOOD:
        raise error_of(connection.pgconn, result, connection.info.encoding)


def error_of(libpq: Any, result: Any, encoding: str) -> psycopg.Error:
    """Return what a result that is no good says, as the error that the driver would raise."""
    lost = libpq.status != ConnStatus.OK
    if lost and not result.error_field(DiagnosticField.SQLSTATE):
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
