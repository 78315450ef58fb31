"""A harness that drives a real executor as the worker does, and waits for what it reports."""

from __future__ import annotations

import itertools
import json
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from mulligan.core.attempt import AttemptInfo
from mulligan.worker.executors.interface import (
    Assignment,
    Failed,
    Logged,
    Report,
    Returned,
    Snoozed,
    Started,
    Stopped,
    Succeeded,
)
from mulligan.worker.executors.process.executor import ProcessExecutor

R = TypeVar("R")
TASKS = str(Path(__file__).with_name("process_tasks.py"))
ENDS = (Succeeded, Failed, Snoozed, Stopped, Returned)
INFO = AttemptInfo("j1", "r1", "k1", 0, 1, 1, None, None, ())


class Harness:
    """Starts attempts, polls as the worker does, and remembers all reports."""

    def __init__(self, executor: ProcessExecutor) -> None:
        self.executor = executor
        self.reports: list[Report] = []
        self._numbers = itertools.count(1)

    def assign(self, task: str, *, info: AttemptInfo | None = None, **options: Any) -> Assignment:
        """Make an assignment; what is no field of one becomes an argument."""
        fields = {name: options.pop(name) for name in list(options) if name in Assignment._fields}
        return Assignment(next(self._numbers), task, json.dumps(options), info, **fields)

    def start(self, task: str, **options: Any) -> int:
        assignment = self.assign(task, **options)
        self.executor.start([assignment])
        return assignment.id

    def batch(self, task: str, each: list[dict[str, Any]]) -> list[int]:
        assignments = [self.assign(task, **options) for options in each]
        self.executor.start(assignments)
        return [each.id for each in assignments]

    def step(self, patience_s: float = 0.5) -> None:
        """Wait for the executor's file or deadline, and poll."""
        at = self.executor.deadline()
        wait = patience_s if at is None else min(patience_s, max(0.0, at - time.monotonic()))
        poller = select.poll()
        for file in self.executor.files():
            poller.register(file, select.POLLIN)
        poller.poll(max(0, wait) * 1000 + (1 if wait > 0 else 0))
        self.reports += self.executor.poll()

    def until(self, condition: Callable[[], R | None], within_s: float = 15.0) -> R:
        """Poll until the condition holds."""
        end = time.monotonic() + within_s
        while True:
            found = condition()
            if found:
                return found
            assert time.monotonic() < end, f"not within {within_s} s; reports: {self.reports[-20:]}"
            self.step(0.05)

    def end(self, id: int, within_s: float = 15.0) -> Any:
        """Wait for the report that ends an attempt."""
        return self.until(lambda: self.ended(id), within_s)

    def ends(self, ids: list[int], within_s: float = 20.0) -> list[Any]:
        found: dict[int, Any] = {}
        self.until(lambda: found.update(self._ends()) or found.keys() >= set(ids), within_s)
        return [found[each] for each in ids]

    def _ends(self) -> dict[int, Any]:
        ends = [report for report in self.reports if isinstance(report, ENDS)]
        found = {report.id: report for report in ends}
        assert len(found) == len(ends), "an attempt ended twice"
        return found

    def ended(self, id: int) -> Any:
        return self._ends().get(id)

    def started(self, id: int) -> Started:
        return self.until(lambda: next((r for r in self.reports if isinstance(r, Started) and r.id == id), None))

    def log(self, id: int) -> str:
        return "".join(report.text for report in self.reports if isinstance(report, Logged) and report.id == id)

    def logged(self, id: int, text: str) -> str:
        """Wait until an attempt has written this."""
        return self.until(lambda: self.log(id) if text in self.log(id) else None)

    def close(self) -> None:
        self.executor.close()


def alive(pid: int) -> bool:
    """Return whether a process runs; one that has died and was not reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pid_in(text: str) -> int:
    return int(text.partition("pid=")[2].split()[0])
