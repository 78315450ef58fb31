"""`python -m bench`: all workloads of all contenders, in turn and several times over; prints Markdown."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.bodies import FOLDER
from bench.contender import ENTRIES, POSTGRES
from bench.databases import Databases
from bench.machine import machine, python_of
from bench.processes import ROOT, with_bench
from bench.report import Cell, report, write_between
from bench.workloads import LIMIT_S, WORKLOADS, Figures


def main() -> int:
    """Measure and report; returns 1 when a run failed."""
    given = _parser().parse_args()
    cells = [
        Cell(name, who, _size(name, who, given.items), [])
        for name in given.workloads
        for who in WORKLOADS[name].contenders
        if who in given.contenders and _is_there(who)
    ]
    failed = 0
    with Databases() as databases:
        for turn in range(given.runs):
            for cell in cells:  # in turn, so that a busy minute hits all alike
                print(f"run {turn + 1} of {given.runs}: {cell.workload} {cell.contender} {cell.size:,}", file=sys.stderr)
                figures = _measure(cell, given.folder, databases)
                failed += figures is None
                cell.runs.extend([] if figures is None else [figures])
    facts, command = machine(), shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    text = report(cells, facts, command, given.runs)
    print(text)
    if given.json:
        given.json.write_text(json.dumps({"machine": facts, "command": command, "cells": [each._asdict() for each in cells]}))
    if given.write and not failed:
        write_between(given.write, text)
    return 1 if failed else 0


def _is_there(who: str) -> bool:
    there = python_of(who) is not None
    if not there:
        print(
            f"{ENTRIES[who].title} is not installed, so it is left out: `make bench` installs it where it can be", file=sys.stderr
        )
    return there


def _measure(cell: Cell, place: Path | None, databases: Databases) -> Figures | None:
    """Run one workload in a process, a folder and a database of its own; None when it failed, of which it has told."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=place, ignore_cleanup_errors=True) as folder:
        command = [str(python_of(cell.contender)), "-m", "bench.single", cell.contender, cell.workload, str(cell.size)]
        environment = with_bench({**os.environ, FOLDER: folder})
        if ENTRIES[cell.contender].store == "PostgreSQL":
            environment[POSTGRES] = databases.empty()
        ran = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False, timeout=2 * LIMIT_S
        )
    if ran.returncode:
        print(f"{cell.workload} of {cell.contender} failed with exit code {ran.returncode}", file=sys.stderr)
        return None
    figures: Figures = json.loads(ran.stdout.splitlines()[-1])
    return figures


def _size(name: str, who: str, asked: int | None) -> int:
    workload, slow = WORKLOADS[name], ENTRIES[who].peer
    if asked is not None and name in ("w1", "w3"):
        return min(asked, workload.slow_size) if slow else asked
    return workload.slow_size if slow else workload.size


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench", description="Measure Mulligan beside others on this machine.")
    parser.add_argument("--runs", type=int, default=3, help="how often everything is measured (3)")
    parser.add_argument(
        "--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="W", help=" ".join(WORKLOADS)
    )
    parser.add_argument("--contenders", nargs="+", choices=ENTRIES, default=list(ENTRIES), metavar="C", help=" ".join(ENTRIES))
    parser.add_argument("--items", type=int, help="items of Mulligan's W1 and W3 (100,000 and 10,000)")
    parser.add_argument("--folder", type=Path, help="where stores are made: on a real disk (the system's temporary folder)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the tables into this page, between its marks")
    return parser


if __name__ == "__main__":
    sys.exit(main())
