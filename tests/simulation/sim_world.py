"""The world of a simulation: processes on one store, what may happen to them, and time."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from sim_executor import GRACE_S, KILL_S, SimExecutor
from sim_oracle import Broken, Oracle
from sim_process import LEASE_S, Killed, Locks, Process, SimServer, SimWorker, Time

from mulligan.core.definition import Definition
from mulligan.core.errors import MulliganError, StoreBusy, StoreError, StoreUnsure
from mulligan.core.job import TERMINAL, Item, JobStatus, Wait
from mulligan.core.retry import Policy, Retry
from mulligan.engine.commands import Asker, Target
from mulligan.store.interface import Database
from mulligan.store.store import Store
from mulligan.testing.clock import START_MS
from mulligan.testing.factories import a_definition, a_submission, daily, items_of

MOST_ITEMS = 24
MOST_WORKERS = 3
QUIET_STEPS = 6_000
SWEEP_S = 6.0
ASKER = Asker("somebody", "simulation", "to see")
POLICIES: dict[str, tuple[Any, ...]] = {
    "once": (None, None),
    "retried": (2, (3, 2)),
    "patient": (Retry(6, 0, jitter=None), Policy({"TRANSIENT": Retry(4, 1, 2, jitter=0.5), "INFRASTRUCTURE": Retry(9)})),
}
"""What each task allows, in its first and its second version."""
LIMITS = {"patient": 2}


class Action(NamedTuple):
    """Something that happens, and the dice for the rest of it: so it is the same whatever happened before."""

    kind: str
    dice: int

    def __str__(self) -> str:
        return f"{self.kind} {self.dice}"


WEIGHTS = {
    "go": 60, "submit": 6, "backfill": 2, "submit_again": 1, "cancel_item": 2, "cancel_job": 1, "retry": 4, "retry_now": 1,
    "overwrite": 2, "overwrite_forward": 1, "pause_task": 1, "resume_task": 2, "kill": 2, "kill_in_call": 3, "start_worker": 3,
    "stop_worker": 1, "stand_still": 2, "busy": 2, "fail_before_commit": 1, "lose_answer": 2, "away": 1, "jump": 1, "skew": 1,
    "new_version": 1, "restart_server": 1,
}  # fmt: skip
FAULTS = frozenset(
    [
        "kill",
        "kill_in_call",
        "stop_worker",
        "stand_still",
        "busy",
        "fail_before_commit",
        "lose_answer",
        "away",
        "jump",
        "skew",
        "restart_server",
    ]
)


class World:
    """Everything from the store up to the workers' loops, under a clock of its own; each step may raise Broken."""

    def __init__(self, database: Database, seed: int) -> None:
        dice = random.Random(f"world {seed}")
        self.seed = seed
        self.told: list[str] = []
        self._calm: dict[str, int | None] = {}
        self._asked: Item | None = None
        self.steps = self.faults = 0
        self.time = Time(START_MS)
        self._database = database
        self._chance = random.Random(f"chance {seed}")
        self.oracle = Oracle(Store(database), self.tell)
        self.locks = Locks(certain=dice.random() < 0.6)
        self._names = itertools.count(1)
        self._run_ids = itertools.count(1)
        self._given: dict[str, tuple[str, int]] = {}
        self._job_of: dict[str, int] = {}
        self.version = dict.fromkeys(POLICIES, 0)
        self.workers: list[SimWorker] = []
        self.operator = self._process("operator")
        self.server = self._server()
        self.oracle.limits = dict(LIMITS)
        self.start_worker(dice)

    def tell(self, what: str) -> None:
        """Take note of what happens, for the story."""
        self.told.append(f"{self.time.passed:8.2f} s  {what}")

    def do(self, action: Action) -> None:
        """Have something happen."""
        self.steps += 1
        self.faults += action.kind in FAULTS
        getattr(self, action.kind)(random.Random(action.dice))

    # time and processes

    def processes(self) -> list[Process]:
        """Return what lives."""
        return [each for each in (*self.workers, self.server) if each.alive]

    def go(self, dice: random.Random) -> None:
        """Let some process do what it is due to do, a few times; where nothing is, time passes."""
        for _ in range(dice.randint(1, 6)):
            self.steps += 1
            self._go_once(dice)

    def _go_once(self, dice: random.Random) -> None:
        awake = [each for each in self.processes() if each.resumes_at <= self.time.passed]
        due = [each for each in awake if each.due_at() <= self.time.passed]
        if due:
            self._step(dice.choice(due))
            return
        times = [max(each.due_at(), each.resumes_at) for each in self.processes()]
        self.time.pass_(min(max(0.001, min(times, default=1.0) - self.time.passed), 1.0))

    def _step(self, process: Process) -> None:
        with self._dying(process):
            process.step()

    @contextlib.contextmanager
    def _dying(self, process: Process) -> Iterator[None]:
        try:
            yield
        except Killed:
            self.tell(f"{process.name} is killed in the middle of a call")
            process.die()
        except StoreError:
            if isinstance(process, SimWorker) and not process.begun:
                process.die()  # a worker that cannot begin says why, and ends
            elif isinstance(process, SimWorker):
                raise

    def _process(self, name: str) -> Process:
        return Process(name, self._database, self.time, self._chance, self._ring, self.oracle.saw)

    def _server(self) -> SimServer:
        return SimServer(
            f"server {next(self._names)}", self._database, self.time, self._chance, self._ring, self.oracle.saw, locks=self.locks
        )

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

    def _add_worker(self, definitions: list[Definition]) -> SimWorker:
        name = f"worker {next(self._names)}"
        self.tell(f"{name} starts, with {', '.join(each.name for each in definitions)}")
        made = SimWorker(
            name, self._database, self.time, self._chance, self._ring, self.oracle.saw,
            locks=self.locks, definitions=definitions, executor=self._executor,
        )  # fmt: skip
        self.workers.append(made)
        return made

    def _executor(self, of: SimWorker) -> SimExecutor:
        return SimExecutor(of.clock.monotonic, of.clock.now_ms, self.seed, self.oracle, lambda: of.worker.id)

    def definition(self, task: str) -> Definition:
        """Return a task as it is declared now."""
        policy = POLICIES[task][self.version[task]]
        return a_definition(
            task, policy, context="ctx", code_digest=str(self.version[task]), concurrency=LIMITS.get(task),
            timeout_s=20.0, total_timeout_s=None if self.version[task] else 900.0,
        )  # fmt: skip

    def _some_worker(self, dice: random.Random) -> SimWorker | None:
        there = [each for each in self.workers if each.alive]
        return dice.choice(there) if there else None

    def _some_process(self, dice: random.Random) -> Process:
        return dice.choice([*self.processes(), self.operator])

    # what people ask for

    def submit(self, dice: random.Random) -> None:
        """Submit some items of a task."""
        task, count = dice.choice(list(POLICIES)), dice.randint(1, 4)
        options = {
            "priority": dice.choice([1, 3, 3, 5]),
            "delay_s": dice.choice([None, None, None, 5.0]),
            "expires_ms": dice.choice([None, None, None, self.operator.clock.now_ms() + 8_000]),
            "total_timeout_s": dice.choice([None, None, None, 30.0]),
        }
        self._submit(f"run-{next(self._run_ids)}", task, count, **options)

    def backfill(self, dice: random.Random) -> None:
        """Submit windows of a task."""
        self._submit(f"run-{next(self._run_ids)}", dice.choice(["retried", "patient"]), dice.randint(2, 4), windows=True)

    def submit_again(self, dice: random.Random) -> None:
        """Submit what was submitted before, under the same run id."""
        if not self._given:
            return
        run_id = dice.choice(sorted(self._given))
        task, count = self._given[run_id]
        before = len(self.oracle.items)
        known = self._job_of.get(run_id)
        job = self._submit(run_id, task, count, again=True)
        if job is not None and known is not None and (job != known or len(self.oracle.items) != before):
            raise Broken(f"I17: run id {run_id} was job {known}, and is job {job} now")

    def _submit(
        self, run_id: str, task: str, count: int, *, windows: bool = False, again: bool = False, **options: Any
    ) -> int | None:
        if not again and len(self.oracle.items) > MOST_ITEMS:
            return None
        if not windows:
            self._given[run_id] = (task, count)
        items = daily(count) if windows else items_of(range(count))
        kind = "backfill" if windows else "map"
        submission = a_submission(self.definition(task), items, kind=kind, run_id=run_id, **options)
        job: int | None = None
        with self._asking(f"submit {count} of {task} as {run_id}"):
            job = self.operator.submitting.take(submission).job
            self.oracle.accepted(job, count)
            self._job_of.setdefault(run_id, job)
        self._learn_tasks()
        return job

    def _learn_tasks(self) -> None:
        with self._database.read():
            self.oracle.tasks = dict(list(self._database.text_in_reader("select id, name from tasks", {})))

    @contextlib.contextmanager
    def _asking(self, what: str, doing: str = "") -> Iterator[None]:
        """Ask for something as an operator, to whom the store may fail."""
        self.tell(f"operator: {what}")
        self.operator.doing = doing
        try:
            yield
        except StoreError as error:
            self.tell(f"operator is told: {error.code}")
        except MulliganError as error:
            self.tell(f"operator is refused: {error.code}")
        except Killed:
            self.tell("operator is killed in the middle of a call")
            self.operator = self._process("operator")
        finally:
            self.operator.doing = ""

    def _pick(self, dice: random.Random, *statuses: JobStatus) -> Item | None:
        there = sorted(key for key, item in self.oracle.items.items() if not statuses or item.status in statuses)
        return self.oracle.items[dice.choice(there)] if there else None

    def cancel_item(self, dice: random.Random) -> None:
        """Cancel an item."""
        item = self._pick(dice)
        if item is not None:
            with self._asking(f"cancel item {item.key}"):
                self.operator.commands.cancel(Target(items=(item.key,)), ASKER)
                self._must_be_cancelled([item])

    def cancel_job(self, dice: random.Random) -> None:
        """Cancel a job."""
        item = self._pick(dice)
        if item is not None:
            with self._asking(f"cancel job {item.job}"):
                self.operator.commands.cancel(Target(job=item.job), ASKER)

    def _must_be_cancelled(self, items: list[Item]) -> None:
        for each in items:
            now = self.oracle.items[each.key]
            if now.status not in TERMINAL and now.cancel_ms is None:
                raise Broken(f"H2: the cancellation of {each.key} was accepted, and it is {now.status}")

    def retry(self, dice: random.Random) -> None:
        """Retry an item, or its whole job; twice at once now and then."""
        item = self._pick(dice, JobStatus.FAILURE, JobStatus.REVOKED)
        if item is None:
            return
        mode = dice.choice(["recover", "restart"])
        target = Target(job=item.job) if dice.random() < 0.5 else Target(items=(item.key,), generations=(item.generation,))
        for _ in range(dice.choice([1, 1, 2])):
            with self._asking(f"{mode} {target}", mode):
                self.operator.commands.retry(target, mode, ASKER)  # type: ignore[arg-type]  # one of two words

    def retry_now(self, dice: random.Random) -> None:
        """Have a waiting item tried now."""
        item = self._pick(dice, JobStatus.PENDING, JobStatus.RETRY)
        if item is not None:
            with self._asking(f"retry {item.key} now"):
                self.operator.commands.retry_now(Target(items=(item.key,)), ASKER)

    def overwrite(self, dice: random.Random, *, forward: bool = False) -> None:
        """Run again what succeeded."""
        item = self._pick(dice, JobStatus.SUCCESS)
        if item is not None:
            with self._asking(f"overwrite {item.key}{' and what is later' if forward else ''}", "overwrite"):
                self.operator.commands.overwrite(Target(items=(item.key,)), ASKER, accept_risk=True, forward=forward)

    def overwrite_forward(self, dice: random.Random) -> None:
        """Run again what succeeded, and all later windows in order."""
        self.overwrite(dice, forward=True)

    def pause_task(self, dice: random.Random, *, paused: bool = True) -> None:
        """Pause or resume a task."""
        task = dice.choice(list(POLICIES))
        with self._asking(f"{'pause' if paused else 'resume'} task {task}"):
            self.operator.commands.pause(task, ASKER, paused=paused)

    def resume_task(self, dice: random.Random) -> None:
        """Resume a task."""
        self.pause_task(dice, paused=False)

    def new_version(self, dice: random.Random) -> None:
        """Declare a task with another policy: workers that start from now on have it, and what is submitted."""
        task = dice.choice(list(POLICIES))
        self.version[task] = 1 - self.version[task]
        self.tell(f"task {task} is declared anew")

    # what goes wrong

    def kill(self, dice: random.Random) -> None:
        """Kill a worker between two of its steps."""
        worker = self._some_worker(dice)
        if worker is not None:
            self.tell(f"{worker.name} is killed")
            worker.die()

    def kill_in_call(self, dice: random.Random) -> None:
        """Kill a process in the middle of one of its next transactions."""
        self._trap(self._some_process(dice), dice, Killed())

    def _trap(self, process: Process, dice: random.Random, error: BaseException, *points: str) -> None:
        point = dice.choice(points or ("begin", "before commit", "after commit"))
        process.link.traps.append((point, dice.randint(0, 3), error))

    def stop_worker(self, dice: random.Random) -> None:
        """Ask a worker to stop, a step further each time."""
        worker = self._some_worker(dice)
        if worker is not None and worker.begun:
            self.tell(f"{worker.name} is asked to stop")
            worker.worker.stop()

    def stand_still(self, dice: random.Random) -> None:
        """Have a process stand still for a while, perhaps longer than its lease."""
        process = dice.choice(self.processes() or [self.server])
        seconds = dice.choice([1.0, LEASE_S, 3 * LEASE_S])
        self.tell(f"{process.name} stands still for {seconds:g} s")
        process.resumes_at = self.time.passed + seconds

    def busy(self, dice: random.Random) -> None:
        """Have somebody hold the store for too long."""
        self._trap(self._some_process(dice), dice, StoreBusy("held by somebody"), "begin")

    def fail_before_commit(self, dice: random.Random) -> None:
        """Have a commit fail."""
        self._trap(self._some_process(dice), dice, StoreError("it broke"), "before commit")

    def lose_answer(self, dice: random.Random) -> None:
        """Have the answer to a commit lost."""
        self._trap(self._some_process(dice), dice, StoreUnsure("no answer"), "after commit")

    def away(self, dice: random.Random) -> None:
        """Have the store away for a process, perhaps longer than its lease."""
        process = self._some_process(dice)
        seconds = dice.choice([0.5, 3.0, 2 * LEASE_S])
        self.tell(f"the store is away for {process.name}, for {seconds:g} s")
        process.link.away_until = self.time.passed + seconds

    def jump(self, dice: random.Random) -> None:
        """Set the clocks on all walls."""
        seconds = dice.choice([-600, -60, 60, 600])
        self.tell(f"clocks are set by {seconds} s")
        self.time.wall_ms += seconds * 1000

    def skew(self, dice: random.Random) -> None:
        """Have one process believe in another time."""
        process = self._some_process(dice)
        process.clock.skew_ms = dice.choice([-600_000, -5_000, 0, 0, 5_000, 600_000])
        self.tell(f"the clock of {process.name} is {process.clock.skew_ms / 1000:g} s off")

    def restart_server(self, dice: random.Random) -> None:
        """Kill the server, and start another."""
        self.server.die()
        self.server = self._server()

    # when faults stop

    def calm_down(self) -> None:
        """Have no more faults, and a worker that can run everything; then all must end, in time (L1, L2, L3)."""
        self.tell("no more faults from here on")
        for each in (*self.workers, self.server, self.operator):
            each.link.traps.clear()
            each.link.away_until = 0.0
            each.resumes_at = 0.0
            each.clock.skew_ms = 0
        for task in POLICIES:
            self._resume(task)
        if not self.server.alive:
            self.server = self._server()
        self._add_worker([self.definition(each) for each in POLICIES])
        began = self.time.passed
        self._cancel_what_runs()
        for _ in range(QUIET_STEPS):
            quiet_s = self.time.passed - began
            if all(item.status in TERMINAL for item in self.oracle.items.values()) and quiet_s > 2 * LEASE_S:
                return
            self._go_once(random.Random(self.steps))
            self.steps += 1
            self._check_progress(quiet_s)
            self._skip_what_is_waited_for()
        stuck = sorted(key for key, item in self.oracle.items.items() if item.status not in TERMINAL)
        raise Broken(f"L1: {stuck[0]} does not end: it is {self.oracle.items[stuck[0]]}")

    def _cancel_what_runs(self) -> None:
        running = self._pick(random.Random(self.seed), JobStatus.STARTED)
        if running is not None and self.seed % 2:
            with self._asking(f"cancel item {running.key}"):
                self.operator.commands.cancel(Target(items=(running.key,)), ASKER)
            self._asked = running

    def _resume(self, task: str) -> None:
        with contextlib.suppress(MulliganError):  # nobody has declared it yet
            self.operator.commands.pause(task, ASKER, paused=False)

    def _check_progress(self, quiet_s: float) -> None:
        living = {each.worker.id for each in self.workers if each.alive}
        if quiet_s > SWEEP_S:
            for each in self.workers:
                if each.alive and self._calm.setdefault(each.name, each.worker.id) != each.worker.id:
                    raise Broken(f"L2: {each.name} lives and does all that it should, and was taken for lost")
        for key, item in self.oracle.items.items():
            if item.status is JobStatus.STARTED and quiet_s > LEASE_S + SWEEP_S and item.worker not in living:
                raise Broken(f"L2: {key} is still held by worker {item.worker}, which is gone, after {quiet_s:.1f} s of calm")
        asked = self._asked
        if asked is not None and quiet_s > GRACE_S + KILL_S + SWEEP_S and asked.worker in living:
            now = self.oracle.items[asked.key]
            if (now.status, now.token) == (JobStatus.STARTED, asked.token):
                raise Broken(f"L3: {asked.key} still runs {quiet_s:.0f} s after its cancellation")

    def _skip_what_is_waited_for(self) -> None:
        """Where all that is left waits for a moment far away, go there: clocks were set back."""
        waiting = [
            each.due_ms
            for each in self.oracle.items.values()
            if each.status not in TERMINAL and each.wait is not Wait.PREDECESSOR
        ]
        running = any(each.status is JobStatus.STARTED for each in self.oracle.items.values())
        if waiting and not running and min(waiting) > self.time.wall_ms + 5_000:
            self.time.wall_ms = min(waiting) - 1_000


@contextlib.contextmanager
def small_pages() -> Iterator[None]:
    """Have everything that is done page by page be done on small pages, so that faults come between two of them."""
    patch = pytest.MonkeyPatch()
    patch.setattr("mulligan.engine.commands.CANCEL_AT_ONCE", 1)
    patch.setattr("mulligan.engine.commands.PAGE", 2)
    patch.setattr("mulligan.engine.submitting.CHUNK", 2)
    patch.setattr("mulligan.engine.engine.PAGE", 2)
    try:
        yield
    finally:
        patch.undo()
