"""The worker's view of one child: its socket, its log, and the attempts it has."""

from __future__ import annotations

import os
import secrets
import socket
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from mulligan.sdk.ports import AMBIENT
from mulligan.worker.executors.process import wire
from mulligan.worker.executors.process.attempts import Attempt
from mulligan.worker.executors.process.logs import Splitter


class Child:
    """One child; sends without blocking, what does not fit waits in `unsent`."""

    def __init__(self, number: int, asynchronous: bool) -> None:
        self.number = number
        self.asynchronous = asynchronous
        self.pid: int | None = None
        self.ready = False
        self.gone = False
        """Whether its socket has ended."""
        self.distrusted = False
        self.log_gone = False
        self.attempts: OrderedDict[int, Attempt] = OrderedDict()
        """In the order in which a child that runs `def` tasks runs them."""
        self.load = 0.0
        """Seconds of work it holds, by estimate."""
        self.recalling = False
        self.killed_for: Attempt | None = None
        self.unfit = False
        """Whether it could not load what the worker has loaded; it ends by itself."""
        self.overdue = False
        """Whether it was killed since importing the tasks took too long."""
        self.retiring = False
        """Whether it gets nothing more, and is killed when it has nothing left."""
        self.unsent = bytearray()
        self._secret = secrets.token_hex(8)
        self._inbox = wire.Inbox()
        self.splitter = Splitter(self._secret)
        self.sock, self._theirs = socket.socketpair()
        self.sock.setblocking(False)
        self.log, self._log_end = os.pipe()
        os.set_blocking(self.log, False)

    def hand_over(self) -> tuple[int, int]:
        """Return the file descriptors that are for the child."""
        return self._theirs.fileno(), self._log_end

    def handed_over(self) -> None:
        """Close this side's copies of them."""
        self._theirs.close()
        os.close(self._log_end)

    def hello(self, load: str, sources: list[str], code: Mapping[str, str], artifacts: str) -> None:
        """Send the first frame."""
        known = [[each.reference, each.value] for each in AMBIENT.mask]
        self.send(wire.frame(wire.HELLO, self._secret, load, sources, code, artifacts, known))

    def head(self) -> Attempt | None:
        """Return the attempt that runs, or will next."""
        return next(iter(self.attempts.values()), None)

    def lives(self) -> bool:
        """Return whether it can still run attempts, as far as is known."""
        return not (self.gone or self.unfit or self.overdue or self.retiring or self.killed_for)

    def add(self, attempt: Attempt) -> None:
        """Note that it has this attempt now."""
        attempt.child = self
        self.attempts[attempt.id] = attempt
        self.load += attempt.estimate

    def remove(self, attempt: Attempt) -> None:
        """Note that it does not have this attempt any more."""
        del self.attempts[attempt.id]
        self.splitter.begun.discard(attempt.id)
        self.load = self.load - attempt.estimate if self.attempts else 0.0

    def ran(self, attempt: Attempt) -> bool:
        """Return whether the code of an attempt had begun to run when the child died.

        It may have been the one before the last that the child wrote for: it writes that the next one begins before it sends
        how the last one ended.
        """
        return attempt.started is not None if self.asynchronous else attempt.id in self.splitter.begun

    def send(self, data: bytes) -> None:
        """Send a frame, now or as soon as there is room."""
        if not self.unsent:
            try:
                sent = self.sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:  # its death is noticed elsewhere
                return
            if sent == len(data):
                return
            data = data[sent:]
        self.unsent += data

    def flush(self) -> None:
        """Send what is waiting, as far as there is room."""
        try:
            sent = self.sock.send(memoryview(self.unsent)[: wire.CHUNK])
        except BlockingIOError:
            return
        except OSError:
            self.unsent.clear()
            return
        del self.unsent[:sent]

    def receive(self) -> list[list[Any]] | None:
        """Return the frames of one read, None when there was nothing to read; sets `gone` at the end of the socket."""
        try:
            data = self.sock.recv(wire.CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            self.gone = True
            return None
        frames = self._inbox.feed(data)
        sound = wire.sound(frames)
        if len(sound) < len(frames):
            self.distrust()
        return sound

    def distrust(self) -> None:
        """Hear nothing more from it: something other than our code wrote to its socket."""
        self.gone = self.distrusted = True

    def read_log(self) -> list[tuple[int, bytes]]:
        """Return what was written to the log, each piece with its attempt: one read empties the pipe."""
        try:
            data = os.read(self.log, wire.CHUNK)
        except OSError:
            return []
        if not data:
            self.log_gone = True
            return []
        return self.splitter.feed(data)

    def close(self) -> None:
        """Close this side's files."""
        self.sock.close()
        with suppress(OSError):
            os.close(self.log)
