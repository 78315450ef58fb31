"""How processes on one PostgreSQL notice each other: a lock that dies with its session, and notifications as hints."""

from __future__ import annotations

import contextlib
import os
import random
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg

from mulligan.core.errors import StoreError
from mulligan.store.interface import Audience
from mulligan.store.postgres import PostgresDatabase

PING_S = 3.0
"""How often a session that hears nothing is asked whether it still lives."""
APART_S = 0.5
"""A lock counts as free when it was free on two looks so far apart, with no restart of the server in between."""
QUIET = 5.0
"""A session notifies nobody for this many times as long as the last notification took: so they take a sixth of it at most. Each
takes a lock of the whole database when it commits, and where many wait for that, all of them become rarer."""
LONGEST_PAUSE_S = 2.0

_LOOK = """
select pg_postmaster_start_time()::text, exists (
    select 1 from pg_locks where locktype = 'advisory' and granted and objsubid = 1
        and database = (select oid from pg_database where datname = current_database())
        and classid = (cast(:key as bigint) >> 32)::oid and objid = (cast(:key as bigint) & 4294967295)::oid)"""


class PostgresPresence:
    """Who is alive, and hints that it is worth looking. Behind a pooler in transaction mode there is neither."""

    certain = False
    """A free lock may only mean that its owner's session was lost, and will be there again in a moment."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._sessions = not database.place.transaction_pooler
        self._session: Session | None = None
        self._lock = threading.Lock()
        self._free: dict[str, tuple[float, str]] = {}

    def lock(self, instance: str) -> PostgresLock:
        """Take the lock of a worker instance; the server frees it when the session of this process is gone."""
        if not self._sessions:
            return PostgresLock("", None)
        key = int(instance[:15], 16)
        session = self._open()
        session.hold(key)
        return PostgresLock(f"advisory:{key}", lambda: session.let_go(key))

    def is_free(self, lock: str) -> bool:
        """Return whether nobody has held a worker's lock for a while, for other reasons than a restart of the server."""
        if not lock:
            return False
        with self._database.read():
            (found,) = self._database.text_in_reader(_LOOK, {"key": int(lock.removeprefix("advisory:"))})
            started, held = found
        if held:
            self._free.pop(lock, None)
            return False
        now = time.monotonic()
        since, then = self._free.setdefault(lock, (now, started))
        if then != started:
            self._free[lock] = (now, started)
            return False
        return now - since >= APART_S

    def forget(self, lock: str) -> None:
        """Forget what was seen of the lock of a worker that is lost."""
        self._free.pop(lock, None)

    def listen(self, audience: Audience) -> PostgresListener | None:
        """Listen for hints; the listener's `fileno` becomes readable when there is one."""
        if not self._sessions:
            return None
        session = self._open()
        listener = PostgresListener(lambda gone: session.leave(self._channel(audience), gone))
        session.join(self._channel(audience), listener)
        return listener

    def wake_workers(self) -> None:
        """Hint to all workers that there is something to do."""
        if self._sessions:
            self._open().notify(self._channel("worker"))

    def wake_waiters(self) -> None:
        """Hint to all who wait for a job that one has ended."""
        if self._sessions:
            self._open().notify(self._channel("waiter"))

    def close(self) -> None:
        """End the session, which frees its locks; safe to call twice."""
        with self._lock:
            if self._session is not None:
                self._session.close()

    def _channel(self, audience: Audience) -> str:
        return f"{self._database.place.schema}.{audience}"

    def _open(self) -> Session:
        with self._lock:
            if self._session is None or self._session.pid != os.getpid():
                self._session = Session(self._database)
            return self._session


class Session:
    """A session that is kept for as long as it is wanted, in a thread of its own; when it is lost, another takes its place.

    What it holds and listens to is taken up again at once, and everybody who listens is told to look: hints may have been lost.
    """

    def __init__(self, database: PostgresDatabase) -> None:
        self.pid = os.getpid()
        self._database = database
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._keys: dict[int, bool] = {}
        self._listeners: dict[str, list[PostgresListener]] = {}
        self._new_channels: set[str] = set()
        self._notices: set[str] = set()
        self._dropped: list[int] = []
        self._closed = False
        self._quiet_until = 0.0
        self._connection: psycopg.Connection[Any] | None = None
        self._waker, self._wakee = socket.socketpair()
        self._waker.setblocking(False)
        self._wakee.setblocking(False)
        self._thread = threading.Thread(target=self._work, name="mulligan-session", daemon=True)
        self._thread.start()

    def hold(self, key: int, patience_s: float = 10.0) -> None:
        """Take an advisory lock, and wait until it is held; raises StoreError when that takes too long."""
        with self._changed:
            self._keys[key] = False
            self._wake()
            if not self._changed.wait_for(lambda: self._keys.get(key), patience_s):
                del self._keys[key]
                raise StoreError(f"the worker's lock could not be taken within {patience_s:g} s")

    def let_go(self, key: int) -> None:
        """Free an advisory lock."""
        with self._changed:
            if self._keys.pop(key, None) is not None:
                self._dropped.append(key)
                self._wake()
                self._changed.wait_for(lambda: not self._dropped or self._connection is None, 1.0)

    def join(self, channel: str, listener: PostgresListener) -> None:
        """Hint to a listener whenever somebody notifies a channel."""
        with self._lock:
            if channel not in self._listeners:
                self._new_channels.add(channel)
            self._listeners.setdefault(channel, []).append(listener)
        self._wake()

    def leave(self, channel: str, listener: PostgresListener) -> None:
        """Hint to it no more."""
        with self._lock, contextlib.suppress(KeyError, ValueError):
            self._listeners[channel].remove(listener)

    def notify(self, channel: str) -> None:
        """Notify a channel soon."""
        with self._lock:
            self._notices.add(channel)
        self._wake()

    def close(self) -> None:
        """End, after what is still to be told; safe to call twice."""
        self._closed = True
        self._wake()
        if self._thread is not threading.current_thread():
            self._thread.join(2.0)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it is awake, or gone
            self._waker.send(b"!")

    def _work(self) -> None:
        pause_s = 0.0
        while not self._closed:
            try:
                connection = self._database.connect()
            except StoreError:
                pause_s = min(LONGEST_PAUSE_S, max(0.05, pause_s * 2))
                select.select([self._wakee], [], [], pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - so that not all come at once
                self._drain()
                continue
            try:
                self._serve(connection)
            except (psycopg.Error, OSError):
                pause_s = 0.0
            finally:
                self._lose(connection)
        self._waker.close()
        self._wakee.close()

    def _serve(self, connection: psycopg.Connection[Any]) -> None:
        with self._lock:
            self._connection = connection
            self._new_channels = set(self._listeners)
            self._keys = dict.fromkeys(self._keys, False)
            self._dropped.clear()
        connection.add_notify_handler(lambda notice: self._hint(notice.channel))
        self._do(connection)
        self._hint(None)
        while True:
            closing = self._closed
            self._do(connection)
            if closing:
                return
            quiet_s = max(0.0, self._quiet_until - time.monotonic()) if self._notices else PING_S
            ready, _, _ = select.select([connection.fileno(), self._wakee.fileno()], [], [], min(quiet_s, PING_S))
            self._drain()
            if connection.fileno() in ready:
                connection.pgconn.consume_input()
            elif not ready and quiet_s >= PING_S:
                self._run(connection, "select 1")
            self._hear(connection)

    def _do(self, connection: psycopg.Connection[Any]) -> None:
        """Do what was asked for: locks first, since others look at them."""
        with self._lock:
            missing = [key for key, held in self._keys.items() if not held]
            dropped, channels, self._new_channels = list(self._dropped), self._new_channels, set()
            notices: set[str] = set()
            if self._closed or time.monotonic() >= self._quiet_until:
                notices, self._notices = self._notices, set()
        for key in missing:
            held = bool(self._run(connection, "select pg_try_advisory_lock(%s)", key))
            with self._changed:
                if key in self._keys:
                    self._keys[key] = held
                self._changed.notify_all()
        for key in dropped:
            self._run(connection, "select pg_advisory_unlock(%s)", key)
            with self._changed:
                self._dropped.remove(key)
                self._changed.notify_all()
        for channel in sorted(channels):
            self._run(connection, f'listen "{channel}"')
        began = time.monotonic()
        for channel in sorted(notices):
            self._run(connection, f'notify "{channel}"')
        if notices:
            ended = time.monotonic()
            self._quiet_until = ended + QUIET * (ended - began)

    def _run(self, connection: psycopg.Connection[Any], text: str, *values: int) -> Any:
        with self._database.watchdog.over(connection):
            cursor = connection.execute(text.encode(), values or None)
        return cursor.fetchone()[0] if cursor.description else None  # type: ignore[index]  # every query here has a row

    def _hear(self, connection: psycopg.Connection[Any]) -> None:
        while (notice := connection.pgconn.notifies()) is not None:
            self._hint(notice.relname.decode())

    def _hint(self, channel: str | None) -> None:
        """Hint to the listeners of a channel, or to all."""
        with self._lock:
            for name, listeners in self._listeners.items():
                if channel in (None, name):
                    for each in listeners:
                        each.hint()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wakee.recv(4096):
                pass

    def _lose(self, connection: psycopg.Connection[Any]) -> None:
        with self._changed:
            self._connection = None
            self._changed.notify_all()
        with contextlib.suppress(psycopg.Error):
            connection.close()


class PostgresLock:
    """The lock of a worker; its `path` is what others look for it by."""

    def __init__(self, path: str, release: Callable[[], None] | None) -> None:
        self.path = path
        self._release = release

    def release(self, keep_file: bool = False) -> None:  # noqa: ARG002 - there is no file; a lock that is free says the same
        """Free the lock; safe to call twice."""
        if self._release is not None:
            self._release()
            self._release = None


class PostgresListener:
    """A socket that becomes readable when somebody hints."""

    def __init__(self, leave: Callable[[PostgresListener], None]) -> None:
        self._leave = leave
        self._sender, self._receiver = socket.socketpair()
        self._sender.setblocking(False)
        self._receiver.setblocking(False)

    def fileno(self) -> int:
        """Return the file descriptor to wait on."""
        return self._receiver.fileno()

    def hint(self) -> None:
        """Make it readable."""
        with contextlib.suppress(OSError):  # it is readable already, or closed
            self._sender.send(b"!")

    def drain(self) -> None:
        """Take all hints."""
        with contextlib.suppress(BlockingIOError):
            while self._receiver.recv(4096):
                pass

    def close(self) -> None:
        """Listen no more; safe to call twice."""
        self._leave(self)
        self._sender.close()
        self._receiver.close()
