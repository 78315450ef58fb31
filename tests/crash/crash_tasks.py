"""The tasks of the stories about crash points: each leaves a line for whatever it really does."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from mulligan import Context, Policy, Retry, Snooze, TransientError, Window, task, workflow

MANY = Policy({("TRANSIENT", "INFRASTRUCTURE", "UNKNOWN", "TIMEOUT"): Retry(20, 0, jitter=None)})


def leave(file: str, line: str) -> None:
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


def told(file: str, line: str) -> bool:
    return Path(file).exists() and line in Path(file).read_text("utf-8").splitlines()


@task
def once(ctx: Context, file: str, key: str) -> str:
    leave(file, f"begin once {key} {ctx.generation}")
    return key


@task(retries=MANY)
def again(file: str, key: str) -> str:
    first = not told(file, f"begin again {key}")
    leave(file, f"begin again {key}")
    if first:
        raise TransientError("the first attempt fails")
    return key


def count(file: str, key: str) -> int:
    leave(file, f"step {key}")
    return 1


@task(retries=MANY)
def stepped(ctx: Context, file: str, key: str) -> int:
    leave(file, f"begin stepped {key}")
    total = 0
    for place in range(3):
        total += ctx.step(count, file, f"{key} {place}")
        leave(file, f"saved {key} {place}")
        ctx.progress(place + 1, 3)
        ctx.checkpoint(place)
    ctx.output(rows=total)
    print("said")
    return total


@task(retries=MANY)
def napping(file: str, key: str) -> str:
    first = not told(file, f"begin napping {key}")
    leave(file, f"begin napping {key}")
    if first:
        raise Snooze(0.1)
    return key


@task(retries=MANY)
async def waiting(file: str, key: str) -> str:
    leave(file, f"begin waiting {key}")
    return key


@task(retries=MANY)
def submitting(file: str, key: str) -> str:
    leave(file, f"begin submitting {key}")
    return again.options(run_id=f"inside-{key}").submit(file, f"inside {key}").id


@task(retries=MANY)
def endless(file: str, key: str) -> None:
    leave(file, f"begin endless {key}")
    threading.Event().wait(600)


@task
def held(file: str, key: str) -> None:
    leave(file, f"begin held {key}")
    threading.Event().wait(600)


@task(retries=MANY)
def broken(file: str, key: str) -> str:
    leave(file, f"begin broken {key}")
    if not Path(f"{file}.fixed").exists():
        raise ValueError("not fixed yet")
    return key


@task(retries=MANY, offline=True, online=False)
def daily(window: Window, file: str) -> str:
    leave(file, f"begin daily {window.key}")
    return window.key


@task
def until_told(file: str, key: str, go: str) -> str:
    leave(file, f"begin until_told {key}")
    while not Path(go).exists():
        threading.Event().wait(0.01)
    leave(file, f"end until_told {key}")
    return key


@task(retries=Policy({("TRANSIENT",): Retry(3, 2, jitter=None)}))
def failing_once(file: str, key: str) -> str:
    first = not told(file, f"begin failing_once {key}")
    leave(file, f"begin failing_once {key}")
    if first:
        raise TransientError("the first attempt fails")
    return key


@workflow(retries=MANY)
def twenty(file: str) -> list[str]:
    return [once(file, f"call {number}") if number % 2 else again(file, f"call {number}") for number in range(20)]
