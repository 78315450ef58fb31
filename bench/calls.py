"""`python -m bench.calls`: what a successful call costs that would be tried again in process, beside tenacity and stamina."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections import defaultdict

from bench import page
from bench.calls_of import WAYS
from bench.contender import PEERS, version_of
from bench.machine import as_lines, machine
from bench.processes import ROOT, with_bench
from bench.report import spread

TITLES = {
    "plain": ("", "a plain call"),
    "mulligan_task": ("mulligan", "Mulligan: `f(x)` of a task"),
    "mulligan_retrying": ("mulligan", "Mulligan: `@retrying`"),
    "mulligan_retry": ("mulligan", "Mulligan: `retry(f)`"),
    "tenacity_decorated": ("tenacity", "tenacity: `@retry`"),
    "tenacity_call": ("tenacity", "tenacity: `Retrying(…)(f)`"),
    "stamina_decorated": ("stamina", "stamina: `@retry`"),
    "stamina_call": ("stamina", "stamina: `RetryingCaller(…)(on, f)`"),
}


def main() -> int:
    """Measure all ways in turn; returns 1 when one failed."""
    given = _parser().parse_args()
    pythons = {name: sys.executable if package in ("", "mulligan") else str(PEERS) for name, (package, _) in TITLES.items()}
    versions = {package: version_of(pythons[name], package) for name, (package, _) in TITLES.items() if package}
    there = [name for name in WAYS if TITLES[name][0] in ("", *(each for each, version in versions.items() if version))]
    figures: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for turn in range(given.runs):
        for name in there:
            print(f"run {turn + 1} of {given.runs}: {name}", file=sys.stderr, flush=True)
            ran = subprocess.run(
                [pythons[name], "-m", "bench.calls_of", name],
                cwd=ROOT,
                env=with_bench(os.environ),
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            if ran.returncode:
                print(f"{name} failed", file=sys.stderr)
                return 1
            sync_ns, async_ns = json.loads(ran.stdout)
            figures[name].append((sync_ns, async_ns))
    facts = machine() | {"versions": ", ".join(f"{name} {version or 'not installed'}" for name, version in versions.items())}
    command = shlex.join(["python", "-m", "bench.calls", *sys.argv[1:]])
    lines = [*as_lines(facts, command, "; median, smallest to largest in brackets"), *_table(figures)]
    page.publish("\n".join(lines), "calls", given.write)
    return 0


def _table(figures: dict[str, list[tuple[float, float]]]) -> list[str]:
    lines = ["| what is called | µs, `def` | µs, `async def` |", "| --- | ---: | ---: |"]
    for name, runs in figures.items():
        columns = [spread([run[which] / 1000 for run in runs]) for which in (0, 1)]
        lines.append(f"| {TITLES[name][1]} | {columns[0]} | {columns[1]} |")
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.calls", description="What a successful call costs that would be retried.")
    parser.add_argument("--runs", type=int, default=5, help="how often everything is measured (5)")
    page.add_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
