"""A store in memory with everything that works on it, and a worker that runs in this process until nothing is left to do."""

from __future__ import annotations

import contextlib
import itertools
from collections import defaultdict, deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

from mulligan.app import Services
from mulligan.client import Client
from mulligan.config.settings import load_settings
from mulligan.core.errors import ConfigError, MulliganError, TaskError
from mulligan.core.job import FAR_FUTURE_MS
from mulligan.core.shown import shown
from mulligan.engine.verify import Finding
from mulligan.sdk.ports import AMBIENT
from mulligan.sdk.task import Task
from mulligan.telemetry import silent
from mulligan.testing.clock import VirtualClock
from mulligan.testing.induced import Ending, endings
from mulligan.testing.inline import InlineExecutor
from mulligan.worker.executors.bodies.executor import BodyExecutor
from mulligan.worker.executors.interface import Executor
from mulligan.worker.executors.routing import RoutingExecutor
from mulligan.worker.parts import Parts
from mulligan.worker.reporting import Outcomes
from mulligan.worker.seams import Answer
from mulligan.worker.worker import Worker

MOST_ATTEMPTS = 10_000
"""So many attempts are run before it is taken for endless."""
LEASE_S = 1e6


class MemoryStore:
    """A store in memory, a client of it, and a clock that nobody waits for; made by `store`."""

    def __init__(self, clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock()
        self._services = Services(load_settings(database="sqlite:///:memory:"), self.clock, _next_to_none())
        self.client = Client(self._services.gateway("tests"), self._services)
        self._induced: dict[str, deque[BaseException | None]] = defaultdict(deque)

    def __enter__(self) -> MemoryStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Forget everything."""
        self.client.close()

    def fail(self, f: Task[..., Any], fail: str | Iterable[Ending]) -> None:
        """Have the next attempts of a task end like this, whichever work items they are for; see `run` for the words."""
        self._induced[_checked(f).name].extend(endings(fail, f.fn.__globals__))

    def run_until_quiet(self, *tasks: Task[..., Any], most: int = MOST_ATTEMPTS) -> int:
        """Run what is due of these tasks, and let time pass until nothing more will be; returns how many attempts ran.

        The worker is the real one, its attempts run in threads of this process, one at a time, bodies of workflows beside them;
        name what they call too. The jitter is none. Raises
        MulliganError after `most` attempts: something is retried for ever.
        """
        if not tasks:
            raise ConfigError("run_until_quiet: name the tasks that shall be run")
        loaded = {_checked(each).name: each for each in tasks}
        executor = InlineExecutor(loaded, self.clock, self._next_induced)
        workflows = {name: each for name, each in loaded.items() if each.definition().workflow}
        bodies = BodyExecutor(workflows, monotonic=self.clock.monotonic, now_ms=self.clock.now_ms)
        worker = self._worker(loaded, RoutingExecutor(executor, bodies, workflows.__contains__))
        before = AMBIENT.rules
        AMBIENT.rules = None
        try:
            worker.begin()
            going = True
            while going and executor.started < most:
                going = self._go_on(worker, executor, bodies, loaded)
            for _ in range(2):  # the second time it hands back what has not begun
                worker.stop()
            while not worker.done:
                worker.step()
        finally:
            AMBIENT.rules = before
            worker.close()
        if going and self._next_due(loaded) is not None:
            raise MulliganError(f"{executor.started:,} attempts were run, and there is still something to do")
        return executor.started

    def verify(self) -> list[Finding]:
        """Return what is wrong with the store; nothing should be."""
        return self.client.verify()

    def _go_on(self, worker: Worker, executor: InlineExecutor, bodies: BodyExecutor, loaded: dict[str, Task[..., Any]]) -> bool:
        """Step once; where there is nothing to do, let time pass to what is due next. Returns False when nothing is."""
        worker.step()
        bodies.settle()
        if executor.busy or bodies.busy or worker.unsettled:
            return True
        due_ms = self._next_due(loaded)
        if due_ms is None or due_ms >= FAR_FUTURE_MS:
            return False
        wait_s = (due_ms - self.clock.now_ms()) / 1000
        self.clock.pass_(max(wait_s, worker.wake_at() - self.clock.monotonic(), 0.0) if wait_s <= 0 else wait_s)
        return True

    def _next_due(self, loaded: dict[str, Task[..., Any]]) -> int | None:
        with self._services.store.read() as session:
            rows = [session.tasks.find(self._services.definitions.namespace, name) for name in loaded]
        return self._services.engine.peek([row.id for row in rows if row is not None and row.paused_ms is None])

    def _next_induced(self, task: str) -> BaseException | None:
        return self._induced[task].popleft() if self._induced[task] else None

    def _worker(self, loaded: dict[str, Task[..., Any]], executor: Executor) -> Worker:
        services = self._services
        return Worker(
            Parts(
                engine=services.engine,
                definitions=[each.definition() for each in loaded.values()],
                make_executor=lambda: executor,
                lock=lambda _: _Lock(),
                hints=None,
                waiting=_Waiting(),
                submissions=_Submissions(services),
                outcomes=Outcomes(*services.rules()),
                chores=services.chores,
                tell=silent,
                name="tests",
                lease_s=LEASE_S,
            )
        )


@contextlib.contextmanager
def store(clock: VirtualClock | None = None) -> Iterator[MemoryStore]:
    """Have `f.submit(…)` and its like go to a new store in memory while this is open."""
    before = AMBIENT.factory
    with MemoryStore(clock) as made:
        AMBIENT.factory = lambda: made.client
        try:
            yield made
        finally:
            AMBIENT.factory = before


def _next_to_none() -> Callable[[], float]:
    """Return a chance by which jitter is none, and made-up run ids, which are made of it too, are each another one."""
    serial = itertools.count(1)
    return lambda: next(serial) / 16**12


class _Lock:
    path = "in memory"

    def release(self, keep_file: bool = False) -> None:
        """Let go of nothing."""


class _Waiting:
    """Implements `mulligan.worker.seams.Waiting`: whoever steps the worker lets time pass."""

    def wait(self, files: Sequence[int], seconds: float) -> Container[int]:  # noqa: ARG002 - there is nothing to wait for
        return ()

    def wake(self) -> None:
        """Wake nobody."""

    def close(self) -> None:
        """Close nothing."""


class _Submissions:
    """Implements `mulligan.worker.seams.Submitting` without a thread."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._answers: list[Answer] = []

    def put(self, id: int, call: int, payload: str, caller: str) -> None:
        """Store it at once."""
        try:
            self._answers.append(Answer(id, call, self._services.submit_inside(payload, caller), None))
        except MulliganError as error:
            self._answers.append(Answer(id, call, None, f"{error.code}: {error}"))

    def take(self) -> Sequence[Answer]:
        """Return the answers that are there."""
        answers, self._answers = self._answers, []
        return answers

    def close(self) -> None:
        """Close nothing."""


def _checked(f: Any) -> Task[..., Any]:
    if not isinstance(f, Task):
        raise TaskError(f"expected a task, which is a function declared with @task, not {shown(f)}")
    return f
