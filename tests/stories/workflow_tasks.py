"""The workflows that the stories run, and what they call."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from story_tasks import is_there, leave, wait_for

from mulligan import Artifact, Context, TaskCancelled, TaskFailed, gather, task, workflow


def lines_of(file: str) -> int:
    return len(Path(file).read_text("utf-8").splitlines())


@task(retries=2)
def add(a: int, b: int) -> int:
    return a + b


@task(retries=2)
async def add_async(a: int, b: int) -> int:
    return a + b


@task
def once(file: str, key: str) -> str:
    leave(file, key)
    return key


@task
def once_until(file: str, key: str, go: str) -> str:
    leave(file, key)
    wait_for(go)
    return key


@task(retries=5)
def held(file: str, key: str, go: str) -> str:
    leave(file, key)
    wait_for(go)
    return key


@task
def fails_without(file: str, key: str, fixed: str) -> str:
    leave(file, key)
    if not is_there(fixed):
        raise ValueError(f"{key} is not fixed yet")
    return key


@task(retries=2)
def third_time(file: str) -> str:
    leave(file, "tried")
    if lines_of(file) < 3:
        raise ConnectionResetError("not yet")
    return "there"


@workflow
def sums(count: int) -> int:
    handles = [add.submit(number, 1) for number in range(count)]
    single = add(100, 1)
    mapped = add.map(range(count), args={"b": 2}).results()
    return single + sum(gather(*handles)) + sum(mapped)


@workflow
def sums_of_sums(count: int) -> int:
    one, two = gather(sums.submit(count), sums.submit(count + 1))
    return one + two + sums(1)


@workflow
async def sums_async(count: int) -> int:
    async def chain(start: int) -> int:
        first = await add_async(start, 1)
        return await add_async(first, 1)

    found = await asyncio.gather(*(chain(number) for number in range(count)))
    return sum(found) + await add.submit(1000, 0)


@workflow
def waits_for_retries(file: str) -> str:
    return third_time(file)


@workflow
def tidies(file: str, go: str, broom: str) -> str:
    try:
        return held(file, "held", go)
    finally:
        leave(file, "tidying")
        wait_for(broom)


@workflow
def twenty(file: str, go: str, stop_at: int) -> list[str]:
    found = [once(file, str(number)) for number in range(stop_at)]
    found.append(held(file, str(stop_at), go))
    return found + [once(file, str(number)) for number in range(stop_at + 1, 20)]


@workflow
def catches(file: str, fixed: str) -> str:
    try:
        return fails_without(file, "a", fixed)
    except TaskFailed as error:
        return f"{error.item_id} {error.error_type} {error.failure_class} {error.message}"


@workflow
def fan(file: str, fixed: str, count: int) -> list[str]:
    keys = [str(number) for number in range(count)]
    others = [once.submit(file, each) for each in keys if each != "7"]
    bad = fails_without.submit(file, "7", fixed)
    return [*gather(*others), bad.result()]


@workflow(retries=2)
def retried(file: str, fixed: str) -> str:
    kept = once(file, "kept")
    leave(f"{file}.bodies", "body")
    if lines_of(f"{file}.bodies") >= 2:
        leave(fixed, "fixed")
    return kept + fails_without(file, "a", fixed)


@workflow(retries=2)
def retried_once_only(file: str, go: str) -> str:
    return once_until(file, "a", go)


@workflow
def waits(file: str, go: str) -> list[str]:
    return [each.result() for each in [held.submit(file, key, go) for key in ("a", "b")]]


@workflow
def waits_nested(file: str, go: str) -> list[str]:
    return waits(file, go)


@workflow
def one_is_cancelled(file: str, go: str) -> str:
    try:
        return held(file, "a", go)
    except TaskCancelled as error:
        return f"cancelled {error.item_id}"


@workflow
def ignores_cancellation(file: str) -> None:
    leave(file, "a")
    while True:
        try:
            threading.Event().wait(3600)
        except BaseException:
            leave(file, "refused")


@workflow
def with_steps(ctx: Context, file: str, fixed: str) -> str:
    stamp = ctx.step(stamped, file)
    ctx.log.info("stamped", at=stamp)
    return f"{stamp} {ctx.run_id} {ctx.generation} {fails_without(file, stamp, fixed)}"


def stamped(file: str) -> str:
    leave(f"{file}.stamps", "stamp")
    return "stamp"


@workflow(total_timeout="1.5s")
def too_long(file: str, go: str) -> str:
    return held(file, "a", go)


@workflow
def leaves_behind(file: str, go: str) -> str:
    held.submit(file, "a", go)
    return "returned"


@workflow
def inner(number: int) -> int:
    return add(number, 1)


@workflow
def outer(number: int) -> int:
    return inner(number) + 1


@task(retries=2)
def make(ctx: Context, file: str) -> Artifact:
    leave(file, "made")
    with ctx.artifact(f"{file}.{{run_id}}") as a:
        if not a.exists:
            a.path.write_text("the same each time")
    return a.artifact


@workflow
def makes(file: str, fixed: str) -> str:
    made = make(file)
    return fails_without(file, made.fetch().read_text("utf-8"), fixed)
