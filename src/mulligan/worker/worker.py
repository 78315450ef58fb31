"""A worker: claims work items, has them run, settles what came of them. One loop, one thread."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Sequence
from typing import Any

from mulligan.core.errors import StoreBusy, StoreError, StoreNewer, WorkerUnfit
from mulligan.core.events import AttemptEvent
from mulligan.core.job import Item, ItemKey
from mulligan.engine.definitions import Published
from mulligan.engine.exchanging import Checkpoint, Claim, Exchange, NewWorker, Notes, Wanted
from mulligan.worker.assigning import assignment_of, places_of
from mulligan.worker.bodies import Bodies
from mulligan.worker.executors.interface import (
    Call,
    Calls,
    Failed,
    Logged,
    Progressed,
    Report,
    Returned,
    Snoozed,
    Stopped,
    Succeeded,
)
from mulligan.worker.parts import Due, Parts, Running
from mulligan.worker.reporting import ending, unrecordable
from mulligan.worker.room import Room
from mulligan.worker.seams import Lock

IDLE_S = 1.0
"""How often an idle worker looks for work that nobody hinted at."""
STOP_LOOK_S = 0.5
"""How often a busy worker looks for cancellations that nobody hinted at."""
LOG_FLUSH_S = 0.2
PROGRESS_FLUSH_S = 0.5
STORE_RETRY_S = 0.2
START_S = 10.0
"""How long a worker that starts waits for others who hold the store."""


class Worker:
    """Runs until it is stopped. `run` returns when everything is settled; `stop` may be called from a signal or a thread."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._engine = parts.engine
        self._clock = parts.engine.clock
        self._tell = parts.tell
        self._executor = parts.make_executor()
        self._running: dict[int, Running] = {}
        self._ended: list[tuple[Item, AttemptEvent]] = []
        self._notes = Notes()
        self._calls: list[tuple[int, int]] = []
        self._serial = 0
        self._used = False
        """Whether the executor has been given anything."""
        self._trouble: str | None = None
        """Why it can run nothing more."""
        self._stops = 0
        self._draining = False
        self._handed_back = False
        self._worker: int | None = None
        self._lock: Lock | None = None
        self._loaded = {each.name: each for each in parts.definitions}
        self._published: dict[str, Published] = {}
        self._names: dict[int, str] = {}
        self._look_at = 0.0
        self._hinted = False
        """Whether somebody said that there is work."""
        self._flush_at = float("inf")
        self._stop_look_at = 0.0
        self._beat_at = 0.0
        self._renewed = 0.0
        self._store_down_until = 0.0
        self._store_is_down = False
        self._overdue = False
        self._progress: dict[int, tuple[float, float]] = {}
        self._bodies = Bodies()
        self._chores = [Due(each) for each in parts.chores(lambda: self._worker)]
        self._submissions = parts.submissions
        self._waiting = parts.waiting

    @property
    def id(self) -> int | None:
        """The id of this worker instance in the store, once it has begun."""
        return self._worker

    def run(self, *, signals: bool = False) -> None:
        """Work until stopped. With `signals`, SIGTERM and SIGINT stop it, each a step further; see `stop`.

        Raises WorkerUnfit, after what ran has ended, when its source files have changed or no child process can live.
        """
        previous = self._catch_signals() if signals else {}
        try:
            self.begin()
            while not self.done:
                self.step()
            if self._trouble is not None:
                raise WorkerUnfit(self._trouble)
        finally:
            self.close()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """Ask the worker to stop: at the first call it drains, at the second it hands its work back, at the third it leaves.

        What it leaves unsettled, because the store is away, is taken back from it later as from a lost worker.
        """
        self._stops += 1
        self._waiting.wake()

    @property
    def done(self) -> bool:
        """Whether it was stopped and has nothing left to do."""
        return self._draining and (not (self._running or self.unsettled) or self._stops > 2)

    @property
    def unsettled(self) -> bool:
        """Whether a task runs here, bodies that may wait left out, or something has ended and is not in the store yet."""
        return bool(len(self._running) > len(self._bodies) or self._ended or self._notes)

    def close(self) -> None:
        """Kill what still runs, and leave; safe to call twice."""
        self._executor.close()
        self._submissions.close()
        self._leave()
        if self._parts.hints is not None:
            self._parts.hints.close()
        self._waiting.close()

    def step(self) -> None:
        """Wait until there is something to do, or time to look, and do it."""
        self._wait()
        self._obey()
        for report in self._executor.poll():
            self._take_in(report)
        self._heed()
        for answer in self._submissions.take():
            self._executor.answer(*answer)
        now = self._clock.monotonic()
        if now < self._store_down_until:
            return
        try:
            self._with_store(now)
        except StoreError as error:
            self._note_store_down(error)
        else:
            if self._store_is_down:
                self._store_is_down = False
                self._tell("store is back", worker=self._parts.name)

    def _note_store_down(self, error: StoreError) -> None:
        if not self._store_is_down:
            self._store_is_down = True
            self._tell("store is away", error=str(error))
        now = self._clock.monotonic()
        self._store_down_until = now + STORE_RETRY_S
        if now - self._renewed > self._parts.lease_s and not self._overdue:
            # Others may have taken this worker for lost, and run its items: so they must not run on here.
            self._overdue = True
            self._tell("lease is over", worker=self._parts.name)
            if self._used:
                self._kill_all()

    def _with_store(self, now: float) -> None:
        if self._worker is None:
            self._enlist()
        elif self._overdue:
            self._start_anew()
        if self._store_is_down and self._worker is not None:
            self._engine.give_back(self._worker, self._known())
            self._bodies.catch_up([each.claim for each in self._running.values()], self._engine.calling, self._executor)
        self._exchange(now)
        if now >= self._beat_at:
            self._beat(now)
        if self._running and now >= self._stop_look_at:
            self._stop_look_at = now + STOP_LOOK_S
            self._stop_cancelled()
        for chore in self._chores:
            if now >= chore.at:
                self._do(chore, now)

    def _known(self) -> set[tuple[ItemKey, int]]:
        """Return the attempts in this worker's hands: a claim whose commit was not answered is not among them."""
        held = [running.item for running in self._running.values()] + [item for item, _ in self._ended]
        return {(item.key, item.token) for item in held}

    def _do(self, due: Due, now: float) -> None:
        """Do a chore, and soon again while there is more to do; one that fails is told of and tried again in its time."""
        due.at = now + due.chore.interval_s
        try:
            if due.chore.run_once():
                due.at = now
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - one bad row must not end everything that runs here
            self._tell("chore failed", chore=due.chore.name, error=f"{type(error).__name__}: {error}")

    def _wait(self) -> None:
        hints = self._parts.hints
        files = self._executor.files() if hints is None else (*self._executor.files(), hints.fileno())
        readable = self._waiting.wait(files, max(0.0, self.wake_at() - self._clock.monotonic()))
        if hints is not None and hints.fileno() in readable:
            hints.drain()
            self._look_at, self._hinted = 0.0, True
            self._stop_look_at = 0.0 if self._running else self._stop_look_at  # nobody has cancelled what is claimed after this

    def wake_at(self) -> float:
        """Return when, by the monotonic clock, to step again if nothing happens before: a look at the store, or a time limit."""
        at = 0.0
        if not self._ended and not self._calls:
            at = min(self._flush_at, self._beat_at, *(each.at for each in self._chores))
            if not self._draining:
                at = min(at, self._look_at)
            if self._running:
                at = min(at, self._stop_look_at)
        at = max(at, self._store_down_until)
        deadline = self._executor.deadline()
        return at if deadline is None else min(at, deadline)

    def _obey(self) -> None:
        if self._stops and not self._draining:
            self._draining = True
            self._tell("draining", running=len(self._running), unsettled=len(self._ended))
            self._bodies.hand_back(self._executor)
        if self._stops > 1 and not self._handed_back:
            self._handed_back = True
            self._tell("handing back", running=len(self._running))
            for id in list(self._running):  # noqa: A001 - the executor's name for it
                self._executor.stop(id, "drain")

    def _heed(self) -> None:
        """Drain when the executor cannot run anything more."""
        if self._executor.trouble is not None:
            self._give_up(self._executor.trouble)

    def _give_up(self, trouble: str) -> None:
        """Drain, since nothing more can be run here."""
        if self._trouble is None:
            self._trouble = trouble
            self._tell("nothing more can be run here", reason=trouble)
            self._stops = max(self._stops, 1)
            self._waiting.wake()

    def _take_in(self, report: Report) -> None:
        running = self._running.get(report.id)
        if running is None:
            return
        if isinstance(report, Succeeded | Failed | Snoozed | Stopped | Returned):
            self._end(running, report)
        elif isinstance(report, Logged):
            self._note_log(running, report)
        elif isinstance(report, Progressed):
            self._progress[report.id] = (report.done, report.total)
            self._flush_at = min(self._flush_at, self._clock.monotonic() + PROGRESS_FLUSH_S)
        elif isinstance(report, Call):
            self._call(running, report)
        elif isinstance(report, Calls):
            self._notes.calls += [Wanted(running.item, each) for each in report.calls]

    def _end(self, running: Running, report: Succeeded | Failed | Snoozed | Stopped | Returned) -> None:
        if self._progress:
            self._flush_progress(report.id)
        try:
            event = ending(report, running.claim, self._parts.outcomes)
        except Exception as error:  # noqa: BLE001 - a strange outcome is the failure of its attempt, not of the worker
            event = unrecordable(running.item, error)
        self._ended.append((running.item, event))
        self._bodies.drop(running.item.key, report.id)
        del self._running[report.id]

    def _note_log(self, running: Running, report: Logged) -> None:
        item = running.item
        self._notes.logs.append((item.job, item.number, item.token, running.parts, report.text))
        running.parts += 1
        self._flush_at = min(self._flush_at, self._clock.monotonic() + LOG_FLUSH_S)

    def _flush_progress(self, id: int) -> None:
        found = self._progress.pop(id, None)
        if found is not None:
            item = self._running[id].item
            self._notes.progress.append((item.job, item.number, item.token, *found))

    def _call(self, running: Running, call: Call) -> None:
        if call.name == "submit":
            self._submissions.put(call.id, call.call, call.payload, str(running.item.key))
            return
        try:
            key, value = self._parts.outcomes.checkpoint(call)
        except (KeyError, TypeError, ValueError) as error:
            self._executor.answer(call.id, call.call, None, f"result_invalid: this cannot be saved: {error}")
            return
        self._notes.checkpoints.append(Checkpoint(running.item, call.name, key, value, running.definition))
        self._calls.append((call.id, call.call))

    def _exchange(self, now: float) -> None:
        """Write what there is to write, and claim what there is room for, in one transaction."""
        assert self._worker is not None  # noqa: S101 - enlisted before the first step
        due = now >= self._look_at and not self._draining
        flush = now >= self._flush_at
        if flush:
            for id in list(self._progress):  # noqa: A001 - the executor's name for it
                self._flush_progress(id)
        if not self._ended and not self._calls and not self._notes.calls and not flush and not (due and self._finds_work()):
            return
        # A checkpoint makes no room, and many a task saves one after the other.
        looks = due or (bool(self._ended or self._notes.calls) and not self._draining)
        room = Room(self._executor, self._names, self._loaded) if looks else None
        self._hinted = self._hinted and not looks
        try:
            replays = bool(self._bodies)
            result = self._engine.exchange(self._worker, self._ended, list(self._names), room, self._notes, replays=replays)
        except StoreError:
            raise
        except Exception as trouble:  # noqa: BLE001 - whatever one attempt left, the others must not fall with it
            self._tell("exchange failed", error=f"{type(trouble).__name__}: {trouble}")
            self._settle_one_by_one()
            return
        calls = self._calls
        self._ended, self._calls, self._notes = [], [], Notes()
        self._flush_at = self._flush_at if self._progress else float("inf")  # what was not due yet still has its time
        self._tell_refused(result)
        if not result.alive:  # nobody is answered: what asked is killed
            self._start_anew()
            return
        for (id, call), saved in zip(calls, result.saved, strict=True):  # noqa: A001
            error = None if saved else "lease_lost: this attempt no longer owns its work item"
            self._executor.answer(id, call, "null" if saved else None, error)
        more = room is not None and room.left()
        self._bodies.hear(result.arrived, self._executor)
        self._dispatch(result.claims)
        if result.claims:
            self._look_at = 0.0 if more else now + IDLE_S
        elif looks:
            self._sleep_until(result.next_due_ms)

    def _finds_work(self) -> bool:
        """Return whether something may be due, without holding up anybody who writes; else sleep until it is."""
        if self._hinted:  # then looking before taking it only costs time
            return True
        if self._bodies and self._worker is not None and self._engine.has_arrived(self._worker):
            return True
        next_due = self._engine.peek(list(self._names))
        if next_due is not None and next_due <= self._clock.now_ms():
            return True
        self._sleep_until(next_due)
        return False

    def _settle_one_by_one(self) -> None:
        """Settle each outcome by itself; one that the store will not take becomes a failure that says so."""
        assert self._worker is not None  # noqa: S101 - enlisted before the first step
        worker = self._worker
        while self._ended:
            item, event = self._ended[0]
            try:
                self._engine.exchange(worker, [(item, event)], [], None)
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - see above
                self._engine.exchange(worker, [(item, unrecordable(item, error))], [], None)
            del self._ended[0]
        for id, call in self._calls:  # noqa: A001 - the executor's name for it
            self._executor.answer(id, call, None, "result_invalid: the store could not keep this; see the worker's log")
        calls, self._calls, self._notes = self._notes.calls, [], Notes()
        self._bodies.store_one_by_one(
            calls, lambda each: self._engine.exchange(worker, [], [], None, Notes(calls=[each])), self._executor
        )

    def _sleep_until(self, due_ms: int | None) -> None:
        wait_s = IDLE_S if due_ms is None else max(0.0, (due_ms - self._clock.now_ms()) / 1000)
        self._look_at = self._clock.monotonic() + min(wait_s, IDLE_S)

    def _dispatch(self, claims: Sequence[Claim]) -> None:
        # What is read comes before these are in hand: where the store cannot be read they are given back, and not held for ever.
        histories = self._engine.calling.histories(claims)
        batch, now_ms = [], self._clock.now_ms()
        for claim, place in zip(claims, places_of(claims, self._parts.traceparents), strict=True):
            self._serial += 1
            loaded = self._loaded[self._names[claim.item.task]]
            self._running[self._serial] = Running(claim, self._published[loaded.name].definition)
            if loaded.workflow:
                self._bodies.add(claim.item.key, self._serial, self._executor)
            batch.append(assignment_of(self._serial, claim, loaded, now_ms, histories.get(claim.item.key, ()), place))
        if batch:
            self._used = True
            self._executor.start(batch)

    def _stop_cancelled(self) -> None:
        assert self._worker is not None  # noqa: S101 - enlisted before the first step
        asked = set(self._engine.asked_to_stop(self._worker))
        for id, running in self._running.items():  # noqa: A001 - the executor's name for it
            if not running.asked and (running.item.key, running.item.token) in asked:
                running.asked = True
                self._executor.stop(id, "cancel")

    def _beat(self, now: float) -> None:
        assert self._worker is not None  # noqa: S101 - enlisted before the first step
        self._beat_at = now + self._parts.lease_s / 6
        try:
            lives = self._engine.beat(self._worker)
        except StoreNewer as newer:
            self._give_up(str(newer))
            lives = True
        if lives:
            self._renewed = now
            self._bodies.stop_lost(self._worker, self._engine.held, self._executor)
        else:
            self._start_anew()

    def _deliver(self) -> None:
        """Settle what ended while the store was away; whatever others were first with is refused and counted."""
        assert self._worker is not None  # noqa: S101 - looked at by the caller
        result = self._engine.exchange(self._worker, self._ended, [], None, self._notes)
        self._tell_refused(result)
        self._ended, self._notes = [], Notes()

    def _tell_refused(self, result: Exchange) -> None:
        count = result.refused + result.saved.count(False)
        if count:
            self._tell("refused", worker=self._parts.name, count=count)

    def _kill_all(self) -> None:
        """Kill what runs; what has ended already is kept."""
        self._tell("killing all", worker=self._parts.name, running=len(self._running))
        self._executor.close()
        self._running.clear()
        self._bodies.clear()
        self._progress.clear()
        self._calls.clear()
        self._executor = self._parts.make_executor()
        self._used = False

    def _start_anew(self) -> None:
        """This instance does not count any more: whatever it still held is taken back, and another one begins."""
        self._overdue = True  # so that it is gone on with where the store leaves it halfway
        while reports := self._executor.poll():  # what has come too late shall be counted as that
            for report in reports:
                self._take_in(report)
        if self._used:
            self._kill_all()
        self._deliver()
        self._leave()
        self._enlist()

    def begin(self) -> None:
        """Enlist for the first time; whoever holds the store then gets more time than later, when work waits."""
        until = self._clock.monotonic() + START_S
        while self._worker is None:
            try:
                self._enlist()
            except StoreBusy:
                if self._clock.monotonic() > until or self._stops:
                    raise

    def _enlist(self) -> None:
        instance = uuid.uuid4().hex
        lock = self._parts.lock(instance)
        new = NewWorker(instance, self._parts.name, os.getpid(), str(lock.path), round(self._parts.lease_s * 1000))
        try:
            self._worker, self._published = self._engine.enlist(new, self._parts.definitions)
        except BaseException:
            lock.release()
            raise
        self._lock = lock
        self._overdue = False
        self._names = {each.task: name for name, each in self._published.items()}
        self._look_at = 0.0
        self._renewed = self._clock.monotonic()
        self._beat_at = self._renewed + self._parts.lease_s / 6
        self._tell("worker started", worker=self._parts.name, id=self._worker, tasks=sorted(self._published))

    def _leave(self) -> None:
        dismissed = True
        if self._worker is not None:
            dismissed = self._dismissed()
            self._worker = None
        if self._lock is not None:
            self._lock.release(keep_file=not dismissed)  # then its lock, free, says to others what the store could not be told
            self._lock = None

    def _dismissed(self) -> bool:
        assert self._worker is not None  # noqa: S101 - looked at by the caller
        try:
            self._engine.dismiss(self._worker, self._parts.name)
        except StoreError as error:
            self._tell("store is away", error=str(error))
            return False
        return True

    def _catch_signals(self) -> dict[int, Any]:
        def asked(number: int, frame: object) -> None:  # noqa: ARG001
            self.stop()

        return {number: signal.signal(number, asked) for number in (signal.SIGTERM, signal.SIGINT)}
