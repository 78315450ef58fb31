"""The seam between the worker's loop and whatever runs attempts: what goes in, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from mulligan.core.attempt import AttemptInfo, StopCause
from mulligan.core.failure import Failure
from mulligan.core.replay import Past
from mulligan.core.submission import NewCall


class Assignment(NamedTuple):
    """A claimed work item, as far as running it is concerned; a named tuple, as is a success: every attempt needs one."""

    id: int
    """At least 1, and unique among all that this worker process ever starts."""
    task: str
    arguments: str
    """JSON object of keyword arguments, without Context and Window."""
    info: AttemptInfo | None = None
    timeout_s: float | None = None
    """Of this attempt: the task's timeout, or what is left until the cutoff if that is less."""
    cutoff: bool = False
    """Whether timeout_s is what is left until the cutoff."""
    heartbeat_s: float | None = None
    memory_bytes: int | None = None
    alone: bool = False
    """Run it in a child that runs nothing else meanwhile."""
    traceparent: str | None = None
    """The span that the attempt is, where traces are told."""


@dataclass(frozen=True, slots=True)
class Started:
    """The attempt's code began to run."""

    id: int
    at_ms: int
    pid: int


class Succeeded(NamedTuple):
    """The task returned; `result` is JSON."""

    id: int
    started_ms: int
    ended_ms: int
    result: str
    rows: int | None
    pid: int


class Failed(NamedTuple):
    """The attempt failed: by an exception, its child's death, or a time limit."""

    id: int
    started_ms: int | None
    ended_ms: int
    failure: Failure
    rows: int | None
    pid: int | None


@dataclass(frozen=True, slots=True)
class Snoozed:
    """The task asked to be run again later."""

    id: int
    started_ms: int
    ended_ms: int
    delay_s: float
    rows: int | None
    pid: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """The attempt ended because it was asked to: it stopped by itself, or was killed after its grace."""

    id: int
    started_ms: int | None
    ended_ms: int
    cause: StopCause
    rows: int | None
    pid: int | None
    killed: bool


@dataclass(frozen=True, slots=True)
class Returned:
    """The attempt was never started; it may be started elsewhere."""

    id: int


@dataclass(frozen=True, slots=True)
class Call:
    """The attempt waits for an answer: `step`, `cursor` or `submit`, with a JSON payload."""

    id: int
    call: int
    name: Literal["step", "cursor", "submit"]
    payload: str


@dataclass(frozen=True, slots=True)
class Calls:
    """The body of a workflow makes calls; it hears of each by `arrived` when that has ended."""

    id: int
    calls: Sequence[NewCall]


@dataclass(frozen=True, slots=True)
class Progressed:
    """The attempt told how far it is."""

    id: int
    done: float
    total: float


@dataclass(frozen=True, slots=True)
class Logged:
    """The attempt wrote to stdout, stderr or a log."""

    id: int
    text: str


Report = Started | Succeeded | Failed | Snoozed | Stopped | Returned | Call | Calls | Progressed | Logged


class Executor(Protocol):
    """Runs attempts. Never blocks: the worker's loop calls `poll` when one of `files` is readable, and on its own timer."""

    @property
    def trouble(self) -> str | None:
        """Why nothing more can be run here, in words for people, or None; what runs may end."""
        ...

    def room(self, asynchronous: bool = False) -> int:
        """Return how many more attempts of unknown length could start at once; of `async def` tasks if asked for."""
        ...

    def slots_for(self, task: str) -> int:
        """Return how many more attempts of this task could start at once, each in a slot that is free."""
        ...

    def room_for(self, task: str) -> int:
        """Return how many more attempts of this task should be taken now, by how long it was measured to run."""
        ...

    def start(self, batch: Sequence[Assignment]) -> None:
        """Take these attempts; every one of them ends in exactly one report that says how."""
        ...

    def stop(self, id: int, cause: StopCause) -> None:
        """Ask an attempt to stop; it is killed when its grace is over."""
        ...

    def answer(self, id: int, call: int, value: str | None, error: str | None) -> None:
        """Answer a Call with JSON, or with an error as `code: message`, which is raised in the task as that error."""
        ...

    def arrived(self, id: int, call: Past) -> None:
        """Tell the body of a workflow that a call which it made has ended."""
        ...

    def files(self) -> Sequence[int]:
        """Return the file descriptors that become readable when there is something to poll."""
        ...

    def poll(self) -> list[Report]:
        """Return what happened since the last poll, in order; enforces time limits."""
        ...

    def deadline(self) -> float | None:
        """Return when `poll` must be called at the latest (monotonic seconds), or None."""
        ...

    def close(self) -> None:
        """Kill what still runs, and end; safe to call twice."""
        ...
