"""The PostgreSQL database under the store: connections, transactions, commits whose answer was lost, errors in our words."""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8Dumper
from psycopg_pool import ConnectionPool, PoolTimeout

from mulligan.core.errors import ConfigError, StoreAway, StoreBusy, StoreError, StoreFull, StoreReadOnly, StoreUnsure
from mulligan.store.postgres_running import PARAMETER, Asked, Prepared
from mulligan.store.postgres_schema import bring_up
from mulligan.store.postgres_transaction import Answer, Lending, Transaction
from mulligan.store.statements import statements
from mulligan.store.watchdog import Watchdog

OLDEST = 140_000
"""Server versions from 14 on."""
WAIT_S = 10.0
"""How long to wait for a connection before StoreAway."""
UNSURE_S = 30.0
"""How long to look for what became of a commit whose answer was lost, by who has nothing better to do."""
STATEMENT_S = 5
TIMEOUTS = {
    "statement_timeout": f"{STATEMENT_S}s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "10s",
}
PLANNERS = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_bitmapscan", "enable_material", "enable_sort")
SETTINGS = {
    "synchronous_commit": "on",  # whatever the server's default: a claim that is forgotten may start something twice
    "plan_cache_mode": "force_generic_plan",
    # The statements are written for their indexes. Statistics of a queue are always out of date, and a plan that goes by them
    # reads what grows with history.
    **dict.fromkeys(PLANNERS, "off"),
    "jit": "off",
}
_CONNECTION = re.compile(r'^connection failed: connection to server at "[^"]*"(?: \([^)]*\))?, port \d+ failed: (?:FATAL: +)?')
"""What the driver says before the reason: where the server is, which we say ourselves."""
logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())  # what it would print where no logging is set up, we say
CLOCK = "select (extract(epoch from clock_timestamp()) * 1000)::bigint"
BEGIN_OPERATION = "insert into operations values (:id, (extract(epoch from clock_timestamp()) * 1000)::bigint)"
"""By the server's clock, by which operations are removed too: those of a machine whose clock is wrong stay as long as others.

It fails where the id is there already: then somebody has been told that this transaction was not committed.
"""
ADD_OPERATION = BEGIN_OPERATION + " on conflict do nothing returning 1"
Hurt = Callable[[str], None]


class Place(NamedTuple):
    """Where a store is: a connection string, and the schema that holds its tables."""

    url: str
    schema: str = "mulligan"
    transaction_pooler: bool = False
    """Whether a pooler in transaction mode is in between: then nothing may be kept in a session."""


class PostgresDatabase:
    """A schema in a PostgreSQL database, reached by a pool of connections; used by any number of threads.

    Raises StoreAway when it cannot be reached, StoreBusy when others hold what is needed for too long, StoreUnsure when it went
    away in the middle of a commit and did not come back to tell what became of it; StoreNewer, StoreReadOnly, StoreFull.
    """

    dialect = "postgres"
    at_once = True

    def __init__(self, place: Place, pool_size: int = 10, wait_s: float = WAIT_S, *, make: bool = True) -> None:
        self.place = place
        self.shown = shown(place)
        self.wait_s = wait_s
        self._unsure_s = UNSURE_S
        self._unsure: set[uuid.UUID] = set()
        """Operations of which nobody could say yet whether they were committed."""
        self._pooler = place.transaction_pooler
        self._local = threading.local()
        self._hurt: Hurt | None = None
        self.watchdog = Watchdog(STATEMENT_S + 1.0)
        self._pool = ConnectionPool(
            conninfo(place),
            kwargs={"autocommit": True, "prepare_threshold": None if self._pooler else 0},
            min_size=1,
            max_size=pool_size,
            timeout=wait_s,
            reconnect_timeout=8.0,  # after that the next one who wants a connection has it tried again at once
            configure=_configure,
            open=False,
            name="mulligan",
        )
        # Behind a pooler in transaction mode a session's settings are somebody else's: they are set anew each time.
        self._settings: list[Asked] = [("settings", {})] if self._pooler else []
        prepared = Prepared(statements(self.dialect) | _beginnings(place), keep=not self._pooler)
        self._lending = Lending(self._pool, prepared, self.watchdog)
        try:
            with self._translated():
                bring_up(place, conninfo(place), make=make)
                self._pool.open(wait=True, timeout=wait_s)
        except BaseException:
            self.close()
            raise

    def connect(self) -> psycopg.Connection[Any]:
        """Return a connection outside the pool, for a session that is kept: a lock, a listener."""
        with self._translated():
            connection = psycopg.connect(conninfo(self.place), autocommit=True)
            _configure(connection)
            return connection

    @contextlib.contextmanager
    def write(self) -> Iterator[None]:
        """Hold a write transaction; commits at the end, rolls back on any exception.

        What is run in it is sent when the rows of something are asked for, with all that was run before, or together with the
        commit.
        """
        operation = uuid.uuid4()
        transaction = Transaction(self._lending, self._beginning(operation), self.wait_s)
        with self._translated():
            self._make_sure()
            self._local.writer = transaction
            try:
                yield
                self._refuse_failed(transaction)
                self._fail("before commit")
            except BaseException:
                transaction.end()
                raise
            finally:
                self._local.writer = None
            self._commit(transaction, operation)
            self._fail("after commit")

    @contextlib.contextmanager
    def read(self, *, patient: bool = False, single: bool = False) -> Iterator[None]:
        """Hold one consistent snapshot for reading; `patient`: for statements that may take long.

        `single`: for one statement, which needs no transaction around it. So the journey that ends one is spared.
        """
        if getattr(self._local, "reader", None) is not None:
            yield
            return
        begin: list[Asked] = [("begin_read", {}), *self._settings, *([("patient", {})] if patient else [])]
        if single and not self._settings:
            begin = []
        transaction = Transaction(self._lending, begin, self.wait_s, float("inf") if patient else None)
        with self._translated():
            self._local.reader = transaction
            try:
                yield
            finally:
                self._local.reader = None
                transaction.end()

    def in_writer(self, name: str, parameters: Mapping[str, Any]) -> Answer:
        """Run a named statement inside `write`."""
        writer: Transaction = self._local.writer
        return writer.ask(name, parameters)

    def in_reader(self, name: str, parameters: Mapping[str, Any]) -> Answer:
        """Run a named statement inside `read`."""
        reader: Transaction = self._local.reader
        return reader.ask(name, parameters)

    def text_in_reader(self, text: str, parameters: Mapping[str, Any]) -> list[Any]:
        """Run a composed list query inside `read`."""
        reader: Transaction = self._local.reader
        return reader.text(translated(text), parameters)

    def now_ms(self) -> int:
        """Return the server's time in milliseconds since 1970 UTC."""
        with self._translated():
            asked = time.monotonic()
            found = int(self._alone(CLOCK, {})[0][0])
            return found + round((time.monotonic() - asked) * 500)

    def wait_at_most(self, busy_ms: int) -> None:
        """Wait so long for a connection before StoreAway, for certainty before StoreUnsure; for who has better things to do."""
        self.wait_s = self._unsure_s = busy_ms / 1000

    def read_at_most(self, limit_s: float) -> None:
        """Do nothing: here a statement has its limit anyway."""

    def fail_with(self, hurt: Hurt | None) -> None:
        """Call this before and after every commit; for tests that want a store that fails."""
        self._hurt = hurt

    def close(self) -> None:
        """Close all connections; safe to call twice."""
        self._pool.close()
        self.watchdog.close()

    def _alone(self, text: str, parameters: Mapping[str, Any]) -> list[Any]:
        """Run a statement by itself, on any connection."""
        connection = self._pool.getconn(self.wait_s)
        try:
            with self.watchdog.over(connection):
                return connection.execute(translated(text).encode(), parameters).fetchall()
        finally:
            self._pool.putconn(connection)

    def _refuse_failed(self, transaction: Transaction) -> None:
        """Refuse to commit what would be a silent rollback."""
        if transaction.failed:
            raise StoreError(f"{self.shown}: a statement failed and was passed over: nothing was changed")

    def _beginning(self, operation: uuid.UUID) -> list[Asked]:
        return [("begin", {}), *self._settings, ("add_operation", {"id": operation})]

    def _commit(self, transaction: Transaction, operation: uuid.UUID) -> None:
        """Commit. One that went in one journey, on a connection that was lost while nobody used it, is sent on the next."""
        for _ in range(self._pool.max_size + 1):
            try:
                committed = transaction.idle or transaction.commit()
            finally:
                transaction.end()
            if committed or self._was_committed(operation):
                return
            if not transaction.whole:
                break
            operation = uuid.uuid4()
            transaction.renew(self._beginning(operation))
        raise StoreAway(f"{self.shown}: the connection was lost before the commit: nothing was changed")

    def _make_sure(self) -> None:
        """Settle first what became of commits that were given up: one that came late would be in the way of what follows."""
        for operation in list(self._unsure):
            self._add(operation)
            self._unsure.discard(operation)

    def _was_committed(self, operation: uuid.UUID) -> bool:
        """Look for what became of a commit whose answer was lost, on another connection, until it is certain.

        Raises StoreUnsure when that takes too long; then it is made certain before anything else is written.
        """
        until = time.monotonic() + self._unsure_s
        while True:
            try:
                return not self._add(operation)
            except (psycopg.OperationalError, PoolTimeout) as error:
                if time.monotonic() > until:
                    self._unsure.add(operation)
                    raise StoreUnsure(
                        f"{self.shown}: it went away during a commit and did not come back for {self._unsure_s:g} s: what was "
                        "asked for may have been stored or not; look before you ask again"
                    ) from error
                threading.Event().wait(0.1)

    def _add(self, operation: uuid.UUID) -> bool:
        """Add an operation's id, unless it is there; returns whether it was not.

        That waits for the transaction of a lost connection, should it still be at work, and finds the id there if it was
        committed. If not, the id that is there now keeps it from being committed later.
        """
        # Behind a pooler no path to the schema is set outside a transaction.
        text = ADD_OPERATION.replace("operations", f'"{self.place.schema}".operations')
        return bool(self._alone(text, {"id": operation}))

    def _translated(self) -> contextlib.AbstractContextManager[None]:
        return in_our_words(self.shown)

    def _fail(self, point: str) -> None:
        if self._hurt is not None:
            self._hurt(point)


@contextlib.contextmanager
def in_our_words(shown: str) -> Iterator[None]:
    """Raise errors of the driver as those of a store, which say where it is."""
    try:
        yield
    except (errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable, errors.QueryCanceled) as error:
        raise StoreBusy(f"{shown}: others held what was needed for too long: nothing was changed") from error
    except (errors.DiskFull, errors.OutOfMemory) as error:
        raise StoreFull(f"{shown} has no room left: nothing was changed; make room and try again ({error})") from error
    except errors.InsufficientPrivilege as error:
        raise StoreReadOnly(f"{shown}: this user may not do that: {_first_line(error)}") from error
    except errors.ReadOnlySqlTransaction as error:
        raise StoreReadOnly(f"{shown} cannot be written: {_first_line(error)}") from error
    except PoolTimeout as error:
        raise StoreAway(f"{shown} cannot be reached: {error}") from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise StoreAway(f"{shown} cannot be reached: {_CONNECTION.sub('', _first_line(error))}; nothing was changed") from error
    except errors.UndefinedTable as error:
        raise StoreError(f"{shown} has no tables of Mulligan: {_first_line(error)}; run mulligan migrate") from error


def _beginnings(place: Place) -> dict[str, str]:
    """Return the statements that a transaction begins with, by name."""
    settings = {**TIMEOUTS, **SETTINGS, "search_path": place.schema}
    patient = {"statement_timeout": "0", **dict.fromkeys(PLANNERS, "on")}
    return {
        "begin": "begin",
        "begin_read": "begin isolation level repeatable read read only",
        "add_operation": BEGIN_OPERATION,
        "commit": "commit",
        "settings": _set_local(settings),
        "patient": _set_local(patient),
    }


def _set_local(values: Mapping[str, str]) -> str:
    return "select " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in values.items())


@functools.cache
def translated(text: str) -> str:
    """Return a statement with its parameters as the driver wants them."""
    return PARAMETER.sub(r"%(\1)s", text.replace("%", "%%"))


def conninfo(place: Place) -> str:
    """Return the connection string with all that a connection of ours has: timeouts, plans, its schema."""
    given = _parsed(place.url)
    values: dict[str, Any] = {
        "application_name": "mulligan",
        "connect_timeout": 5,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        "target_session_attrs": "read-write",
        **given,
    }
    if not place.transaction_pooler:
        options = {**TIMEOUTS, **SETTINGS, "search_path": place.schema}
        asked = str(given.get("options", ""))
        values["options"] = " ".join([*(f"-c {name}={value}" for name, value in options.items()), asked]).strip()
    return make_conninfo(**values)


def shown(place: Place) -> str:
    """Return where a store is, without the password, for messages."""
    found = _parsed(place.url)
    where = f"{found.get('host', 'localhost')}:{found.get('port', 5432)}/{found.get('dbname', '')}"
    return f"postgresql://{where}" + ("" if place.schema == "mulligan" else f" (schema {place.schema})")


def _parsed(url: str) -> dict[str, Any]:
    """Return the parts of a URL; what the driver says of a wrong one may hold the password, but for the name of a parameter."""
    try:
        found = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        unknown = re.search(r'invalid URI query parameter: "(\w+)"', str(error))
        wrong = f"there is no parameter {unknown[1]!r}" if unknown else "it cannot be read"
        raise ConfigError(f"database: {wrong}; expected postgresql://user:password@host:port/name?parameter=value") from None
    if "@" in str(found.get("dbname", "")):  # then what stands for a host and a name is the rest of a password
        raise ConfigError("database: an @ or a / in the password must be written as %40 or %2F")
    return found


def _configure(connection: psycopg.Connection[Any]) -> None:
    # One type for all numbers: else each size of a number is another prepared statement.
    connection.adapters.register_dumper(int, Int8Dumper)
    connection.prepared_max = 500
    if connection.info.server_version < OLDEST:
        raise StoreError(f"PostgreSQL {connection.info.server_version // 10_000} is too old: Mulligan needs 14 or newer")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
