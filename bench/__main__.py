"""`python -m bench`: all workloads of all contenders, in turn and several times over; prints Markdown."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import page, stores
from bench.bodies import FOLDER
from bench.contender import ENTRIES, versions
from bench.machine import machine, packages
from bench.processes import ROOT, with_bench
from bench.report import Cell, report
from bench.workloads import LIMIT_S, WORKLOADS, Figures


def main() -> int:
    """Measure and report; returns 1 when a run failed."""
    given = _parser().parse_args()
    with stores.server() as server:
        cells = _cells(given, postgres=server is not None)
        failed = 0
        with contextlib.suppress(KeyboardInterrupt):  # what there is by then is still worth telling
            failed = _measure_all(cells, given, server)
        command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
        page.publish(report(cells, machine(server) | packages(), command), "workloads", given.write)
    return 1 if failed else 0


def _measure_all(cells: Sequence[Cell], given: argparse.Namespace, server: str | None) -> int:
    """Measure all in turn, so that a busy minute hits all alike; returns how many runs failed."""
    failed = 0
    for turn in range(given.runs):
        for cell in cells:
            ours = cell.contender.startswith("mulligan")
            if len(cell.runs) > turn or (not ours and turn >= WORKLOADS[cell.workload].most_runs):
                continue
            print(f"run {turn + 1} of {given.runs}: {cell.workload} {cell.contender} {cell.size:,}", file=sys.stderr, flush=True)
            figures = _measure(cell, given.folder, server)
            failed += figures is None
            cell.runs.extend([] if figures is None else [figures])
            if given.json:
                given.json.write_text(json.dumps([each._asdict() for each in cells]))
    return failed


def _measure(cell: Cell, place: Path | None, server: str | None) -> Figures | None:
    """Run one workload in a process, a folder and a database of its own; None when it failed, of which it has told."""
    entry = ENTRIES[cell.contender]
    with contextlib.ExitStack() as around:
        folder = around.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=place, ignore_cleanup_errors=True))
        environment = with_bench({**os.environ, FOLDER: folder})
        environment.pop(stores.DATABASE, None)
        if entry.postgres and server:
            environment[stores.DATABASE] = around.enter_context(stores.database(server))
        command = [entry.python, "-m", "bench.single", cell.contender, cell.workload, str(cell.size)]
        try:
            ran = subprocess.run(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False, timeout=2 * LIMIT_S
            )
        except subprocess.TimeoutExpired:
            print(f"{cell.workload} of {cell.contender} took too long", file=sys.stderr)
            return None
    if ran.returncode:
        print(f"{cell.workload} of {cell.contender} failed with exit code {ran.returncode}", file=sys.stderr)
        return None
    figures: Figures = json.loads(ran.stdout.splitlines()[-1])
    return figures


def _cells(given: argparse.Namespace, *, postgres: bool) -> list[Cell]:
    """Return what is to be measured, with what an earlier call that was interrupted has measured already."""
    there = versions()
    before = {(each["workload"], each["contender"], each["size"]): each["runs"] for each in _earlier(given.json)}
    for package in sorted({ENTRIES[name].package for name in given.contenders} - set(there)):
        print(f"{package} is not installed, so it is left out: `make bench` installs the peers", file=sys.stderr)
    chosen = [who for who in given.contenders if ENTRIES[who].package in there and (postgres or not ENTRIES[who].postgres)]
    return [
        Cell(name, who, size, before.get((name, who, size), []))
        for name in given.workloads
        for who in chosen
        if (size := _size(name, who, given.items))
    ]


def _earlier(file: Path | None) -> list[dict[str, Any]]:
    return json.loads(file.read_text()) if file and file.exists() else []


def _size(name: str, who: str, asked: int | None) -> int:
    size = WORKLOADS[name].sizes.get(who, 0)
    return min(asked, size) if asked is not None else size


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench", description="Measure Mulligan beside its peers on this machine.")
    parser.add_argument("--runs", type=int, default=3, help="how often everything is measured (3)")
    parser.add_argument(
        "--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="W", help=" ".join(WORKLOADS)
    )
    parser.add_argument("--contenders", nargs="+", choices=ENTRIES, default=list(ENTRIES), metavar="C", help=" ".join(ENTRIES))
    parser.add_argument("--items", type=int, help="no more items than these, for a quick look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all figures there, and go on from what it holds")
    page.add_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
