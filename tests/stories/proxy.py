"""A proxy before PostgreSQL that breaks connections where it hurts: round a commit, or by saying nothing any more."""

from __future__ import annotations

import random
import re
import socket
import threading
from contextlib import suppress
from typing import Literal

COMMIT = re.compile(rb"\0commit(_\d+)?\0")
"""Who has it run, prepared or not. It goes along with other statements; where it is prepared, no zero is before its name."""
Cut = Literal["before commit", "during commit", "after commit"]


class Proxy:
    """Forwards everything until it is told to do otherwise. `cuts` says how often which commits were cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._pairs: list[_Pair] = []
        self._open = threading.Event()
        self._open.set()
        self._wanted: list[Cut] = []
        self.cuts: list[Cut] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, url: str) -> str:
        """Return a server's URL, by way of this proxy."""
        return url.replace(f":{self._target}/", f":{self.port}/")

    def cut_next(self, cut: Cut, times: int = 1) -> None:
        """Cut the connection of the next transaction that commits, at this moment."""
        with self._lock:
            self._wanted += [cut] * times

    def forget(self) -> None:
        """Cut no more than has been cut."""
        with self._lock:
            self._wanted.clear()

    def go_silent(self) -> None:
        """Forward nothing any more, of old connections or new ones, and keep all of them open: a black hole."""
        self._open.clear()

    def silence_listeners(self) -> int:
        """Forward nothing any more of the connections that listen for notifications; returns how many those are."""
        with self._lock:
            listening = [each for each in self._pairs if each.listens and not each.silent]
            for each in listening:
                each.silent = True
        return len(listening)

    def listeners(self) -> int:
        """Return how many connections listen for notifications and are not silent."""
        with self._lock:
            return sum(each.listens and not each.silent for each in self._pairs)

    def go_on(self) -> None:
        """Forward again; what was silent for so long is cut, as routers do that have forgotten a connection."""
        self.cut_all()
        self._open.set()

    def cut_all(self) -> None:
        """Cut every connection there is."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for each in pairs:
            each.close()

    def close(self) -> None:
        """End."""
        self._listener.close()
        self._open.set()
        self.cut_all()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                pair = _Pair(self, client, self._target)
                with self._lock:
                    self._pairs.append(pair)
                pair.start()

    def wait_until_open(self) -> None:
        """Wait while this is a black hole."""
        self._open.wait()

    def take_wanted(self) -> Cut | None:
        """Return what shall be done to the commit that comes by."""
        with self._lock:
            if not self._wanted:
                return None
            self.cuts.append(self._wanted.pop(0))
            return self.cuts[-1]


class _Pair:
    def __init__(self, proxy: Proxy, client: socket.socket, target: int) -> None:
        self._proxy = proxy
        self._client = client
        self._target = target
        self._server: socket.socket | None = None
        self._cutting = False
        self._closed = threading.Event()
        self.listens = False
        self.silent = False

    def start(self) -> None:
        threading.Thread(target=self._forth, daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        for each in (self._client, self._server):
            if each is not None:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

    def _forth(self) -> None:
        try:
            self._proxy.wait_until_open()
            self._server = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._back, args=(self._server,), daemon=True).start()
            while data := self._client.recv(65536):
                self.listens = self.listens or b'listen "' in data
                self._wait_until_open()
                cut = self._proxy.take_wanted() if COMMIT.search(data) else None
                if cut == "before commit":
                    break
                self._cutting = cut == "after commit"
                self._server.sendall(data)
                if cut == "during commit":
                    threading.Event().wait(random.random() * 0.001)
                    break
        except OSError:
            pass
        if not self._cutting:
            self.close()

    def _back(self, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if self._cutting:  # the commit was answered, and nobody will hear of it
                    break
                self._wait_until_open()
                self._client.sendall(data)
        self.close()

    def _wait_until_open(self) -> None:
        if self.silent:
            self._closed.wait()
        self._proxy.wait_until_open()
