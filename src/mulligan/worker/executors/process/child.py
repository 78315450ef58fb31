"""A child process that runs `def` tasks, one attempt after the other; what it shares with the other kind is in `line`."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from _signal import getsignal  # type: ignore[import-not-found]  # the one in `signal` looks for a name, which costs 5 µs
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn

from mulligan.core.attempt import StopCause
from mulligan.core.errors import Refused
from mulligan.core.signals import Stopped
from mulligan.sdk.continuing import enter, leave
from mulligan.sdk.ports import AMBIENT
from mulligan.worker.executors.process import memory, wire
from mulligan.worker.executors.process.line import (
    AttemptChannel,
    Line,
    Loaded,
    ending,
    listen,
    plain_streams,
    set_up,
    use_streams,
)
from mulligan.worker.executors.process.surroundings import Surroundings

if TYPE_CHECKING:
    import asyncio  # slow to import: only for coroutines that have a process of their own

_STRAY_S = 60.0
"""How long after a stopped attempt a SIGTERM is taken for a late one of that stop."""


def main(asynchronous: bool, control: int, log: int, lifeline: int) -> NoReturn:
    """Serve the worker at the other end of the socket `control`; never returns."""
    line, hello = set_up(socket.socket(fileno=control), log, lifeline)
    AMBIENT.factory = _refuse
    AMBIENT.rules = None
    AMBIENT.hidden, AMBIENT.reveals = line.hide, True
    if asynchronous:
        from mulligan.worker.executors.process.asyncio_child import AsyncChild

        AsyncChild(line, hello).serve()
    ProcessChild(line, hello).serve()


def _refuse() -> NoReturn:
    """A child reaches the store through its worker only; a thread that a task started does not know which attempt it is of."""
    raise Refused(
        "submitting from a thread that a task started: submit from the task itself, or start the thread with "
        "contextvars.copy_context().run"
    )


class ProcessChild:
    """Runs attempts in the main thread, while a second thread listens to the worker."""

    def __init__(self, line: Line, hello: list[Any]) -> None:
        self._line = line
        self._loaded = Loaded(hello)
        self._pid = os.getpid()
        use_streams(line, plain_streams())
        self._todo: deque[int] = deque()
        self._entries: dict[int, list[Any]] = {}
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._stops: dict[int, StopCause] = {}
        self._running: AttemptChannel | None = None
        self._inside = False
        """Whether the main thread runs users' code, where a signal may raise Stopped."""
        self._stray_until = 0.0
        self._main = threading.get_ident()

    def serve(self) -> NoReturn:
        """Run what the worker sends, until it is gone."""
        signal.signal(signal.SIGTERM, self._on_term)
        threading.Thread(target=listen, args=(self._line, self._handle), daemon=True).start()
        self._loaded.load(self._line)
        self._surroundings = Surroundings(self._line)
        self._line.send(wire.frame(wire.READY))
        attempt: AttemptChannel | None = None
        while True:
            if attempt is None:
                attempt = self._wait()
                self._line.mark(attempt.id)
            end = self._run(attempt)
            attempt = self._take()
            # The marker goes first: with the outcome the worker finds all output of the attempt in the pipe.
            self._line.mark(attempt.id if attempt else 0)
            self._line.send(end)

    def _wait(self) -> AttemptChannel:
        while (attempt := self._take()) is None:
            self._wake.get()
        return attempt

    def _take(self) -> AttemptChannel | None:
        """Return the next attempt, from here on the running one, unless it was asked to stop before it was."""
        while self._todo:
            try:
                number = self._todo.popleft()
            except IndexError:  # recalled just now
                return None
            self._running = attempt = AttemptChannel(self._line, self._entries.pop(number))
            if not self._stops:
                return attempt
            stopped = number in self._stops
            self._stops.clear()  # the others have ended long ago
            if not stopped:
                return attempt
            self._running = None
            self._line.send(wire.frame(wire.RECALLED, [number], False))
        return None

    def _run(self, attempt: AttemptChannel) -> bytes:
        if getsignal(signal.SIGTERM) != self._on_term:
            signal.signal(signal.SIGTERM, self._on_term)
        try:
            result = self._execute(attempt)
        except BaseException as error:  # noqa: BLE001 - whatever users' code raises becomes the outcome
            self._inside = False
            end = ending(attempt, error, self._loaded.find(attempt.task))
        else:
            end = attempt.succeeded(result)
        if os.getpid() != self._pid:  # the task forked, and its copy came back here
            os._exit(1)
        attempt.close()
        self._surroundings.restore()
        self._running = None
        if attempt.cause is not None:
            self._stray_until = time.monotonic() + _STRAY_S
        return end

    def _execute(self, attempt: AttemptChannel) -> str:
        task = self._loaded.get(attempt.task)
        info = wire.info_of(attempt.entry)
        limit = attempt.memory_bytes
        if limit is not None:
            memory.limit(limit)
        span = None if attempt.traceparent is None else enter(attempt.traceparent)
        attempt.begin()
        self._inside = True
        try:
            result = task.execute(attempt.entry[2], info, attempt)
            return result if isinstance(result, str) else self._drive(result, attempt)
        finally:
            self._inside = False
            signal.setitimer(signal.ITIMER_REAL, 0)  # signal.alarm() of this attempt must not ring in the next
            if span is not None:
                leave(span)
            if limit is not None:
                memory.lift()

    def _drive(self, work: Coroutine[Any, Any, str], attempt: AttemptChannel) -> str:
        """Run a coroutine that was given a process of its own."""
        import asyncio

        async def run() -> str:
            loop = asyncio.get_running_loop()
            running = asyncio.current_task()
            if running is not None:
                attempt.on_stop(lambda: _cancel_soon(loop, running))
            return await work

        return asyncio.run(run())

    def _on_term(self, *_: object) -> None:
        channel = self._running
        if channel is not None and channel.cause is not None:
            if self._inside and not self._line.shielded(channel.cause):
                self._inside = False
                raise Stopped(channel.cause)
        elif time.monotonic() > self._stray_until:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)

    def _handle(self, frame: list[Any]) -> None:
        match frame:
            case [wire.BATCH, entries]:
                for entry in entries:
                    self._entries[entry[0]] = entry
                    self._todo.append(entry[0])
                self._wake.put(None)
            case [wire.STOP, id, cause]:
                self._stop(id, cause)
            case [wire.INTERRUPT, id]:
                channel = self._running
                if channel is not None and channel.id == id:
                    signal.pthread_kill(self._main, signal.SIGTERM)
            case [wire.RECALL]:
                self._recall()
            case [wire.ANSWER, id, call, value, error]:
                channel = self._running
                if channel is not None and channel.id == id:
                    channel.answer(call, value, error)

    def _stop(self, id: int, cause: StopCause) -> None:
        try:
            self._todo.remove(id)
        except ValueError:
            self._stops[id] = cause
            channel = self._running
            if channel is not None and channel.id == id:
                channel.stop(cause)
        else:
            del self._entries[id]
            self._line.send(wire.frame(wire.RECALLED, [id], False))

    def _recall(self) -> None:
        ids = []
        while self._todo:
            try:
                ids.append(self._todo.pop())
            except IndexError:  # the main thread was faster
                break
        for number in ids:
            del self._entries[number]
        self._line.send(wire.frame(wire.RECALLED, ids[::-1], True))


def _cancel_soon(loop: asyncio.AbstractEventLoop, task: asyncio.Task[str]) -> None:
    with suppress(RuntimeError):  # the loop is closed, so the coroutine has ended
        loop.call_soon_threadsafe(task.cancel)
