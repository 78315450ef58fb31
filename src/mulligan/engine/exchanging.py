"""What goes into and comes out of the engine's transactions: what a worker brings and takes, and what others must hear of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from mulligan.core.definition import Definition
from mulligan.core.job import Item, ItemKey
from mulligan.core.lifecycle import Transition
from mulligan.core.replay import Past
from mulligan.core.submission import NewCall
from mulligan.store.rows import Input, Taken
from mulligan.store.verbs.records import Saved


class Bell(Protocol):
    """Wakes others up; a hint only, since everybody also looks by themselves."""

    def wake_workers(self) -> None: ...

    def wake_waiters(self) -> None: ...


class Witness(Protocol):
    """Hears of what moved, once it is committed."""

    def heed(self, moved: Sequence[Transition], jobs: Sequence[int]) -> None:
        """Take in what moved, and the jobs that ended by it; returns at once, and raises nothing."""
        ...


class Room(Protocol):
    """How much a worker can take."""

    def limit(self, task: int, once: bool) -> int:
        """Return how many items of a task could be taken now."""
        ...

    def concurrency(self, task: int) -> int | None:
        """Return how many items of a task may run at once on all workers together, or None."""
        ...

    def took(self, task: int, count: int) -> None:
        """Note that items of a task were taken."""
        ...


@dataclass(slots=True)
class Ends:
    """What a transaction brought to its end, for those who wait for it: they are told once it is committed."""

    jobs: list[int] = field(default_factory=list)
    callers: set[int] = field(default_factory=set)
    """Workers in which the body of a workflow waits for a call that has ended."""
    witness: Witness | None = None
    moved: list[Transition] = field(default_factory=list)
    """What moved, where there is a witness."""

    def ring(self, bell: Bell, own: int | None = None) -> None:
        """Wake up whoever waits, but the worker that knows already; tell the witness."""
        if self.witness is not None and self.moved:
            self.witness.heed(self.moved, self.jobs)
        if self.jobs:
            bell.wake_waiters()
        if self.callers - {own}:
            bell.wake_workers()


class NewWorker(NamedTuple):
    """A worker instance that begins."""

    instance: str
    """Random, never used again."""
    name: str
    pid: int
    lock: str
    lease_ms: int


class Claim(NamedTuple):
    """A work item that a worker has started, with all that running it takes."""

    item: Item
    input: Input
    definition: Definition
    run_id: str
    tz: str
    saved: Saved | None
    is_call: bool = False
    """Whether a workflow called it."""


class Claims(NamedTuple):
    """What was read of claims while others waited for it."""

    taken: Sequence[Taken]
    definitions: Mapping[int, Definition]
    saved: Mapping[ItemKey, Saved]

    def claims(self) -> list[Claim]:
        """Make of it what is run."""
        made = []
        for each in self.taken:
            item = each.item
            definition, saved = self.definitions[item.definition], self.saved.get(item.key) if self.saved else None
            made.append(Claim(item, each.input, definition, each.run_id, each.tz, saved, each.is_call))
        return made


class Checkpoint(NamedTuple):
    """Something an attempt wants saved."""

    item: Item
    kind: str
    key: str
    value: str
    definition: int


class Wanted(NamedTuple):
    """A call, and the workflow's item whose body makes it."""

    item: Item
    call: NewCall


@dataclass(slots=True)
class Notes:
    """What a worker has to write besides outcomes."""

    checkpoints: list[Checkpoint] = field(default_factory=list)
    logs: list[tuple[int, int, int, int, str]] = field(default_factory=list)
    progress: list[tuple[int, int, int, float, float]] = field(default_factory=list)
    calls: list[Wanted] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.checkpoints or self.logs or self.progress or self.calls)

    @property
    def is_saving_only(self) -> bool:
        """Whether there is something to save, and nothing else to write."""
        return bool(self.checkpoints) and not (self.logs or self.progress or self.calls)


@dataclass(slots=True)
class Exchange:
    """What came of an exchange between a worker and the store."""

    claims: list[Claim]
    saved: list[bool]
    """For each checkpoint whether it was saved; False: the attempt no longer owns its item."""
    refused: int
    """Outcomes that came too late and changed nothing."""
    next_due_ms: int | None
    alive: bool
    """False when the worker was declared lost: it must stop what it runs and start anew."""
    arrived: list[tuple[ItemKey, Past]] = field(default_factory=list)
    """Calls that have ended, each with the workflow's item that made it."""
