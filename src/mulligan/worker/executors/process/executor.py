"""Runs attempts in child processes: several that run `def` tasks one by one, and one that runs `async def` tasks at once."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mulligan.core.attempt import StopCause
from mulligan.core.failure import Kind, failure_from_json
from mulligan.core.masking import Known
from mulligan.core.replay import Past
from mulligan.sdk.ports import AMBIENT
from mulligan.telemetry import Tell, silent
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
from mulligan.worker.executors.process import wire
from mulligan.worker.executors.process.attempts import Attempt, Force, death, failed, neighbour_killed, stopped
from mulligan.worker.executors.process.brood import Brood, News
from mulligan.worker.executors.process.children import Child
from mulligan.worker.executors.process.deadlines import Deadlines
from mulligan.worker.executors.process.health import Health
from mulligan.worker.executors.process.logs import AttemptLog
from mulligan.worker.executors.process.memory import KillCounter
from mulligan.worker.executors.process.nursery import Fate, Nursery
from mulligan.worker.executors.process.pool import Pool

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
    by itself, and `kill_s` after it is made to. At most `log_limit` bytes of output are reported for an attempt. `nursery` is
    a forkserver that was started before, to save time. `code` holds digests of the source files that the worker has loaded
    (see `sdk.digest.source_digests`): a child that finds others is not used. `artifacts` is where relative ones lie.
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
        nursery: Nursery | None = None,
        code: Mapping[str, str] | None = None,
        artifacts: str = "",
        tell: Tell = silent,
    ) -> None:
        self._grace_s, self._kill_s = grace_s, kill_s
        self._log_limit = log_limit
        self._is_asynchronous = asynchronous
        self._attempts: dict[int, Attempt] = {}
        self._pending: deque[Attempt] = deque()
        self._reports: list[Report] = []
        self._deadlines = Deadlines()
        self._kill_counter = KillCounter()
        self._health = Health(tell)
        self._brood = Brood((load, list(sources), code or {}, artifacts), self._health.lost_forkserver, nursery)
        self._pool = Pool(self._brood, processes, async_slots)
        self._closed = False
        now = time.monotonic()
        self._adopt(self._pool.grow(now), now)

    @property
    def trouble(self) -> str | None:
        """Why nothing more can be run here, or None; what is handed in then comes back."""
        return self._health.trouble

    def room(self, asynchronous: bool = False) -> int:
        """Return how many more attempts of unknown length could start at once."""
        if self.trouble is not None:
            return 0
        return self._pool.room(self._pending, time.monotonic(), asynchronous=asynchronous)

    def slots_for(self, task: str) -> int:
        """Return how many more attempts of this task could start at once, each in a slot that is free."""
        return self.room(self._is_asynchronous(task))

    def room_for(self, task: str) -> int:
        """Return how many more attempts of this task should be taken now, by how long it was measured to run."""
        if self.trouble is not None or self._is_asynchronous(task):
            return self.room(asynchronous=True)
        return self._pool.room_for(task, self._pending, time.monotonic())

    def start(self, batch: Sequence[Assignment]) -> None:
        """Take these attempts; what no child has room for waits here and can still be returned."""
        for assignment in batch:
            attempt = Attempt(assignment, not assignment.alone and self._is_asynchronous(assignment.task))
            self._attempts[assignment.id] = attempt
            self._pending.append(attempt)
        self._go_on(time.monotonic())

    def stop(self, id: int, cause: StopCause) -> None:
        """Ask an attempt to stop; nothing happens when it has ended."""
        attempt = self._attempts.get(id)
        if attempt is not None:
            self._stop(attempt, cause, None, time.monotonic())

    def answer(self, id: int, call: int, value: str | None, error: str | None) -> None:
        """Answer a Call with JSON, or with an error as `code: message`."""
        attempt = self._attempts.get(id)
        if attempt is not None and attempt.child is not None:
            attempt.open_calls -= 1
            attempt.touched = time.monotonic()
            self._brood.send(attempt.child, wire.frame(wire.ANSWER, id, call, value, error))

    def arrived(self, id: int, call: Past) -> None:
        """Do nothing: no process waits for calls."""

    def files(self) -> Sequence[int]:
        """Return the one file descriptor to wait for."""
        return (self._brood.fileno(),)

    def poll(self) -> list[Report]:
        """Return what happened since the last poll, in order; enforces time limits."""
        if not self._closed:
            now = time.monotonic()
            news, fates = self._brood.read()
            for each in news:
                self._hear(each, now)
            for fate in fates:
                self._learn(fate, now)
            for key in self._deadlines.due(now):
                self._look(key, now)
            self._go_on(now)
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
        self._brood.close()
        self._pending.clear()
        self._attempts.clear()

    def _hear(self, news: News, now: float) -> None:
        child = news.child
        for number, data in news.output:
            self._log(child, number, data)
        head = child.attempts.get(child.splitter.current)
        if head is not None and not head.announced and len(child.attempts) == 1:
            self._announce(child, head, now)
        try:
            for frame in news.frames:
                if frame[0] <= wire.STOPPED:
                    self._end(child, frame, now)
                else:
                    self._note(child, frame, now)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            child.distrust()
            self._brood.kill(child, signal.SIGKILL)
        self._advance(child, now)

    def _log(self, child: Child, id: int, data: bytes) -> None:
        attempt = child.attempts.get(id)
        if attempt is None:  # something that an attempt left behind still writes
            return
        if attempt.log is None:
            attempt.log = AttemptLog(self._log_limit)
        text = attempt.log.feed(data)
        if text:
            self._reports.append(Logged(id, text))

    def _end(self, child: Child, frame: list[Any], now: float) -> None:
        tag, number, started_ms, run_us = frame[:4]
        attempt = child.attempts.get(number)
        if attempt is None:
            return
        self._release(attempt)
        self._pool.measures.add(attempt.assignment.task, run_us / 1e6)
        ended_ms = started_ms + run_us // 1000
        if tag == wire.SUCCEEDED:
            self._reports.append(Succeeded(number, started_ms, ended_ms, frame[4], attempt.rows, child.pid or 0))
        elif tag == wire.STOPPED or (tag == wire.FAILED and attempt.forced):
            trace = frame[4] if tag == wire.STOPPED else failure_from_json(frame[4]).traceback
            self._reports.append(stopped(attempt, now, child.pid, started_ms, trace))
        elif tag == wire.FAILED:
            failure = failure_from_json(frame[4])
            self._reports.append(Failed(number, started_ms, ended_ms, failure, attempt.rows, child.pid))
        else:
            self._reports.append(Snoozed(number, started_ms, ended_ms, frame[4], attempt.rows, child.pid or 0))
        # What was made to stop may have left processes behind, or anything half done: the next one gets a fresh child.
        child.retiring = child.retiring or (attempt.forced and not child.asynchronous)

    def _note(self, child: Child, frame: list[Any], now: float) -> None:
        match frame:
            case [wire.READY]:
                child.ready = True
                self._pool.born()
                self._health.born()
                self._deadlines.discard(-child.number)
                return
            case [wire.UNFIT, changed, text] if not child.ready:
                child.unfit = True
                self._health.unfit(changed=changed, text=text)
                return
            case [wire.BEGAN, ids]:
                for each in filter(None, map(child.attempts.get, ids)):
                    self._begin(each, now)
                    if len(ids) == 1:
                        self._announce(child, each, now)
                return
            case [wire.RECALLED, ids, answers]:
                child.recalling = child.recalling and not answers
                self._take_back(child, ids, now)
                return
            case [wire.HIDE, number, reference, value]:
                AMBIENT.hide(Known(reference, value))  # from here on: what the child writes with it has not been read yet
                self._brood.send(child, wire.frame(wire.HIDDEN, number))
                return
        attempt = child.attempts.get(frame[1])
        if attempt is None:
            return
        attempt.touched = now
        match frame:
            case [wire.CALL, id, call, name, payload]:
                attempt.open_calls += 1
                self._reports.append(Call(id, call, name, payload))
            case [wire.PROGRESS, id, done, total]:
                self._reports.append(Progressed(id, done, total))
            case [wire.ROWS, _, rows]:
                attempt.rows = rows

    def _release(self, attempt: Attempt) -> None:
        """Forget an attempt that ends, after the last of its output."""
        del self._attempts[attempt.id]
        self._deadlines.discard(attempt.id)
        if attempt.child is not None:
            attempt.child.remove(attempt)
        if attempt.log is not None:
            text = attempt.log.close()
            if text:
                self._reports.append(Logged(attempt.id, text))

    def _return(self, attempt: Attempt) -> None:
        self._release(attempt)
        self._reports.append(Returned(attempt.id))

    def _advance(self, child: Child, now: float) -> None:
        """Note that the next attempt of a child that runs one after the other has begun."""
        if child.retiring and not child.attempts:
            self._brood.kill(child, signal.SIGKILL)
        if not child.asynchronous and child.ready:
            head = child.head()
            if head is not None and head.started is None:
                self._begin(head, now)

    def _begin(self, attempt: Attempt, now: float) -> None:
        attempt.begin(now)
        assignment = attempt.assignment
        if assignment.timeout_s is None and assignment.heartbeat_s is None and not attempt.forces:
            self._deadlines.set(assignment.id, now + ANNOUNCE_S)
        else:
            self._watch(attempt, now)

    def _announce(self, child: Child, attempt: Attempt, now: float) -> None:
        attempt.announced = True
        if attempt.started is None:
            self._begin(attempt, now)
        self._reports.append(Started(attempt.id, attempt.started_ms(now) or 0, child.pid or 0))

    def _watch(self, attempt: Attempt, now: float) -> None:
        """Set when to look at an attempt again."""
        times = [time for time, _ in attempt.limits()]
        if attempt.forces:
            times.append(attempt.forces[0][0])
        if attempt.started is not None and not attempt.announced:
            times.append(attempt.started + ANNOUNCE_S)
        elif attempt.child is not None and not attempt.asynchronous and len(attempt.child.attempts) > 1:
            times.append(now + RECALL_S)
        if times:
            self._deadlines.set(attempt.id, min(times))

    def _look(self, key: int, now: float) -> None:
        if key < 0:
            child = self._brood.children.get(-key)
            if child is not None:
                child.overdue = True
                self._brood.kill(child, signal.SIGKILL)
        attempt = self._attempts.get(key)
        if attempt is None or attempt.child is None:
            return
        child = attempt.child
        if attempt.started is not None and now >= attempt.started + ANNOUNCE_S:
            if not attempt.announced:
                self._announce(child, attempt, now)
            if now >= attempt.started + RECALL_S and not attempt.asynchronous and self._pool.has_idle():
                self._recall(child)
        for time_, kind in attempt.limits():
            if time_ <= now:
                self._stop(attempt, "timeout", kind, now)
                break
        while attempt.forces and attempt.forces[0][0] <= now:
            self._force(attempt, attempt.forces.pop(0)[1], now)
        self._watch(attempt, now)

    def _stop(self, attempt: Attempt, cause: StopCause, limit: Kind | None, now: float) -> None:
        if attempt.cause is not None:
            if cause == "cancel" and attempt.limit is None:
                attempt.cause = cause
            return
        attempt.cause, attempt.limit = cause, limit
        child = attempt.child
        if child is None:
            self._pending.remove(attempt)
            self._return(attempt)
            return
        self._brood.send(child, wire.frame(wire.STOP, attempt.id, cause))
        if not child.asynchronous:
            self._recall(child)  # so that whatever is done to it hits nobody else
        attempt.plan_stop(now, self._grace_s, self._kill_s)
        self._watch(attempt, now)

    def _force(self, attempt: Attempt, force: Force, now: float) -> None:
        child = attempt.child
        if child is None:
            return
        if not child.asynchronous and child.head() is not attempt:
            attempt.forces.insert(0, (now + RECALL_S, force))  # somebody else runs there: its turn comes first
            return
        attempt.forced = attempt.forced or force != "ask"
        match force:
            case "ask":
                self._brood.send(child, wire.frame(wire.STOP, attempt.id, attempt.cause))
            case "interrupt":
                self._brood.send(child, wire.frame(wire.INTERRUPT, attempt.id))
            case "terminate":
                self._brood.kill(child, signal.SIGTERM)
            case "kill":
                child.killed_for = attempt
                self._brood.kill(child, signal.SIGKILL)

    def _recall(self, child: Child) -> None:
        if not child.recalling and len(child.attempts) > 1:
            child.recalling = True
            self._brood.send(child, wire.frame(wire.RECALL))

    def _take_back(self, child: Child, ids: list[int], now: float) -> None:
        """Give what a child had not started to idle children, or back."""
        recalled = []
        for number in ids:
            attempt = child.attempts.get(number)
            if attempt is None:
                continue
            if attempt.cause is not None:
                self._return(attempt)
                continue
            child.remove(attempt)
            attempt.child = attempt.started = None
            self._deadlines.discard(number)
            recalled.append(attempt)
        self._pending.extendleft(reversed(recalled))
        self._place(now)
        for attempt in recalled:
            if attempt.child is None:
                self._pending.remove(attempt)
                self._return(attempt)
        self._advance(child, now)

    def _learn(self, fate: Fate, now: float) -> None:
        child = self._brood.children.get(fate.number)
        if child is None:
            return
        if not fate.ended:
            child.pid = fate.pid
            return
        for news in self._brood.bury(child.number):
            self._hear(news, now)
        self._deadlines.discard(-child.number)
        again = self._pool.lost(child, now, unfit=not child.ready and child.killed_for is None and not child.retiring)
        if again is not None:
            self._deadlines.set(_RETRY_SPAWNING, again)
        self._mourn(child, fate, now)

    def _mourn(self, child: Child, fate: Fate, now: float) -> None:
        """End all attempts of a dead child."""
        status = None if fate.status is None or not fate.pid else os.waitstatus_to_exitcode(fate.status)
        starved = status == -signal.SIGKILL and child.killed_for is None and self._kill_counter.rose()
        blamed = None if child.ready or child.unfit else child.head()
        for attempt in list(child.attempts.values()):
            if not child.ran(attempt):
                if attempt is blamed and status is not None and attempt.cause is None:
                    self._release(attempt)
                    failure = death(status, out_of_memory=starved, ready=False, overdue=child.overdue)
                    self._reports.append(failed(attempt, now, child.pid, failure))
                else:
                    self._return(attempt)
                continue
            self._release(attempt)
            if attempt.forced or (attempt.cause is not None and child.killed_for is not None):
                attempt.killed = True
                self._reports.append(stopped(attempt, now, child.pid, None))
                continue
            crash = death(status, out_of_memory=starved, ready=True, forged=child.distrusted)
            failure = neighbour_killed() if child.killed_for is not None else crash
            self._reports.append(failed(attempt, now, child.pid, failure))

    def _go_on(self, now: float) -> None:
        """Have children for what waits; where none can live any more, give it back."""
        if self.trouble is None:
            self._adopt(self._pool.grow(now), now)
            self._place(now)
            return
        while self._pending:
            self._return(self._pending.popleft())

    def _place(self, now: float) -> None:
        """Send to children what they have room for."""
        if not self._pending or self.trouble is not None:
            return
        given, left, new = self._pool.give(self._pending, now)
        self._pending = deque(left)
        self._adopt(new, now)
        for child, batch in given.items():
            self._brood.send(child, wire.frame(wire.BATCH, [wire.entry(each.assignment) for each in batch]))
            self._advance(child, now)

    def _adopt(self, new: list[Child], now: float) -> None:
        for child in new:
            self._deadlines.set(-child.number, now + LOAD_LIMIT_S)
