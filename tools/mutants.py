"""`make mutants`: changes the core in small ways, one after the other, and counts the changes that its tests do not see."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOUND = ROOT / "mutants" / "src" / "mulligan" / "core"
WANTED = 0.90
SEEN, TOO_LONG = (1, 3), (36, 24, -24, 152, 255, -9, 137)
"""Exit codes of mutmut: tests failed, or ran into a limit of time or memory since something never ended."""


def main() -> int:
    """Run all mutants, print a table and those that survived; returns 1 below nine in ten.

    `--again` tries those that survived the last run, and those that it did not come to, against the tests as they are now.
    """
    parser = argparse.ArgumentParser("python tools/mutants.py", description="Change the core in small ways, and see who notices.")
    parser.add_argument("mutants", nargs="*", help="only those whose names match, such as 'mulligan.core.retry*'")
    parser.add_argument("--again", action="store_true", help="only those that survived the last run, or were not tried")
    given = parser.parse_args()
    began, chosen = time.monotonic(), list(given.mutants)
    if given.again:
        chosen = _left()
    else:
        shutil.rmtree(ROOT / "mutants", ignore_errors=True)
    mutmut = [str(Path(sys.executable).with_name("mutmut")), "run", *chosen]
    told = subprocess.run(mutmut, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if told.returncode or not FOUND.exists():  # such as a test that fails without any mutant
        print(told.stdout[-3000:])
        return 2
    survivors, total, limited = _table()
    share = 1 - len(survivors) / max(1, total)
    took_s = time.monotonic() - began
    print(f"\n{share:.1%} of {total:,} mutants were seen, {limited} of them by a limit alone, in {took_s:.0f} s")
    for name in survivors:
        print(f"survived: {name}")
    return 0 if share >= WANTED else 1


def _left() -> list[str]:
    """Return the mutants of the last run that no test has seen."""
    return [name for file in FOUND.glob("*.meta") for name, code in _ends(file).items() if code not in (*SEEN, *TOO_LONG)]


def _ends(file: Path) -> dict[str, int | None]:
    """Return the exit code of each mutant of a module; None: it was not tried."""
    ends: dict[str, int | None] = json.loads(file.read_text("utf-8"))["exit_code_by_key"]
    return ends


def _table() -> tuple[list[str], int, int]:
    """Print a table; returns who survived, how many there were, and how many were seen only since they never ended."""
    print("| module | mutants | seen | share |\n| --- | ---: | ---: | ---: |")
    survivors: list[str] = []
    total = limited = 0
    for file in sorted(FOUND.glob("*.meta")):
        ends = {name: code for name, code in _ends(file).items() if code is not None}  # those that were asked for
        counts = Counter(code in (*SEEN, *TOO_LONG) for code in ends.values())
        survivors += [name for name, code in ends.items() if code not in (*SEEN, *TOO_LONG)]
        total += len(ends)
        limited += sum(code in TOO_LONG for code in ends.values())
        if ends:
            print(f"| {file.name.removesuffix('.py.meta')} | {len(ends)} | {counts[True]} | {counts[True] / len(ends):.1%} |")
    return survivors, total, limited


if __name__ == "__main__":
    sys.exit(main())
