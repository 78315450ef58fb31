"""`python -m bench.profile`: what one work item costs, part by part. A real worker runs in this process, with its parts timed."""

from __future__ import annotations

import argparse
import cProfile
import functools
import os
import pstats
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench import bodies
from bench.processes import cpu_s, descendants
from mulligan.client.client import Client, connect
from mulligan.client.job import Job
from mulligan.core.job import TERMINAL
from mulligan.engine.engine import Engine
from mulligan.sdk.loading import load
from mulligan.store.sqlite import SqliteDatabase
from mulligan.worker.executors.process.executor import ProcessExecutor
from mulligan.worker.worker import Worker

PARTS: dict[str, list[tuple[type, str]]] = {
    "wait": [(Worker, "_wait")],
    "reports": [(ProcessExecutor, "poll"), (Worker, "_take_in")],
    "settle": [(Engine, "_settle")],
    "claim": [(Engine, "_claim")],
    "dispatch": [(Worker, "_dispatch")],
    "commit": [(SqliteDatabase, "write")],
    "all else": [(Worker, "_step")],
}
"""Where the time of the worker goes: a part does not count what another part does inside it."""


class Cost(NamedTuple):
    """Seconds that passed, and seconds of the processor."""

    wall_s: float
    cpu_s: float


class Stopwatches:
    """Times parts of the worker's one thread."""

    def __init__(self) -> None:
        self._spent: dict[str, list[float]] = {part: [0.0, 0.0] for part in PARTS}
        self._inside: list[str] = []
        self._since = (0.0, 0.0)

    def watch(self) -> None:
        """Have all parts timed from now on, in this process."""
        for part, methods in PARTS.items():
            for owner, name in methods:
                setattr(owner, name, self._timed(part, getattr(owner, name)))

    def reset(self) -> None:
        """Forget what has been measured so far."""
        for spent in self._spent.values():
            spent[:] = [0.0, 0.0]

    def costs(self) -> dict[str, Cost]:
        """Return what each part has cost."""
        return {part: Cost(*spent) for part, spent in self._spent.items()}

    def _timed(self, part: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return method(*args, **kwargs)
            with self._inside_of(part):
                made = method(*args, **kwargs)
            return self._entered(part, made) if hasattr(made, "__enter__") else made

        return timed

    @contextmanager
    def _entered(self, part: str, manager: Any) -> Iterator[Any]:
        """Time the beginning and the end of a `with`, and not its body."""
        with self._inside_of(part):
            value = manager.__enter__()
        yield value  # what ends in an exception here ends the measurement too
        with self._inside_of(part):
            manager.__exit__(None, None, None)

    @contextmanager
    def _inside_of(self, part: str) -> Iterator[None]:
        self._turn()
        self._inside.append(part)
        try:
            yield
        finally:
            self._turn()
            self._inside.pop()

    def _turn(self) -> None:
        """Book what has passed since the last turn on the part that was inside."""
        now = (time.perf_counter(), time.thread_time())
        if self._inside:
            spent = self._spent[self._inside[-1]]
            spent[0] += now[0] - self._since[0]
            spent[1] += now[1] - self._since[1]
        self._since = now


def main() -> None:
    """Submit items, drain them, and print the costs."""
    given = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=given.folder, ignore_cleanup_errors=True) as folder:
        os.environ[bodies.FOLDER] = folder
        file = str(Path(__file__).with_name("tasks.py"))
        loaded = load([file])
        client = connect(f"sqlite:///{folder}/mulligan.db", processes=2, synchronous=given.synchronous)
        began = time.perf_counter(), time.process_time()
        job = client.map(loaded[given.task], range(given.items))
        submitted = Cost(time.perf_counter() - began[0], time.process_time() - began[1])
        client.pause(given.task)
        worker = client.services.make_worker(loaded, [file])
        warm_up = functools.partial(client.submit, loaded["steps"], 0)
        if given.functions:
            _profile(worker, client, given.task, job, warm_up, given.functions)
            return
        stopwatches = Stopwatches()
        stopwatches.watch()

        def begin() -> None:
            warm_up().wait()
            stopwatches.reset()
            client.resume(given.task)

        children = _run(worker, job, begin)
        _print({"submit": submitted, **stopwatches.costs(), "children, both": Cost(children, children)}, given.items)


def _run(worker: Worker, job: Job[Any], begin: Callable[[], object]) -> float:
    """Run a worker until a job has ended; return the processor time that its children took after the beginning."""
    spent = 0.0

    def watch() -> None:
        nonlocal spent
        begin()
        before = sum(map(cpu_s, descendants(os.getpid())))
        while job.refresh().status not in TERMINAL:
            time.sleep(0.02)
        spent = sum(map(cpu_s, descendants(os.getpid()))) - before
        worker.stop()

    watcher = threading.Thread(target=watch)
    watcher.start()
    worker.run()
    watcher.join()
    return spent


def _profile(worker: Worker, client: Client, task: str, job: Job[Any], warm_up: Callable[[], Job[Any]], functions: int) -> None:
    """Profile the worker's thread; the start of the worker is in it, too."""

    def begin() -> None:
        warm_up().wait()
        client.resume(task)

    profiler = cProfile.Profile()
    profiler.enable()
    _run(worker, job, begin)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(functions)


def _print(costs: dict[str, Cost], count: int) -> None:
    print(f"µs for each of {count:,} items")
    print(f"{'part':16} {'passed':>8} {'processor':>10}")
    for part, cost in costs.items():
        print(f"{part:16} {cost.wall_s / count * 1e6:8.2f} {cost.cpu_s / count * 1e6:10.2f}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.profile", description="What one work item costs, part by part.")
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--task", choices=("plain", "once", "flaky"), default="plain")
    parser.add_argument("--synchronous", choices=("FULL", "NORMAL"), default="FULL")
    parser.add_argument("--folder", type=Path, help="where the store is made (the system's temporary folder)")
    parser.add_argument("--functions", type=int, metavar="N", help="profile instead: the N functions that take most time")
    return parser


if __name__ == "__main__":
    main()
