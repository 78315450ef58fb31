"""Ends waits for a server that does not answer any more, which neither TCP nor the server's own timeouts may notice."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Protocol

LOOK_S = 1.0


class _Connection(Protocol):
    def fileno(self) -> int: ...


class Watchdog:
    """Watches statements; the socket of one that takes longer than `limit_s` is shut down, so that its wait ends in an error."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._since: dict[int, tuple[float, Any]] = {}
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    @contextlib.contextmanager
    def over(self, connection: _Connection, limit_s: float | None = None) -> Iterator[None]:
        """Watch what is done inside; `limit_s` may be infinite."""
        if self._thread is None:
            self._start()
        key = id(connection)
        self._since[key] = (time.monotonic() + (self.limit_s if limit_s is None else limit_s), connection)
        try:
            yield
        finally:
            self._since.pop(key, None)

    def close(self) -> None:
        """Watch no more; safe to call twice."""
        self._closed.set()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._work, name="mulligan-watchdog", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while not self._closed.wait(LOOK_S):
            now = time.monotonic()
            for key, (until, connection) in list(self._since.items()):
                if now > until:
                    self._since.pop(key, None)
                    _shut_down(connection)


def _shut_down(connection: _Connection) -> None:
    with contextlib.suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)  # fails where the connection was closed just now
