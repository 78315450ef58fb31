"""Which child an attempt goes to: how many children there are, and how much each may hold."""

from __future__ import annotations

import os
from collections.abc import Iterable
from heapq import heappop, heappush

from mulligan.worker.executors.process.attempts import Attempt
from mulligan.worker.executors.process.brood import Brood
from mulligan.worker.executors.process.children import Child
from mulligan.worker.executors.process.measures import BUDGET_S, MOST, Measures

STILLBORN = 3
"""After so many children in a row that died before they were ready, the next one has to wait."""


class Pool:
    """The children that attempts can be given to."""

    def __init__(self, brood: Brood, processes: int, async_slots: int) -> None:
        self.measures = Measures()
        self._brood = brood
        self._processes = processes
        self._async_slots = async_slots
        self._warm = min(processes, os.cpu_count() or 1)
        self._children: dict[int, Child] = {}
        self._async_child: Child | None = None
        self._stillborn = 0
        self._spawn_at = 0.0

    def grow(self, now: float) -> list[Child]:
        """Replace children that died, so that some are always warm; return the new ones."""
        new = []
        while len(self._children) < self._warm and now >= self._spawn_at:
            new.append(self._spawn(asynchronous=False))
        return new

    def born(self) -> None:
        """Note that a child is ready: children can live."""
        self._stillborn = 0

    def lost(self, child: Child, now: float, *, unfit: bool) -> float | None:
        """Forget a dead child; if it was unfit to live and the last ones too, return when the next one may be tried."""
        self._children.pop(child.number, None)
        if self._async_child is child:
            self._async_child = None
        if unfit:
            self._stillborn += 1
            if self._stillborn >= STILLBORN:
                self._spawn_at = now + min(30.0, 0.5 * 2.0 ** min(10, self._stillborn - STILLBORN))
                return self._spawn_at
        return None

    def has_idle(self) -> bool:
        """Return whether an attempt could start at once."""
        return len(self._children) < self._processes or any(map(_idle, self._children.values()))

    def room(self, waiting: Iterable[Attempt], now: float, *, asynchronous: bool) -> int:
        """Return how many attempts of unknown length could start at once, beside those that wait already."""
        taken = sum(each.asynchronous == asynchronous for each in waiting)
        if now < self._spawn_at:
            return 0
        if asynchronous:
            return max(0, self._async_slots - (len(self._async_child.attempts) if self._async_child else 0) - taken)
        idle = sum(map(_idle, self._children.values()))
        return max(0, idle + self._processes - len(self._children) - taken)

    def room_for(self, task: str, waiting: Iterable[Attempt], now: float) -> int:
        """Return how many attempts of a `def` task should be taken, by how long they were measured to run."""
        estimate = self.measures.estimate(task)
        if estimate >= BUDGET_S or now < self._spawn_at:
            return self.room(waiting, now, asynchronous=False)
        room = (self._processes - len(self._children)) * int(BUDGET_S / estimate)
        for child in self._children.values():
            if self._open(child, now):
                fit = int((BUDGET_S - child.load) / estimate)
                room += max(int(not child.attempts), min(MOST - len(child.attempts), fit))
        return max(0, room - sum(not each.asynchronous for each in waiting))

    def give(self, waiting: Iterable[Attempt], now: float) -> tuple[dict[Child, list[Attempt]], list[Attempt], list[Child]]:
        """Put attempts into children, the emptiest first; return who got what, what still waits, and new children."""
        given: dict[Child, list[Attempt]] = {}
        left: list[Attempt] = []
        new: list[Child] = []
        if now < self._spawn_at:
            return given, list(waiting), new
        free = [(child.load, not child.ready, child.number) for child in self._children.values() if self._open(child, now)]
        free.sort()
        for attempt in waiting:
            attempt.estimate = self.measures.estimate(attempt.assignment.task)
            child = self._async_home(new) if attempt.asynchronous else self._home(attempt, free, new)
            if child is None:
                left.append(attempt)
            else:
                child.add(attempt)
                given.setdefault(child, []).append(attempt)
        return given, left, new

    def _home(self, attempt: Attempt, free: list[tuple[float, bool, int]], new: list[Child]) -> Child | None:
        child = self._children[free[0][2]] if free else None
        if child is None or child.attempts:
            if len(self._children) < self._processes:
                child = self._spawn(asynchronous=False)
                new.append(child)
                heappush(free, (-1.0, True, child.number))
            elif child is None or attempt.assignment.alone or not _fits(child, attempt):
                return None
        heappop(free)
        if not attempt.assignment.alone and child.load + attempt.estimate < BUDGET_S and len(child.attempts) + 1 < MOST:
            heappush(free, (child.load + attempt.estimate, not child.ready, child.number))
        return child

    def _async_home(self, new: list[Child]) -> Child | None:
        if self._async_child is None:
            self._async_child = self._spawn(asynchronous=True)
            new.append(self._async_child)
        return self._async_child if len(self._async_child.attempts) < self._async_slots else None

    def _spawn(self, *, asynchronous: bool) -> Child:
        child = self._brood.spawn(asynchronous)
        if not asynchronous:
            self._children[child.number] = child
        return child

    def _open(self, child: Child, now: float) -> bool:
        """Return whether a child may get more: nobody in it is alone, being stopped, or slower than was thought."""
        head = child.head()
        if head is None:
            return _idle(child)
        if not child.lives():
            return False
        slow = head.started is None or now - head.started > BUDGET_S
        return not (slow or head.assignment.alone or head.cause is not None or child.load >= BUDGET_S)


def _idle(child: Child) -> bool:
    return not child.attempts and child.lives()


def _fits(child: Child, attempt: Attempt) -> bool:
    return child.load + attempt.estimate <= BUDGET_S and len(child.attempts) < MOST
