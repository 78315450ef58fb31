"""The measured tasks of Mulligan; workers load this file."""

from __future__ import annotations

import time
from pathlib import Path

from bench import bodies
from mulligan import Context, Window, task, workflow


@task(retries=2)
def plain(number: int) -> None:  # noqa: ARG001 - what an item is for
    bodies.nothing()


@task
def once(number: int) -> None:  # noqa: ARG001 - what an item is for
    bodies.nothing()


@task(retries=2)
def flaky(number: int) -> None:
    bodies.fail_at_first(number)


@task(retries=2)
def nap(number: int) -> int:
    return bodies.nap(number)


@task(retries=2)
def steps(ctx: Context, count: int) -> None:
    for _ in range(count):
        ctx.step(bodies.nothing)


@task
def grid(window: Window) -> None:  # noqa: ARG001 - what an item is for
    bodies.nothing()


@task
def sleep(number: int) -> None:  # noqa: ARG001 - what an item is for
    time.sleep(bodies.SLEEP_S)


@task(retries=2)
def until(go: str) -> None:
    while not Path(go).exists():
        time.sleep(0.01)


@workflow
def fan(count: int) -> int:
    return len(plain.map(range(count)).results())


@workflow
def chain(count: int) -> int:
    for number in range(count):
        plain(number)
    return count


@workflow
def waiting(go: str) -> None:
    until(go)
