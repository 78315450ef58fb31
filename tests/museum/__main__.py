"""`python -m tests.museum [word …]`: bring every bug back, one by one, and print who finds it and after how long."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from bug import SIMULATION
from exhibits import BUGS
from showing import LIMIT_S, show


def main() -> int:
    """Show all bugs, or those whose name contains a word; returns 1 where one was not found in time."""
    words = sys.argv[1:]
    chosen = [each for each in BUGS if not words or any(word in each.name for word in words)]
    print("| bug | where others had it | found by | after, s | by the clock, s | what it said |")
    print("| --- | --- | --- | ---: | ---: | --- |", flush=True)
    missed = 0
    for bug in chosen:
        found = show(bug)
        missed += not found.found
        by = "simulation" if bug.finder == SIMULATION else f"`{bug.finder.removeprefix('tests/').split()[0]}`"
        verdict = by if found.found else f"**NOT FOUND** by {by}"
        times = f"{found.after_s:.1f} | {found.clock_s:.1f}"
        print(f"| {bug.name} | {bug.seen} | {verdict} | {times} | {found.said.replace('|', '/')} |", flush=True)
    print(f"\n{len(chosen) - missed} of {len(chosen)} bugs found, each within {LIMIT_S} s of processor time")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
