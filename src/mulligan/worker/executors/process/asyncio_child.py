"""A child process that runs `async def` tasks, many at once, on one event loop."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, NoReturn

from mulligan.core.attempt import StopCause
from mulligan.core.signals import Stopped
from mulligan.sdk.continuing import enter
from mulligan.worker.executors.process import wire
from mulligan.worker.executors.process.line import AttemptChannel, Line, Loaded, ending, listen, use_streams
from mulligan.worker.executors.process.logs import marker
from mulligan.worker.executors.process.surroundings import Surroundings

_CURRENT: ContextVar[int] = ContextVar("mulligan_attempt", default=0)


class AsyncChild:
    """Runs attempts as tasks of an event loop in the main thread, while a second thread listens to the worker."""

    def __init__(self, line: Line, hello: list[Any]) -> None:
        self._line = line
        self._loaded = Loaded(hello)
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._channels: dict[int, AttemptChannel] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        log = _Log(line)
        use_streams(line, (AttributedStream(log, 1), AttributedStream(log, 2)))

    def serve(self) -> NoReturn:
        """Run what the worker sends, until it is gone."""
        asyncio.set_event_loop(self._loop)
        threading.Thread(target=listen, args=(self._line, self._handle), daemon=True).start()
        self._loaded.load(self._line)
        self._surroundings = Surroundings(self._line)
        self._line.send(wire.frame(wire.READY))
        while True:
            with suppress(SystemExit, KeyboardInterrupt):  # of a task that users' code started; whoever awaits it has it too
                self._loop.run_forever()

    def _handle(self, frame: list[Any]) -> None:
        if frame[0] == wire.ANSWER:
            # Not by way of the loop: whoever waits for the answer blocks it.
            _, attempt, call, value, error = frame
            channel = self._channels.get(attempt)
            if channel is not None:
                channel.answer(call, value, error)
        else:
            self._loop.call_soon_threadsafe(self._obey, frame)

    def _obey(self, frame: list[Any]) -> None:
        match frame:
            case [wire.BATCH, entries]:
                self._line.send(wire.frame(wire.BEGAN, [entry[0] for entry in entries]))
                for entry in entries:
                    channel = AttemptChannel(self._line, entry)
                    self._channels[channel.id] = channel
                    self._tasks[channel.id] = self._loop.create_task(self._run(channel))
            case [wire.STOP, id, cause] if id in self._channels:
                self._stop(self._channels[id], cause)
            case [wire.RECALL]:
                self._line.send(wire.frame(wire.RECALLED, [], True))

    def _stop(self, channel: AttemptChannel, cause: StopCause) -> None:
        if channel.cause is None:
            channel.stop(cause)
        if channel.begun:  # a coroutine cancelled before its first step would never say how it ended
            self._tasks[channel.id].cancel()

    async def _run(self, channel: AttemptChannel) -> None:
        _CURRENT.set(channel.id)
        if channel.cause is not None:
            end = ending(channel, Stopped(channel.cause), None)
        else:
            try:
                end = channel.succeeded(await self._execute(channel))
            except BaseException as error:  # noqa: BLE001 - whatever users' code raises becomes the outcome
                end = ending(channel, error, self._loaded.find(channel.task))
        if os.getpid() != self._pid:  # the task forked, and its copy came back here
            os._exit(1)
        channel.close()
        del self._channels[channel.id], self._tasks[channel.id]
        if not self._channels:  # nobody is in the middle of something that needs them changed
            self._surroundings.restore()
        self._line.send(end)

    async def _execute(self, channel: AttemptChannel) -> str:
        task = self._loaded.get(channel.task)
        if channel.traceparent is not None:
            enter(channel.traceparent)  # in the context of its own task of the loop, which ends with it
        channel.begin()
        result = task.execute(channel.entry[2], wire.info_of(channel.entry), channel)
        return result if isinstance(result, str) else str(await result)


class _Log:
    """Writes to the log pipe, with a marker whenever the attempt that writes is another one."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._lock = threading.Lock()
        self._current = 0

    def write(self, data: bytes) -> None:
        attempt = _CURRENT.get()
        with self._lock:
            if attempt != self._current:
                self._current = attempt
                os.write(self._line.log, marker(self._line.secret, attempt))  # small enough to arrive in one piece
            while data:
                data = data[os.write(self._line.log, data) :]


class _LastingFile(io.FileIO):
    """Outlives whoever wraps it, as `io.TextIOWrapper(sys.stdout.buffer)` does."""

    def close(self) -> None:
        """Stay open."""


class AttributedStream(io.TextIOBase):
    """A text stream that knows which attempt writes: the coroutine's own, also from threads it awaits.

    What bypasses Python's streams (a subprocess, C code) is taken for output of the attempt that wrote last.
    """

    def __init__(self, log: _Log, fd: int) -> None:
        self._log = log
        self._fd = fd
        self.buffer = _LastingFile(fd, "wb", closefd=False)

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base class has a plain attribute
        return "utf-8"

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        """Stay open: the attempts beside this one and after it write here too."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if text:
            self._log.write(text.encode("utf-8", "backslashreplace"))
        return len(text)
