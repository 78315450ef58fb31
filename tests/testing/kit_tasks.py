"""Tasks that the tests of the test kit try out, as the tasks of a pipeline would be."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mulligan import BATCH, TRANSIENT, Context, Snooze, Window, task, workflow
from mulligan.testing import VirtualClock

did: list[str] = []
clock = VirtualClock()


class SchemaChanged(Exception):
    pass


def download(name: str) -> list[int]:
    did.append(f"download {name}")
    return [1, 2, 3]


async def fetch(name: str) -> str:
    did.append(f"fetch {name}")
    return name.upper()


@task(retries=(5, 300, 600))
def ingest(ctx: Context, name: str) -> int:
    pages = ctx.step(download, name)
    for page in pages[ctx.cursor or 0 :]:
        did.append(f"page {page}")
        ctx.checkpoint(page)
        ctx.progress(page, len(pages))
    ctx.output(rows=len(pages))
    return len(pages)


@task(retries=BATCH, timeout="15m", total_timeout="3h", classify={SchemaChanged: TRANSIENT})
def nightly(takes: float = 0) -> str:
    clock.pass_(takes)
    return "done"


@task
def once(x: int = 1) -> int:
    did.append(f"once {x}")
    return x


@task(retries=2)
async def asynchronous(ctx: Context, name: str) -> str:
    return await ctx.step(fetch, name)


@task(retries=1)
def windowed(ctx: Context, window: Window) -> str:
    return f"{ctx.key} {window.key}"


@task(retries=1)
def parent(ctx: Context, count: int) -> str:
    return once.map(range(count)).run_id


@task
def snoozing(ctx: Context) -> int:
    if ctx.attempt < 3:
        raise Snooze("10m")
    return ctx.attempt


@task(retries=1)
def wrong() -> int:
    raise ValueError("bad value")


@task(retries=5)
def inner(counted: str) -> None:
    with Path(counted).open("a") as file:
        file.write("called\n")
    raise ConnectionResetError("no")


@task
def calling_in_threads(counted: str) -> str:
    with ThreadPoolExecutor() as pool:
        return type(pool.submit(inner, counted).exception()).__name__


@task(retries=(5, 300, 600))
def part(number: int) -> int:
    did.append(f"part {number}")
    return number


@workflow(retries=2)
def whole(count: int) -> int:
    parts = [part.submit(number) for number in range(count)]
    return sum(each.result() for each in parts) + part(100)


@workflow
async def whole_async(count: int) -> list[str]:
    return list(await asyncio.gather(*(asynchronous(str(number)) for number in range(count))))


@task(retries=2)
def missing() -> int:
    raise NotImplementedError("not written yet")


@workflow
def calls_missing() -> int:
    return missing()
