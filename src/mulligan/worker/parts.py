"""What a worker is made of, and what it keeps in mind of each attempt that runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mulligan.core.definition import Definition
from mulligan.core.job import Item
from mulligan.engine.engine import Engine
from mulligan.engine.exchanging import Claim
from mulligan.telemetry import Tell
from mulligan.worker.executors.interface import Executor
from mulligan.worker.reporting import Outcomes
from mulligan.worker.seams import Chore, Hints, Lock, Submitting, Waiting


@dataclass(slots=True)
class Due:
    """A chore, and when it is done next."""

    chore: Chore
    at: float = 0.0


@dataclass(slots=True)
class Running:
    """An attempt in the hands of the executor."""

    claim: Claim
    definition: int
    """Under which definition its code was loaded here."""
    parts: int = 0
    asked: bool = False

    @property
    def item(self) -> Item:
        return self.claim.item


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker is made of; put together by the app."""

    engine: Engine
    definitions: Sequence[Definition]
    """Of the tasks that are loaded here."""
    make_executor: Callable[[], Executor]
    lock: Callable[[str], Lock]
    hints: Hints | None
    waiting: Waiting
    submissions: Submitting
    outcomes: Outcomes
    chores: Callable[[Callable[[], int | None]], Sequence[Chore]]
    tell: Tell
    name: str
    lease_s: float
    traceparents: Callable[[Sequence[Claim]], Sequence[str | None]] | None = None
    """Says which span each attempt is, where traces are told."""
