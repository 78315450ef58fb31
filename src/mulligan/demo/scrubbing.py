"""Scrubbing: is what was downloaded still what was published? One file after another, slowly, so that nobody waits for the disk.

It takes an hour. Cancel it when you like: what it has looked at is kept, and a retry that recovers goes on from there.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from mulligan import BATCH, Context, task


@task(retries=BATCH, offline=True, idempotent=True)
async def scrub(ctx: Context, checks: int = 3600) -> int:
    """Check one day's files each second, the days in turn; return how many were checked."""
    folder = Path(os.environ["FLIGHTS_FOLDER"])
    days = sorted(path.stem for path in (folder / "raw" / "flights").glob("*.csv"))
    for number in range(ctx.cursor or 0, checks):
        day = days[number % len(days)]
        for name in (f"flights/{day}.csv", f"weather/{day}.csv"):
            if (folder / "raw" / name).read_bytes() != (folder / "source" / name).read_bytes():
                raise ValueError(f"{name} is not what was published: remove it from raw, and run {day} again")
        ctx.checkpoint(number + 1)
        ctx.progress(number + 1, checks)
        if number % 60 == 0:
            print(f"{number + 1} of {checks}: {day} is as it was published")
        await asyncio.sleep(1)
    return checks
