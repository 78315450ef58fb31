"""Ends waits for a server that does not answer any more, which neither TCP nor the server's own timeouts may notice."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Protocol
from weakref import WeakKeyDictionary

LOOK_S = 0.5
SUSPECT_S = 1.0
"""How long one may take that was at rest when another did not answer: most likely it goes the same way."""


class _Connection(Protocol):
    def fileno(self) -> int: ...


class Watchdog:
    """Watches statements; the socket of one that takes longer than `limit_s` is shut down, so that its wait ends in an error.

    Many connections may be at rest when the server falls silent. Each of them would cost whoever takes it the whole limit.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._since: dict[int, tuple[float, Any, bool]] = {}
        self._answered: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        self._silent = float("-inf")
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    @contextlib.contextmanager
    def over(self, connection: _Connection, limit_s: float | None = None) -> Iterator[None]:
        """Watch what is done inside; `limit_s` may be infinite."""
        if self._thread is None:
            self._start()
        key = id(connection)
        now = time.monotonic()
        # One that was never used may have been made just before the silence, or since: for a while it is taken for the former.
        suspect = limit_s is None and self._answered.get(connection, now - self.limit_s) < self._silent
        if limit_s is None:
            limit_s = SUSPECT_S if suspect else self.limit_s
        self._since[key] = (now + limit_s, connection, suspect)
        try:
            yield
        finally:
            self._since.pop(key, None)
            self._answered[connection] = time.monotonic()

    def close(self) -> None:
        """Watch no more; safe to call twice."""
        self._closed.set()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._work, name="mulligan-watchdog", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while not self._closed.wait(LOOK_S):
            now = time.monotonic()
            for key, (until, connection, suspect) in list(self._since.items()):
                if now > until:
                    self._since.pop(key, None)
                    if not suspect:  # else a server that is only slow would make each new connection suspect
                        self._silent = now
                    _shut_down(connection)


def _shut_down(connection: _Connection) -> None:
    with contextlib.suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)  # fails where the connection was closed just now
