"""The worker's line to its forkserver: asks for children, signals them, and hears of their births and deaths."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import NamedTuple

from mulligan.sdk.paths import library_first
from mulligan.worker.executors.process.wire import EXITED, FORK, KILL, REPLY, REQUEST

# Nothing but what is built in may be imported before the path is in order: users' files lie on the one it starts with.
_START = (
    "import sys; sys.path[:] = sys.argv[1].split(chr(0x1F)); "
    "from mulligan.worker.executors.process.forkserver import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)


class Fate(NamedTuple):
    """What became of a child: born, or ended with a wait status (without one when the forkserver died with it)."""

    number: int
    pid: int
    ended: bool
    status: int | None


class Nursery:
    """A forkserver and the way to ask it. Nothing here waits for it but `close`."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        lifeline, self._life = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, "\x1f".join(library_first(sys.path)), str(theirs.fileno()), str(lifeline)],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), lifeline),
                start_new_session=True,  # Ctrl-C is for the worker alone
            )
        except BaseException:
            self._control.close()
            os.close(self._life)
            raise
        finally:
            theirs.close()
            os.close(lifeline)
        self._control.setblocking(False)
        self._alive: dict[int, int] = {}
        self._asked: set[int] = set()
        self._buffer = b""
        self._gone = False

    @property
    def pid(self) -> int:
        """Process id of the forkserver."""
        return self._process.pid

    def fileno(self) -> int:
        """Return the file descriptor that becomes readable when there are fates to read."""
        return self._control.fileno()

    def fork(self, number: int, asynchronous: bool, wire: int, log: int) -> None:
        """Ask for a child that serves the socket `wire` and writes to the pipe `log`."""
        self._asked.add(number)
        with suppress(OSError):  # a dead forkserver is noticed on reading
            socket.send_fds(self._control, [REQUEST.pack(FORK, asynchronous, number)], [wire, log])

    def kill(self, number: int, signum: int) -> None:
        """Signal the process group of a child, as soon as it is born."""
        if number in self._asked:
            with suppress(OSError):
                self._control.send(REQUEST.pack(KILL, signum, number))

    def fates(self) -> list[Fate]:
        """Return what became of children; when the forkserver has died, `gone` is set and all its children are killed."""
        with suppress(BlockingIOError):
            while not self._gone:
                try:
                    data = self._control.recv(65536)
                except ConnectionError:
                    data = b""
                if not data:
                    return self._parse() + self._orphans()
                self._buffer += data
        return self._parse()

    @property
    def gone(self) -> bool:
        """Whether the forkserver has died."""
        return self._gone

    def close(self, patience_s: float = 2.0) -> int:
        """Have all children killed and reaped, and wait until the forkserver has ended; return its exit code."""
        if self._control.fileno() < 0:
            return self._process.wait()
        self.fates()  # the births that were not heard of yet
        self._control.close()
        os.close(self._life)
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
        code = self._process.wait()
        if code:  # it did not get to kill what it had, nor what dead children have left
            self._kill_all()
        return code

    def _parse(self) -> list[Fate]:
        fates = []
        whole = len(self._buffer) // REPLY.size * REPLY.size
        for what, number, pid, status in REPLY.iter_unpack(self._buffer[:whole]):
            ended = what == EXITED
            if ended:
                self._asked.discard(number)
                self._alive.pop(number, None)
            else:
                self._alive[number] = pid
            fates.append(Fate(number, pid, ended, status if ended else None))
        self._buffer = self._buffer[whole:]
        return fates

    def _orphans(self) -> list[Fate]:
        self._gone = True
        self._kill_all()
        fates = [Fate(number, self._alive.get(number, 0), True, None) for number in sorted(self._asked)]
        self._asked.clear()
        self._alive.clear()
        return fates

    def _kill_all(self) -> None:
        for pid in self._alive.values():
            with suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
