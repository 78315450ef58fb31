"""Tasks for the tests of the client."""

from __future__ import annotations

import os
import stat
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


@task(retries=1)
def same(number: int) -> int:
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


@task(offline=True, online=True, concurrency=1)  # one after the other, so that later windows are written later
def online(ctx: Context, window: Window) -> str:
    ctx.output(rows=3)
    return window.key


@task
def silent_writer(number: int) -> int:
    return number


@task
def claims_rows(ctx: Context, exponent: int) -> None:
    ctx.output(rows=2**exponent)


def oddly_named() -> int:
    return 1


oddly_named.__qualname__ = "odd\udc80"


@task
def steps_oddly(ctx: Context) -> int:
    return ctx.step(oddly_named)


@task(retries=5)
def writes_where_it_should_not(line: str) -> None:
    for fd in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.write(fd, line.encode())
        except OSError:
            continue


@task(concurrency=1, retries=1)
def alone_at_a_time(trace: str, number: int) -> None:
    with Path(trace).open("a") as file:
        file.write(f"start {number}\n")
        file.flush()
        threading.Event().wait(0.02)
        file.write(f"end {number}\n")


@task
def fails_with(message: str) -> None:
    if message:
        raise PermanentError(message)
