"""`python -m tests.crash [--only WORD]`: kill a process at every crash point, have calls on the store fail, and look."""

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

import crash_syscalls
from crash_points_of import cases, recorded, tell

from mulligan.testing.postgres import PostgresServer

CASE_S = 180
NOT_REACHED = 3
STORES = ("sqlite", "postgres")
WHENS = {
    ("fdatasync", "killed"): range(1, 41),
    ("pwrite64", "killed"): range(1, 171),
    ("fdatasync", "EIO"): range(1, 31),
    ("pwrite64", "EIO"): range(1, 121, 4),
    ("pwrite64", "ENOSPC"): range(2, 122, 2),
}
ROOT = Path(__file__).parents[2]


def main() -> int:
    """Tell all stories on both stores; returns 1 where one ended as it must not, or a first pass was never reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--what", choices=(*STORES, "calls"), nargs="*", default=[*STORES, "calls"], help="crash points, calls")
    parser.add_argument("--only", default="", help="points whose name contains this")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--case", nargs=3, metavar=("STORE", "AT", "URL"), help="tell one story about a crash point")
    parser.add_argument("--call", nargs=3, metavar=("CALL", "FAULT", "WHEN"), help="tell one story about a call that fails")
    given = parser.parse_args()
    if given.case:
        store, at, url = given.case
        return 0 if tell(store, at, url or None) else NOT_REACHED
    if given.call:
        call, fault, when = given.call
        return 0 if crash_syscalls.tell(call, fault, int(when)) else NOT_REACHED
    stores = [_all(store, given.only, given.jobs) for store in STORES if store in given.what]
    return max([*stores, _calls(given.jobs) if "calls" in given.what else 0])


def _calls(jobs: int) -> int:
    if not crash_syscalls.is_there():
        print(f"calls that fail: skipped, since {crash_syscalls.MISSING}")
        return 0
    began = time.monotonic()
    wanted = [(call, fault, when) for (call, fault), whens in WHENS.items() for when in whens]
    with ThreadPoolExecutor(jobs) as pool:
        ends = list(pool.map(lambda each: _told(["--call", *map(str, each)]), wanted))
    print("\n| call | fault | at | ended as they must not |\n| --- | --- | ---: | --- |")
    wrong = 0
    for kind in WHENS:
        mine = [(when, end) for (call, fault, when), end in zip(wanted, ends, strict=True) if (call, fault) == kind]
        bad = [f"{when}: {end}" for when, end in mine if end not in ("ok", "not reached")]
        wrong += len(bad)
        print(f"| {kind[0]} | {kind[1]} | {sum(end != 'not reached' for _, end in mine)} | {'; '.join(bad) or 'none'} |")
    print(f"\ncalls that fail: {sum(end != 'not reached' for end in ends)}, {wrong} wrong; {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


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
    return _told(["--case", store, at, url])


def _told(case: list[str]) -> str:
    command = [sys.executable, "-m", "tests.crash", *case]
    try:
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=CASE_S, check=False)
    except subprocess.TimeoutExpired:
        return "it took too long"
    if told.returncode == NOT_REACHED:
        return "not reached"
    verdict = "ok" if told.returncode == 0 else (told.stderr.strip().splitlines() or ["?"])[-1][:300]
    print(f"{' '.join(case[1:])}: {verdict}", file=sys.stderr, flush=True)
    return verdict


if __name__ == "__main__":
    sys.exit(main())
