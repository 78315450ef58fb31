"""`python -m bench.profile`: what one work item costs, part by part. A real worker runs in this process, with its parts timed."""

from __future__ import annotations

import argparse
import cProfile
import functools
import json
import os
import pstats
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench import bodies, page, stores
from bench.machine import as_lines, machine
from bench.processes import ROOT, cpu_s, descendants, tree_cpu_s, with_bench
from mulligan.client.client import Client, connect
from mulligan.client.job import Job
from mulligan.core.job import TERMINAL
from mulligan.engine.claiming import Claiming
from mulligan.engine.engine import Engine
from mulligan.sdk.loading import load
from mulligan.store.postgres import PostgresDatabase
from mulligan.store.postgres_presence import PostgresPresence
from mulligan.store.sqlite import SqliteDatabase
from mulligan.store.sqlite_presence import SqlitePresence
from mulligan.worker.executors.process.executor import ProcessExecutor
from mulligan.worker.worker import Worker

SUBMIT, CHILDREN, SERVER, CLIENT = "submit", "run (both children)", "PostgreSQL server", "client"
PARTS: dict[str, list[tuple[type, str]]] = {
    "wait for reports": [(Worker, "_wait")],
    "take reports in": [(ProcessExecutor, "poll"), (Worker, "_take_in")],
    "settle": [(Engine, "_settle")],
    "claim": [(Engine, "_claim"), (Claiming, "claim"), (Claiming, "taken")],
    "dispatch": [(Worker, "_dispatch")],
    "commit": [(SqliteDatabase, "write"), (PostgresDatabase, "write")],
    "wake others": [
        (SqlitePresence, "wake_workers"), (SqlitePresence, "wake_waiters"),
        (PostgresPresence, "wake_workers"), (PostgresPresence, "wake_waiters"),
    ],
    "all else of the worker": [(Worker, "step")],
}  # fmt: skip
"""Where the time of the worker goes: a part does not count what another part does inside it."""
BEFORE = Path(__file__).with_name("before.json")
PROFILES = {"w1": ("plain", 20_000), "w3": ("flaky", 10_000), "w2": ("plain", 500)}
TITLES = {"w1": "W1", "w3": "W3, two attempts each", "w2": "W2"}
STORES = ("sqlite", "postgres")
Costs = dict[str, float]


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
        """Have all parts timed from now on, in this process; tells on stderr of what is not there any more."""
        for part, methods in PARTS.items():
            for owner, name in methods:
                if hasattr(owner, name):
                    setattr(owner, name, self._timed(part, getattr(owner, name)))
                else:
                    print(
                        f"{owner.__name__}.{name} is gone: say in PARTS of bench/profile.py what does its work now",
                        file=sys.stderr,
                    )

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
    """Profile each workload on each store in a process of its own, or one workload as `--one` says."""
    given = _parser().parse_args()
    if given.one:
        print(json.dumps(_one(*given.one, functions=given.functions)))
        return
    with stores.server() as server:
        found = {
            store: {name: costs for name in given.workloads if (costs := _profiled(given, store, name, server))}
            for store in given.stores
            if server or store == "sqlite"
        }
        facts = machine(server)
    if given.keep:
        given.keep.write_text(json.dumps({"at": given.at, "costs": found}, indent=1) + "\n")
    command = shlex.join(["python", "-m", "bench.profile", *sys.argv[1:]])
    before = json.loads(BEFORE.read_text()) if BEFORE.exists() else {"at": "", "costs": {}}
    lines = as_lines(facts, command, f"; the median of {given.runs}; before: {before['at']}")
    for store, costs in found.items():
        lines += [*_table(store, costs, before["costs"].get(store, {})), ""]
    page.publish("\n".join(lines), "profile", given.write)


def _profiled(given: argparse.Namespace, store: str, name: str, server: str | None) -> Costs:
    """Profile one workload several times; of each part the median. With `--functions`, print where functions take their time."""
    runs = [each for _ in range(given.runs) if (each := _in_a_process(given, store, name, server))]
    return {part: sorted(run[part] for run in runs)[len(runs) // 2] for part in runs[0]} if runs else {}


def _in_a_process(given: argparse.Namespace, store: str, name: str, server: str | None) -> Costs:
    with ExitStack() as around:
        folder = around.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=given.folder, ignore_cleanup_errors=True))
        environment = with_bench({**os.environ, bodies.FOLDER: folder})
        if store == "postgres" and server:
            environment[stores.DATABASE] = around.enter_context(stores.database(server))
        command = [sys.executable, "-m", "bench.profile", "--one", store, name]
        command += ["--functions", str(given.functions)] if given.functions else []
        print(f"{store} {name}", file=sys.stderr, flush=True)
        ran = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode:
        print(f"{store} {name} failed with exit code {ran.returncode}", file=sys.stderr)
        return {}
    *said, last = ran.stdout.splitlines()
    print("\n".join(said), file=sys.stderr, end="")
    costs: Costs = json.loads(last)
    return costs


def _table(store: str, costs: dict[str, Costs], before: dict[str, Costs]) -> list[str]:
    names = [name for name in PROFILES if name in costs]
    heads = [f"{TITLES[name]} before | after" for name in names]
    lines = [f"| {store}: µs of processor for an item | {' | '.join(heads)} |", "| --- |" + " ---: | ---: |" * len(names)]
    parts = [part for part in (SUBMIT, *PARTS, CHILDREN, SERVER, CLIENT) if any(part in costs[name] for name in names)]
    for part in parts:
        row = [_pair(part, costs[name], before.get(name, {})) for name in names]
        lines += [f"| {part} | {' | '.join(row)} |"]
    sums = [f"{_sum(before.get(name, {}))} | {_sum(costs[name])}" for name in names]
    return [*lines, f"| **all** | {' | '.join(sums)} |"]


def _pair(part: str, after: Costs, before: Costs) -> str:
    return " | ".join(f"{each[part]:,.1f}" if part in each else "–" for each in (before, after))


def _sum(costs: Costs) -> str:
    return f"**{sum(costs.values()):,.1f}**" if costs else "–"


def _one(store: str, name: str, functions: int | None) -> Costs:
    """Run one workload in this process; returns the microseconds of processor that each part takes for an item."""
    task, count = PROFILES[name]
    url = os.environ[stores.DATABASE] if store == "postgres" else f"sqlite:///{bodies.folder()}/mulligan.db"
    server = stores.postmaster(url) if store == "postgres" else None
    file = str(Path(__file__).with_name("tasks.py"))
    loaded = load([file])
    client = connect(url, processes=2)
    costs: dict[str, float] = {}
    watched = Watched(client, loaded, server)
    if name == "w2":
        doing: Callable[[], object] = lambda: [client.submit(loaded[task], 1).wait() for _ in range(count)]  # noqa: E731
    else:
        began, at_server = time.thread_time(), watched.server_s()
        job = client.map(loaded[task], range(count))
        costs[SUBMIT] = time.thread_time() - began + watched.server_s() - at_server
        client.pause(task)
        doing = functools.partial(_drained, client, task, job)
    worker = client.services.make_worker(loaded, [file])
    if functions:
        _profile(worker, watched, doing, functions)
        return {}
    stopwatches = Stopwatches()
    stopwatches.watch()
    spent = watched.run(worker, doing, stopwatches.reset)
    if name != "w2":
        spent.pop(CLIENT)  # it only looks on
    costs |= {part: cost.cpu_s for part, cost in stopwatches.costs().items()} | spent
    return {part: cost / count * 1e6 for part, cost in costs.items() if cost}


def _drained(client: Client, task: str, job: Job[Any]) -> None:
    client.resume(task)
    while job.refresh().status not in TERMINAL:
        time.sleep(0.05)


class Watched:
    """Runs a worker in this thread while another has it work, and says what others spent meanwhile."""

    def __init__(self, client: Client, loaded: dict[str, Any], server: int | None) -> None:
        self._server = server
        self._warm_up = functools.partial(client.submit, loaded["steps"], 0)

    def server_s(self) -> float:
        """Return the processor time of the database's server so far."""
        return tree_cpu_s(self._server) if self._server else 0.0

    def run(self, worker: Worker, doing: Callable[[], object], begin: Callable[[], object]) -> Costs:
        """Have it work until `doing` returns; the processor time of children, server and client from the beginning of that."""
        spent: Costs = {}

        def work() -> None:
            try:
                for _ in range(5):
                    self._warm_up().wait()
                begin()
                before = self._all()
                doing()
                spent.update({part: now - before[part] for part, now in self._all().items()})
            finally:
                worker.stop()

        other = threading.Thread(target=work)
        other.start()
        worker.run()
        other.join()
        return spent

    def _all(self) -> Costs:
        return {
            CHILDREN: sum(map(cpu_s, descendants(os.getpid()))),
            SERVER: self.server_s(),
            CLIENT: time.thread_time(),
        }


def _profile(worker: Worker, watched: Watched, doing: Callable[[], object], functions: int) -> None:
    """Profile the worker's thread; the start of the worker is in it, too."""
    profiler = cProfile.Profile()
    profiler.enable()
    watched.run(worker, doing, lambda: None)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(functions)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.profile", description="What one work item costs, part by part.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workloads", nargs="+", choices=PROFILES, default=list(PROFILES))
    parser.add_argument("--stores", nargs="+", choices=STORES, default=list(STORES))
    parser.add_argument("--functions", type=int, metavar="N", help="also print the N functions that take most time")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep the figures there, to compare later ones with")
    parser.add_argument("--at", default="", help="what was measured, for those figures")
    parser.add_argument("--one", nargs=2, metavar=("STORE", "WORKLOAD"), help=argparse.SUPPRESS)
    page.add_options(parser)
    return parser


if __name__ == "__main__":
    main()
