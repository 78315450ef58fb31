"""What can happen to a work item: a closed union of values, each in the past tense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from mulligan.core.fingerprint import Fingerprint
from mulligan.core.job import FailureClass

RetryMode = Literal["recover", "restart"]


class Run(NamedTuple):
    """Which attempt an event speaks for, and what was seen of it.

    A named tuple, as are the two commonest events: a worker makes one of each for every attempt, and they cost a third.
    """

    token: int
    worker: int
    ended_ms: int
    started_ms: int | None = None
    rows: int | None = None
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A worker took the item in order to run it."""

    worker: int


class Succeeded(NamedTuple):
    """The task returned; `result` is JSON."""

    run: Run
    result: str


class Failed(NamedTuple):
    """The attempt failed and its failure was classified."""

    run: Run
    failure_class: FailureClass
    rule: str
    error_type: str
    error_message: str
    failure: str
    """The facts as JSON."""
    retry_after_s: float | None = None
    timed_out: bool = False
    cutoff: bool = False
    crashed: bool = False
    """Whether the child process died while its worker lived."""
    interrupted: bool = False
    """Whether its child process was ended for reasons that were not its own."""
    exit_code: int | None = None
    signal: int | None = None
    cause: Fingerprint | None = None
    """What it is counted as; nothing where nothing is counted."""


@dataclass(frozen=True, slots=True)
class Snoozed:
    """The task asked to be run again later."""

    run: Run
    delay_s: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """A started attempt ended because its worker asked it to: for a cancel, or to hand its work back."""

    run: Run


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The worker that held the item is gone."""

    run: Run
    name: str


@dataclass(frozen=True, slots=True)
class Released:
    """The worker gave the item back without having started it."""

    run: Run


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """A person asked for the item to be cancelled."""


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The item still waits after the last moment at which it might have started."""


@dataclass(frozen=True, slots=True)
class RetryRequested:
    """A person asked for an ended item to be tried again, under the newest definition."""

    mode: RetryMode
    definition: int
    once: bool
    cutoff_ms: int | None
    held: bool = False
    """Whether it must wait for the item before it in the order of windows."""


@dataclass(frozen=True, slots=True)
class OverwriteRequested:
    """A person asked for a successful item to be run again."""

    definition: int
    once: bool
    cutoff_ms: int | None
    held: bool = False
    """Whether it must wait for the item before it in the order of windows."""


@dataclass(frozen=True, slots=True)
class MadeDue:
    """A person asked for a waiting item to be tried now, or what it waited for has come."""


Unsuccessful = Failed | Snoozed | Stopped | WorkerLost
AttemptEvent = Succeeded | Unsuccessful | Released
Event = Claimed | AttemptEvent | CancelRequested | DeadlinePassed | RetryRequested | OverwriteRequested | MadeDue
