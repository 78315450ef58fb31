"""The process that forks children: small, single-threaded, started fresh, so it never holds a lock, the store or users' code.

It alone signals children and reaps them. So a signal never meets a stranger who was given the process id of a dead child.
Should it die itself, the worker kills the groups that it was told of; no child does anything before the worker was.
"""

from __future__ import annotations

import ctypes
import gc
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

from mulligan.worker.executors.process import child
from mulligan.worker.executors.process.wire import EXITED, FORK, FORKED, REPLY, REQUEST

_PRELOAD = (
    "logging",
    "pydantic.json_schema",
    "pydantic.types",
    "mulligan.sdk.context",
    "mulligan.sdk.digest",
    "mulligan.sdk.facts",
    "mulligan.sdk.loading",
    "mulligan.sdk.signature",
    "mulligan.sdk.submitting",
    "mulligan.sdk.values",
)
_PR_SET_CHILD_SUBREAPER = 36


def main(control: int, lifeline: int) -> None:
    """Serve the worker at the other end of `control` until it is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    _warm_up()
    with suppress(OSError, AttributeError):  # Linux: orphans of a killed group are reaped here, whatever process 1 does
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    gc.collect()
    gc.freeze()
    Forkserver(socket.socket(fileno=control), lifeline).serve()


def _warm_up() -> None:
    """Import once what every child needs; pydantic imports most of itself only when the first type is looked at."""
    for name in _PRELOAD:
        with suppress(ImportError):  # whoever needs it will say so better
            import_module(name)
    with suppress(ImportError):
        from pydantic import TypeAdapter

        TypeAdapter(dict[str, int])


class Forkserver:
    """Forks, signals, reaps and reports."""

    def __init__(self, control: socket.socket, lifeline: int) -> None:
        self._control = control
        self._lifeline = lifeline
        self._children: dict[int, int] = {}
        self._wake, wake = socket.socketpair()
        self._wake.setblocking(False)
        wake.setblocking(False)
        self._wake_sender = wake
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Work until the worker's end is closed, then leave no child behind."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._wake.fileno() in ready:
                with suppress(BlockingIOError):
                    self._wake.recv(4096)
                self._reap()
            if self._control.fileno() in ready and not self._request():
                break
        for pid in self._children:
            _kill_group(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while self._children:
                self._children.pop(os.waitpid(-1, 0)[0], None)

    def _request(self) -> bool:
        data, files = b"", []
        try:
            while len(data) < REQUEST.size:
                part, rights, _, _ = socket.recv_fds(self._control, REQUEST.size - len(data), 2)
                files += rights
                if not part:
                    return False
                data += part
        except ConnectionError:
            return False
        what, argument, number = REQUEST.unpack(data)
        if what == FORK:
            self._fork(number, bool(argument), files)
        else:
            for pid, each in self._children.items():
                if each == number:
                    _kill_group(pid, argument)
        return True

    def _fork(self, number: int, asynchronous: bool, files: list[int]) -> None:
        pipe: tuple[int, ...] = ()
        try:
            told, tell = pipe = os.pipe()
            pid = os.fork()
        except OSError as error:
            for fd in (*files, *pipe):
                os.close(fd)
            self._reply(EXITED, number, 0, error.errno or 0)
            return
        if pid == 0:
            os.close(tell)
            self._become_child(asynchronous, files, told)
        for fd in (*files, told):
            os.close(fd)
        self._children[pid] = number
        self._reply(FORKED, number, pid, 0)
        with suppress(OSError):  # killed already
            os.write(tell, b"!")
        os.close(tell)

    def _become_child(self, asynchronous: bool, files: list[int], told: int) -> NoReturn:
        try:
            os.setsid()
            if not os.read(told, 1):  # the forkserver died first, and nobody knows of this child
                os._exit(1)
            os.close(told)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (self._control, self._wake, self._wake_sender):
                each.close()
            child.main(asynchronous, files[0], files[1], self._lifeline)
        except BaseException:  # noqa: BLE001 - nothing may unwind into the forkserver's loop
            sys.excepthook(*sys.exc_info())
            with suppress(Exception):
                sys.stderr.flush()
        finally:
            os._exit(1)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while dead := _next_dead():
                pid, status = dead
                number = self._children.pop(pid, None)
                if number is not None:
                    _kill_group(pid, signal.SIGKILL)  # while the dead child still holds the number of its group
                if status is None:
                    status = os.waitpid(pid, 0)[1]
                if number is not None:
                    self._reply(EXITED, number, pid, status)

    def _reply(self, what: bytes, number: int, pid: int, status: int) -> None:
        with suppress(OSError):  # the worker is gone: the next read says so
            self._control.sendall(REPLY.pack(what, number, pid, status))


def _next_dead() -> tuple[int, int | None] | None:
    """Return a dead child; without its status where the platform can tell before it is reaped."""
    if hasattr(os, "waitid"):
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return (found.si_pid, None) if found else None
    pid, status = os.waitpid(-1, os.WNOHANG)
    return (pid, status) if pid else None


def _kill_group(pid: int, number: int) -> None:
    """Signal the group of a child that was not reaped; one that is just born may not lead its group yet."""
    try:
        os.killpg(pid, number)
    except OSError:
        with suppress(OSError):
            os.kill(pid, number)
