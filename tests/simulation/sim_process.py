"""Simulated processes on one store: the real engine, chores and worker loop, with a clock, a connection and locks of ours."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any

from sim_executor import SimExecutor

from mulligan.config.rules import default_rules
from mulligan.core.definition import Definition
from mulligan.core.errors import MulliganError, StoreAway
from mulligan.core.failure import RuleSet
from mulligan.engine.commands import Commands
from mulligan.engine.definitions import Definitions
from mulligan.engine.engine import Engine
from mulligan.engine.submitting import Submitting
from mulligan.store.interface import Database, Rows
from mulligan.store.store import Store
from mulligan.supervisor.chore import Chore
from mulligan.supervisor.safety import safety_chores
from mulligan.telemetry import silent
from mulligan.worker.parts import Parts
from mulligan.worker.reporting import Outcomes
from mulligan.worker.seams import Answer
from mulligan.worker.worker import Worker

LEASE_S = 12.0
HINT = 7
"""The file that can be read when somebody hinted."""
RULES = default_rules()


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

    def __init__(self, time: Time) -> None:
        self._time = time
        self.skew_ms = 0

    def now_ms(self) -> int:
        """Return the wall time that this process believes in."""
        return self._time.wall_ms + self.skew_ms

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        return self._time.passed

    def sleep(self, seconds: float) -> None:
        """Let time pass, and nobody else do anything meanwhile."""
        self._time.pass_(seconds)


class Link:
    """The connection of one process to the store: where it is killed, and where the store fails for it."""

    def __init__(self, database: Database, time: Time, committed: Callable[[], None]) -> None:
        self._inner = database
        self._time = time
        self._committed = committed
        self.dialect, self.shown = database.dialect, database.shown
        self.traps: list[tuple[str, int, BaseException]] = []
        """Point, how often to pass it before, and what happens there."""
        self.away_until = 0.0

    @contextlib.contextmanager
    def write(self) -> Iterator[None]:
        """Hold a write transaction, unless the store is away or a trap is hit."""
        self._reach("begin")
        with self._inner.write():
            yield
            self._reach("before commit")
        self._committed()
        self._reach("after commit")

    @contextlib.contextmanager
    def read(self, *, patient: bool = False) -> Iterator[None]:
        """Hold a snapshot, unless the store is away."""
        self._reach("read")
        with self._inner.read(patient=patient):
            yield

    def in_writer(self, name: str, parameters: Mapping[str, Any]) -> Rows:
        """Run a named statement."""
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

    def _reach(self, point: str) -> None:
        if point in ("begin", "read") and self._time.passed < self.away_until:
            raise StoreAway("the store is away")
        for place, (where, passes, error) in enumerate(self.traps):
            if where == point:
                if passes:
                    self.traps[place] = (where, passes - 1, error)
                    continue
                del self.traps[place]
                raise error


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
    """Stores what running tasks submit, between two steps of the worker."""

    def __init__(self, submit: Callable[[str, str], str]) -> None:
        self._submit = submit
        self._wanted: list[tuple[int, int, str, str]] = []

    def put(self, id: int, call: int, payload: str, caller: str) -> None:
        """Have a submission stored."""
        self._wanted.append((id, call, payload, caller))

    def take(self) -> Sequence[Answer]:
        """Store what is wanted, and return the answers."""
        answers = []
        wanted, self._wanted = self._wanted, []
        for id, call, payload, caller in wanted:  # noqa: A001 - the executor's name for it
            try:
                answers.append(Answer(id, call, self._submit(payload, caller), None))
            except MulliganError as error:
                answers.append(Answer(id, call, None, f"{error.code}: {error}"))
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


class Process:
    """A process with an engine over its own connection."""

    def __init__(
        self,
        name: str,
        database: Database,
        time: Time,
        chance: random.Random,
        ring: Callable[[], None],
        saw: Callable[[Process], None],
    ) -> None:
        self.name = name
        self.time = time
        self.clock = SimClock(time)
        self.link = Link(database, time, lambda: saw(self))
        self.doing = ""
        """What an operator does just now: `recover`, `restart`, `overwrite`."""
        self.alive = True
        self.resumes_at = 0.0
        self.engine = Engine(Store(self.link), Definitions("default"), self.clock, chance.random, Bell(ring))
        self.commands = Commands(self.engine)
        self.submitting = Submitting(self.engine)

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

    def __init__(self, *args: Any, locks: Locks) -> None:
        super().__init__(*args)
        chores = safety_chores(self.engine, self.commands, self.submitting, locks, lambda: None)
        self._due: list[tuple[float, Chore]] = [(0.0, each) for each in chores]

    def due_at(self) -> float:
        return min(at for at, _ in self._due)

    def step(self) -> None:
        for place, (at, chore) in enumerate(self._due):
            if at <= self.time.passed:
                self._due[place] = (self.time.passed + chore.interval_s, chore)
                with contextlib.suppress(MulliganError):
                    chore.run_once()


class SimWorker(Process):
    """The real worker's loop over a simulated executor."""

    def __init__(
        self, *args: Any, locks: Locks, definitions: Sequence[Definition], executor: Callable[[SimWorker], SimExecutor]
    ) -> None:
        super().__init__(*args)
        self._locks = locks
        self._taken: list[Lock] = []
        self.hints = SimHints()
        self.waiting = SimWaiting(self.hints)
        self.executors: list[SimExecutor] = []
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
                submissions=SimSubmissions(lambda payload, caller: "{}"),
                outcomes=Outcomes(RuleSet(), RULES),
                chores=lambda own: safety_chores(self.engine, self.commands, self.submitting, locks, own),
                tell=silent,
                name=self.name,
                lease_s=LEASE_S,
            )
        )

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

    def _made(self, executor: Callable[[SimWorker], SimExecutor]) -> SimExecutor:
        made = executor(self)
        self.executors.append(made)
        return made
