"""A child's end of its line to the worker: frames, log markers, the channel of an attempt, and how an attempt's end is said."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import import_module
from queue import SimpleQueue
from select import poll
from typing import Any, Literal, NoReturn, TextIO, cast

from mulligan.core.attempt import StopCause
from mulligan.core.errors import LeaseLost, MulliganError, Refused, UnknownTask
from mulligan.core.failure import Failure, Kind, failure_to_json
from mulligan.core.masking import Known
from mulligan.core.signals import Snooze, Stopped
from mulligan.sdk.digest import changed_sources
from mulligan.sdk.ports import AMBIENT
from mulligan.worker.executors.process import wire
from mulligan.worker.executors.process.logs import marker

_PROGRESS_S = 0.1
_SAID = 4_000
"""Characters that are passed on of why the tasks could not be loaded."""
_ENDED = "this attempt has ended"


class Line:
    """Sends frames and marks the log; every method may be called from any thread."""

    def __init__(self, sock: socket.socket, log: int) -> None:
        self.sock = sock
        self.inbox = wire.Inbox()
        self.early: list[list[Any]] = []
        """Frames that came together with the first one."""
        self.secret = ""
        self.artifacts = ""
        self.log = log
        self.streams: tuple[io.TextIOBase, ...] = ()
        self._lock = threading.Lock()
        self._main = threading.get_ident()
        self._shielded = False
        self._late: str | None = None
        self._pid = os.getpid()
        self._hidden: dict[int, SimpleQueue[None]] = {}

    def hide(self, known: Known) -> None:
        """Tell the worker of a secret value, and wait until it hides it in the output of this process.

        What is written to the descriptors is hidden by the worker, which reads it: here it would be lost with a process that is
        killed, and a task that holds the interpreter's lock would wait for ever on a full pipe.
        """
        if os.getpid() != self._pid:
            raise Refused(f"secret {known.reference}: reveal it in the task's own process, and hand it to what it starts")
        number, done = id(known), SimpleQueue[None]()
        self._hidden[number] = done
        try:
            self.send(wire.frame(wire.HIDE, number, known.reference, known.value))
            done.get()
        finally:
            del self._hidden[number]

    def is_hidden(self, number: int) -> None:
        """Let whoever waits for it go on."""
        done = self._hidden.get(number)
        if done is not None:
            done.put(None)

    def send(self, data: bytes) -> None:
        """Send one or more whole frames."""
        if threading.get_ident() != self._main:
            with self._lock:
                self.sock.sendall(data)
            return
        self._shielded = True
        try:
            with self._lock:
                self.sock.sendall(data)
        finally:
            self._shielded = False
        if self._late is not None:
            cause, self._late = self._late, None
            raise Stopped(cause)

    def shielded(self, cause: str) -> bool:
        """Return whether the main thread is sending: then Stopped is raised when it has sent the whole frame."""
        if self._shielded:
            self._late = cause
        return self._shielded

    def mark(self, attempt: int) -> None:
        """Say in the log that what follows is of another attempt, or of none (0)."""
        for stream in self.streams:
            try:  # noqa: SIM105 - `suppress` costs more than what it surrounds
                stream.flush()
            except (ValueError, OSError):  # closed by users' code
                pass
        os.write(self.log, marker(self.secret, attempt))


def set_up(sock: socket.socket, log: int, lifeline: int) -> tuple[Line, list[Any]]:
    """Make this new process a child: tied to its worker's life, its output going to the log; return its first frame."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGINT, lambda *_: None)  # not SIG_IGN, which programs started by tasks would inherit
    _tie_to(lifeline)
    os.set_inheritable(log, False)
    os.dup2(log, 1)
    os.dup2(log, 2)
    line = Line(sock, log)
    frames: list[list[Any]] = []
    while not frames:
        frames = line.inbox.feed(_receive(sock))
    hello, *line.early = frames
    line.secret, line.artifacts = hello[1], hello[5]
    AMBIENT.hide(*(Known(reference, value) for reference, value in hello[6]))
    return line, hello


def listen(line: Line, handle: Callable[[list[Any]], None]) -> None:
    """Hand every frame of the worker to `handle`, until the worker is gone and its children with it."""
    for frame in line.early:
        handle(frame)
    while True:
        for frame in line.inbox.feed(_receive(line.sock)):
            if frame[0] == wire.HIDDEN:
                line.is_hidden(frame[1])
            else:
                handle(frame)


def use_streams(line: Line, streams: tuple[io.TextIOBase, io.TextIOBase]) -> None:
    """Make these stdout and stderr."""
    line.streams = streams
    sys.stdout, sys.stderr = cast("tuple[TextIO, TextIO]", streams)
    vars(sys).update(__stdout__=sys.stdout, __stderr__=sys.stderr)


def plain_streams() -> tuple[io.TextIOBase, io.TextIOBase]:
    """Return text streams for file descriptors 1 and 2 that pass on every line at once."""
    out, err = (
        LastingText(LastingBuffer(io.FileIO(fd, "wb", closefd=False)), "utf-8", "backslashreplace", line_buffering=True)
        for fd in (1, 2)
    )
    return out, err


class LastingBuffer(io.BufferedWriter):
    """Outlives whoever wraps it: `sys.stdout = io.TextIOWrapper(sys.stdout.buffer)` closes it when the wrapper is dropped."""

    def close(self) -> None:
        self.flush()


class LastingText(io.TextIOWrapper):
    """Stays usable when users' code detaches its buffer to wrap it in another encoding."""

    def detach(self) -> Any:
        self.flush()
        return self.buffer


class Loaded:
    """The tasks of this child."""

    def __init__(self, hello: list[Any]) -> None:
        self._where, self._sources, self._code = hello[2:5]
        self._tasks: dict[str, Any] = {}

    def load(self, line: Line) -> None:
        """Import users' code; a child that cannot, or that finds other code than its worker, says so and ends."""
        trouble = None
        try:
            module, _, function = self._where.partition(":")
            self._tasks = getattr(import_module(module), function)(self._sources)
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a module must be told as well
            trouble = _said(error)
        if changed := changed_sources(self._code):
            line.send(wire.frame(wire.UNFIT, True, ", ".join(changed)))
            os._exit(1)
        if trouble is not None:
            line.send(wire.frame(wire.UNFIT, False, trouble))
            os._exit(1)
        if not logging.root.handlers:
            logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)

    def get(self, name: str) -> Any:
        """Return a task."""
        task = self._tasks.get(name)
        if task is None:
            raise UnknownTask(f"no task is named {name!r} in {', '.join(self._sources)}")
        return task

    def find(self, name: str) -> Any:
        """Return a task, or None."""
        return self._tasks.get(name)


def _said(error: BaseException) -> str:
    text = str(error) if isinstance(error, MulliganError) else "".join(traceback.format_exception(error)).rstrip()
    return AMBIENT.mask.text(text)[-_SAID:].encode("utf-8", "backslashreplace").decode()


class AttemptChannel:
    """What a running attempt says to its worker and hears from it."""

    def __init__(self, line: Line, entry: list[Any]) -> None:
        self.id: int = entry[0]
        self.task: str = entry[1]
        self.entry = entry
        self.cause: StopCause | None = None
        self.begun = False
        self.timeout_s: float | None = None
        self.memory_bytes: int | None = None
        self._heartbeat_s: float | None = None
        self.traceparent: str | None = None
        if len(entry) > 3:
            self.timeout_s, self._heartbeat_s, self.memory_bytes, self.traceparent = entry[4:]
        self._line = line
        self._pid = os.getpid()
        self._closed = False
        self._started_ms = time.time_ns() // 1_000_000
        self._started_ns = time.perf_counter_ns()
        self._touched = self._told = 0.0
        self._untold: tuple[float, float] | None = None
        self._rows: int | None = None
        self._calls = 0
        self._waiting: dict[int, SimpleQueue[tuple[str | None, str | None]]] = {}
        self._callbacks: list[Callable[[], None]] = []

    def begin(self) -> None:
        """Start the clock of the attempt."""
        self.begun = True
        self._started_ms = time.time_ns() // 1_000_000
        self._started_ns = time.perf_counter_ns()

    def call(self, name: Literal["step", "cursor", "submit"], payload: str) -> str:
        """Ask the worker and wait for its answer; raises the error it answers with."""
        self._check_process()
        self._calls += 1
        number = self._calls
        box: SimpleQueue[tuple[str | None, str | None]] = SimpleQueue()
        self._waiting[number] = box
        try:
            if self._closed:  # looked at after the box was put there: close() sees the box, or this sees that it closed
                raise LeaseLost(_ENDED)
            self._line.send(wire.frame(wire.CALL, self.id, number, name, payload))
            value, error = box.get()
        finally:
            del self._waiting[number]
        if error is not None or value is None:
            raise _error_of(error or "the worker gave no answer")
        return value

    def answer(self, number: int, value: str | None, error: str | None) -> None:
        """Hand an answer to the thread that waits for it."""
        box = self._waiting.get(number)
        if box is not None:
            box.put((value, error))

    def close(self) -> None:
        """Note that the end is about to be reported: the worker answers nobody from here on, as threads left behind must hear."""
        self._closed = True
        for box in list(self._waiting.values()):
            box.put((None, f"{LeaseLost.code}: {_ENDED}"))

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise Refused("ctx works only in the task's own process; return the values to the task and tell them from there")

    def progress(self, done: float, total: float) -> None:
        """Tell how far the attempt is, ten times a second at most; what is left untold is told when it ends."""
        self._check_process()
        now = time.monotonic()
        if now - self._told < _PROGRESS_S:
            self._untold = (done, total)
            return
        self._told, self._untold = now, None
        self._line.send(wire.frame(wire.PROGRESS, self.id, done, total))

    def output(self, rows: int) -> None:
        """Tell how many rows were written so far: at once, since the child may die."""
        self._check_process()
        if rows != self._rows:
            self._rows = rows
            self._line.send(wire.frame(wire.ROWS, self.id, rows))

    def touch(self) -> None:
        """Tell that the attempt is alive, where somebody watches."""
        self._check_process()
        if self._heartbeat_s is not None:
            now = time.monotonic()
            if now - self._touched >= wire.touch_interval(self._heartbeat_s):
                self._touched = now
                self._line.send(wire.frame(wire.TOUCH, self.id))

    def artifacts(self) -> str:
        """Return where artifacts with relative paths lie."""
        return self._line.artifacts

    def stopping(self) -> StopCause | None:
        """Return why the attempt was asked to stop, or None."""
        return self.cause

    def time_left(self) -> float | None:
        """Return the seconds until this attempt's time limit, or None."""
        if self.timeout_s is None:
            return None
        return max(0.0, float(self.timeout_s) - (time.perf_counter_ns() - self._started_ns) / 1e9)

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Call back when the attempt is asked to stop; at once if it was."""
        self._callbacks.append(callback)
        if self.cause is not None:
            self._call_back()

    def stop(self, cause: StopCause) -> None:
        """Note that the attempt was asked to stop, and tell whoever wants to know."""
        self.cause = cause
        if self._callbacks:
            threading.Thread(target=self._call_back, daemon=True).start()

    def _call_back(self) -> None:
        while self._callbacks:
            try:
                callback = self._callbacks.pop(0)
            except IndexError:  # another thread took the last one
                return
            try:
                callback()
            except Exception:  # noqa: BLE001 - users' code; the stop goes on
                traceback.print_exc()

    def succeeded(self, result: str) -> bytes:
        """Return the frames that end the attempt with a result."""
        return self.end(wire.SUCCEEDED, result)

    def end(self, tag: int, *what: object) -> bytes:
        """Return the frames that end the attempt."""
        run_us = (time.perf_counter_ns() - self._started_ns) // 1000
        end = wire.frame(tag, self.id, self._started_ms, run_us, *what)
        if self._untold is not None:
            return wire.frame(wire.PROGRESS, self.id, *self._untold) + end
        return end


def ending(channel: AttemptChannel, error: BaseException, task: Any) -> bytes:
    """Return the frames that end an attempt which raised something."""
    from mulligan.sdk.facts import failure_of

    try:
        if isinstance(error, Snooze):
            return channel.end(wire.SNOOZED, error.delay)
        if channel.cause is not None and (isinstance(error, Stopped) or _is_cancelled(error)):
            return channel.end(wire.STOPPED, AMBIENT.mask.text(failure_of(error).traceback))
        failure = failure_of(error, _declared(task, error))
        if channel.memory_bytes is not None and _names(failure, "MemoryError"):
            failure = replace(failure, kind=Kind.OUT_OF_MEMORY)
        return channel.end(wire.FAILED, AMBIENT.mask.json(failure_to_json(failure)))
    except Exception as trouble:  # noqa: BLE001 - an attempt must end, whatever its exception does when looked at
        message = f"{type(error).__qualname__}, and it could not be described: {type(trouble).__qualname__}"
        return channel.end(wire.FAILED, failure_to_json(Failure(Kind.EXCEPTION, message=message)))


def _declared(task: Any, error: BaseException) -> Any:
    if task is None or not isinstance(error, Exception):
        return None
    try:
        return task.classify_error(error)
    except Exception:  # noqa: BLE001 - users' code; the failure it was asked about counts, not its own
        traceback.print_exc()
        return None


def _is_cancelled(error: BaseException) -> bool:
    asyncio = sys.modules.get("asyncio.exceptions")
    return asyncio is not None and isinstance(error, asyncio.CancelledError)


def _names(failure: Failure, name: str) -> bool:
    return any(name in facts.types or f"builtins.{name}" in facts.types for facts in failure.chain)


def _error_of(text: str) -> MulliganError:
    """Rebuild an error from `code: message`."""
    code, _, message = text.partition(": ")
    for each in _kinds(MulliganError):
        if each.code == code and message and each.__init__ is Exception.__init__:
            return each(message)
    return MulliganError(text)


def _kinds(kind: type[MulliganError]) -> Iterable[type[MulliganError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _kinds(each)


def _receive(sock: socket.socket) -> bytes:
    try:
        data = sock.recv(wire.CHUNK)
    except ConnectionError:
        data = b""
    if not data:
        _die()
    return data


def _die() -> NoReturn:
    """The worker is gone: end with everything this child has started."""
    os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _tie_to(lifeline: int) -> None:
    """Have the kernel kill this process group when the worker dies, also while users' code holds the interpreter's lock.

    The lifeline is a pipe to which only the worker has the other end. Its own opening of it gives each child its own
    owner for the signal. Where that cannot be had (macOS), reading the end of the socket does it.
    """
    if not hasattr(fcntl, "F_SETSIG"):
        return
    try:
        own = os.open(f"/proc/self/fd/{lifeline}", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return
    fcntl.fcntl(own, fcntl.F_SETOWN, -os.getpid())
    fcntl.fcntl(own, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(own, fcntl.F_SETFL, fcntl.fcntl(own, fcntl.F_GETFL) | os.O_ASYNC)
    watch = poll()
    watch.register(own, 0)
    if watch.poll(0):
        _die()
