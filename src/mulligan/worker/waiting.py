"""Waits for files by the kernel's poll, and can be woken from anywhere."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Container, Sequence


class FileWaiting:
    """Implements `seams.Waiting`; a socket to itself is how others wake it."""

    def __init__(self) -> None:
        self._waker, self._wakee = socket.socketpair()
        self._waker.setblocking(False)
        self._wakee.setblocking(False)
        self._files: tuple[int, ...] = ()
        self._poll = self._watch(())

    def wait(self, files: Sequence[int], seconds: float) -> Container[int]:
        """Wait until one of the files can be read, somebody calls `wake`, or the time is over; return what can be read."""
        if self._files != tuple(files):
            self._files = tuple(files)
            self._poll = self._watch(files)
        readable = [fd for fd, _ in self._poll.poll(seconds * 1000)]
        if self._wakee.fileno() in readable:
            self._wakee.recv(64)
        return readable

    def wake(self) -> None:
        """End the wait that goes on, or the next one; may be called from a signal or a thread."""
        with contextlib.suppress(OSError):  # it is awake, or gone
            self._waker.send(b"!")

    def close(self) -> None:
        """Close the socket; safe to call twice."""
        self._waker.close()
        self._wakee.close()

    def _watch(self, files: Sequence[int]) -> select.poll:
        poll = select.poll()
        for fd in (*files, self._wakee.fileno()):
            poll.register(fd, select.POLLIN)
        return poll
