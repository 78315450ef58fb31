"""An executor for tests: attempts run in this process, one at a time, in the order in which they were started."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, Literal

from mulligan.core.attempt import StopCause
from mulligan.core.errors import LeaseLost, MulliganError
from mulligan.core.failure import Failure, Kind
from mulligan.core.replay import Past
from mulligan.core.signals import Snooze
from mulligan.sdk.facts import failure_of
from mulligan.sdk.task import Task
from mulligan.sdk.trying import KnownFailure
from mulligan.testing.clock import VirtualClock
from mulligan.testing.induced import is_timeout
from mulligan.worker.executors.interface import (
    Assignment,
    Call,
    Failed,
    Progressed,
    Report,
    Returned,
    Snoozed,
    Started,
    Succeeded,
)

ROOM = 100


class InlineExecutor:
    """Implements `mulligan.worker.executors.interface.Executor`. Each attempt has a thread, of which only one ever goes on."""

    trouble = None

    def __init__(
        self, tasks: dict[str, Task[..., Any]], clock: VirtualClock, induced: Callable[[str], BaseException | None]
    ) -> None:
        self._tasks = tasks
        self._clock = clock
        self._induced = induced
        self._queue: deque[Assignment] = deque()
        self._running: Attempt | None = None
        self._reports: list[Report] = []
        self.started = 0
        """How many attempts have begun."""

    @property
    def busy(self) -> bool:
        """Whether there is something to poll."""
        return bool(self._queue or self._running or self._reports)

    def room(self, asynchronous: bool = False) -> int:  # noqa: ARG002 - both kinds run alike
        """Return how many more may be taken."""
        return ROOM - len(self._queue)

    def slots_for(self, task: str) -> int:  # noqa: ARG002 - whichever it is
        """Return how many more may be taken: what runs at most once, one at a time, since a claim of it is a start."""
        return 0 if self._queue or self._running else 1

    def room_for(self, task: str) -> int:  # noqa: ARG002 - whichever it is
        """Return how many more may be taken."""
        return self.room()

    def start(self, batch: Sequence[Assignment]) -> None:
        """Take these attempts."""
        self._queue.extend(batch)

    def stop(self, id: int, cause: StopCause) -> None:
        """Give back what has not begun, and tell what has."""
        for each in list(self._queue):
            if each.id == id:
                self._queue.remove(each)
                self._reports.append(Returned(id))
        if self._running is not None and self._running.assignment.id == id:
            self._running.cause = cause

    def answer(self, id: int, call: int, value: str | None, error: str | None) -> None:  # noqa: ARG002 - one call at a time
        """Let the attempt that waits for this go on."""
        if self._running is not None and self._running.assignment.id == id:
            self._running.answers.put((value, error))
            self._listen(self._running)

    def arrived(self, id: int, call: Past) -> None:
        """Do nothing: no attempt of a task waits for calls."""

    def files(self) -> Sequence[int]:
        """Return no files: whoever steps the worker polls it."""
        return ()

    def poll(self) -> list[Report]:
        """Run the next attempt until it ends or asks for something."""
        if self._running is None and self._queue and not self._reports:
            self._begin(self._queue.popleft())
        reports, self._reports = self._reports, []
        return reports

    def deadline(self) -> float | None:
        """Return whether to poll at once."""
        return 0.0 if self.busy else None

    def close(self) -> None:
        """Let go of an attempt that waits for an answer; safe to call twice."""
        if self._running is not None:
            self._running.answers.put((None, "lease_lost: the test is over"))
            self._running = None
        self._queue.clear()

    def _begin(self, assignment: Assignment) -> None:
        self.started += 1
        attempt = self._running = Attempt(assignment, self._clock)
        self._reports.append(Started(assignment.id, attempt.started_ms, os.getpid()))
        error = self._induced(assignment.task)
        if error is None:
            attempt.start(self._tasks[assignment.task])
        else:
            if is_timeout(error):
                self._clock.pass_(assignment.timeout_s or 0.0)
            attempt.heard.put(error)
        self._listen(attempt)

    def _listen(self, attempt: Attempt) -> None:
        """Wait until the attempt asks for something or ends."""
        while True:
            heard = attempt.heard.get()
            if isinstance(heard, Progressed):
                self._reports.append(heard)
                continue
            if isinstance(heard, Call):
                self._reports.append(heard)
                return
            self._running = None
            self._reports.append(self._ending(attempt, heard))
            return

    def _ending(self, attempt: Attempt, heard: str | BaseException) -> Report:
        number, started_ms, now_ms = attempt.assignment.id, attempt.started_ms, self._clock.now_ms()
        limit_s = attempt.assignment.timeout_s
        over = limit_s is not None and now_ms - started_ms > limit_s * 1000
        if over or (isinstance(heard, BaseException) and is_timeout(heard)):
            kind = Kind.CUTOFF if attempt.assignment.cutoff else Kind.TIMEOUT
            return Failed(number, started_ms, now_ms, Failure(kind, message="took too long"), attempt.rows, os.getpid())
        if isinstance(heard, str):
            return Succeeded(number, started_ms, now_ms, heard, attempt.rows, os.getpid())
        if isinstance(heard, Snooze):
            return Snoozed(number, started_ms, now_ms, heard.delay, attempt.rows, os.getpid())
        task = self._tasks[attempt.assignment.task]
        if isinstance(heard, KnownFailure):
            failure = heard.failure
        else:
            failure = failure_of(heard, task.classify_error(heard) if isinstance(heard, Exception) else None)
        return Failed(number, started_ms, now_ms, failure, attempt.rows, os.getpid())


class Attempt:
    """One attempt in its thread; implements `mulligan.sdk.ports.Channel`."""

    def __init__(self, assignment: Assignment, clock: VirtualClock) -> None:
        self.assignment = assignment
        self.started_ms = clock.now_ms()
        self.heard: SimpleQueue[Call | Progressed | str | BaseException] = SimpleQueue()
        self.answers: SimpleQueue[tuple[str | None, str | None]] = SimpleQueue()
        self.rows: int | None = None
        self.cause: StopCause | None = None
        self._clock = clock
        self._calls = 0

    def start(self, task: Task[..., Any]) -> None:
        """Run a task in a thread."""
        context = copy_context()

        def work() -> None:
            try:
                result = context.run(task.execute, self.assignment.arguments, self.assignment.info, self)
                self.heard.put(result if isinstance(result, str) else asyncio.run(result))
            except BaseException as error:  # noqa: BLE001 - whatever users' code raises becomes the outcome
                self.heard.put(error)

        threading.Thread(target=work, daemon=True, name=f"attempt of {task.name}").start()

    def call(self, name: Literal["step", "cursor", "submit"], payload: str) -> str:
        """Ask the worker, and wait for its answer."""
        self._calls += 1
        self.heard.put(Call(self.assignment.id, self._calls, name, payload))
        value, error = self.answers.get()
        if error is not None:
            raise LeaseLost(error) if error.startswith(LeaseLost.code) else MulliganError(error)
        return value or "null"

    def progress(self, done: float, total: float) -> None:
        """Tell the worker."""
        self.heard.put(Progressed(self.assignment.id, done, total))

    def output(self, rows: int) -> None:
        """Keep it for the end."""
        self.rows = rows

    def artifacts(self) -> str:
        """Return nothing: relative paths have no place here."""
        return ""

    def touch(self) -> None:
        """Nobody watches for silence."""

    def stopping(self) -> StopCause | None:
        """Return why it was asked to stop."""
        return self.cause

    def time_left(self) -> float | None:
        """Return the virtual seconds that are left."""
        limit_s = self.assignment.timeout_s
        return None if limit_s is None else limit_s - (self._clock.now_ms() - self.started_ms) / 1000

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Never call back: nothing happens while an attempt runs."""
