"""Runs attempts in child processes: several that run `def` tasks one by one, and one that runs `async def` tasks at once."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from mulligan.core.attempt import StopCause
from mulligan.core.failure import Failure, Kind, failure_from_json
from mulligan.worker.executors import wire
from mulligan.worker.executors.attempts import Attempt, Force, death, failed, neighbour_killed, stopped
from mulligan.worker.executors.children import Child
from mulligan.worker.executors.deadlines import Deadlines
from mulligan.worker.executors.interface import (
    Assignment,
    Call,
    Failed,
    Logged,
    Progressed,
    Report,
    Returned,
    Snoozed,
    Started,
    Succeeded,
)
from mulligan.worker.executors.logs import AttemptLog
from mulligan.worker.executors.measures import BUDGET_S, MOST, Measures
from mulligan.worker.executors.memory import KillCounter
from mulligan.worker.executors.nursery import Fate, Nursery

ANNOUNCE_S = 0.05
"""An attempt that is one of a batch is reported as started when it has run this long."""

RECALL_S = 0.1
"""What waits behind an attempt that has run this long is taken back as soon as another child is idle."""

LOAD_LIMIT_S = 120.0
"""How long a child may take to import the tasks."""

_RETRY_SPAWNING = 0
"""Key among the deadlines; attempts have positive keys, children that load negative ones."""


def _never(task: str) -> bool:  # noqa: ARG001
    return False


class ProcessExecutor:
    """Runs attempts in children of a forkserver; see `interface.Executor` for the verbs.

    `sources` are what the children import, by the function that `load` names. `asynchronous` tells which tasks are
    `async def`; those share one child, where at most `async_slots` run at once. A stopped attempt has `grace_s` to end
    by itself, and `kill_s` after it is made to. At most `log_limit` bytes of output are reported for an attempt.
    """

    def __init__(
        self,
        sources: Sequence[str],
        processes: int = 2,
        async_slots: int = 100,
        grace_s: float = 5.0,
        kill_s: float = 2.0,
        log_limit: int = 1_048_576,
        load: str = "mulligan.sdk.loading:load",
        asynchronous: Callable[[str], bool] = _never,
    ) -> None:
        self._hello = (load, list(sources))
        self._processes = processes
        self._async_slots = async_slots
        self._grace_s, self._kill_s = grace_s, kill_s
        self._log_limit = log_limit
        self._is_asynchronous = asynchronous
        self._attempts: dict[int, Attempt] = {}
        self._pending: deque[Attempt] = deque()
        self._children: dict[int, Child] = {}
        self._pool: dict[int, Child] = {}
        self._async_child: Child | None = None
        self._numbers = 0
        self._stillborn = 0
        self._spawn_at = 0.0
        self._reports: list[Report] = []
        self._deadlines = Deadlines()
        self._measures = Measures()
        self._kill_counter = KillCounter()
        self._selector = selectors.DefaultSelector()
        self._nursery = Nursery()
        self._selector.register(self._nursery.fileno(), selectors.EVENT_READ, None)
        self._closed = False
        self._warm = min(processes, os.cpu_count() or 1)
        self._grow(time.monotonic())

    def room(self, asynchronous: bool = False) -> int:
        """Return how many more attempts of unknown length could start at once."""
        if asynchronous:
            held = len(self._async_child.attempts) if self._async_child else 0
            return max(0, self._async_slots - held - sum(each.asynchronous for each in self._pending))
        if self._closed or time.monotonic() < self._spawn_at:
            return 0
        idle = sum(1 for child in self._pool.values() if not child.attempts)
        waiting = sum(1 for each in self._pending if not each.asynchronous)
        return max(0, idle + self._processes - len(self._pool) - waiting)

    def room_for(self, task: str) -> int:
        """Return how many more attempts of this task should be taken now, by how long it was measured to run."""
        if self._is_asynchronous(task):
            return self.room(asynchronous=True)
        estimate = self._measures.estimate(task)
        now = time.monotonic()
        if estimate >= BUDGET_S or now < self._spawn_at:
            return self.room()
        room = (self._processes - len(self._pool)) * min(MOST, int(BUDGET_S / estimate))
        for child in self._pool.values():
            if self._is_open(child, now):
                room += max(not child.attempts, min(MOST - len(child.attempts), int((BUDGET_S - child.load) / estimate)))
        return max(0, room - sum(1 for each in self._pending if not each.asynchronous))

    def start(self, batch: Sequence[Assignment]) -> None:
        """Take these attempts; what no child has room for waits here and can still be returned."""
        for assignment in batch:
            attempt = Attempt(assignment, not assignment.alone and self._is_asynchronous(assignment.task))
            self._attempts[assignment.id] = attempt
            self._pending.append(attempt)
        self._place(time.monotonic())

    def stop(self, id: int, cause: StopCause) -> None:
        """Ask an attempt to stop; nothing happens when it has ended."""
        attempt = self._attempts.get(id)
        if attempt is not None:
            self._stop(attempt, cause, None, time.monotonic())

    def answer(self, id: int, call: int, value: str | None, error: str | None) -> None:
        """Answer a Call with JSON, or with an error as `code: message`."""
        attempt = self._attempts.get(id)
        if attempt is not None and attempt.child is not None:
            self._send(self._children[attempt.child], wire.frame(wire.ANSWER, id, call, value, error))

    def files(self) -> Sequence[int]:
        """Return the one file descriptor to wait for."""
        return (self._selector.fileno(),)  # type: ignore[attr-defined]  # every selector chosen on Linux and macOS has it

    def poll(self) -> list[Report]:
        """Return what happened since the last poll, in order; enforces time limits."""
        if not self._closed:
            now = time.monotonic()
            fates = self._read(now)
            for fate in fates:
                self._learn(fate, now)
            for key in self._deadlines.due(now):
                self._look(key, now)
            self._grow(now)
            self._place(now)
        reports, self._reports = self._reports, []
        return reports

    def deadline(self) -> float | None:
        """Return when `poll` must be called at the latest (monotonic seconds), or None."""
        return 0.0 if self._reports else self._deadlines.next()

    def close(self) -> None:
        """Kill what still runs, and end; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._nursery.close()
        for child in self._children.values():
            child.close()
        self._selector.close()
        self._children.clear()
        self._pool.clear()
        self._async_child = None
        self._pending.clear()
        self._attempts.clear()

    # Children

    def _grow(self, now: float) -> None:
        while len(self._pool) < self._warm and now >= self._spawn_at:
            self._spawn(False, now)

    def _spawn(self, asynchronous: bool, now: float) -> Child:
        self._numbers += 1
        child = Child(self._numbers, asynchronous)
        self._nursery.fork(child.number, asynchronous, *child.hand_over())
        child.handed_over()
        child.hello(*self._hello)
        self._children[child.number] = child
        if asynchronous:
            self._async_child = child
        else:
            self._pool[child.number] = child
        self._selector.register(child.sock, selectors.EVENT_READ, child)
        self._selector.register(child.log, selectors.EVENT_READ, child)
        self._deadlines.set(-child.number, now + LOAD_LIMIT_S)
        return child

    def _read(self, now: float) -> list[Fate]:
        fates: list[Fate] = []
        served: set[int] = set()
        for key, mask in self._selector.select(0):
            child = key.data
            if child is None:
                fates = self._nursery.fates()
                continue
            if mask & selectors.EVENT_WRITE:
                self._flush(child)
            if mask & selectors.EVENT_READ:
                if key.fd != child.log:
                    self._serve(child, now)
                    served.add(child.number)
                elif child.number not in served:
                    self._read_log(child)
        return fates

    def _serve(self, child: Child, now: float) -> None:
        frames = child.receive()
        self._read_log(child)  # after the frames: the output of what they end is in the pipe by now
        for frame in frames or ():
            self._handle(child, frame, now)
        if child.gone:
            self._selector.unregister(child.sock)
            self._nursery.kill(child.number, signal.SIGKILL)

    def _read_log(self, child: Child) -> None:
        for id, data in child.read_log():
            attempt = child.attempts.get(id)
            if attempt is None:  # something it left behind still writes
                continue
            if attempt.log is None:
                attempt.log = AttemptLog(self._log_limit)
            text = attempt.log.feed(data)
            if text:
                self._reports.append(Logged(id, text))
        if child.log_gone and child.log in self._selector.get_map():
            self._selector.unregister(child.log)

    def _send(self, child: Child, data: bytes) -> None:
        waiting = bool(child.unsent)
        child.send(data)
        if child.unsent and not waiting and not child.gone:
            self._selector.modify(child.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, child)

    def _flush(self, child: Child) -> None:
        child.flush()
        if not child.unsent:
            self._selector.modify(child.sock, selectors.EVENT_READ, child)
