"""`make mutants`: changes the core in small ways, one after the other, and counts the changes that its tests do not see."""

from __future__ import annotations

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
    """Run all mutants, print a table and those that survived; returns 1 below nine in ten."""
    began = time.monotonic()
    shutil.rmtree(ROOT / "mutants", ignore_errors=True)
    mutmut = [str(Path(sys.executable).with_name("mutmut")), "run", *sys.argv[1:]]
    told = subprocess.run(mutmut, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if not FOUND.exists():
        print(told.stdout[-3000:])
        return 2
    survivors = _table()
    share = 1 - len(survivors[0]) / max(1, survivors[1])
    print(f"\n{share:.1%} of {survivors[1]:,} mutants were seen, in {time.monotonic() - began:.0f} s")
    for name in survivors[0]:
        print(f"survived: {name}")
    return 0 if share >= WANTED else 1


def _table() -> tuple[list[str], int]:
    print("| module | mutants | seen | share |\n| --- | ---: | ---: | ---: |")
    survivors: list[str] = []
    total = 0
    for file in sorted(FOUND.glob("*.meta")):
        every = json.loads(file.read_text("utf-8"))["exit_code_by_key"]
        ends = {name: code for name, code in every.items() if code is not None}  # those that were asked for
        counts = Counter(code in (*SEEN, *TOO_LONG) for code in ends.values())
        survivors += [name for name, code in ends.items() if code not in (*SEEN, *TOO_LONG)]
        total += len(ends)
        if ends:
            print(f"| {file.name.removesuffix('.py.meta')} | {len(ends)} | {counts[True]} | {counts[True] / len(ends):.1%} |")
    return survivors, total


if __name__ == "__main__":
    sys.exit(main())
