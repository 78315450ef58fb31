"""The facts of a failure, and which class they amount to by which rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from mulligan.core.job import FailureClass


class Kind(StrEnum):
    """Where a failure was seen."""

    EXCEPTION = "exception"
    EXIT = "exit"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    HEARTBEAT = "heartbeat"
    CUTOFF = "cutoff"
    LOST = "lost"
    OUT_OF_MEMORY = "out_of_memory"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ErrorFacts:
    """One exception of a chain: all that rules may look at, with nothing of the exception left alive."""

    types: tuple[str, ...]
    """Qualified names along the MRO, most derived first, without object and BaseException."""
    message: str = ""
    http_status: int | None = None
    retry_after_s: float | None = None
    errno: str | None = None
    """Symbolic, such as ENOSPC."""
    code: str | None = None
    """What the provider calls it: an SQLSTATE, an AWS error code, a gRPC status name."""
    exit_code: int | None = None
    members: tuple[tuple[ErrorFacts, ...], ...] = ()
    """For an exception group: the chain of each member."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What is known of a failure; made where it happened, classified anywhere."""

    kind: Kind
    chain: tuple[ErrorFacts, ...] = ()
    """Outermost exception first, then its causes."""
    exit_code: int | None = None
    signal: int | None = None
    declared: FailureClass | None = None
    """What the task's own `classify` callable answered."""
    message: str = ""
    traceback: str = ""
    crashed: bool = False
    """Whether the child process died of it while its worker lived."""


@dataclass(frozen=True, slots=True)
class Classification:
    """The class of a failure, the rule that gave it, and the rules that were looked at and did not."""

    failure_class: FailureClass
    rule: str
    why: str
    retry_after_s: float | None = None
    passed_over: tuple[str, ...] = field(default=())
