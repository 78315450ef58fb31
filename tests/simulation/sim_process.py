"""Simulated processes on one store: the real engine, chores and worker loop, with a clock, a connection and locks of ours."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sim_bodies import SimBoth
from sim_executor import Deed

from mulligan.config.rules import default_rules, rules_of
from mulligan.core.definition import Definition
from mulligan.core.errors import MulliganError, StoreAway, StoreError
from mulligan.core.failure import RuleSet
from mulligan.engine.bulk import Bulk
from mulligan.engine.bulk_pages import BulkPages
from mulligan.engine.commands import Commands
from mulligan.engine.definitions import Definitions
from mulligan.engine.engine import Engine
from mulligan.engine.reading import Reading
from mulligan.engine.submitting import Submitting
from mulligan.sdk.submitting import submission_from_json
from mulligan.store.interface import Database, Rows
from mulligan.store.statements import statements
from mulligan.store.store import Store
from mulligan.supervisor.chore import Chore
from mulligan.supervisor.retention import retention_chore
from mulligan.supervisor.safety import safety_chores
from mulligan.telemetry import Tell
from mulligan.worker.parts import Parts
from mulligan.worker.reporting import Outcomes
from mulligan.worker.seams import Answer
from mulligan.worker.worker import Worker

LEASE_S = 6.0
HINT = 7
"""The file that can be read when somebody hinted."""
RULES = default_rules()
_WRITES_TO = re.compile(r"\b(?:insert into|update|delete from)\s+(\w+)")


class Killed(BaseException):
    """The process is killed at this very point; nothing in it may catch this."""


class Time:
    """The time of the world: what clocks on walls show, and how much has really passed."""

    def __init__(self, wall_ms: int) -> None:
        self.wall_ms = wall_ms
        self.passed = 0.0

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.passed += seconds
        self.wall_ms += round(seconds * 1000)


class SimClock:
    """The clock of one process, which may be wrong."""

    def __init__(self, time: Time, sleep: Callable[[float], None]) -> None:
        self._time = time
        self.skew_ms = 0
        self.sleep = sleep
        """Lets time pass, in which others do what they are due to do."""

    def now_ms(self) -> int:
        """Return the wall time that this process believes in."""
        return self._time.wall_ms + self.skew_ms

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        return self._time.passed


class Trap(NamedTuple):
    """Something that happens to a process at a point of one of its next transactions."""

    point: str
    passes: int
    """How often the point is passed before."""
    spring: Callable[[], None]


@cache
def tables_written(dialect: str) -> dict[str, frozenset[str]]:
    """Return which tables each named statement writes to; no trigger of ours writes to another."""
    return {name: frozenset(_WRITES_TO.findall(text)) for name, text in statements(dialect).items()}


class Link:
    """The connection of one process to the store: where it is killed, where the store fails for it, where others come between."""

    def __init__(self, database: Database, time: Time, committed: Callable[[Collection[str]], None]) -> None:
        """`committed` is told of each commit, with the tables that it may have changed."""
        self._inner = database
        self._written: set[str] = set()
        self._time = time
        self._committed = committed
        self.dialect, self.shown, self.at_once = database.dialect, database.shown, database.at_once
        self.traps: list[Trap] = []
        self.away_until = 0.0
        self.stale_ms = 0
        """How long ago the process may have looked at its clock: others came between that and its transaction."""
        self._dead = False

    @contextlib.contextmanager
    def write(self) -> Iterator[None]:
        """Hold a write transaction, unless the store is away or a trap is hit."""
        self._reach("begin")
        self._written.clear()
        with self._inner.write():
            yield
            self._reach("before commit")
        self._committed(frozenset(self._written))
        self.stale_ms = 0
        self._reach("after commit")

    @contextlib.contextmanager
    def read(self, *, patient: bool = False, single: bool = False) -> Iterator[None]:
        """Hold a snapshot, unless the store is away."""
        self._reach("read")
        with self._inner.read(patient=patient, single=single):
            yield

    def in_writer(self, name: str, parameters: Mapping[str, Any]) -> Rows:
        """Run a named statement."""
        self._written |= tables_written(self.dialect)[name]
        return self._inner.in_writer(name, parameters)

    def in_reader(self, name: str, parameters: Mapping[str, Any]) -> Rows:
        """Run a named statement."""
        return self._inner.in_reader(name, parameters)

    def text_in_reader(self, text: str, parameters: Mapping[str, Any]) -> Rows:
        """Run a composed query."""
        return self._inner.text_in_reader(text, parameters)

    def wait_at_most(self, busy_ms: int) -> None:
        """Wait for nobody: there are no threads here."""

    def fail_with(self, hurt: Callable[[str], None] | None) -> None:
        """Fail by `traps` only."""

    def close(self) -> None:
        """Leave the store open: it is everybody's."""

    def kill(self) -> None:
        """End the process at this point: whatever it still tries, as it would not if it were really dead, comes to nothing."""
        self._dead = True
        raise Killed

    def _reach(self, point: str) -> None:
        if self._dead:
            raise Killed
        if point in ("begin", "read") and self._time.passed < self.away_until:
            raise StoreAway("the store is away")
        for place, trap in enumerate(self.traps):
            if trap.point == point:
                if trap.passes == 0:
                    del self.traps[place]
                    before = self._time.passed
                    trap.spring()
                    self.stale_ms += round((self._time.passed - before) * 1000)
                    return
                self.traps[place] = trap._replace(passes=trap.passes - 1)


class Locks:
    """Who lives, as a kernel would know it."""

    def __init__(self, *, certain: bool) -> None:
        self.certain = certain
        self._held: set[str] = set()

    def take(self, instance: str) -> Lock:
        """Take the lock of a worker instance."""
        self._held.add(instance)
        return Lock(instance, self._held)

    def is_free(self, lock: str) -> bool:
        """Return whether nobody holds a lock."""
        return lock not in self._held

    def forget(self, lock: str) -> None:
        """Do nothing: there is no file."""

    def free(self, lock: Lock) -> None:
        """Do what the kernel does when a process dies."""
        self._held.discard(lock.path)


class Lock:
    """The lock of one worker instance."""

    def __init__(self, path: str, held: set[str]) -> None:
        self.path = path
        self._held = held

    def release(self, keep_file: bool = False) -> None:
        """Free it; safe to call twice."""
        self._held.discard(self.path)


class SimHints:
    """Hints as they arrive at one process; some are lost on the way."""

    def __init__(self) -> None:
        self.there = False

    def fileno(self) -> int:
        """Return what stands for a file."""
        return HINT

    def drain(self) -> None:
        """Take all hints."""
        self.there = False

    def close(self) -> None:
        """Close nothing."""


class SimWaiting:
    """Never waits: the world lets time pass between the steps of its processes."""

    def __init__(self, hints: SimHints) -> None:
        self._hints = hints
        self.woken = False

    def wait(self, files: Sequence[int], seconds: float) -> Container[int]:
        """Return whether there is a hint."""
        self.woken = False
        return (HINT,) if self._hints.there else ()

    def wake(self) -> None:
        """Have the next step come soon."""
        self.woken = True

    def close(self) -> None:
        """Close nothing."""


class SimSubmissions:
    """Stores what running tasks submit, between two steps of the worker; while the store is away it waits."""

    def __init__(self, submit: Callable[[str, str], str], wake: Callable[[], None]) -> None:
        self._submit = submit
        self._wake = wake
        self._wanted: list[tuple[int, int, str, str]] = []

    def put(self, id: int, call: int, payload: str, caller: str) -> None:
        """Have a submission stored."""
        self._wanted.append((id, call, payload, caller))
        self._wake()

    def take(self) -> Sequence[Answer]:
        """Store what is wanted, and return the answers."""
        answers = []
        while self._wanted:
            id, call, payload, caller = self._wanted[0]  # noqa: A001 - the executor's name for it
            try:
                answers.append(Answer(id, call, self._submit(payload, caller), None))
            except StoreError:
                break
            except MulliganError as error:
                answers.append(Answer(id, call, None, f"{error.code}: {error}"))
            del self._wanted[0]
        return answers

    def close(self) -> None:
        """Close nothing."""


class Bell:
    """Hints to the workers of the world, of which some arrive."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring

    def wake_workers(self) -> None:
        """Hint to all workers."""
        self._ring()

    def wake_waiters(self) -> None:
        """Nobody waits here."""


class Around(NamedTuple):
    """What a process finds around it."""

    database: Database
    time: Time
    chance: random.Random
    ring: Callable[[], None]
    saw: Callable[[Process, Collection[str]], None]
    """Is told of each commit, and of the tables that it may have changed."""
    sleep: Callable[[Process, float], None]
    locks: Locks


class Process:
    """A process with an engine over its own connection."""

    def __init__(self, name: str, around: Around) -> None:
        self.name = name
        self.time = around.time
        self.clock = SimClock(around.time, lambda seconds: around.sleep(self, seconds))
        self.link = Link(around.database, around.time, lambda written: around.saw(self, written))
        self.doing = ""
        """What an operator does just now: `recover`, `restart`, `overwrite`."""
        self.begun_generations = 0
        self.alive = True
        self.resumes_at = 0.0
        self.engine = Engine(Store(self.link), Definitions("default"), self.clock, around.chance.random, Bell(around.ring))
        self.commands = Commands(self.engine)
        self.submitting = Submitting(self.engine)
        self.bulk_pages = BulkPages(self.engine, Bulk(self.engine, Reading(self.engine, lambda: rules_of(""))), rate=0)

    def due_at(self) -> float:
        """Return when it wants to be stepped, in seconds that have passed."""
        return float("inf")

    def step(self) -> None:
        """Do what is due."""

    def die(self) -> None:
        """End at once, as by kill -9."""
        self.alive = False


class SimServer(Process):
    """Does the chores, and nothing else."""

    def __init__(self, name: str, around: Around, *, keep_s: float) -> None:
        super().__init__(name, around)
        safety = safety_chores(self.engine, self.commands, self.submitting, self.bulk_pages, around.locks, lambda: None)
        self._due: list[tuple[float, Chore]] = [(0.0, each) for each in (*safety, retention_chore(self.engine, keep_s))]

    def due_at(self) -> float:
        return min(at for at, _ in self._due)

    def step(self) -> None:
        for place, (at, chore) in enumerate(self._due):
            if at <= self.time.passed:
                self._due[place] = (self.time.passed + chore.interval_s, chore)
                with contextlib.suppress(StoreError):
                    if chore.run_once():
                        self._due[place] = (self.time.passed + 0.1, chore)


class SimWorker(Process):
    """The real worker's loop over a simulated executor."""

    def __init__(
        self,
        name: str,
        around: Around,
        *,
        definitions: Sequence[Definition],
        executor: Callable[[SimWorker], SimBoth],
        tell: Tell,
    ) -> None:
        super().__init__(name, around)
        self._locks = around.locks
        self._taken: list[Lock] = []
        self.hints = SimHints()
        self.waiting = SimWaiting(self.hints)
        self.executors: list[SimBoth] = []
        self.definitions = {each.name: each for each in definitions}
        self.begun = False
        self.worker = Worker(
            Parts(
                engine=self.engine,
                definitions=definitions,
                make_executor=lambda: self._made(executor),
                lock=self._lock,
                hints=self.hints,
                waiting=self.waiting,
                submissions=SimSubmissions(self._submit_inside, self.waiting.wake),
                outcomes=Outcomes(RuleSet(), RULES),
                chores=lambda own: safety_chores(self.engine, self.commands, self.submitting, self.bulk_pages, around.locks, own),
                tell=tell,
                name=self.name,
                lease_s=LEASE_S,
            )
        )
        self.asked_to_stop = 0

    def _submit_inside(self, payload: str, caller: str) -> str:
        return str(self.submitting.take(submission_from_json(payload, caller)).job)

    def due_at(self) -> float:
        if self.hints.there or self.waiting.woken or not self.begun:
            return self.time.passed
        return self.worker.wake_at()

    def step(self) -> None:
        if not self.begun:
            self.worker.begin()
            self.begun = True
        elif self.worker.done:
            self.worker.close()
            self.die()
        else:
            self.worker.step()

    def runs(self) -> list[Deed]:
        """Return which attempts' code runs in it."""
        return [deed for each in self.executors for deed in each.runs()]

    def waits(self) -> list[Deed]:
        """Return which bodies of workflows wait in it for their calls."""
        return [deed for each in self.executors for deed in each.waits()]

    def die(self) -> None:
        super().die()
        for each in self.executors:
            each.die()
        for each in self._taken:
            self._locks.free(each)

    def _lock(self, instance: str) -> Lock:
        lock = self._locks.take(instance)
        self._taken.append(lock)
        return lock

    def _made(self, executor: Callable[[SimWorker], SimBoth]) -> SimBoth:
        made = executor(self)
        self.executors.append(made)
        return made
