"""The SQLite database under the store: opening and checking the file, transactions, errors in our words."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import apsw

from mulligan.core.errors import (
    StoreBusy,
    StoreError,
    StoreForeign,
    StoreFull,
    StoreNewer,
    StoreReadOnly,
)
from mulligan.store.migrating import migrations
from mulligan.store.statements import statements

APPLICATION_ID = 0x4D554C47
"""`MULG` in the file's header tells our files from others."""
BUSY_MS = 10_000
PROGRESS_STEPS = 100_000
"""It is looked after so many steps of a statement whether it takes too long: about a millisecond."""
NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "ceph", "glusterfs"})

_OCTAL = re.compile(r"\\([0-7]{3})")
_FULL = "no room left on the disk of {}: nothing was changed; make room and try again"
_READ_ONLY = "{} cannot be written: check the rights of the file and of its folder"


class SqliteDatabase:
    """One SQLite file in WAL mode: one connection that writes and one that reads, each used by one thread at a time.

    `path` may be `:memory:`, for tests: then one connection does both.
    Raises StoreForeign, StoreNewer, StoreReadOnly, StoreBusy, StoreFull or StoreError.
    """

    dialect = "sqlite"
    at_once = False

    def __init__(self, path: str, synchronous: str = "FULL", busy_ms: int = BUSY_MS) -> None:
        self.path = self.shown = path
        self.statements = statements(self.dialect)
        self._write_lock = threading.RLock()
        self._read_lock = threading.RLock()
        self._hurt: Callable[[str], None] | None = None
        self._limit_s = self._late_at = float("inf")
        self.busy_ms = busy_ms
        with self._translated():
            _refuse_unfit_place(path)
            self._writer = _connect(path, synchronous, busy_ms)
            try:
                _prepare(self._writer, path)
                self._reader = self._writer if path == ":memory:" else _connect(path, synchronous, busy_ms)
            except BaseException:
                self._writer.close()
                raise
        if self._reader is self._writer:
            self._read_lock = self._write_lock
        else:
            self._reader.execute("pragma query_only = on")

    @contextlib.contextmanager
    def write(self) -> Iterator[None]:
        """Hold the only write transaction; commits at the end, rolls back on any exception."""
        with self._alone(), self._translated():
            try:  # from the beginning on: Ctrl-C may come the moment it has begun
                self._writer.execute("begin immediate")
                yield
                self._fail("before commit")
                self._writer.execute("commit")
            except BaseException:
                if self._writer.in_transaction:  # a full disk rolls back by itself
                    self._writer.execute("rollback")
                raise
            self._fail("after commit")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only thread that writes; StoreBusy where others of this process wait too long for the store themselves."""
        if not self._write_lock.acquire(timeout=self.busy_ms / 1000):
            raise StoreBusy(f"{self.path}: others of this process have waited for it for over {self.busy_ms / 1000:g} s")
        try:
            yield
        finally:
            self._write_lock.release()

    @contextlib.contextmanager
    def read(self, *, patient: bool = False, single: bool = False) -> Iterator[None]:  # noqa: ARG002 - spares no journey here
        """Hold one consistent snapshot for reading; `patient`: for statements that may take long."""
        with self._read_lock, self._translated():
            if self._reader.in_transaction:
                yield
                return
            try:
                self._reader.execute("begin")
                self._late_at = float("inf") if patient else time.monotonic() + self._limit_s
                yield
            finally:
                self._late_at = float("inf")
                self._end_read()

    def _end_read(self) -> None:
        if self._reader.in_transaction:
            self._reader.execute("commit")

    def in_writer(self, name: str, parameters: Mapping[str, Any]) -> list[Any]:
        """Run a named statement on the writing connection, inside `write`."""
        return self._writer.execute(self.statements[name], parameters).fetchall()

    def in_reader(self, name: str, parameters: Mapping[str, Any]) -> list[Any]:
        """Run a named statement on the reading connection, inside `read`."""
        return self._reader.execute(self.statements[name], parameters).fetchall()

    def text_in_reader(self, text: str, parameters: Mapping[str, Any]) -> list[Any]:
        """Run a composed list query on the reading connection, inside `read`."""
        return self._reader.execute(text, parameters).fetchall()

    def close(self) -> None:
        """Close both connections; safe to call twice."""
        with self._write_lock:
            self._writer.close()
        with self._read_lock:
            self._reader.close()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        path = self.path
        try:
            yield
        except apsw.NotADBError as error:
            raise StoreForeign(f"{path} is not a SQLite file: give Mulligan a file of its own") from error
        except apsw.ReadOnlyError as error:
            raise StoreReadOnly(_READ_ONLY.format(path)) from error
        except (apsw.BusyError, apsw.LockedError) as error:
            held_s = self.busy_ms / 1000
            raise StoreBusy(f"{path} was locked by another process for over {held_s:g} s: nothing was changed") from error
        except apsw.InterruptError as error:
            raise StoreBusy(f"{path}: reading took over {self._limit_s:g} s and was ended: ask for less at once") from error
        except apsw.FullError as error:
            raise StoreFull(_FULL.format(path)) from error
        except apsw.CantOpenError as error:
            raise StoreError(f"{path} cannot be opened: check the rights of the file and of its folder") from error
        except (apsw.IOError, apsw.CorruptError) as error:
            if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE:  # who only reads needs it too
                raise StoreFull(_FULL.format(path)) from error
            raise StoreError(f"{path} cannot be read or written: {error}") from error
        except apsw.ConnectionClosedError as error:
            raise StoreError(f"the store {path} was closed") from error

    def wait_at_most(self, busy_ms: int) -> None:
        """Wait so long for others who hold the store, before StoreBusy; for who has better things to do meanwhile."""
        self.busy_ms = busy_ms
        for connection in (self._writer, self._reader):
            connection.set_busy_timeout(busy_ms)

    def read_at_most(self, limit_s: float) -> None:
        """End what reads for so long, with StoreBusy, unless it is patient; for who answers many."""
        self._limit_s = limit_s
        self._reader.set_progress_handler(self._is_late, PROGRESS_STEPS)

    def _is_late(self) -> bool:
        return time.monotonic() > self._late_at

    def fail_with(self, hurt: Callable[[str], None] | None) -> None:
        """Call this before and after every commit; for tests that want a store that fails."""
        self._hurt = hurt

    def _fail(self, point: str) -> None:
        if self._hurt is not None:
            self._hurt(point)


def version_of(path: str) -> int:
    """Return the version of a file's schema, 0 where there is none; it is not changed."""
    if not Path(path).exists():
        return 0
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(connection.execute("pragma user_version").get)
    finally:
        connection.close()


def _connect(path: str, synchronous: str, busy_ms: int) -> apsw.Connection:
    connection = apsw.Connection(path, statementcachesize=256)
    connection.set_busy_timeout(busy_ms)
    if connection.readonly("main"):
        connection.close()
        raise StoreReadOnly(_READ_ONLY.format(path))
    # Else a statement that uses a partial index is prepared anew for every value bound to it, a third of a millisecond each.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.execute("pragma trusted_schema = off")
    connection.execute(f"pragma synchronous = {'NORMAL' if synchronous == 'NORMAL' else 'FULL'}")
    connection.execute("pragma cache_size = -65536")
    connection.execute("pragma temp_store = memory")
    connection.execute("pragma wal_autocheckpoint = 4000")
    connection.execute("pragma journal_size_limit = 67108864")
    return connection


def _prepare(connection: apsw.Connection, path: str) -> None:
    """Check that the file is ours and bring its schema up to date."""
    known = migrations("sqlite")
    newest = known[-1].number
    with connection:  # one snapshot, since another process may be making the schema
        version = _checked_version(connection, path, newest)
    if version == 0:  # has an effect before the file has its first page only: pages that hold nothing can be given back later
        connection.execute("pragma auto_vacuum = incremental")
    if connection.execute("pragma journal_mode").get != "wal" and path != ":memory:":
        connection.execute("pragma journal_mode = wal")
    if version == newest:
        return
    connection.execute("begin immediate")
    try:
        version = _checked_version(connection, path, newest)  # another process may have been first
        for step in known:
            if step.number > version:
                connection.execute(step.script)
        connection.execute(f"pragma application_id = {APPLICATION_ID}")
        connection.execute(f"pragma user_version = {newest}")
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _checked_version(connection: apsw.Connection, path: str, newest: int) -> int:
    application = connection.execute("pragma application_id").get
    version = int(connection.execute("pragma user_version").get)
    empty = not connection.execute("select count(*) from sqlite_schema").get
    if application != APPLICATION_ID and not (empty and application == 0):
        raise StoreForeign(f"{path} is a SQLite file of another program: give Mulligan a file of its own")
    if version > newest:
        raise StoreNewer(
            f"{path} has schema {version}, this version of Mulligan knows {newest}: install the version that made it"
        )
    return version


def _refuse_unfit_place(path: str) -> None:
    if path == ":memory:":
        return
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise StoreError(f"the folder {folder} does not exist: make it, or name another place for the store")
    if Path(path).is_dir():
        raise StoreError(f"{path} is a folder: name a file for the store")
    mounts = Path("/proc/self/mounts")  # where the kernel tells, which is Linux
    kind = file_system(os.path.realpath(folder), mounts.read_text("utf-8", "replace") if mounts.exists() else "")
    if kind in NETWORK_FILE_SYSTEMS:
        raise StoreError(f"{folder} is on a network file system ({kind}), where SQLite corrupts: use a local disk")


def file_system(folder: str, mounts: str) -> str:
    """Return the type of the file system that a folder is on, by a list of mounts; empty when the list does not tell."""
    best = ("", "")
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        place = _OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[1])
        inside = folder == place or folder.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(best[0]):
            best = (place, fields[2])
    return best[1]
