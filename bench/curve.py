"""`python -m bench.curve`: how a worker's throughput grows with its child processes; drawn as bars."""

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

from bench import bodies, page, stores
from bench.contender import ENTRIES, Kind
from bench.machine import as_lines, machine
from bench.processes import ROOT, with_bench
from bench.report import number, spread
from bench.with_mulligan import make
from bench.workloads import drain

CONTENDERS = ("mulligan-full", "mulligan-postgres")
NOTHING: tuple[Kind, tuple[int, ...]] = ("plain", (1, 2, 4))
SLEEPING: tuple[Kind, tuple[int, ...]] = ("sleep", (1, 2, 4, 8, 32))
BUSY, SECONDS = 30_000, 3
"""Items that do nothing; and how long a worker is busy with those that sleep."""
WIDE = 50


def main() -> None:
    """Measure each number of children, and draw them."""
    given = _parser().parse_args()
    if given.one:
        who, kind, count, children = given.one
        contender = make(ENTRIES[who].durability)
        print(json.dumps(drain(contender, kind, int(count), alone=True, children=int(children))))
        contender.close()
        return
    found: dict[tuple[str, Kind], dict[int, list[float]]] = {}
    with stores.server() as server:
        for _ in range(given.runs):
            for who in given.contenders:
                for kind, every in (NOTHING, SLEEPING):
                    if server or not ENTRIES[who].postgres:
                        rates = found.setdefault((who, kind), {each: [] for each in every})
                        for children in every:
                            rates[children].extend(_measured(given, who, kind, children, server))
        facts = machine(server)
    command = shlex.join(["python", "-m", "bench.curve", *sys.argv[1:]])
    lines = [*as_lines(facts, command, "; one worker; median, smallest to largest in brackets"), "```text"]
    for (who, kind), rates in found.items():
        lines += _drawn(ENTRIES[who].title, kind, rates)
    page.publish("\n".join([*lines[:-1], "```"]), "curve", given.write)


def _measured(given: argparse.Namespace, who: str, kind: Kind, children: int, server: str | None) -> list[float]:
    """Return items drained in a second, in a list; an empty one when that failed, of which it has told."""
    count = BUSY if kind == "plain" else round(children * SECONDS / bodies.SLEEP_S)
    print(f"{who} {kind}: {children} children", file=sys.stderr, flush=True)
    with contextlib.ExitStack() as around:
        folder = around.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=given.folder, ignore_cleanup_errors=True))
        environment = with_bench({**os.environ, bodies.FOLDER: folder})
        if ENTRIES[who].postgres:
            environment[stores.DATABASE] = around.enter_context(stores.database(str(server)))
        command = [sys.executable, "-m", "bench.curve", "--one", who, kind, str(count), str(children)]
        ran = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode:
        print(f"failed with exit code {ran.returncode}", file=sys.stderr)
        return []
    return [float(json.loads(ran.stdout.splitlines()[-1])["drain"])]


def _drawn(title: str, kind: Kind, rates: dict[int, list[float]]) -> list[str]:
    """Draw a bar for each number of children; of those that sleep, where the bar could end at most."""
    medians = {children: statistics.median(had) for children, had in rates.items() if had}
    ideal = {children: children / bodies.SLEEP_S if kind == "sleep" else 0.0 for children in medians}
    most = max([*medians.values(), *ideal.values()], default=1.0)
    what = (
        "items that do nothing"
        if kind == "plain"
        else f"items that sleep {bodies.SLEEP_S * 1000:.0f} ms (dots: without any other cost)"
    )
    lines = [f"{title}: {what}"]
    for children, rate in medians.items():
        bar, room = round(WIDE * rate / most), round(WIDE * ideal[children] / most)
        share = f"  {rate / ideal[children]:.0%} of {number(ideal[children])}" if ideal[children] else ""
        lines.append(f"{children:3} children {'█' * bar + '·' * max(0, room - bar):{WIDE}} {spread(rates[children])}/s{share}")
    return [*lines, ""]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.curve", description="How throughput grows with child processes.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--one", nargs=4, metavar=("CONTENDER", "KIND", "COUNT", "CHILDREN"), help=argparse.SUPPRESS)
    page.add_options(parser)
    return parser


if __name__ == "__main__":
    main()
