"""The chores that workers do: for what others left when they died or went on, deadlines, bulk operations, sums, old ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mulligan.engine.bulk_pages import BulkPages
from mulligan.engine.commands import Commands
from mulligan.engine.engine import Engine
from mulligan.engine.submitting import Submitting
from mulligan.store.rows import WorkerRow
from mulligan.supervisor.chore import Chore
from mulligan.supervisor.retention import Retention
from mulligan.supervisor.trends import trends_chore

LOOK_S = 0.5
BULK_S = 0.5
"""A page of a bulk operation that has become due waits so long at most; the time is made up for."""


class Locks(Protocol):
    """Tells which workers' locks are held."""

    @property
    def certain(self) -> bool:
        """Whether a free lock proves that its worker is dead."""
        ...

    def is_free(self, lock: str) -> bool: ...

    def forget(self, lock: str) -> None: ...


@dataclass(slots=True)
class _Watched:
    beat: int
    still_s: float
    looked: float


class LostWorkers:
    """Finds workers that have died, and takes their work items back.

    A worker is dead when its lock is free, or when its heartbeat stood still for a whole lease as seen here. The time
    between two looks counts for at most twice the interval, so that a pause of this process condemns nobody. Where a free lock
    proves nothing, since it may have been lost with a connection, what runs at most once waits for the lease.
    """

    def __init__(self, engine: Engine, locks: Locks, own: Callable[[], int | None]) -> None:
        self._engine = engine
        self._locks = locks
        self._own = own
        self._watched: dict[int, _Watched] = {}

    def run_once(self) -> int:
        """Look at every other worker once; returns how many work items were taken back."""
        with self._engine.store.read(single=True) as session:
            there = session.workers.open()
        own = self._own()
        self._watched = {each.id: self._watched[each.id] for each in there if each.id in self._watched}
        return sum(self._look_at(each) for each in there if each.id != own)

    def _look_at(self, worker: WorkerRow) -> int:
        still = self._stands_still(worker)
        free = not worker.ended and not still and self._locks.is_free(worker.lock)
        if free and not self._locks.certain:
            return self._engine.take_back_retried(worker)
        if not (worker.ended or still or free):
            return 0
        count = self._engine.reap(worker)
        self._locks.forget(worker.lock)
        return count

    def _stands_still(self, worker: WorkerRow) -> bool:
        now = self._engine.clock.monotonic()
        seen = self._watched.get(worker.id)
        if seen is None or seen.beat != worker.beat:
            self._watched[worker.id] = _Watched(worker.beat, 0.0, now)
            return False
        seen.still_s += min(now - seen.looked, 2 * LOOK_S)
        seen.looked = now
        return seen.still_s * 1000 > worker.lease_ms


def safety_chores(
    engine: Engine,
    commands: Commands,
    submitting: Submitting,
    bulk: BulkPages,
    locks: Locks,
    own: Callable[[], int | None],
) -> list[Chore]:
    """Return the chores that every worker does."""

    return [
        Chore("lost-workers", LOOK_S, LostWorkers(engine, locks, own).run_once),
        Chore("deadlines", 1.0, engine.expire),
        Chore("cancellations", 1.0, commands.go_on_cancelling),
        Chore("bulk operations", BULK_S, bulk.run_due),
        Chore("releases", 5.0, submitting.release_all),
        Chore("abandoned", 60.0, lambda: submitting.drop_abandoned() + bulk.end_abandoned()),
        Chore("operations", 10.0, Retention(engine, 0).remove_operations),
        trends_chore(engine),
    ]
