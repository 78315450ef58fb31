"""Tasks that end in every way a task can end; loaded by the children of the executor under test."""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from mulligan import Context, Snooze, task

FOREVER = 600


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def echo(text: str) -> str:
    return text


@task
def die_untold(really: bool = True) -> None:
    """Have its process die after the task has ended, before that is said."""
    from mulligan.worker.executors.process.line import Line

    if really:
        Line.send = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]


@task
def fail(message: str) -> None:
    raise ValueError(message)


@task
def snooze() -> None:
    raise Snooze(90)


@task
def leave(code: int) -> None:
    sys.exit(code)


@task
def interrupt() -> None:
    raise KeyboardInterrupt


@task
def vanish(code: int) -> None:
    os._exit(code)


@task
def crash() -> None:
    ctypes.string_at(0)


@task
def own_signal(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(FOREVER)


@task
def spin() -> None:
    while True:
        pass


@task
def stubborn() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf", flush=True)
    while True:
        pass


@task
def hold_the_lock() -> None:
    print("holding", flush=True)
    sum(itertools.repeat(1))


@task
def swallow() -> str:
    print("here", flush=True)
    try:
        time.sleep(FOREVER)
    except BaseException:
        return "done all the same"
    return "never"


@task
def wait(ctx: Context) -> None:
    print("here", flush=True)
    while True:
        ctx.progress(1, 2)
        time.sleep(0.01)


@task
def wait_for_file(path: str) -> str:
    print("here", flush=True)
    while not Path(path).exists():
        time.sleep(0.005)
    return "seen"


@task
def notice_stop(path: str, ctx: Context) -> str | None:
    seen = threading.Event()
    ctx.on_stop(seen.set)
    print("here", flush=True)
    seen.wait(FOREVER)
    return ctx.stopping


@task
def grandchild() -> None:
    child = subprocess.Popen(["sleep", str(FOREVER)])
    print(f"pid={child.pid}", flush=True)
    time.sleep(FOREVER)


@task
def leave_grandchild() -> int:
    return subprocess.Popen(["sleep", str(FOREVER)]).pid


@task
def pid() -> int:
    return os.getpid()


@task
def roll() -> float:
    return random.random()


@task
def fork_and_return() -> str:
    if os.fork():
        os.wait()
        return "parent"
    return "copy"


@task
def eat(megabytes: int) -> int:
    return len(bytearray(megabytes << 20))


@task
def speak(word: str) -> None:
    print(f"print {word}", end="")
    os.write(1, f"\nraw {word}\n".encode())
    subprocess.run(["echo", f"subprocess {word}"], check=True)
    print(f"error {word}", file=sys.stderr)
    logging.getLogger("tasks").info("logged %s", word)


@task
def raw(text: str) -> None:
    os.write(1, text.encode("latin-1"))


@task
def flood(megabytes: int) -> None:
    for _ in range(megabytes):
        os.write(1, b"x" * (1 << 20))
    os.write(1, b"the end")


@task
def reckon(ctx: Context) -> int:
    for done in range(1000):
        ctx.progress(done + 1, 1000)
    ctx.output(rows=5)
    ctx.output(rows=7)
    return ctx.step(double, 21)


def double(number: int) -> int:
    return number * 2


@task
def write_then_vanish(ctx: Context) -> None:
    ctx.output(rows=3)
    os._exit(1)


@task
async def a_sleep(s: float) -> str:
    await asyncio.sleep(s)
    return "slept"


@task
async def a_meet(count: int) -> int:
    """Return when so many of these run at once."""
    _met.append(1)
    while len(_met) < count:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    return len(_met)


_met: list[int] = []


@task
async def a_speak(word: str) -> None:
    for number in range(20):
        print(word, number)
        await asyncio.sleep(0)
    await asyncio.to_thread(print, word, "thread")


@task
async def a_block() -> None:
    print("here", flush=True)
    await asyncio.sleep(0.02)
    time.sleep(FOREVER)  # noqa: ASYNC251


@task
async def a_fail() -> None:
    raise ValueError("not today")


@task
async def a_exit() -> None:
    sys.exit(4)


@task
async def a_pid() -> int:
    return os.getpid()
