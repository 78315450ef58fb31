"""Runs the bodies of workflows, each in a thread of the worker; a body that waits for its calls holds no slot."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from mulligan.core.attempt import StopCause
from mulligan.core.durations import words
from mulligan.core.errors import TaskFailed
from mulligan.core.failure import Failure, Kind
from mulligan.core.job import FailureClass
from mulligan.core.replay import Past
from mulligan.core.signals import Snooze, Stopped
from mulligan.sdk.continuing import enter
from mulligan.sdk.facts import failure_of
from mulligan.sdk.logs import SINK
from mulligan.telemetry import Tell, silent
from mulligan.worker.executors import interface
from mulligan.worker.executors.bodies.channel import BodyChannel
from mulligan.worker.executors.interface import Assignment, Report, Returned, Snoozed, Succeeded

SLOTS = 32
"""So many bodies may run that do not wait for a call."""
MOST = 10_000
"""So many bodies may be here at all."""
STACK_BYTES = 1_048_576
"""Of a body's thread; only what is used of it takes memory."""


class Unwound(Stopped):
    """Raised in a body that does not stop by itself."""

    def __init__(self) -> None:
        super().__init__("cancel")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(slots=True, eq=False)
class _Running:
    assignment: Assignment
    channel: BodyChannel
    started_ms: int
    until: float | None
    """When its time is over."""
    thread: threading.Thread | None = None
    cause: StopCause | None = None
    limit: Kind | None = None
    unwind_at: float | None = None
    abandon_at: float | None = None
    ended: bool = False


class BodyExecutor:
    """Runs bodies; see `interface.Executor` for the verbs.

    One that was asked to stop has `grace_s` to end, then an exception is raised in it, and after `kill_s` more it is given up:
    whatever it does from then on is refused, and it is told of.
    """

    def __init__(
        self,
        workflows: Mapping[str, Any],
        grace_s: float = 5.0,
        kill_s: float = 2.0,
        slots: int = SLOTS,
        artifacts: str = "",
        tell: Tell = silent,
        monotonic: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = _now_ms,
    ) -> None:
        self._artifacts = artifacts
        self._monotonic = monotonic
        self._now_ms = now_ms
        self._workflows = workflows
        self._grace_s, self._kill_s = grace_s, kill_s
        self._slots = slots
        self._tell = tell
        self._running: dict[int, _Running] = {}
        self._reports: SimpleQueue[Report] = SimpleQueue()
        self._waker, self._wakee = socket.socketpair()
        self._waker.setblocking(False)
        self._wakee.setblocking(False)
        self._closed = False
        self.trouble: str | None = None

    def room(self, asynchronous: bool = False) -> int:  # noqa: ARG002 - a body is a thread, whatever it is made of
        """Return how many more bodies could start at once."""
        active = sum(not each.channel.waits for each in self._running.values())
        return max(0, min(self._slots - active, MOST - len(self._running)))

    def slots_for(self, task: str) -> int:  # noqa: ARG002
        """Return the same: bodies are all alike."""
        return self.room()

    def room_for(self, task: str) -> int:  # noqa: ARG002
        """Return the same: bodies are all alike."""
        return self.room()

    def start(self, batch: Sequence[Assignment]) -> None:
        """Run these bodies."""
        for each in batch:
            assert each.info is not None  # noqa: S101 - the body of a workflow is always given it
            until = None if each.timeout_s is None else self._monotonic() + each.timeout_s
            channel = BodyChannel(each.id, each.info.round, partial(self._left, until), self._report)
            channel.artifacts_at = self._artifacts
            running = _Running(each, channel, self._now_ms(), until)
            self._running[each.id] = running
            for past in each.info.calls:
                channel.arrived(past)
            running.thread = _thread(self._run, running)

    def stop(self, id: int, cause: StopCause) -> None:
        """Ask a body to stop."""
        running = self._running.get(id)
        if running is not None and running.cause is None:
            self._stop(running, cause, None)

    def answer(self, id: int, call: int, value: str | None, error: str | None) -> None:
        """Answer a Call."""
        running = self._running.get(id)
        if running is not None:
            running.channel.answer(call, value, error)

    def arrived(self, id: int, call: Past) -> None:
        """Tell a body that a call has ended."""
        running = self._running.get(id)
        if running is not None:
            running.channel.arrived(call)

    def files(self) -> Sequence[int]:
        """Return the one file descriptor to wait for."""
        return (self._wakee.fileno(),)

    def poll(self) -> list[Report]:
        """Return what happened since the last poll; enforces time limits."""
        with contextlib.suppress(BlockingIOError):
            while self._wakee.recv(4096):
                pass
        now = self._monotonic()
        for running in list(self._running.values()):
            self._look(running, now)
        reports = []
        with contextlib.suppress(Empty):
            while True:
                report = self._reports.get_nowait()
                if report.id in self._running:
                    reports.append(report)
                    if isinstance(report, Succeeded | interface.Failed | Snoozed | interface.Stopped | Returned):
                        self._running.pop(report.id).channel.close()
        return reports

    def deadline(self) -> float | None:
        """Return when `poll` must be called at the latest, or None."""
        times = [
            moment
            for each in self._running.values()
            for moment in (each.until if each.cause is None else None, each.unwind_at, each.abandon_at)
            if moment is not None
        ]
        return min(times, default=None)

    def settle(self) -> None:
        """Wait until every body has ended, or waits for a call or an answer; for who runs them step by step."""
        for each in list(self._running.values()):
            each.channel.settle()
        while not self.at_rest:
            threading.Event().wait(0.0005)

    @property
    def at_rest(self) -> bool:
        """Whether every body has ended, or waits for a call or an answer."""
        return all(each.ended or each.channel.waits or each.channel.asks for each in self._running.values())

    @property
    def busy(self) -> bool:
        """Whether there is something to poll."""
        return not self._reports.empty()

    def close(self) -> None:
        """Stop what runs, and hear nothing more of it; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        for each in self._running.values():
            each.channel.stop("drain")
            each.channel.close()
        self._running.clear()
        self._waker.close()
        self._wakee.close()

    def _report(self, report: Report) -> None:
        self._reports.put(report)
        with contextlib.suppress(OSError):  # it is awake, or gone
            self._waker.send(b"!")

    def _run(self, running: _Running) -> None:
        SINK.set(running.channel.log)
        assignment, channel = running.assignment, running.channel
        workflow = self._workflows[assignment.task]
        if assignment.traceparent is not None:
            enter(assignment.traceparent)  # in the context of its thread, which ends with it
        try:
            result = workflow.execute(assignment.arguments, assignment.info, channel)
        except BaseException as error:  # noqa: BLE001 - whatever users' code raises becomes the outcome
            report = self._ending(running, error, workflow)
        else:
            report = Succeeded(assignment.id, running.started_ms, self._now_ms(), result, channel.rows, os.getpid())
        running.ended = True
        self._report(report)

    def _left(self, until: float | None) -> float | None:
        return None if until is None else max(0.0, until - self._monotonic())

    def _ending(self, running: _Running, error: BaseException, workflow: Any) -> Report:
        number, started_ms, ended_ms, rows = running.assignment.id, running.started_ms, self._now_ms(), running.channel.rows
        if isinstance(error, Snooze):
            return Snoozed(number, started_ms, ended_ms, error.delay, rows, os.getpid())
        if running.cause is not None and (isinstance(error, Stopped) or _is_cancelled(error)):
            return self._stopped(running, killed=isinstance(error, Unwound))
        declared = workflow.classify_error(error) if isinstance(error, Exception) else None
        if declared is None and isinstance(error, TaskFailed) and error.failure_class is not None:
            declared = FailureClass(error.failure_class)  # a workflow fails as its call did
        return interface.Failed(number, started_ms, ended_ms, failure_of(error, declared), rows, os.getpid())

    def _stopped(self, running: _Running, *, killed: bool) -> Report:
        number, rows = running.assignment.id, running.channel.rows
        if running.limit is not None:
            message = f"the total time limit was reached after {words(running.assignment.timeout_s or 0)} of this attempt"
            failure = Failure(running.limit, message=message)
            return interface.Failed(number, running.started_ms, self._now_ms(), failure, rows, os.getpid())
        return interface.Stopped(number, running.started_ms, self._now_ms(), running.cause or "cancel", rows, os.getpid(), killed)

    def _stop(self, running: _Running, cause: StopCause, limit: Kind | None) -> None:
        now = self._monotonic()
        running.cause, running.limit = cause, limit
        running.unwind_at = now + self._grace_s
        running.abandon_at = now + self._grace_s + self._kill_s
        running.channel.stop(cause)

    def _look(self, running: _Running, now: float) -> None:
        if running.cause is None:
            if running.until is not None and now >= running.until:
                self._stop(running, "timeout", Kind.CUTOFF if running.assignment.cutoff else Kind.TIMEOUT)
            return
        if running.unwind_at is not None and now >= running.unwind_at:
            running.unwind_at = None
            _raise_in(running.thread)
        if running.abandon_at is not None and now >= running.abandon_at:
            running.abandon_at = None
            self._tell("body abandoned", task=running.assignment.task, cause=running.cause)
            self._reports.put(self._stopped(running, killed=True))


def _thread(run: Callable[[_Running], None], running: _Running) -> threading.Thread:
    before = threading.stack_size(STACK_BYTES)
    try:
        thread = threading.Thread(target=run, args=(running,), name=f"mulligan-{running.assignment.task}", daemon=True)
        thread.start()
    finally:
        threading.stack_size(before)
    return thread


def _raise_in(thread: threading.Thread | None) -> None:
    """Raise Unwound in a thread, as soon as it runs Python code again."""
    if thread is not None and thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Unwound))


def _is_cancelled(error: BaseException) -> bool:
    return type(error).__name__ == "CancelledError"
