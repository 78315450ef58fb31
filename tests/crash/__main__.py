"""`python -m tests.crash [--store sqlite] [--only WORD]`: kill a process at every crash point, and see what becomes of the work."""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from crash_points_of import cases, recorded, tell

from mulligan.testing.postgres import PostgresServer

CASE_S = 180
ROOT = Path(__file__).parents[2]


def main() -> int:
    """Tell all stories on both stores; returns 1 where one ended as it must not, or a first pass was never reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--store", choices=("sqlite", "postgres"), nargs="*", default=["sqlite", "postgres"])
    parser.add_argument("--only", default="", help="points whose name contains this")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--case", nargs=3, metavar=("STORE", "AT", "URL"), help="tell one story")
    given = parser.parse_args()
    if given.case:
        store, at, url = given.case
        return 0 if tell(store, at, url or None) else 3
    return max([_all(store, given.only, given.jobs) for store in given.store])


def _all(store: str, only: str, jobs: int) -> int:
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        url = ""
        if store == "postgres":
            server = PostgresServer()
            stack.callback(server.close)
            url = server.url
        passes = {name: most for name, most in recorded(store, url or None).items() if only in name}
        wanted = cases(passes)
        with ThreadPoolExecutor(jobs) as pool:
            ends = list(pool.map(lambda at: _one(store, at, url), wanted))
    verdicts = dict(zip(wanted, ends, strict=True))
    print(f"\n| point ({store}) | passes | killed at | verdict |\n| --- | ---: | --- | --- |")
    for name, most in passes.items():
        mine = {at.split(" ", 1)[0]: verdict for at, verdict in verdicts.items() if at.split(" ", 1)[1] == name}
        killed = ", ".join(count for count, verdict in mine.items() if verdict != "not reached")
        bad = [f"{count}: {verdict}" for count, verdict in mine.items() if verdict not in ("ok", "not reached")]
        print(f"| {name} | {most} | {killed} | {'; '.join(bad) or 'ok'} |")
    counts = Counter(verdicts.values())
    missed = [at for at, verdict in verdicts.items() if verdict == "not reached" and at.startswith("1 ")]
    wrong = len(wanted) - counts["ok"] - counts["not reached"]
    print(
        f"\n{store}: {len(passes)} points, {counts['ok'] + wrong} kills, {wrong} ended as they must not, "
        f"{counts['not reached']} later passes not reached, {len(missed)} points never reached; {time.monotonic() - began:.0f} s"
    )
    return 1 if wrong or missed else 0


def _one(store: str, at: str, url: str) -> str:
    command = [sys.executable, "-m", "tests.crash", "--case", store, at, url]
    try:
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=CASE_S, check=False)
    except subprocess.TimeoutExpired:
        return "it took too long"
    if told.returncode == 3:
        return "not reached"
    verdict = "ok" if told.returncode == 0 else (told.stderr.strip().splitlines() or ["?"])[-1][:300]
    print(f"{at}: {verdict}", file=sys.stderr, flush=True)
    return verdict


if __name__ == "__main__":
    sys.exit(main())
