"""Tasks that the tests of the command line run."""

from __future__ import annotations

import os
import select
import sys

from mulligan import Context, PermanentError, TaskFailed, TransientError, Window, task, workflow


@task
def add(a: int, b: int = 2) -> int:
    print(f"adding {a} and {b}")
    return a + b


@task(retries=(2, 300), offline=True, online=True)
def features(ctx: Context, window: Window, bad: list[str] = []) -> int:  # noqa: B006
    if window.key in bad:
        raise PermanentError(f"a column is missing on {window.key}")
    ctx.output(rows=3)
    return 3


@task(retries=(2, 3000))
def flaky() -> None:
    raise TransientError("the warehouse is away")


@task
def loud() -> None:
    sys.stdout.write("\x1b[31mred\x1b[0m\x1b]0;a title\x07 text\rover\n")
    raise RuntimeError("[bold red]boo[/] \x1b[2J\u202e")


@task(retries=2)
def twice(ctx: Context) -> str:
    print(f"this is attempt {ctx.attempt}")
    if ctx.attempt == 1:
        raise TransientError("only once")
    return "done"


@task
def until_told(pipe: str) -> str:
    """Run until somebody writes to a named pipe."""
    print("waiting to be told", flush=True)
    fd = os.open(pipe, os.O_RDWR)
    select.select([fd], [], [], 60)
    return os.read(fd, 100).decode()


@workflow
def many(count: int) -> int:
    try:
        loud()
    except TaskFailed:
        return sum(add.map(range(count)).results()) + few()
    return 0


@workflow
def few() -> int:
    return add(1, 1)
