"""Commands that an attempt runs: their output goes to its log line by line, their exit code says of which class a failure is."""

from __future__ import annotations

import contextvars
import os
import shlex
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from mulligan.core.durations import seconds, words
from mulligan.core.errors import ArgumentsInvalid, Refused
from mulligan.core.failure import signal_name
from mulligan.core.job import FailureClass
from mulligan.core.shown import shown
from mulligan.core.signals import Stopped
from mulligan.sdk.ports import Channel

KEPT_BYTES = 65_536
"""So much is kept of the end of each stream."""
STOP_S = 3.0
"""So long has a command to end after SIGTERM, unless its attempt is killed before."""
_LINE = 65_536
_READ_ON_S = 1.0
"""How long output is still read of what a command has left behind."""
_TOLD = 2_000


class CommandFailed(subprocess.CalledProcessError):
    """A command that `ctx.run` ran has failed; `exit_code` is negative where a signal ended it."""

    def __init__(
        self,
        argv: Sequence[str],
        exit_code: int,
        stdout: str = "",
        stderr: str = "",
        exit_class: FailureClass | None = None,
        why: str = "",
    ) -> None:
        super().__init__(exit_code, list(argv), stdout, stderr)
        self.argv = tuple(argv)
        self.exit_code = exit_code
        self.exit_class = exit_class
        """What `exit_codes` says of the exit code; None where it says nothing, so that the rules decide."""
        self.why = why

    @property
    def tail(self) -> str:
        """The end of what it wrote to stderr, else of what it wrote to stdout."""
        return str(self.stderr.strip() or self.stdout.strip())[-_TOLD:]

    def __str__(self) -> str:
        code = self.exit_code
        ended = f"ended with exit code {code}" if code >= 0 else f"was ended by {signal_name(-code)}"
        return f"`{_line_of(self.argv)}` {self.why or ended}" + (f":\n{self.tail}" if self.tail else "")

    def __reduce__(self) -> tuple[Any, ...]:
        return CommandFailed, (self.argv, self.exit_code, self.stdout, self.stderr, self.exit_class, self.why)


class Command:
    """A command and what came of it. In coroutines it runs when it is awaited; elsewhere `ctx.run` returns when it has ended."""

    def __init__(self, channel: Channel, argv: Sequence[str | os.PathLike[str]], options: Mapping[str, Any]) -> None:
        self.argv = _argv(argv)
        self._channel = channel
        self._exit_codes = _exit_codes(options["exit_codes"])
        self._check = options["check"]
        self._on_stop = options["on_stop"]
        self._timeout_s = None if options["timeout"] is None else seconds(options["timeout"], "timeout")
        self._input = _input(options["input"])
        self._cwd = options["cwd"]
        self._env = None if options["env"] is None else _environment(options["env"])
        self._process: subprocess.Popen[bytes] | None = None
        self._readers: list[_Reader] = []
        self._why = ""
        self._stopped = threading.Event()
        self._done = False

    @property
    def exit_code(self) -> int:
        """What it ended with; negative where a signal ended it."""
        code = self._ended().returncode
        return int(code)

    @property
    def stdout(self) -> str:
        """The last 64 KiB of its standard output, as text."""
        self._ended()
        return self._readers[0].text()

    @property
    def stderr(self) -> str:
        """The last 64 KiB of its standard error, as text."""
        self._ended()
        return self._readers[1].text()

    def __repr__(self) -> str:
        state = f"exit code {self.exit_code}" if self._done else "not awaited"
        return f"<command `{_line_of(self.argv)}`: {state}>"

    def __await__(self) -> Generator[Any, None, Command]:
        return self._run_async().__await__()

    def run(self) -> Command:
        """Run it to its end; raises CommandFailed, Stopped, OSError where it cannot be started."""
        self._start()
        try:
            self._wait()
        except BaseException:
            self._terminate()
            self._gone_after(STOP_S)
            self._kill()
            raise
        return self._end()

    async def _run_async(self) -> Command:
        import asyncio

        if self._done:
            return self
        self._start()
        try:
            await asyncio.to_thread(self._wait)
        except BaseException:
            self._terminate()
            try:
                await asyncio.to_thread(self._gone_after, STOP_S)
            finally:
                self._kill()
            raise
        return self._end()

    def _start(self) -> None:
        if self._process is not None:
            raise Refused(f"`{_line_of(self.argv)}` runs already: await it once")
        self._process = process = subprocess.Popen(
            self.argv,
            stdin=subprocess.PIPE if self._input is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._cwd,
            env=self._env,
        )
        self._readers = [_Reader(process.stdout, lambda: sys.stdout), _Reader(process.stderr, lambda: sys.stderr)]
        if self._input is not None:
            threading.Thread(target=_feed, args=(process.stdin, self._input), daemon=True).start()
        stop = weakref.WeakMethod(self._stop)  # an attempt may run thousands of commands, and its channel forgets nobody
        self._channel.on_stop(lambda: (found := stop()) and found())

    def _wait(self) -> None:
        """Wait until it has ended, and been read."""
        process = self._started()
        try:
            process.wait(self._timeout_s)
        except subprocess.TimeoutExpired:
            self._why = f"took longer than {words(self._timeout_s or 0)}"
            self._terminate()
            self._tell()
            self._gone_after(STOP_S)
            self._kill()
            process.wait()
        until = time.monotonic() + _READ_ON_S
        for each in self._readers:
            each.join(max(0.0, until - time.monotonic()))

    def _end(self) -> Command:
        self._done = True
        cause = self._channel.stopping()
        if cause is not None and self._stopped.is_set():
            raise Stopped(cause)
        if self._why:
            raise self._failed(FailureClass.TIMEOUT)
        if self._check and self.exit_code:
            raise self._failed(self._exit_codes.get(self.exit_code))
        return self

    def _failed(self, exit_class: FailureClass | None) -> CommandFailed:
        return CommandFailed(self.argv, self.exit_code, self.stdout, self.stderr, exit_class, self._why)

    def _stop(self) -> None:
        """The attempt was asked to stop: pass it on, and let what was started elsewhere be cancelled."""
        process = self._started()
        if self._done or process.poll() is not None:
            return
        self._stopped.set()
        self._terminate()
        self._tell()

    def _tell(self) -> None:
        if self._on_stop is None:
            return
        try:
            self._on_stop("".join(each.text() for each in self._readers))
        except Exception:  # noqa: BLE001 - users' code; what it was called for goes on
            traceback.print_exc()

    def _terminate(self) -> None:
        with suppress(ProcessLookupError):
            self._started().terminate()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            self._started().kill()
        self._gone_after(_READ_ON_S)

    def _gone_after(self, patience_s: float) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._started().wait(patience_s)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise Refused(f"`{_line_of(self.argv)}` has not run: in a coroutine write `await ctx.run(…)`")
        return self._process

    def _ended(self) -> subprocess.Popen[bytes]:
        process = self._started()
        if not self._done:
            raise Refused(f"`{_line_of(self.argv)}` has not ended: in a coroutine write `await ctx.run(…)`")
        return process


class _Reader(threading.Thread):
    """Passes lines on as they come, and keeps the end of them."""

    def __init__(self, pipe: IO[bytes] | None, to: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        assert pipe is not None  # noqa: S101 - asked for
        self._pipe = pipe
        self._to = to
        self._kept: deque[bytes] = deque()
        self._size = 0
        self._guard = threading.Lock()
        self._context = contextvars.copy_context()  # by which a stream knows whose output it is
        self.start()

    def run(self) -> None:
        self._context.run(self._read)

    def _read(self) -> None:
        with self._pipe:
            while line := self._pipe.readline(_LINE):
                self._keep(line)
                with suppress(ValueError, OSError, AttributeError):  # closed by users' code: the command writes on
                    stream = self._to()
                    stream.write(line.decode("utf-8", "backslashreplace"))
                    stream.flush()

    def _keep(self, line: bytes) -> None:
        with self._guard:
            self._kept.append(line)
            self._size += len(line)
            while self._size - len(self._kept[0]) >= KEPT_BYTES:
                self._size -= len(self._kept.popleft())

    def text(self) -> str:
        with self._guard:
            data = b"".join(self._kept)
        return data[-KEPT_BYTES:].decode("utf-8", "replace")


def runs_in_loop() -> bool:
    """Return whether the caller is a coroutine, or what one has called."""
    loops = sys.modules.get("asyncio.events")  # where nobody has imported it no loop runs, and it is slow to import
    if loops is None:
        return False
    try:
        loops.get_running_loop()
    except RuntimeError:
        return False
    return True


def _feed(pipe: IO[bytes] | None, data: bytes) -> None:
    if pipe is not None:
        with suppress(BrokenPipeError), pipe:  # it ended without reading all of it
            pipe.write(data)


def _argv(argv: object) -> list[str]:
    if isinstance(argv, (str, bytes)) or not isinstance(argv, Sequence) or not argv:
        raise ArgumentsInvalid(f"run: expected a list such as ['dbt', 'run'], not {shown(argv)}; no shell takes it apart")
    words_of = [os.fspath(each) if isinstance(each, (str, os.PathLike)) else each for each in argv]
    for each in words_of:
        if not isinstance(each, str) or "\0" in each:
            raise ArgumentsInvalid(f"run: {shown(each)} among the arguments is no text: write numbers and the like as text")
    return words_of


def _exit_codes(given: object) -> dict[int, FailureClass]:
    if not isinstance(given, Mapping):
        raise ArgumentsInvalid(f"run: exit_codes maps exit codes to classes, such as {{75: TRANSIENT}}, not {shown(given)}")
    found = {}
    for code, value in given.items():
        if isinstance(code, bool) or not isinstance(code, int) or not -64 <= code <= 255 or code == 0:
            raise ArgumentsInvalid(
                f"run: {shown(code)} is no exit code of a failure: 1 to 255, or the negative number of a signal"
            )
        try:
            found[int(code)] = FailureClass(value)
        except ValueError:
            raise ArgumentsInvalid(
                f"run: exit code {code} has no failure class ({', '.join(FailureClass)}), but {shown(value)}"
            ) from None
    return found


def _input(given: object) -> bytes | None:
    if given is None or isinstance(given, bytes):
        return given
    if isinstance(given, str):
        return given.encode()
    raise ArgumentsInvalid(f"run: input is a text or bytes, not {shown(given)}")


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    merged = {**os.environ, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def _line_of(argv: Sequence[str]) -> str:
    line = shlex.join(argv)
    return line if len(line) <= 200 else f"{line[:199]}…"
