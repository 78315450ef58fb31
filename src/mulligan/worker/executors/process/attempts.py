"""What the executor knows of an attempt while it has it, and the reports that end one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mulligan.core.attempt import StopCause
from mulligan.core.durations import words
from mulligan.core.failure import Failure, Kind, signal_name
from mulligan.worker.executors.interface import Assignment, Failed, Report, Stopped
from mulligan.worker.executors.process.logs import AttemptLog
from mulligan.worker.executors.process.wire import touch_interval

if TYPE_CHECKING:
    from mulligan.worker.executors.process.children import Child

Force = Literal["ask", "interrupt", "terminate", "kill"]

SIGNAL_AFTER_S = 0.1
"""How long an attempt has to answer an exception before its whole process group is signalled."""


@dataclass(slots=True, eq=False)
class Attempt:
    """An attempt that was handed to the executor and has not ended; times are monotonic seconds."""

    assignment: Assignment
    asynchronous: bool
    estimate: float = 0.0
    """How long it will run, as far as is known when it is sent to a child."""
    child: Child | None = None
    started: float | None = None
    touched: float = 0.0
    announced: bool = False
    rows: int | None = None
    log: AttemptLog | None = None
    open_calls: int = 0
    """Calls that the worker has not answered: waiting for them is no silence."""
    cause: StopCause | None = None
    limit: Kind | None = None
    """Which time limit it is being stopped for."""
    forces: list[tuple[float, Force]] = field(default_factory=list)
    """What is still to be done to stop it, and when."""
    forced: bool = False
    """Whether it was made to stop, rather than asked."""
    killed: bool = False

    @property
    def id(self) -> int:
        return self.assignment.id

    def begin(self, now: float) -> None:
        """Note that its code runs."""
        self.started = self.touched = now

    def started_ms(self, now: float) -> int | None:
        """Return when it began, in milliseconds since 1970 UTC."""
        return None if self.started is None else time.time_ns() // 1_000_000 - round((now - self.started) * 1000)

    def limits(self) -> list[tuple[float, Kind]]:
        """Return when its time limits end; what is being stopped has none."""
        if self.started is None or self.cause is not None:
            return []
        limits = []
        if self.assignment.timeout_s is not None:
            kind = Kind.CUTOFF if self.assignment.cutoff else Kind.TIMEOUT
            limits.append((self.started + self.assignment.timeout_s, kind))
        if self.assignment.heartbeat_s is not None and not self.open_calls:
            allowed = self.assignment.heartbeat_s + touch_interval(self.assignment.heartbeat_s)
            limits.append((self.touched + allowed, Kind.HEARTBEAT))
        return limits

    def plan_stop(self, now: float, grace_s: float, kill_s: float) -> None:
        """Decide what is done to stop it, and when: what ran out of time has no grace."""
        if self.asynchronous:
            self.forces = [(now + grace_s, "ask"), (now + grace_s + kill_s, "kill")]
            return
        grace = 0.0 if self.limit else grace_s
        signalled = now + grace + min(SIGNAL_AFTER_S, kill_s / 2)
        self.forces = [(now + grace, "interrupt"), (signalled, "terminate"), (now + grace + kill_s, "kill")]


def stopped(attempt: Attempt, now: float, pid: int | None, started_ms: int | None, traceback: str = "") -> Report:
    """Return the report for an attempt that was stopped, by whatever means."""
    started = started_ms if started_ms is not None else attempt.started_ms(now)
    ended = time.time_ns() // 1_000_000
    if attempt.limit is not None:
        failure = Failure(attempt.limit, message=_limit_words(attempt), traceback=traceback)
        return Failed(attempt.id, started, ended, failure, attempt.rows, pid)
    return Stopped(attempt.id, started, ended, attempt.cause or "cancel", attempt.rows, pid, attempt.killed)


def failed(attempt: Attempt, now: float, pid: int | None, failure: Failure) -> Report:
    """Return the report for an attempt whose failure was seen from here."""
    return Failed(attempt.id, attempt.started_ms(now), time.time_ns() // 1_000_000, failure, attempt.rows, pid)


def death(status: int | None, *, out_of_memory: bool, ready: bool, overdue: bool = False, forged: bool = False) -> Failure:
    """Return what the end of a child means for the attempt that it ran."""
    when = "" if ready else " while it imported the tasks"
    if overdue:
        return Failure(Kind.TIMEOUT, message="importing the tasks took too long")
    if status is None:
        return Failure(Kind.LOST, message=f"the forkserver of this worker died, and the child process with it{when}")
    if status < 0:
        name = signal_name(-status)
        if forged:
            message = "its child process was killed: the task, or something that it started, wrote to the socket of the process"
            return Failure(Kind.SIGNAL, signal=-status, message=message, crashed=True)
        if out_of_memory:
            message = f"the kernel killed the child process for want of memory{when}"
            return Failure(Kind.OUT_OF_MEMORY, signal=-status, message=message, crashed=True)
        return Failure(Kind.SIGNAL, signal=-status, message=f"child process ended with {name}{when}", crashed=True)
    return Failure(Kind.EXIT, exit_code=status, message=f"child process ended with exit code {status}{when}", crashed=True)


def neighbour_killed() -> Failure:
    """Return the failure of an attempt whose child was killed for another one's sake."""
    return Failure(
        Kind.STOPPED, message="its child process had to be killed: another attempt in it did not end when asked to stop"
    )


def _limit_words(attempt: Attempt) -> str:
    match attempt.limit:
        case Kind.HEARTBEAT:
            return f"no sign of life for {words(attempt.assignment.heartbeat_s or 0)}"
        case Kind.CUTOFF:
            return f"the total time limit was reached after {words(attempt.assignment.timeout_s or 0)} of this attempt"
        case _:
            return f"took longer than {words(attempt.assignment.timeout_s or 0)}"
