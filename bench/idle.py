"""`python -m bench.idle`: what a worker costs that has nothing to do, how fast it starts, and how fast Mulligan is imported."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import bodies, page, stores
from bench.contender import ENTRIES, Contender
from bench.machine import as_lines, machine
from bench.processes import running, tree_cpu_s
from bench.report import spread
from bench.with_mulligan import make

CONTENDERS = ("mulligan-full", "mulligan-postgres")
SETTLED_S = 3.0
LOOK_S = 0.002
LIMIT_S = 30.0
HEAVIEST = 8
NAMES = {"mulligan-full": "SQLite", "mulligan-postgres": "PostgreSQL"}


def main() -> None:
    """Measure and print."""
    given = _parser().parse_args()
    rows: list[tuple[str, str, str]] = []
    with stores.server() as server:
        for who in CONTENDERS:
            if server or not ENTRIES[who].postgres:
                rows += _of(who, given, server)
        facts = machine(server)
    rows.append(("`import mulligan`, s", spread([_import_s("mulligan") for _ in range(given.runs)]), "< 0.2"))
    rows.append(("a Python that imports typing, json and asyncio and ends, s", spread(_bare(given.runs)), ""))
    lines = as_lines(
        facts, shlex.join(["python", "-m", "bench.idle", *sys.argv[1:]]), "; median, smallest to largest in brackets"
    )
    lines += ["| what | figure | asked |", "| --- | ---: | ---: |", *(f"| {' | '.join(row)} |" for row in rows), ""]
    lines += ["Of the import, the heaviest modules with what they import (ms):", "", *_heaviest()]
    page.publish("\n".join(lines), "idle", given.write)


def _of(who: str, given: argparse.Namespace, server: str | None) -> Iterator[tuple[str, str, str]]:
    name = NAMES[who]
    starts = []
    for turn in range(given.runs):
        with empty(who, given.folder, server) as (contender, _):
            starts.append(_start_s(contender))
        print(f"{name}: start {turn + 1} took {starts[-1]:.2f} s", file=sys.stderr, flush=True)
    yield f"{name}: s from the start of a worker until the end of its first item is seen", spread(starts), "< 0.5"
    with empty(who, given.folder, server) as (contender, url):
        yield from _idle(name, contender, given.seconds, stores.postmaster(url) if server and ENTRIES[who].postgres else None)


@contextlib.contextmanager
def empty(who: str, place: Path | None, server: str | None) -> Iterator[tuple[Contender, str]]:
    """Give Mulligan in an empty store, and the URL of its database."""
    with contextlib.ExitStack() as around:
        folder = around.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=place, ignore_cleanup_errors=True))
        os.environ[bodies.FOLDER] = folder
        url = around.enter_context(stores.database(str(server))) if ENTRIES[who].postgres else ""
        os.environ[stores.DATABASE] = url
        contender = make(ENTRIES[who].durability)
        try:
            yield contender, url
        finally:
            contender.close()


def _start_s(contender: Contender) -> float:
    contender.submit("plain", 1)
    began = time.perf_counter()
    with running(contender.workers("plain", alone=True)):
        while not contender.done():
            if time.perf_counter() - began > LIMIT_S:
                raise TimeoutError((bodies.folder() / "worker.log").read_text("utf-8", "replace")[-2000:])
            time.sleep(LOOK_S)
        return time.perf_counter() - began


def _idle(name: str, contender: Contender, seconds: float, server: int | None) -> Iterator[tuple[str, str, str]]:
    """Watch a worker that has done one item and has nothing more to do."""
    contender.submit("plain", 1)
    with running(contender.workers("plain", alone=True)) as started:
        while not contender.done():
            time.sleep(LOOK_S)
        time.sleep(SETTLED_S)
        trees = {"worker with two children": started[0].pid, **({"server": server} if server else {})}
        before = {what: tree_cpu_s(pid) for what, pid in trees.items()}
        time.sleep(seconds)
        for what, pid in trees.items():
            share = (tree_cpu_s(pid) - before[what]) / seconds
            yield f"{name}: {what}, idle for {seconds:.0f} s, of a core", f"{share:.2%}", "< 1 %"


def _import_s(module: str) -> float:
    """Return how long an import takes in a fresh Python, its own start not counted."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def _bare(runs: int) -> list[float]:
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import typing, json, asyncio"], check=True)
        found.append(time.perf_counter() - began)
    return found


def _heaviest() -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import mulligan"], capture_output=True, text=True, check=True
    )
    found = re.findall(r"import time:\s+(\d+) \|\s+(\d+) \| ( *)(\S+)", ran.stderr)
    rows = sorted(((int(whole), int(alone), name) for alone, whole, _, name in found), reverse=True)
    return [f"- `{name}` {whole / 1000:.0f} ({alone / 1000:.0f} by itself)" for whole, alone, name in rows[:HEAVIEST]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.idle", description="What an idle worker costs, and how fast things start.")
    parser.add_argument("--runs", type=int, default=5, help="how often starts and imports are measured (5)")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long an idle worker is watched (30)")
    page.add_options(parser)
    return parser


if __name__ == "__main__":
    main()
