"""`python -m bench.growth`: drains, submissions, retries and reads in a store with millions of items, on both stores."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from bench import bodies, page, stores, tasks, template
from bench.machine import as_lines, machine
from bench.processes import ROOT, with_bench
from bench.report import number, spread
from mulligan import connect
from mulligan.client.client import Client

BEGIN = datetime(2000, 1, 1, tzinfo=UTC)
TIMES = 5
CONTENDERS = {"sqlite": "mulligan-full", "postgres": "mulligan-postgres"}


class Figure(NamedTuple):
    """A figure with what is asked of it; times in milliseconds are the median and the longest of several."""

    what: str
    value: str
    target: str = ""


def main() -> None:
    """Measure on each store, and print what there is; or submit, as a process of its own."""
    given = _parser().parse_args()
    if given.submit:
        print(json.dumps(_submit(given.submit[0], int(given.submit[1]))))
        return
    found: dict[str, list[Figure]] = {}
    with stores.server() as server:
        for store in given.stores:
            if store == "sqlite" or server:
                found[store] = []
                with contextlib.ExitStack() as around:
                    place = around.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=given.folder))
                    url = around.enter_context(stores.database(str(server))) if store == "postgres" else ""
                    for figure in _Growth(store, Path(place), url, given, server).measure():
                        print(f"{store}: {' | '.join(figure)}", file=sys.stderr, flush=True)
                        found[store].append(figure)
        facts = machine(server)
    lines = as_lines(facts, shlex.join(["python", "-m", "bench.growth", *sys.argv[1:]]))
    for store, figures in found.items():
        lines += [f"| {store} | figure | asked |", "| --- | ---: | ---: |", *(f"| {' | '.join(each)} |" for each in figures), ""]
    page.publish("\n".join(lines), "growth", given.write)


class _Growth:
    """The measurements on one store, in their order: the later ones need what the earlier ones leave."""

    def __init__(self, store: str, folder: Path, url: str, given: argparse.Namespace, server: str | None) -> None:
        os.environ[bodies.FOLDER] = str(folder)
        self._store, self._folder, self._given, self._server = store, folder, given, server
        self._url = url or f"sqlite:///{folder}/mulligan.db"
        self._client: Client = connect(self._url)
        self._raw = template.Raw(self._url)
        self._finished = self._retries = self._failed = ""

    def measure(self) -> Iterator[Figure]:
        """Yield figures as they come; a part that fails is a figure too, and the others go on."""
        parts = (self._backfill, self._fill, self._verify, self._drains, self._reads, self._grid, self._plans, self._again)
        for part in parts:
            try:
                yield from part()
            except Exception as error:  # noqa: BLE001 - the rest is still worth measuring
                yield Figure(part.__name__.strip("_"), f"failed: {type(error).__name__}: {str(error)[:200]}")
        self._raw.close()
        self._client.close()

    def _backfill(self) -> Iterator[Figure]:
        count = self._given.items
        command = [sys.executable, "-m", "bench.growth", "--submit", self._url, str(count)]
        ran = subprocess.run(command, cwd=ROOT, env=with_bench(os.environ), stdout=subprocess.PIPE, text=True, check=True)
        told = json.loads(ran.stdout.splitlines()[-1])
        self._finished = told["job"]
        yield Figure(f"backfill of {count:,} windows submitted, s", number(told["s"]))
        yield Figure("memory of its process at most, MB", number(told["mb"]), "< 300")

    def _fill(self) -> Iterator[Figure]:
        began = time.perf_counter()
        count, parked = self._given.items, self._given.items // 10
        template.end(self._raw, self._finished, "SUCCESS")
        self._retries = template.have(self._raw, self._client, "RETRY", count)
        self._failed = template.have(self._raw, self._client, "FAILURE", parked)
        self._raw.settle_down()
        what = f"{count:,} finished, {count:,} waiting for a retry in a week, {parked:,} failed: written as rows, s"
        yield Figure(what, number(time.perf_counter() - began))

    def _verify(self) -> Iterator[Figure]:
        began = time.perf_counter()
        findings = self._client.verify()
        yield Figure("findings of `mulligan verify` on that", "; ".join(map(str, findings)) or "none", "none")
        yield Figure("s that it takes", number(time.perf_counter() - began))

    def _drains(self) -> Iterator[Figure]:
        """Drain in the full store and in an empty one, in turn."""
        full, empty = [], []
        for _ in range(self._given.runs):
            full.append(self._drained(self._folder, self._url))
            with contextlib.ExitStack() as around:
                place = around.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=self._given.folder))
                url = around.enter_context(stores.database(str(self._server))) if self._store == "postgres" else ""
                empty.append(self._drained(Path(place), url))
        share = statistics.median(full) / statistics.median(empty)
        yield Figure(f"W1 ({self._given.drain:,}), drained/s: empty store", spread(empty))
        yield Figure("the same: that store", spread(full))
        yield Figure("the one as a part of the other", f"{share:.2f}", "≥ 0.8")

    def _drained(self, folder: Path, url: str) -> float:
        environment = with_bench({**os.environ, bodies.FOLDER: str(folder), stores.DATABASE: url})
        command = [sys.executable, "-m", "bench.single", CONTENDERS[self._store], "w1", str(self._given.drain)]
        ran = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        return float(json.loads(ran.stdout.splitlines()[-1])["drain"])

    def _reads(self) -> Iterator[Figure]:
        client, finished, retries, failed = self._client, self._finished, self._retries, self._failed
        middle = (int(finished), self._given.items // 2)
        reads: dict[str, Callable[[], object]] = {
            "list of the newest 100 jobs": lambda: client.jobs(limit=100),
            "list of jobs by status": lambda: client.jobs(limit=100, status="FAILURE"),
            f"a job of {self._given.items:,} with its counts and its label": lambda: client.job(finished).label,
            "the same of one that waits for retries": lambda: client.job(retries).label,
            "first 100 items of it": lambda: client.gateway.items({"job": finished}, 100),
            "100 items from its middle on": lambda: client.gateway.items({"job": finished, "after": middle}, 100),
            "100 failed items of a job": lambda: client.gateway.items({"job": failed, "status": "FAILURE"}, 100),
            "100 failed items of any job": lambda: client.gateway.items({"status": "FAILURE"}, 100),
            "100 items of a job by failure class": lambda: client.gateway.items(
                {"job": failed, "failure_class": "PERMANENT"}, 100
            ),
            "the items of a job whose error names a row": lambda: client.gateway.items(
                {"job": failed, "error": "row 99999"}, 100
            ),
            "an item by its key": lambda: client.gateway.items({"job": retries, "key": str(self._given.items - 1)}, 1),
            "an item explained": lambda: client.explain(f"{failed}-7"),
        }
        for what, read in reads.items():
            yield _timed(what, read)

    def _grid(self) -> Iterator[Figure]:
        """Which windows of a range are in which state: what a backfill asks, and a page that shows them would."""
        store = self._client.services.store
        with store.read() as session:
            found = session.jobs.read(int(self._finished))
            assert found is not None
        for count in (100_000, 1_000_000):
            if count <= self._given.items:
                range_ms = [int((BEGIN + timedelta(minutes=each)).timestamp() * 1000) for each in (0, count)]

                def grid(task: int = found.task, range_ms: list[int] = range_ms) -> None:
                    with store.read() as session:
                        session.windows.newest(task, *range_ms)

                yield _timed(f"newest item and state of each of {count:,} windows", grid)

    def _plans(self) -> Iterator[Figure]:
        for what, of in (("retry of a job", self._failed), ("cancel of a job", self._retries)):
            job = self._client.job(of)
            act = job.retry if what.startswith("retry") else job.cancel
            began = time.perf_counter()
            plan = act(dry_run=True)
            yield Figure(f"{what}, {plan.total:,} items, dry run, s", number(time.perf_counter() - began))

    def _again(self) -> Iterator[Figure]:
        began = time.perf_counter()
        done = self._client.job(self._failed).retry("recover")
        yield Figure(f"retry (recover) of {done.total:,} failed items, s", number(time.perf_counter() - began), "< 5")


def _timed(what: str, read: Callable[[], object]) -> Figure:
    """Read several times; the first, which may find nothing in memory, counts too."""
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        read()
        times.append((time.perf_counter() - began) * 1000)
    return Figure(f"{what}, ms", spread(times), "< 100")


def _submit(url: str, count: int) -> dict[str, Any]:
    """Submit a backfill; returns its job, how long that took, and how much memory."""
    client = connect(url)
    began = time.perf_counter()
    job = client.backfill(tasks.grid, BEGIN, BEGIN + timedelta(minutes=count), every="1m")
    passed = time.perf_counter() - began
    client.close()
    return {"job": job.id, "s": passed, "mb": _most_memory_mb()}


def _most_memory_mb() -> float:
    """Return what this process has held in memory at most; getrusage would count the one it was forked from too."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.growth", description="What a store with millions of items in it costs.")
    parser.add_argument("--stores", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--items", type=int, default=1_000_000, help="finished ones, and as many that wait (1,000,000)")
    parser.add_argument("--drain", type=int, default=50_000, help="items that are drained beside them (50,000)")
    parser.add_argument("--runs", type=int, default=3, help="how often they are drained")
    parser.add_argument("--submit", nargs=2, metavar=("URL", "COUNT"), help=argparse.SUPPRESS)
    page.add_options(parser)
    return parser


if __name__ == "__main__":
    main()
