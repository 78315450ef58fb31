"""`python -m bench.workflows`: what workflows cost: fanning out and back, calls one after the other, and waiting."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench import bodies, page, stores, tasks
from bench.contender import ENTRIES
from bench.idle import NAMES, empty
from bench.machine import as_lines, machine
from bench.processes import descendants, running
from bench.report import spread
from bench.with_mulligan import Mulligan

CONTENDERS = ("mulligan-full", "mulligan-normal", "mulligan-postgres")
TITLES = {**NAMES, "mulligan-full": "SQLite FULL", "mulligan-normal": "SQLite NORMAL"}
FAN, CHAIN, WAITING = 1_000, 200, 1_000
LIMIT_S = 120.0


def main() -> None:
    """Measure and print."""
    given = _parser().parse_args()
    rows: list[tuple[str, str, str]] = []
    with stores.server() as server:
        for who in CONTENDERS:
            if server or not ENTRIES[who].postgres:
                rows += _of(who, given, server)
        facts = machine(server)
    command = shlex.join(["python", "-m", "bench.workflows", *sys.argv[1:]])
    lines = as_lines(facts, command, "; one worker with two children; median, smallest to largest in brackets")
    lines += ["| what | figure | asked |", "| --- | ---: | ---: |", *(f"| {' | '.join(row)} |" for row in rows)]
    page.publish("\n".join(lines), "workflows", given.write)


def _of(who: str, given: argparse.Namespace, server: str | None) -> Iterator[tuple[str, str, str]]:
    asked = {"mulligan-full": ("≥ 2,000", "≥ 200", "< 500")}.get(who, ("", "", ""))
    fans, chains = [], []
    with empty(who, given.folder, server) as (contender, _):
        assert isinstance(contender, Mulligan)
        with running(contender.workers("plain", alone=True)):
            contender.call(tasks.fan, 10)
            for _ in range(given.runs):
                fans.append(FAN / _seconds(contender, tasks.fan, FAN))
                chains.append(CHAIN / _seconds(contender, tasks.chain, CHAIN))
    yield f"{TITLES[who]}: {FAN:,} calls of one workflow at once, and back, calls/s", spread(fans), asked[0]
    yield f"{TITLES[who]}: {CHAIN} calls one after the other, calls/s", spread(chains), asked[1]
    if who == "mulligan-normal":
        return
    with empty(who, given.folder, server) as (contender, _):
        assert isinstance(contender, Mulligan)
        with running(contender.workers("plain", alone=True)) as started:
            used = _waiting(contender, started[0].pid)
    yield f"{TITLES[who]}: {WAITING:,} workflows that wait, MB of the worker and its children", used, asked[2]


def _seconds(contender: Mulligan, workflow: object, count: int) -> float:
    began = time.perf_counter()
    contender.call(workflow, count)
    return time.perf_counter() - began


def _waiting(contender: Mulligan, worker: int) -> str:
    go = bodies.folder() / "go"
    job = contender.map(tasks.waiting, [str(go)] * WAITING)
    until_s = time.perf_counter() + LIMIT_S
    while job.refresh().counts.started < WAITING:
        if time.perf_counter() > until_s:
            raise TimeoutError(f"only {job.counts.started} workflows wait")
        time.sleep(0.05)
    time.sleep(1.0)
    used = sum(_resident_mb(pid) for pid in (worker, *descendants(worker)))
    go.touch()
    job.wait(LIMIT_S)
    return f"{used:.0f}"


def _resident_mb(pid: int) -> float:
    """Return the memory that a process has for itself, and its share of what it has together with others."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.workflows", description="What workflows cost.")
    parser.add_argument("--runs", type=int, default=5, help="how often each is measured (5)")
    page.add_options(parser)
    return parser


if __name__ == "__main__":
    main()
