"""`python -m tests.crash [--store sqlite] [--only WORD]`: kill a process at every crash point; see what becomes of the work."""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from crash_points_of import cases, recorded, verdict

from mulligan.testing.postgres import PostgresServer


def main() -> int:
    """Tell all stories on both stores; returns 1 where one ended as it must not, or a first pass was never reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--store", choices=("sqlite", "postgres"), nargs="*", default=["sqlite", "postgres"])
    parser.add_argument("--only", default="", help="points whose name contains this")
    parser.add_argument("--first", action="store_true", help="only at the first pass of each point")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    return max([_all(store, given.only, given.jobs, first=given.first) for store in given.store])


def _all(store: str, only: str, jobs: int, *, first: bool) -> int:
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        url = ""
        if store == "postgres":
            server = PostgresServer()
            stack.callback(server.close)
            url = server.url
        passes = {name: most for name, most in recorded(store, url or None).items() if only in name}
        wanted = cases(passes, first=first)
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            ends = list(pool.map(verdict, [store] * len(wanted), wanted, [url or None] * len(wanted)))
    verdicts = dict(zip(wanted, ends, strict=True))
    print(f"\n| point ({store}) | passes | killed at | verdict |\n| --- | ---: | --- | --- |")
    for name, most in passes.items():
        mine = {at.split(" ", 1)[0]: end for at, end in verdicts.items() if at.split(" ", 1)[1] == name}
        killed = ", ".join(count for count, end in mine.items() if end != "not reached")
        bad = [f"{count}: {end}" for count, end in mine.items() if end not in ("ok", "not reached")]
        print(f"| {name} | {most} | {killed} | {'; '.join(bad) or 'ok'} |")
    counts = Counter(verdicts.values())
    missed = [at for at, end in verdicts.items() if end == "not reached" and at.startswith("1 ")]
    wrong = len(wanted) - counts["ok"] - counts["not reached"]
    print(
        f"\n{store}: {len(passes)} points, {counts['ok'] + wrong} kills, {wrong} ended as they must not, "
        f"{counts['not reached']} later passes not reached, {len(missed)} points never reached; {time.monotonic() - began:.0f} s"
    )
    return 1 if wrong or missed else 0


if __name__ == "__main__":
    sys.exit(main())
