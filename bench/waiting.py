"""`python -m bench.waiting`: how long after the end of a job whoever waits for it hears of it, through how many retries."""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.machine import as_lines, machine
from mulligan import Context, Retry, TransientError, connect, task

RETRIES = (0, 1, 5, 20)
ASKED_MS = 50


@task(retries=Retry(max_attempts=100))
def fails(ctx: Context, times: int) -> int:
    """Fail so many times, then succeed."""
    if ctx.attempt <= times:
        raise TransientError(f"failure {ctx.attempt} of {times}")
    return times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=30, help="jobs of each kind")
    given = parser.parse_args()
    print("\n".join(as_lines(machine(None), shlex.join(["python", "-m", "bench.waiting", *sys.argv[1:]]), "; SQLite FULL")))
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/store.db"
        environment = {**os.environ, "MULLIGAN_DATABASE": url, "MULLIGAN_PROCESSES": "1"}
        worker = subprocess.Popen(
            [sys.executable, "-m", "mulligan", "worker", str(Path(__file__).resolve())],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with connect(url) as client:
                client.submit(fails, 0).wait(60)
                _measure(client, given.runs)
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(30)


def _measure(client: Any, runs: int) -> None:
    print("| retries | job.wait(): ms after the end, median (most) | await job | asked |\n| ---: | ---: | ---: | ---: |")
    for times in RETRIES:
        waited = [_waited_ms(client, times) for _ in range(runs)]
        awaited = [asyncio.run(_awaited_ms(client, times)) for _ in range(runs)]
        cells = (f"{statistics.median(each):.1f} ({max(each):.1f})" for each in (waited, awaited))
        print(f"| {times} | {' | '.join(cells)} | < {ASKED_MS} |")


def _waited_ms(client: Any, times: int) -> float:
    job = client.submit(fails, times)
    job.wait(60)
    return _since_end_ms(job)


async def _awaited_ms(client: Any, times: int) -> float:
    job = client.submit(fails, times)
    await job
    return _since_end_ms(job)


def _since_end_ms(job: Any) -> float:
    now = time.time() * 1000
    return max(0.0, now - job.work_items()[0].row.ended_ms)


if __name__ == "__main__":
    main()
