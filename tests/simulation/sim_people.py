"""People of a simulated world: what they ask for, and what they can rely on once they are answered."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from sim_oracle import Broken
from sim_process import Killed, Process

from mulligan.core.errors import MulliganError, StoreError
from mulligan.core.job import TERMINAL, Item, ItemKey, JobStatus
from mulligan.engine.asking import Asker, Plan, Target
from mulligan.testing.clock import START_MS
from mulligan.testing.factories import a_submission, daily, items_of

if TYPE_CHECKING:
    from sim_world import World

MOST_ITEMS = 24
ASKER = Asker("somebody", "simulation", "to see")
DAY_MS = 86_400_000


class People:
    """Two operators, one of whom may ask for something while the other waits for an answer."""

    def __init__(self, world: World, tasks: list[str]) -> None:
        self._world = world
        self._tasks = tasks
        self._run_ids = itertools.count(1)
        self._given: dict[str, tuple[str, int]] = {}
        self._job_of: dict[str, int] = {}
        self.operators = [world.make_process("operator 1"), world.make_process("operator 2")]
        self.actions: dict[str, Callable[[random.Random], None]] = {
            each.__name__: each
            for each in (
                self.submit, self.backfill, self.submit_again, self.cancel_item, self.cancel_job, self.retry, self.retry_now,
                self.overwrite, self.overwrite_forward, self.pause_task, self.resume_task,
            )
        }  # fmt: skip

    def free(self) -> Process | None:
        """Return an operator who does not wait for an answer."""
        return next((each for each in self.operators if not self._world.is_inside(each)), None)

    @contextlib.contextmanager
    def _asking(self, what: str, doing: str = "") -> Iterator[Process]:
        """Ask for something as an operator, to whom the store may fail."""
        operator = self.free()
        assert operator is not None, "looked at before anybody acts"
        self._world.tell(f"{operator.name}: {what}")
        operator.doing = doing
        try:
            with self._world.inside(operator):
                yield operator
        except StoreError as error:
            self._world.tell(f"{operator.name} is told: {error.code}")
        except MulliganError as error:
            self._world.tell(f"{operator.name} is refused: {error.code}")
        except Killed:
            self._world.tell(f"{operator.name} is killed in the middle of a call")
            self.operators[self.operators.index(operator)] = self._world.make_process(operator.name)
        finally:
            operator.doing = ""

    # submissions

    def submit(self, dice: random.Random) -> None:
        """Submit some items of a task."""
        task, count = dice.choice(self._tasks), dice.randint(1, 4)
        options = {
            "priority": dice.choice([1, 3, 3, 5]),
            "delay_s": dice.choice([None, None, None, 5.0]),
            "expires_ms": dice.choice([None, None, None, self.operators[0].clock.now_ms() + 8_000]),
            "total_timeout_s": dice.choice([None, None, None, 30.0]),
        }
        run_id = f"run-{next(self._run_ids)}" if dice.random() < 0.8 else None
        if len(self._world.oracle.items) <= MOST_ITEMS:
            self._submit(run_id, task, count, **options)

    def submit_again(self, dice: random.Random) -> None:
        """Submit what was submitted before, under the same run id; with other input now and then, which must be refused."""
        if not self._given:
            return
        run_id = dice.choice(sorted(self._given))
        task, count = self._given[run_id]
        known = self._job_of.get(run_id)
        other = dice.random() < 0.25 and known is not None
        job = self._submit(run_id, task, count + other)
        if job is not None and known is not None and (job != known or other):
            raise Broken(f"I17: run id {run_id} was job {known}, and is job {job} now{', for other input' if other else ''}")

    def _submit(self, run_id: str | None, task: str, count: int, **options: Any) -> int | None:
        if run_id is not None:
            self._given.setdefault(run_id, (task, count))
        submission = a_submission(self._world.definition(task), items_of(range(count)), run_id=run_id, **options)
        job: int | None = None
        with self._asking(f"submit {count} of {task} as {run_id}") as operator:
            taken = operator.submitting.take(submission)
            job = taken.job
            self._world.oracle.accepted(job, count)
            if run_id is not None:
                self._job_of.setdefault(run_id, job)
        return job

    def backfill(self, dice: random.Random) -> None:
        """Submit windows of a task: those that are missing, those that failed, or all."""
        task, count = dice.choice(["retried", "patient", "flow"]), dice.randint(2, 4)
        first_ms = START_MS + dice.randint(0, 3) * DAY_MS
        only = dice.choice(["missing", "missing", "failed", "all"])
        oracle = self._world.oracle
        if len(oracle.items) > MOST_ITEMS:
            return
        submission = a_submission(
            self._world.definition(task), daily(count, first_ms), kind="backfill", only=only, accept_risk=dice.random() < 0.7
        )
        windows = {each.window[0] for each in daily(count, first_ms) if each.window is not None}
        with self._asking(f"backfill {only} of {count} days of {task} from {(first_ms - START_MS) // DAY_MS}") as operator:
            commits, taken = oracle.commits_of_others(operator), oracle.windows.taken(task)
            job = operator.submitting.take(submission).job
            oracle.accepted(job, None)
            if only == "missing" and commits == oracle.commits_of_others(operator):
                oracle.check_missing(job, windows - taken)

    # commands

    def _pick(self, dice: random.Random, *statuses: JobStatus) -> Item | None:
        return self._world.oracle.pick(dice, *statuses)

    def cancel_item(self, dice: random.Random) -> None:
        """Cancel an item."""
        item = self._pick(dice)
        if item is not None:
            with self._asking(f"cancel item {item.key}") as operator:
                operator.commands.cancel(Target(items=(item.key,)), ASKER)
                self._must_be_cancelled([item])

    def cancel_job(self, dice: random.Random) -> None:
        """Cancel a job."""
        item = self._pick(dice)
        if item is not None:
            job = self._world.oracle.calls.root(item.key).job  # calls have no job that people know
            with self._asking(f"cancel job {job}") as operator:
                there = [each for each in self._world.oracle.items.values() if each.job == job]
                operator.commands.cancel(Target(job=job), ASKER)
                self._must_be_cancelled(there)

    def _must_be_cancelled(self, items: list[Item]) -> None:
        oracle = self._world.oracle
        for each in items:
            now = oracle.items.get(each.key)
            if now is None or now.generation != each.generation:
                continue
            if now.status not in TERMINAL and now.cancel_ms is None:
                raise Broken(f"H2: the cancellation of {each.key} was accepted, and it is {now.status}")
            if now.cancel_ms is not None and (call := oracle.calls.not_cancelled(now, oracle.items, oracle.jobs)) is not None:
                raise Broken(f"H2: the cancellation of {each.key} was accepted, and its call {call} goes on")

    def retry(self, dice: random.Random) -> None:
        """Retry an item, its whole job, or all that matches; twice at once now and then."""
        item = self._pick(dice, JobStatus.FAILURE, JobStatus.REVOKED)
        if item is None:
            return
        mode = dice.choice(["recover", "restart"])
        root = self._world.oracle.calls.root(item.key)
        target = dice.choice(
            [
                Target(job=root.job),
                Target(items=(item.key,), generations=(item.generation,)),
                Target(items=(item.key,), generations=(item.generation,)),
                Target(filters={"status": [str(item.status)], "roots": True}),
                Target(filters={"job": item.job, "status": [str(item.status)]}),
            ]
        )
        dry_run = dice.random() < 0.1
        for _ in range(dice.choice([1, 1, 2])):
            with self._asking(f"{mode} {target}{', dry' if dry_run else ''}", mode) as operator:
                before = operator.begun_generations
                plan = operator.commands.retry(target, mode, ASKER, dry_run=dry_run)  # type: ignore[arg-type]  # one of two words
                self._must_have_begun(operator, before, plan, dry_run=dry_run)

    def _must_have_begun(self, operator: Process, before: int, plan: Plan, *, dry_run: bool) -> None:
        begun = operator.begun_generations - before
        if begun != (0 if dry_run else plan.total):
            raise Broken(f"I9: {operator.name} was told that {plan.total} were started, and {begun} were")

    def retry_now(self, dice: random.Random) -> None:
        """Have a waiting item tried now."""
        item = self._pick(dice, JobStatus.PENDING, JobStatus.RETRY)
        if item is not None:
            with self._asking(f"retry {item.key} now") as operator:
                operator.commands.retry_now(Target(items=(item.key,)), ASKER)

    def overwrite(self, dice: random.Random, *, forward: bool = False) -> None:
        """Run again what succeeded."""
        item = self._pick(dice, JobStatus.SUCCESS)
        if item is None:
            return
        whole = dice.random() < 0.3 and self._world.oracle.calls.root(item.key) == item.key
        target = Target(job=item.job) if whole else Target(items=(item.key,))
        doing = "overwrite in order" if forward else "overwrite"
        with self._asking(f"{doing} {target}", doing) as operator:
            before = operator.begun_generations
            plan = operator.commands.overwrite(target, ASKER, accept_risk=dice.random() < 0.8, forward=forward)
            self._must_have_begun(operator, before, plan, dry_run=False)

    def overwrite_forward(self, dice: random.Random) -> None:
        """Run again what succeeded, and all later windows in order."""
        self.overwrite(dice, forward=True)

    def pause_task(self, dice: random.Random, *, paused: bool = True) -> None:
        """Pause or resume a task."""
        task = dice.choice(self._tasks)
        with self._asking(f"{'pause' if paused else 'resume'} task {task}") as operator:
            operator.commands.pause(task, ASKER, paused=paused)

    def resume_task(self, dice: random.Random) -> None:
        """Resume a task."""
        self.pause_task(dice, paused=False)

    # when faults stop

    def resume_all(self) -> None:
        """Resume every task."""
        for task in self._tasks:
            with self._asking(f"resume task {task}") as operator:  # refused where nobody has declared it yet
                operator.commands.pause(task, ASKER, paused=False)

    def submit_each(self) -> None:
        """Submit an item of every task."""
        for task in self._tasks:
            self._submit(None, task, 1)

    def cancel(self, key: ItemKey) -> None:
        """Cancel an item, whatever it does."""
        with self._asking(f"cancel item {key}") as operator:
            operator.commands.cancel(Target(items=(key,)), ASKER)
