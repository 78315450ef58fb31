"""Kills at random under load, and what must be true after each of them; the tests run a short one, `kill_loop` a long one."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import story_tasks
from story_harness import WorkerProcess, World, kill, until, until_gone

from mulligan import JobStatus
from mulligan.core.job import Outcome, Reason

RETRIED = ("again", "stepped", "waiting", "with_grandchild")
END_S = 40.0


@dataclass
class Report:
    """What a run of kills has shown."""

    kills: Counter[str] = field(default_factory=Counter)
    items: int = 0
    started_twice: list[str] = field(default_factory=list)
    again_after_s: list[float] = field(default_factory=list)
    """For each interrupted item: seconds from when the new worker was up until the item ran again."""
    noticed_s: list[float] = field(default_factory=list)
    """For each black hole: seconds until every worker had noticed that nothing answers any more."""

    def __str__(self) -> str:
        waits = sorted(self.again_after_s) or [0.0]
        kinds = ", ".join(f"{count} of {kind}" for kind, count in sorted(self.kills.items()))
        return (
            f"{self.kills.total()} kills ({kinds}); {self.items} items, all ended; {len(self.started_twice)} second starts; "
            f"{len(self.again_after_s)} interrupted items ran again after {waits[len(waits) // 2]:.2f} s in the middle, "
            f"{waits[-1]:.2f} s at most" + (f"; black holes noticed within {max(self.noticed_s):.1f} s" if self.noticed_s else "")
        )


class Chaos:
    """A load in waves, and a killer with a seed. The same seed makes the same choices; when they hit is up to the machine."""

    def __init__(self, world: World, seed: int, workers: int = 1, size: int = 8) -> None:
        self.world = world
        self.report = Report()
        self._random = random.Random(seed)
        self._size = size
        self._workers = [world.worker() for _ in range(workers)]
        self._waves = 0
        self._jobs: list[Any] = []

    def run(self, kills: int, tell: Callable[[str], None] = lambda _: None) -> Report:
        """Kill so many times, look at everything after each of them, and see that all work comes to its end."""
        while not self._is_enough(kills):
            self._submit_wave()
            while not self._is_enough(kills) and self._let_some_run():
                self._kill_something()
                tell(str(self.report))
            for job in self._jobs:
                job.wait(END_S)
            self._check_wave()
        for worker in self._workers:
            assert worker.stop() == 0, worker.said
        self.world.check()
        until_gone(self.world.processes, "the last process of a drained worker is gone")
        return self.report

    def _is_enough(self, kills: int) -> bool:
        return self.report.kills.total() >= kills

    def _submit_wave(self) -> None:
        self._waves += 1
        client = self.world.client
        self._jobs = []
        for name in ("once", *RETRIED):
            count = 2 if name == "with_grandchild" else self._size
            keys = [f"{self._waves}.{number}" for number in range(count)]
            more = {"file": self.world.path(name), "work_s": round(self._random.uniform(0, 0.06), 3)}
            self._jobs.append(client.map(getattr(story_tasks, name), keys, key=str, args=more))
            self.report.items += count

    def _traces(self) -> int:
        return sum(len(self.world.lines(name)) for name in ("once", *RETRIED))

    def _let_some_run(self) -> bool:
        """Wait until so and so many more starts have left their traces; False when the wave has ended before that."""
        wanted = self._traces() + self._random.randint(1, 2 * self._size)
        until(lambda: self._traces() >= wanted or self._ended(), "the load runs", END_S)
        return not self._ended()

    def _ended(self) -> bool:
        return all(job.refresh().status in ("SUCCESS", "FAILURE", "REVOKED") for job in self._jobs)

    def _kill_something(self) -> None:
        """Kill a worker, all that belongs to one, or one process of it."""
        kind = self._random.choice(("worker", "worker", "tree", "child", "child", "forkserver"))
        worker = self._random.choice(self._workers)
        if kind in ("worker", "tree"):
            self._kill_worker(worker, whole=kind == "tree")
        else:
            victims = _descendants(worker.pid, self.world.processes())[0 if kind == "forkserver" else 1]
            if not victims:
                return
            kill(self._random.choice(victims))
        self.report.kills[kind] += 1
        self.world.check()

    def _kill_worker(self, worker: WorkerProcess, *, whole: bool) -> None:
        killed = time.time()
        if whole:
            until(lambda: not self._kill_all(worker.family()), "the whole tree is killed")
        kill(worker.pid)
        worker.process.wait()
        until_gone(worker.family, "what the killed worker had started is gone")
        self.world.check()
        interrupted = self._held_by_nobody() if len(self._workers) == 1 else []
        self._workers[self._workers.index(worker)] = self.world.worker()
        self._measure(interrupted, killed)

    def _kill_all(self, victims: list[int]) -> list[int]:
        self._random.shuffle(victims)
        for pid in victims:
            kill(pid)
        return victims

    def _held_by_nobody(self) -> list[tuple[str, str]]:
        """Return task and key of the retried items that were running."""
        return [(job.task, item.key) for job in self._jobs if job.task in RETRIED for item in job.work_items(status="STARTED")]

    def _measure(self, interrupted: list[tuple[str, str]], killed: float) -> None:
        up = time.time()

        def all_again() -> bool:
            return all(self._ran_after(name, key, killed) for name, key in interrupted)

        until(all_again, f"interrupted items run again: {interrupted}", END_S)
        firsts = [self._ran_after(name, key, killed) or up for name, key in interrupted]
        self.report.again_after_s += [max(0.0, first - up) for first in firsts]

    def _ran_after(self, name: str, key: str, moment: float) -> float | None:
        found = (line.split(" ") for line in self.world.lines(name))
        times = [float(parts[1]) for parts in found if parts[0] == key and float(parts[1]) > moment]
        return min(times, default=None)

    def _check_wave(self) -> None:
        self.world.check()
        starts = Counter(self.world.lines("once"))
        self.report.started_twice += [key for key, count in starts.items() if count > 1]
        assert not self.report.started_twice, f"at-most-once tasks that started twice: {self.report.started_twice}"
        for job in self._jobs:
            for item in job.work_items():
                if job.task == "once":
                    _check_once(item, starts[item.key])
                else:
                    _check_retried(item)
        self._check_steps()

    def _check_steps(self) -> None:
        saved: set[str] = set()
        for line in self.world.lines("stepped.steps"):
            what, _, key = line.partition(" ")
            assert what == "saved" or key not in saved, f"step {key} ran again although it had been saved"
            saved |= {key} if what == "saved" else set()


def _check_once(item: Any, starts: int) -> None:
    if item.status is JobStatus.SUCCESS:
        assert starts == 1, f"{item} succeeded and left {starts} traces"
    else:
        assert item.status is JobStatus.FAILURE, item
        assert item.reason is Reason.OUTCOME_UNKNOWN, item.explain()
        assert "unknown" in (item.error_message or "")
    assert len(item.attempts()) == 1


def _check_retried(item: Any) -> None:
    """A retried item succeeds, but for the unlucky one whose process was killed three times."""
    if item.status is not JobStatus.SUCCESS:
        deaths = [each for each in item.attempts() if each.outcome is Outcome.FAILED]
        assert item.reason is Reason.POISON, item.explain()
        assert len(deaths) >= 3, item.explain()


def _descendants(root: int, among: list[int]) -> tuple[list[int], list[int], list[int]]:
    """Return children, grandchildren and all further descendants of a worker: forkserver, children, what those started."""
    parents = {pid: _parent(pid) for pid in among}
    first = [pid for pid in among if parents[pid] == root]
    second = [pid for pid in among if parents[pid] in first]
    later: list[int] = []
    level = second
    while level := [pid for pid in among if parents[pid] in level]:
        later += level
    return first, second, later


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
