"""The schema of a PostgreSQL store: made at the first use, brought up to date on request, refused when it is newer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors, sql

from mulligan.core.errors import StoreBusy, StoreError, StoreForeign, StoreNewer, StoreOlder
from mulligan.store.migrating import Migrated, Migration, migrations

if TYPE_CHECKING:
    from mulligan.store.postgres import Place

_LOCK = "select pg_advisory_xact_lock(hashtext('mulligan migrate'), hashtext(%s))"
TRIES = 20
"""How often a step waits for its locks: three seconds each time, and lets others through in between."""


def bring_up(place: Place, conninfo: str, *, make: bool = True) -> None:
    """Make the schema where there is none, if it may be made; refuse one that this code does not know, or that is too old.

    Raises StoreNewer, StoreOlder, StoreForeign, StoreError.
    """
    known = migrations("postgres")
    with psycopg.connect(conninfo, autocommit=True) as connection:
        version, oldest = _version(connection, place.schema)
        newest = known[-1].number
        if version == 0 and not make:
            raise StoreError(
                f"there is no store in schema {place.schema!r} of this database yet: start with `mulligan worker FILE`, "
                "or name another database or schema"
            )
        if version == 0:
            version = _make(connection, place.schema, known)
        if version > newest and (oldest or version) > newest:
            raise StoreNewer(
                f"schema {place.schema!r} is of version {version}, this version of Mulligan knows {newest}: "
                "install the version that migrated it"
            )
        if version < newest:
            raise StoreOlder(
                f"schema {place.schema!r} is of version {version}, this version of Mulligan needs {newest}: "
                "run mulligan migrate (workers of the older version may go on meanwhile)"
            )


def migrate(
    place: Place, conninfo: str, known: Sequence[Migration] | None = None, tell: Callable[[str], None] = lambda _: None
) -> Migrated:
    """Bring a schema up to date, a step in each transaction.

    A step that does not get its locks within three seconds lets everybody else through and tries again. Raises StoreNewer, and
    StoreBusy when it tried in vain; steps that were done stay done.
    """
    known = migrations("postgres") if known is None else known
    with psycopg.connect(conninfo, autocommit=True) as connection:
        version, _ = _version(connection, place.schema)
        if version > known[-1].number:
            raise StoreNewer(f"schema {place.schema!r} is of version {version}, newer than this version of Mulligan knows")
        for each in known:
            if each.number > version:
                _patiently(connection, place.schema, each, tell)
                tell(f"{each.number:04} {each.name}: done")
        return Migrated(version, _version(connection, place.schema)[0])


def _patiently(connection: psycopg.Connection[Any], schema: str, step: Migration, tell: Callable[[str], None]) -> None:
    for attempt in range(TRIES):
        try:
            _step(connection, schema, step)
        except (errors.LockNotAvailable, errors.QueryCanceled, errors.DeadlockDetected):
            tell(f"{step.number:04} {step.name}: others hold its locks, try {attempt + 1} of {TRIES}")
            threading.Event().wait(0.2 * (attempt + 1))
        else:
            return
    raise StoreBusy(f"migration {step.number:04} {step.name} did not get its locks in {TRIES} tries: nothing of it was done")


def _step(connection: psycopg.Connection[Any], schema: str, step: Migration) -> None:
    """Do one step, unless another did it meanwhile."""
    with connection.transaction():
        connection.execute(_LOCK, (schema,))
        if connection.execute("select 1 from pg_namespace where nspname = %s", (schema,)).fetchone() is None:
            # Not `if not exists`: that needs the right to make schemas even where there is nothing to make.
            connection.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
        connection.execute(sql.SQL("set local search_path = {}").format(sql.Identifier(schema)))
        connection.execute("set local statement_timeout = 0")
        if _version(connection, schema)[0] >= step.number:
            return
        connection.execute(step.script.encode())
        values = {"schema_version": step.number, "oldest_code": step.oldest}
        for key, value in values.items():
            if value is not None:
                connection.execute(
                    "insert into meta (key, value) values (%s, %s) on conflict (key) do update set value = excluded.value",
                    (key, str(value)),
                )


def _make(connection: psycopg.Connection[Any], schema: str, known: Sequence[Migration]) -> int:
    try:
        for each in known:
            _step(connection, schema, each)
    except errors.InsufficientPrivilege as error:
        raise StoreError(
            f"there is no store in schema {schema!r} yet and this user may not make it: have it made with "
            f"`create schema {schema} authorization USER` ({error.diag.message_primary})"
        ) from error
    return _version(connection, schema)[0]


def _version(connection: psycopg.Connection[Any], schema: str) -> tuple[int, int]:
    """Return the version of a schema, 0 where there is none, and the oldest schema that code must know to run on it."""
    tables = connection.execute("select count(*) from pg_tables where schemaname = %s", (schema,)).fetchone()
    there = connection.execute(
        "select 1 from pg_tables where schemaname = %s and tablename in ('meta', 'operations') having count(*) = 2", (schema,)
    ).fetchone()
    if there is None:
        if tables and tables[0]:
            raise StoreForeign(_foreign(schema))
        return 0, 0
    query = sql.SQL("select key, value from {}.meta").format(sql.Identifier(schema))
    try:
        found = {key: value for key, value in connection.execute(query)}  # noqa: C416 - rows to a dict
        return int(found["schema_version"]), int(found.get("oldest_code", 0))
    except (errors.UndefinedColumn, KeyError, TypeError, ValueError) as error:
        raise StoreForeign(_foreign(schema)) from error


def _foreign(schema: str) -> str:
    return f"schema {schema!r} holds the tables of another program: give Mulligan a schema of its own"
