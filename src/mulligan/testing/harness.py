"""A whole engine over a real store, with a clock to turn and workers that do as they are told."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

from mulligan.config.rules import rules_of
from mulligan.core.definition import Definition
from mulligan.core.events import AttemptEvent, Released, Run, Snoozed, Stopped, Succeeded
from mulligan.core.job import Attempt, FailureClass, Item, ItemKey, Job
from mulligan.core.replay import Past
from mulligan.core.submission import NewCall, NewItem
from mulligan.engine.asking import Asker
from mulligan.engine.bulk import Bulk
from mulligan.engine.bulk_pages import BulkPages
from mulligan.engine.clock import Chance, system_chance
from mulligan.engine.commands import Commands
from mulligan.engine.definitions import Definitions
from mulligan.engine.engine import Engine
from mulligan.engine.exchanging import Checkpoint, Claim, Exchange, NewWorker, Notes, Wanted
from mulligan.engine.reading import Reading
from mulligan.engine.submitting import Submitting
from mulligan.engine.verify import Finding, verify
from mulligan.store.interface import Database
from mulligan.store.rows import AuditRow
from mulligan.store.sqlite import SqliteDatabase
from mulligan.store.store import Store
from mulligan.supervisor.retention import Retention
from mulligan.supervisor.safety import LostWorkers
from mulligan.supervisor.trends import Trends
from mulligan.testing.clock import VirtualClock
from mulligan.testing.factories import a_definition, a_failure, a_submission

ASKER = Asker("tester", "tests", "because")
LEASE_MS = 30_000
KEEP_S = 86_400.0


class Bell:
    """Counts how often somebody was woken."""

    def __init__(self) -> None:
        self.workers = 0
        self.waiters = 0

    def wake_workers(self) -> None:
        """Count it."""
        self.workers += 1

    def wake_waiters(self) -> None:
        """Count it."""
        self.waiters += 1


class Locks:
    """Locks of workers that exist only by name."""

    def __init__(self) -> None:
        self.certain = True
        self.free: set[str] = set()

    def is_free(self, lock: str) -> bool:
        """Return whether the worker behind a lock is dead."""
        return lock in self.free

    def forget(self, lock: str) -> None:
        """Do nothing: there is no file."""


class Harness:
    """Everything from the store up to the commands, in this process; in memory unless a path or a database is given."""

    def __init__(
        self,
        path: str = ":memory:",
        clock: VirtualClock | None = None,
        chance: Chance = system_chance,
        database: Database | None = None,
    ) -> None:
        self.clock = clock or VirtualClock()
        self.database = database or SqliteDatabase(path, synchronous="NORMAL")
        self.store = Store(self.database)
        self.bell = Bell()
        self.locks = Locks()
        self.definitions = Definitions("default")
        self.engine = Engine(self.store, self.definitions, self.clock, chance, self.bell)
        self.commands = Commands(self.engine)
        self.submitting = Submitting(self.engine)
        self.reading = Reading(self.engine, lambda: rules_of(""))
        self.bulk = Bulk(self.engine, self.reading)
        self.bulk_pages = BulkPages(self.engine, self.bulk, rate=0)
        self.watch = LostWorkers(self.engine, self.locks, lambda: None)
        self.retention = Retention(self.engine, KEEP_S)
        self.trends = Trends(self.engine)
        self._names = itertools.count(1)

    def __enter__(self) -> Harness:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.store.close()

    def submit(self, definition: Definition | None = None, items: Iterable[NewItem] | int = 1, **options: Any) -> int:
        """Submit items of a task; returns the job."""
        return self.submitting.take(a_submission(definition or a_definition(), items, **options)).job

    def worker(self, *definitions: Definition, lease_ms: int = LEASE_MS) -> Hand:
        """Enlist a worker that has loaded tasks."""
        return Hand(self, definitions or (a_definition(),), f"hand-{next(self._names)}", lease_ms)

    def item(self, key: ItemKey | int, number: int = 0) -> Item:
        """Return the row of an item: by its key, or by its job and number."""
        key = key if isinstance(key, ItemKey) else ItemKey(key, number)
        with self.store.read() as session:
            return session.items.read([key])[0]

    def items(self, job: int) -> list[Item]:
        """Return the rows of a job's items."""
        return [each.item for each in self.store.listing.all_items({"job": job})]

    def job(self, job: int) -> Job:
        """Return the row of a job."""
        with self.store.read() as session:
            found = session.jobs.read(job)
        if found is None:
            raise LookupError(f"no job {job}")
        return found

    def attempts(self, key: ItemKey) -> list[Attempt]:
        """Return the ended attempts of an item."""
        with self.store.read() as session:
            return session.items.attempts(key)

    def audit(self) -> list[AuditRow]:
        """Return the audit, newest line first."""
        with self.store.read() as session:
            return session.records.audit()

    def refused(self) -> int:
        """Return how many late writes were refused."""
        with self.store.read() as session:
            return sum(row[8] for row in session.workers.all())

    def publish(self, definition: Definition) -> None:
        """Make a definition the one that new generations run under."""
        with self.store.write() as session:
            self.definitions.publish(session, definition, self.clock.now_ms(), current=True)

    def verify(self) -> list[Finding]:
        """Return what is wrong with the store."""
        return verify(self.store)

    @contextlib.contextmanager
    def failing(self, error: BaseException, at: str = "before commit") -> Iterator[None]:
        """Have every commit fail, or its answer be lost with `at="after commit"`."""

        def hurt(point: str) -> None:
            if point == at:
                raise error

        self.database.fail_with(hurt)
        try:
            yield
        finally:
            self.database.fail_with(None)

    def do_chores(self) -> None:
        """Look after deadlines, cancellations and releases once."""
        self.engine.expire()
        self.commands.go_on_cancelling()
        self.submitting.release_all()


class Hand:
    """A worker that claims what it is told to, and says of it what it is told to say."""

    def __init__(self, harness: Harness, definitions: Sequence[Definition], name: str, lease_ms: int) -> None:
        self._harness = harness
        self._engine = harness.engine
        self.name = name
        new = NewWorker(f"instance-{name}", name, 1, f"lock-{name}", lease_ms)
        self.id, published = harness.engine.enlist(new, definitions)
        self.tasks = [each.task for each in published.values()]
        self.held: dict[ItemKey, Claim] = {}

    def claim(self, limit: int = 1) -> list[Item]:
        """Take up to so many items that are due."""
        return [each.item for each in self.exchange(limit=limit).claims]

    def take(self) -> Item:
        """Take one item, which must be there."""
        found = self.claim()
        if not found:
            raise LookupError("nothing is due")
        return found[0]

    def exchange(
        self, *ended: tuple[Item, AttemptEvent], limit: int = 0, notes: Notes | None = None, replays: bool = False
    ) -> Exchange:
        """Settle and claim in one transaction; with `replays`, hear of calls that have ended."""
        room = _Room(limit) if limit else None
        result = self._engine.exchange(self.id, list(ended), self.tasks, room, notes, replays=replays)
        for item, _ in ended:
            self.held.pop(item.key, None)
        self.held.update({each.item.key: each for each in result.claims})
        return result

    def succeed(self, item: Item, result: str = "null", rows: int | None = None) -> Exchange:
        """Say that an item's attempt returned."""
        return self.exchange((item, Succeeded(self._run(item, rows), result)))

    def fail(self, item: Item, failure_class: FailureClass = FailureClass.TRANSIENT, **changes: Any) -> Exchange:
        """Say that an item's attempt failed."""
        return self.exchange((item, a_failure(item, failure_class, **{"run": self._run(item), **changes})))

    def snooze(self, item: Item, delay_s: float) -> Exchange:
        """Say that an item's attempt wants to be run later."""
        return self.exchange((item, Snoozed(self._run(item), delay_s)))

    def stopped(self, item: Item) -> Exchange:
        """Say that an item's attempt ended because it was asked to."""
        return self.exchange((item, Stopped(self._run(item))))

    def release(self, item: Item) -> Exchange:
        """Give an item back that was not started."""
        return self.exchange((item, Released(self._run(item))))

    def save(self, item: Item, kind: str, key: str, value: str, definition: int | None = None) -> bool:
        """Save a checkpoint; returns whether it was accepted."""
        notes = Notes(checkpoints=[Checkpoint(item, kind, key, value, definition or item.definition)])
        return self.exchange(notes=notes).saved[0]

    def call(self, item: Item, *calls: NewCall) -> Exchange:
        """Have the body of a workflow make calls."""
        return self.exchange(notes=Notes(calls=[Wanted(item, each) for each in calls]))

    def arrived(self) -> dict[str, Past]:
        """Hear of calls that have ended, by their places."""
        return {call.place: call for _, call in self.exchange(replays=True).arrived}

    def beat(self) -> bool:
        """Count a heartbeat."""
        return self._engine.beat(self.id)

    def die(self) -> None:
        """Die, so that the kernel frees the lock."""
        self._harness.locks.free.add(f"lock-{self.name}")

    def _run(self, item: Item, rows: int | None = None) -> Run:
        return Run(item.token, item.worker or 0, self._harness.clock.now_ms(), item.claimed_ms, rows, 1)


class _Room:
    def __init__(self, limit: int) -> None:
        self._left = limit

    def limit(self, task: int, once: bool) -> int:  # noqa: ARG002 - the engine's seam
        return self._left

    def concurrency(self, task: int) -> int | None:  # noqa: ARG002 - the engine's seam
        """Return the limit of any task."""
        return None

    def took(self, task: int, count: int) -> None:  # noqa: ARG002 - the engine's seam
        self._left -= count


def until(done: Callable[[], bool], clock: VirtualClock, step_s: float = 60.0, steps: int = 10_000) -> None:
    """Let time pass until something is so; raises AssertionError when it never is."""
    for _ in range(steps):
        if done():
            return
        clock.pass_(step_s)
    raise AssertionError(f"it did not come true in {steps * step_s} s")
