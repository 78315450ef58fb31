"""The world of a simulation: processes on one store, what may happen to them, and time."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from sim_bodies import SimBodies, SimBoth
from sim_executor import GRACE_S, KILL_S, Deed, SimExecutor
from sim_faults import Faults
from sim_model import CROWD, FLOWS, LIMITS, POLICIES
from sim_oracle import Broken, Oracle
from sim_people import MOST_ITEMS, People
from sim_process import LEASE_S, Around, Killed, Locks, Process, SimServer, SimWorker, Time

from mulligan.core.definition import Definition
from mulligan.core.errors import StoreError
from mulligan.core.job import FAR_FUTURE_MS, TERMINAL, WAITING, Item, JobStatus
from mulligan.sdk.submitting import submission_to_json
from mulligan.store.interface import Database
from mulligan.store.store import Store
from mulligan.testing.clock import START_MS
from mulligan.testing.factories import a_definition, a_submission, items_of

MOST_WORKERS = 3
MOST_INSIDE = 3
QUIET_STEPS = 6_000
SWEEP_S = 4.0


class Action(NamedTuple):
    """Something that happens, and the dice for the rest of it: so it is the same whatever happened before."""

    kind: str
    dice: int

    def __str__(self) -> str:
        return f"{self.kind} {self.dice}"


WEIGHTS = {
    "go": 60, "submit": 6, "backfill": 3, "submit_again": 1, "cancel_item": 2, "cancel_job": 1, "retry": 4, "retry_now": 1,
    "overwrite": 2, "overwrite_forward": 1, "pause_task": 1, "resume_task": 2, "kill": 2, "kill_in_call": 3, "come_between": 6,
    "start_worker": 3, "stop_worker": 1, "stand_still": 2, "busy": 2, "fail_before_commit": 1, "lose_answer": 2, "away": 1,
    "jump": 1, "skew": 1, "new_version": 1, "restart_server": 1,
}  # fmt: skip


class Standing(NamedTuple):
    """How all stands after a commit."""

    looks: int
    ended: bool
    sealed: bool
    started: list[Item]
    works: bool
    """Whether the code of a task runs, and not only bodies of workflows."""
    due_ms: int | None
    """When the first of those is due that wait for a moment."""

    @classmethod
    def of(cls, oracle: Oracle) -> Standing:
        """Return what the oracle has seen last."""
        items = oracle.items.values()
        started = [each for each in items if each.status is JobStatus.STARTED]
        return cls(
            oracle.looks,
            all(each.status in TERMINAL for each in items),
            all(each.sealed for each in oracle.jobs.values()),
            started,
            any(not oracle.is_workflow(each) for each in started),
            min((each.due_ms for each in items if each.status in WAITING and each.due_ms < FAR_FUTURE_MS), default=None),
        )


class World:
    """Everything from the store up to the workers' loops, under a clock of its own; each step may raise Broken."""

    def __init__(self, database: Database, seed: int) -> None:
        dice = random.Random(f"world {seed}")
        self.seed = seed
        self.told: list[str] = []
        self._calm: dict[str, int | None] = {}
        self._after_all = False
        self._in_vain: dict[Deed, float] = {}
        """Bodies that wait for nothing, and since when."""
        self._asked: Item | None = None
        self._standing: Standing | None = None
        self.steps = self.faults = 0
        self.time = Time(START_MS)
        self._keep_s = dice.choice([0.0, 0.0, 5.0, 20.0])
        self.oracle = Oracle(Store(database), self.tell, self._keep_s)
        self._around = Around(
            database, self.time, random.Random(f"chance {seed}"), self._ring, self.oracle.saw, self._sleep,
            Locks(certain=dice.random() < 0.6),
        )  # fmt: skip
        self._inside: list[Process] = []
        self._names = itertools.count(1)
        self.version = dict.fromkeys(POLICIES, 0)
        self.workers: list[SimWorker] = []
        self.server = self._make_server()
        self.people = People(self, list(POLICIES))
        self._faults = Faults(self)
        own = (self.go, self.start_worker, self.new_version)
        self._actions: dict[str, Callable[[random.Random], None]] = {
            **{each.__name__: each for each in own}, **self.people.actions, **self._faults.actions
        }  # fmt: skip
        self.oracle.living = lambda: {each.worker.id: each for each in self.workers if each.alive}
        self.start_worker(dice)

    def tell(self, what: str) -> None:
        """Take note of what happens, for the story."""
        self.told.append(f"{self.time.passed:8.2f} s  {'|  ' * (len(self._inside) - 1)}{what}")

    def do(self, action: Action) -> None:
        """Have something happen."""
        self.steps += 1
        self.faults += action.kind in self._faults.actions
        self._actions[action.kind](random.Random(action.dice))

    # time and processes

    def processes(self) -> list[Process]:
        """Return what lives."""
        return [each for each in (*self.workers, self.server) if each.alive]

    def go(self, dice: random.Random) -> None:
        """Let some process do what it is due to do, a few times; where nothing is, time passes."""
        for _ in range(dice.randint(1, 6)):
            self._go_once(dice)

    def _go_once(self, dice: random.Random) -> None:
        self.steps += 1
        times = [(max(each.due_at(), each.resumes_at), each) for each in self.processes() if not self.is_inside(each)]
        if due := [each for at, each in times if at <= self.time.passed]:
            self._step(dice.choice(due))
            return
        first = min((at for at, _ in times), default=1.0)
        self.time.pass_(min(max(0.001, first - self.time.passed), 1.0))

    def _step(self, process: Process) -> None:
        try:
            with self.inside(process):
                process.step()
        except Killed:
            self.tell(f"{process.name} is killed in the middle of a call")
            process.die()
        except StoreError as error:
            if not isinstance(process, SimWorker) or process.begun:
                raise Broken(f"L6: {process.name} ends since the store was away for a while: {error}") from error
            process.die()  # a worker that cannot begin says why, and ends
        except Exception as error:
            raise Broken(f"{process.name} ends: {type(error).__name__}: {error}") from error

    def is_inside(self, process: Process) -> bool:
        """Return whether a process is in the middle of a call while others do things."""
        return any(each is process for each in self._inside)

    @contextlib.contextmanager
    def inside(self, process: Process) -> Iterator[None]:
        """Have a process be in the middle of a call."""
        self._inside.append(process)
        try:
            yield
        finally:
            self._inside.pop()

    def come_between(self, process: Process, dice: random.Random) -> None:
        """Let others do things while a process is between two transactions of a call."""
        if len(self._inside) > MOST_INSIDE:
            return
        self.tell(f"{process.name} is in the middle of a call, and meanwhile")
        self._inside.append(process)
        try:
            for _ in range(dice.randint(1, 10)):
                self._come(dice)
        finally:
            self._inside.pop()
        self.tell(f"{process.name} goes on")

    def _come(self, dice: random.Random) -> None:
        if dice.random() < 0.3 and self.people.free() is not None:
            self.people.actions[dice.choice(list(self.people.actions))](dice)
        else:
            self._go_once(dice)

    def _sleep(self, process: Process, seconds: float) -> None:
        until = self.time.passed + max(seconds, 1.0)
        dice = random.Random(self.steps)
        with self.inside(process):
            for _ in range(20):
                if self.time.passed < until:
                    self._go_once(dice)
        self.time.pass_(max(0.0, until - self.time.passed))

    def make_process(self, name: str) -> Process:
        """Make a process that does nothing by itself."""
        return Process(name, self._around)

    def _make_server(self) -> SimServer:
        return SimServer(f"server {next(self._names)}", self._around, keep_s=self._keep_s)

    def restart_server(self) -> None:
        """Kill the server, and start another."""
        self.server.die()
        self.server = self._make_server()

    def _ring(self) -> None:
        for place, each in enumerate(self.workers):
            if each.alive and (self.steps + place) % 3:  # every third is lost
                each.hints.there = True

    def start_worker(self, dice: random.Random) -> None:
        """Start a worker that has loaded all tasks, or only some."""
        self.workers = [each for each in self.workers if each.alive]
        if len(self.workers) >= MOST_WORKERS:
            return
        tasks = list(POLICIES) if dice.random() < 0.7 else dice.sample(list(POLICIES), 2)
        self._add_worker([self.definition(each) for each in tasks])

    def _add_worker(self, definitions: list[Definition]) -> None:
        name = f"worker {next(self._names)}"
        self.tell(f"{name} starts, with {', '.join(each.name for each in definitions)}")
        self.workers.append(
            SimWorker(
                name,
                self._around,
                definitions=definitions,
                executor=self._executor,
                tell=lambda *a, **k: self._hear(name, *a, **k),
            )
        )

    def _hear(self, name: str, event: str, **facts: Any) -> None:
        """Hear what a worker tells; that something is wrong with itself, it must never have to."""
        if event in ("chore failed", "exchange failed"):
            raise Broken(f"{name} tells: {event}: {facts}")

    def _executor(self, of: SimWorker) -> SimBoth:
        around = (of.clock.monotonic, of.clock.now_ms, self.seed, self.oracle, lambda: of.worker.id)
        bodies = SimBodies(*around, self.definition, lambda task: of.definitions[task].code_digest)
        return SimBoth(SimExecutor(*around, self._submission), bodies)

    def _submission(self, call: int) -> str | None:
        if len(self.oracle.items) > MOST_ITEMS:
            return None
        submission = a_submission(self.definition("retried"), ())
        return submission_to_json(submission, list(items_of(range(2))), f"call-{call}")

    def definition(self, task: str) -> Definition:
        """Return a task as it is declared now."""
        policy = POLICIES[task][self.version[task]]
        return a_definition(
            task, policy, context="ctx", code_digest=str(self.version[task]), concurrency=LIMITS.get(task),
            timeout_s=None if task in FLOWS else 20.0, total_timeout_s=None if self.version[task] else 900.0,
            executor="async" if task == CROWD else "workflow" if task in FLOWS else "process",
        )  # fmt: skip

    def new_version(self, dice: random.Random) -> None:
        """Declare a task with another policy: workers that start from now on have it, and what is submitted."""
        task = dice.choice(list(POLICIES))
        self.version[task] = 1 - self.version[task]
        self.tell(f"task {task} is declared anew")

    # when faults stop

    def calm_down(self) -> None:
        """Have no more faults, and somebody who can run each task; then all must end, in time (L1, L2, L3)."""
        self.tell("no more faults from here on")
        for each in (*self.workers, self.server, *self.people.operators):
            each.link.traps.clear()
            each.link.away_until = each.resumes_at = 0.0
            each.clock.skew_ms = 0
        self.people.resume_all()
        if not self.server.alive:
            self.server = self._make_server()
        able = {name for each in self.workers if each.alive and not each.asked_to_stop for name in each.definitions}
        if able < set(POLICIES):
            self._add_worker([self.definition(each) for each in POLICIES])
        began = self.time.passed
        self._cancel_what_runs()
        for _ in range(QUIET_STEPS):
            quiet_s = self.time.passed - began
            if self._is_over() and (self._after_all or quiet_s > LEASE_S + SWEEP_S):
                if self._after_all:
                    self.oracle.check_told()
                    self.oracle.verify()
                    return
                self._after_all = True
                self.people.submit_each()  # whoever has had nothing to do for a while must still hear of it
            self._go_once(random.Random(self.steps))
            self._check_progress(quiet_s)
            self._skip_what_is_waited_for()
        stuck = sorted(key for key, item in self.oracle.items.items() if item.status not in TERMINAL)
        raise Broken(f"L1: {stuck[0]} does not end: it is {self.oracle.items[stuck[0]]}" if stuck else "L1: it does not end")

    def _stands(self) -> Standing:
        """Return how all stands, which is looked at after each step and changes with one in four."""
        if self._standing is None or self._standing.looks != self.oracle.looks:
            self._standing = Standing.of(self.oracle)
        return self._standing

    def _is_over(self) -> bool:
        stands = self._stands()
        return stands.ended and stands.sealed and not any(each.alive and each.asked_to_stop for each in self.workers)

    def _cancel_what_runs(self) -> None:
        running = self.oracle.pick(random.Random(self.seed), JobStatus.STARTED)
        if running is not None and self.seed % 2:
            self.people.cancel(running.key)
            self._asked = running

    def _check_progress(self, quiet_s: float) -> None:
        living = {each.worker.id for each in self.workers if each.alive}
        if quiet_s > SWEEP_S:
            for each in self.workers:
                if each.alive and self._calm.setdefault(each.name, each.worker.id) != each.worker.id:
                    raise Broken(f"L2: {each.name} lives and does all that it should, and was taken for lost")
        if quiet_s > LEASE_S + SWEEP_S:
            for item in self._stands().started:
                if item.worker not in living:
                    gone = f"worker {item.worker}, which is gone, after {quiet_s:.1f} s of calm"
                    raise Broken(f"L2: {item.key} is still held by {gone}")
            self._check_owned()
            self._check_waits()
        asked = self._asked
        if asked is not None and quiet_s > GRACE_S + KILL_S + SWEEP_S and asked.worker in living:
            now = self.oracle.items.get(asked.key)
            if now is not None and (now.status, now.token) == (JobStatus.STARTED, asked.token):
                raise Broken(f"L3: {asked.key} still runs {quiet_s:.0f} s after its cancellation")

    def _check_owned(self) -> None:
        for worker in self.workers:
            for deed in worker.runs():
                item = self.oracle.items.get(deed.key)
                if item is None or (item.generation, item.attempt, item.worker) != (
                    deed.generation,
                    deed.attempt,
                    worker.worker.id,
                ):
                    raise Broken(f"L2: {worker.name} still runs attempt {deed.attempt} of {deed.key}, which it had lost long ago")

    def _check_waits(self) -> None:
        waiting = {deed for each in self.workers if each.alive for deed in each.waits()}
        in_vain = {deed for deed in waiting if not self.oracle.calls.any_open(deed.key, self.oracle.items)}
        self._in_vain = {deed: self._in_vain.get(deed, self.time.passed) for deed in sorted(in_vain)}
        for deed, since in self._in_vain.items():
            if self.time.passed - since > SWEEP_S:
                raise Broken(f"L1: the body of {deed.key} waits, and all that it called has ended long ago")

    def _skip_what_is_waited_for(self) -> None:
        """Where all that is left waits for a moment far away, go there: clocks were set back, or a submitter died half way."""
        stands = self._stands()
        if stands.works:
            return
        if stands.due_ms is not None and stands.due_ms > self.time.wall_ms + 5_000:
            self.time.wall_ms = stands.due_ms - 1_000
        elif stands.due_ms is None and not stands.sealed:
            self.time.wall_ms += 60_000


@contextlib.contextmanager
def small_pages() -> Iterator[None]:
    """Have everything that is done page by page be done on small pages, so that faults come between two of them."""
    patch = pytest.MonkeyPatch()
    patch.setattr("mulligan.engine.commands.CANCEL_AT_ONCE", 1)
    patch.setattr("mulligan.engine.calling.CANCEL_AT_ONCE", 1)
    patch.setattr("mulligan.engine.matching.PAGE", 2)
    patch.setattr("mulligan.engine.submitting.CHUNK", 2)
    patch.setattr("mulligan.engine.submitting.ABANDONED_MS", 4_000)
    patch.setattr("mulligan.engine.submitting.FORGOTTEN_MS", 20_000)
    patch.setattr("mulligan.engine.engine.PAGE", 2)
    patch.setattr("mulligan.engine.claiming.PAGE", 2)
    patch.setattr("mulligan.supervisor.retention.PIECE", 2)
    try:
        yield
    finally:
        patch.undo()
