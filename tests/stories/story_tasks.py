"""The tasks that the stories run: each leaves traces in files, by which a story knows what really happened."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from mulligan import (
    INFRASTRUCTURE,
    NEVER,
    PERMANENT,
    RATE_LIMITED,
    TIMEOUT,
    TRANSIENT,
    UNKNOWN,
    Context,
    FailureClass,
    InfrastructureError,
    PermanentError,
    Policy,
    RateLimited,
    Retry,
    Snooze,
    TransientError,
    task,
)

MANY = Policy({INFRASTRUCTURE: Retry(max_attempts=100), (TRANSIENT, RATE_LIMITED, TIMEOUT, UNKNOWN): Retry(max_attempts=10)})


def leave(file: str, line: str) -> None:
    """Append a line in one write, so that it is there or not, whatever is killed."""
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


def wait_for(file: str) -> None:
    """Block until a file is there."""
    while not is_there(file):
        threading.Event().wait(0.005)


def is_there(file: str) -> bool:
    """Return whether a file is there."""
    return Path(file).exists()


@task(retries=2)
def add(a: int, b: int) -> int:
    return a + b


@task
def once(file: str, key: str, work_s: float = 0.0) -> str:
    leave(file, key)
    threading.Event().wait(work_s)
    return key


@task(retries=MANY)
def again(ctx: Context, file: str, key: str, work_s: float = 0.0) -> str:
    leave(file, f"{key} {time.time()}")
    threading.Event().wait(work_s)
    return key


@task(retries=MANY)
def stepped(ctx: Context, file: str, key: str, work_s: float = 0.0) -> str:
    leave(file, f"{key} {time.time()}")
    for number in range(3):
        ctx.step(one_step, f"{file}.steps", key, number, work_s / 3)
        leave(f"{file}.steps", f"saved {key}/{number}")
    return key


def one_step(file: str, key: str, number: int, work_s: float) -> int:
    leave(file, f"ran {key}/{number}")
    threading.Event().wait(work_s)
    return number


@task(retries=MANY)
async def waiting(file: str, key: str, work_s: float = 0.0) -> str:
    leave(file, f"{key} {time.time()}")
    await asyncio.sleep(work_s)
    return key


@task(retries=MANY)
def with_grandchild(file: str, key: str, work_s: float = 0.0) -> str:
    leave(file, f"{key} {time.time()}")
    with subprocess.Popen(["sleep", "1000"]) as sleeper:
        threading.Event().wait(work_s)
        sleeper.kill()
    return key


@task
def until_there(file: str, key: str, awaited: str) -> str:
    """Starts, waits for a file, ends."""
    leave(file, key)
    wait_for(awaited)
    leave(file, f"{key} ended")
    return key


@task(retries=MANY)
def until_there_again(file: str, key: str, awaited: str) -> str:
    leave(file, key)
    wait_for(awaited)
    leave(file, f"{key} ended")
    return key


@task(retries=MANY)
def saves_when_there(ctx: Context, file: str, key: str, awaited: str) -> int:
    leave(file, f"{key} {ctx.attempt}")
    wait_for(awaited)
    leave(file, f"{key} {ctx.attempt} saves")
    ctx.checkpoint(ctx.attempt)
    return ctx.attempt


@task(retries=2)
async def until_there_async(file: str, key: str, awaited: str) -> str:
    leave(file, key)
    while not is_there(awaited):  # noqa: ASYNC110 - another process makes the file
        await asyncio.sleep(0.005)
    return key


@task
async def blocks_the_loop(file: str, key: str) -> None:
    await asyncio.sleep(0.2)  # so that its neighbours get to run
    leave(file, key)
    threading.Event().wait(60)


@task
async def ignores_cancellation(file: str, key: str, awaited: str) -> str:
    leave(file, key)
    while not is_there(awaited):
        try:
            await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            leave(file, f"{key} ignored it")
    return key


@task
def looks_for_stop(ctx: Context, file: str, key: str) -> None:
    leave(file, key)
    try:
        while True:
            ctx.progress(0, 1)
            threading.Event().wait(0.005)
    finally:
        leave(file, f"{key} cleaned up after {ctx.stopping}")


@task
def ignores_all(file: str, key: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    leave(file, key)
    while True:
        try:
            time.sleep(1000)
        except BaseException:
            leave(file, f"{key} ignored it")


@task(timeout=0.3)
def spins() -> None:
    while True:
        pass


@task(timeout=0.3)
def spins_ignoring(file: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    leave(file, "spinning")
    while True:
        pass


@task(retries=(100, 0.05), total_timeout=3)
def fails_until_cutoff() -> None:
    raise TransientError("not yet")


@task(retries=100, total_timeout=0.4)
def runs_into_cutoff(file: str) -> None:
    leave(file, "started")
    threading.Event().wait(60)


@task(heartbeat_timeout=0.3)
def goes_silent(ctx: Context, file: str) -> None:
    for number in range(40):
        ctx.progress(number, 40)
        threading.Event().wait(0.01)
    leave(file, "silent from here on")
    threading.Event().wait(60)


@task(retries=10)
def kills_its_process(file: str) -> None:
    leave(file, "started")
    os.kill(os.getpid(), signal.SIGKILL)


@task(retries=10)
def leaves_at_once(file: str) -> None:
    leave(file, "started")
    os._exit(7)


@task(retries=10)
def reads_address_zero(file: str) -> None:
    leave(file, "started")
    ctypes.string_at(0)


@task
def dies_once_for_all(file: str) -> None:
    leave(file, "started")
    os.kill(os.getpid(), signal.SIGKILL)


@task(retries=10)
def dies_after_each_checkpoint(ctx: Context, file: str) -> int:
    """Dies twice between checkpoints: never three times since the last one."""
    leave(file, f"attempt {ctx.attempt}")
    if ctx.attempt % 2 == 1:
        ctx.checkpoint(ctx.attempt)
    if ctx.attempt < 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return ctx.attempt


@task(resources={"memory": "300MB"})
def wants_too_much() -> int:
    return len(bytearray(3_000_000_000))


@task(retries=2)
def three_steps(ctx: Context, file: str, broken: str) -> list[int]:
    first = ctx.step(noted_step, file, 1)
    second = ctx.step(noted_step, file, 2)
    if Path(broken).exists():
        raise PermanentError("the third step is broken")
    return [first, second, ctx.step(noted_step, file, 3)]


@task(retries=MANY)
def stops_after_a_step(ctx: Context, file: str, awaited: str) -> int:
    first = ctx.step(noted_step, file, 1)
    leave(file, "waits")
    wait_for(awaited)
    return first + 1


def noted_step(file: str, number: int) -> int:
    leave(file, f"step {number}")
    return number


@task
def pages(ctx: Context, file: str, broken: str) -> list[int]:
    start = 0 if ctx.cursor is None else ctx.cursor + 1
    for page in range(start, 5):
        if page == 3 and Path(broken).exists():
            raise ValueError("page 3 is broken")
        leave(file, f"page {page}")
        ctx.checkpoint(page)
    return [start]


@task
def snoozes(ctx: Context, file: str, awaited: str) -> int:
    leave(file, f"attempt {ctx.attempt}")
    if not Path(awaited).exists():
        raise Snooze(0.02)
    return ctx.attempt


@task(retries=Policy({RATE_LIMITED: Retry(max_attempts=3, max_delay=1)}))
def limited(ctx: Context, file: str) -> int:
    leave(file, str(time.time()))
    if ctx.attempt == 1:
        raise RateLimited("slow down", retry_after=0.4)
    return ctx.attempt


@task(retries=Policy({TRANSIENT: Retry(max_attempts=3), INFRASTRUCTURE: Retry(max_attempts=2), PERMANENT: NEVER}))
def raises(ctx: Context, file: str, what: str) -> None:
    leave(file, what)
    kinds: dict[str, type[Exception]] = {
        "transient": TransientError,
        "infrastructure": InfrastructureError,
        "permanent": PermanentError,
        "type": TypeError,
        "value": ValueError,
    }
    raise kinds[what](what)


class OurError(Exception):
    """Known to the task's own rules only."""


@task(retries=Policy({TRANSIENT: Retry(max_attempts=2)}), classify={OurError: TRANSIENT, 3: PERMANENT})
def by_mapping(file: str, code: int) -> None:
    leave(file, f"code {code}")
    if code:
        os._exit(code)
    raise OurError("try again")


def _judge(error: BaseException) -> FailureClass | None:
    return TRANSIENT if "again" in str(error) else None


@task(retries=Policy({TRANSIENT: Retry(max_attempts=2)}), classify=_judge)
def by_function(file: str, text: str) -> None:
    leave(file, text)
    raise RuntimeError(text)


@task(retries=Policy({TRANSIENT: Retry(max_attempts=3), PERMANENT: NEVER}))
def fetches(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own server
        return str(answer.read().decode())


@task
def talks(file: str, awaited: str) -> None:
    print("on standard output")
    print("on standard error", file=sys.stderr)
    os.write(1, b"below Python\n")
    subprocess.run(["echo", "from a program"], check=True)
    leave(file, "said")
    wait_for(awaited)


@task
def talks_much() -> None:
    for number in range(100_000):
        print("line", number)


@task
def talks_strangely() -> None:
    os.write(1, b"nul \0 and \xff\xfe and then\n")
    sys.stdout.write("half \ud800 a pair\n")


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def _deep(text: str, depth: int) -> None:
    if depth:
        _deep(text, depth - 1)
    raise ValueError(text)


@task
def fails_strangely(how: str) -> Any:
    match how:
        case "unspeakable":
            raise Unspeakable
        case "nul":
            raise ValueError("before\0after")
        case "surrogate":
            raise ValueError("half \ud800 a pair")
        case "huge":
            _deep("x" * 50_000_000, 500)
        case "exit":
            sys.exit(5)
        case "object":
            return object()
        case "nan":
            return float("nan")
        case "infinite":
            return {"value": [float("inf")]}
        case "surrogate result":
            return "half \ud800 a pair"
        case "large":
            return "x" * 300_000
    return how


@task(retries=2)
def submits(ctx: Context, file: str) -> str:
    job = add.submit(2, 3)
    leave(file, f"attempt {ctx.attempt}")
    if ctx.attempt < 3:
        os._exit(1)
    return job.id


@task
def submits_many(count: int) -> str:
    return add.options(delay=3600).map(range(count), args={"b": 1}).id
