"""Tasks for the tests of the client."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from mulligan import Context, PermanentError, TransientError, Window, task


@dataclass
class Report:
    day: date
    rows: int


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def report(day: date, rows: int) -> Report:
    return Report(day, rows)


@task
def even_only(number: int) -> int:
    if number % 2:
        raise PermanentError(f"{number} is odd")
    return number


@task(retries=(3, 300))
def fails_for_minutes(why: str) -> None:
    raise TransientError(why)


@task
def half_way(ctx: Context, file: str) -> None:
    ctx.progress(1, 2)
    Path(file).with_suffix(".started").touch()
    while not Path(file).exists():
        threading.Event().wait(0.005)


@task
def until_fixed(file: str) -> str:
    if not Path(file).exists():
        raise ValueError("the file is not there")
    return "fixed"


@task(offline=True, online=False)
def offline(ctx: Context, window: Window) -> str:
    ctx.output(rows=1)
    return window.key


@task(offline=True, online=True)
def online(ctx: Context, window: Window) -> str:
    ctx.output(rows=3)
    return window.key


@task
def silent_writer(number: int) -> int:
    return number
