"""Hints from a server's stream that a job has ended; whoever waits looks by itself where there is no stream, and behind it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

import httpx

from mulligan.gateway.requests import Requests

AGAIN_S = 2.0
"""After so long a stream that was cut is asked for again."""
CLOSING_S = 1.0
SILENT_S = 40.0
"""A stream on which nothing comes for so long is cut; a server sends something every 15 s."""


class StreamHints:
    """Listens for the end of a job, from when somebody waits for a hint; implements `Hints`. Closed, it leaves nothing behind."""

    def __init__(self, requests: Requests, job: int) -> None:
        self.is_up = False
        """Whether the stream is open, so that an end will be told."""
        self._requests = requests
        self._job = job
        self._wakee, self._waker = socket.socketpair()
        self._wakee.setblocking(False)
        self._waker.setblocking(False)
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._cut: Callable[[], None] | None = None

    def fileno(self) -> int:
        """Return what becomes readable when it is worth looking."""
        if self._thread is None and not self._closed.is_set():
            self._thread = threading.Thread(target=self._follow, name=f"mulligan-job-{self._job}", daemon=True)
            self._thread.start()
        return self._wakee.fileno()

    def drain(self) -> None:
        """Take in the hints that have come."""
        with contextlib.suppress(BlockingIOError):
            while self._wakee.recv(4096):
                pass

    def close(self) -> None:
        """End the stream; safe to call twice."""
        self._closed.set()
        if self._cut is not None:
            self._cut()
        if self._thread is not None:
            self._thread.join(CLOSING_S)
            self._thread = None
        self._waker.close()
        self._wakee.close()

    def _follow(self) -> None:
        goes_on = True
        while goes_on and not self._closed.is_set():
            try:
                goes_on = self._listen()
            except (httpx.HTTPError, httpx.StreamError):
                goes_on = True
            finally:
                self.is_up, self._cut = False, None
            self._ring()  # from here on it is looked often again
            self._closed.wait(AGAIN_S)

    def _listen(self) -> bool:
        """Follow the stream until it is cut; returns whether to ask for it again."""
        with self._requests.stream("/api/stream", {"job": self._job, "kind": "job_ended"}, SILENT_S) as answer:
            if answer is None or answer.status_code != httpx.codes.OK:
                return answer is not None and answer.is_server_error
            self._cut = _cutting(answer)
            for line in answer.iter_lines():
                if self._closed.is_set():
                    break
                if line.startswith("event:"):  # what ended before it was open is seen by the look after its first message
                    self.is_up = True
                    self._ring()
        return True

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # there are hints enough, or it is closed
            self._waker.send(b"!")


def _cutting(answer: httpx.Response) -> Callable[[], None]:
    """Return what ends an answer that another thread reads: it wakes up from its reading."""
    found: Any = answer.extensions["network_stream"].get_extra_info("socket")

    def cut() -> None:
        with contextlib.suppress(OSError):
            found.shutdown(socket.SHUT_RDWR)

    return cut
