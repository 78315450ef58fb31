"""`python -m tests.simulation --seeds 2000 [--from 0] [--store postgres] [--minutes 5]`: simulate, and tell what breaks."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import sim_run
from sim_stores import on_postgres


def main() -> int:
    """Simulate seed after seed; returns 1 where a promise was broken, after telling the shortest story of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2_000)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--steps", type=int, default=sim_run.STEPS, help="things that happen in each")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--keep-going", action="store_true", help="tell of all seeds that break something, in one line each")
    parser.add_argument("--as-found", action="store_true", help="tell of the first seed that breaks something as it is, unshrunk")
    given = parser.parse_args()
    began, runs, broken = time.monotonic(), [], 0
    with on_postgres() if given.store == "postgres" else contextlib.nullcontext(sim_run.in_memory) as make:
        for seed in range(given.first, given.first + given.seeds):
            found = sim_run.run(seed, sim_run.plan_of(seed, given.steps), make)
            runs.append(found._replace(told=()))
            if found.broken is not None:
                broken += 1
                if given.as_found:
                    print(f"seed {seed}: {found.broken}")
                    break
                if not given.keep_going:
                    print(sim_run.story(sim_run.shrink(found, make)))
                    break
                print(f"seed {seed}: {found.broken}", flush=True)
            if time.monotonic() - began > given.minutes * 60:
                break
    took_s = time.monotonic() - began
    steps, faults = sum(each.steps for each in runs), sum(each.faults for each in runs)
    hours = sum(each.passed_s for each in runs) / 3600
    print(
        f"{len(runs):,} seeds on {given.store}: {broken} broken; {steps:,} steps, {faults:,} faults, {hours:,.1f} simulated h "
        f"in {took_s:.0f} s ({steps / took_s * 60:,.0f} steps a minute)"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
