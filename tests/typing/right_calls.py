"""Calls that type checkers must accept, with the types they must see. Never run."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from datetime import date, datetime, timedelta
from typing import Any, assert_type

from mulligan import (
    BATCH,
    PERMANENT,
    TRANSIENT,
    Artifact,
    Command,
    Context,
    FailureClass,
    Policy,
    Retry,
    Window,
    gather,
    retry,
    retrying,
    task,
    workflow,
)  # fmt: skip
from mulligan.sdk.ports import JobHandle


class SchemaChanged(Exception):
    pass


def judge(error: BaseException) -> FailureClass | None:
    return TRANSIENT if isinstance(error, OSError) else None


@task
def plain(x: int, name: str = "") -> float:
    return float(x)


@task(retries=2, timeout="15m", uses=["object-store"], offline=True, resources={"memory": "2GB"})
def with_context(ctx: Context, x: int) -> list[str]:
    value = ctx.step(helper, x, name="a")
    assert_type(value, float)
    ctx.checkpoint({"page": 3})
    ctx.progress(1, 2)
    ctx.output(rows=3)
    with ctx.artifact("models/{run_id}/model.bin", inputs=["data"]) as made:
        assert_type(made.exists, bool)
    assert_type(made.artifact, Artifact)
    assert_type(ctx.run(["true"], exit_codes={75: TRANSIENT}).stdout, str)
    ctx.log.info("loaded", rows=3)
    return [str(value)]


@task
async def asynchronous(x: int) -> str:
    assert_type(await plain.submit(x), float)
    return str(x)


@task
async def runs(ctx: Context) -> str:
    done = await ctx.run(["true"])
    assert_type(done, Command)
    async with ctx.artifact("x") as made:
        made.path.touch()
    return done.stdout


@task(retries=Retry(max_attempts=5, delay="1m"), classify={SchemaChanged: PERMANENT, "a.B": TRANSIENT, 3: TRANSIENT})
async def asynchronous_with_context(ctx: Context, x: int) -> str:
    value = await ctx.step(asynchronous_helper, x)
    assert_type(value, bytes)
    return str(value)


@task(retries=BATCH, classify=judge)
def windowed(ctx: Context, window: Window, region: str = "eu") -> int:
    return window.start.year


@task(retries=Policy({PERMANENT: Retry(max_attempts=1)}))
async def windowed_without_context(window: Window) -> int:
    return 1


@task()
def takes_nothing() -> None: ...


@task
def takes_anything(x: Any) -> int:
    return 1


@task
def takes_objects(x: object, y: int = 0) -> int:
    return 1


@task(executor="process", concurrency=3, priority=1, runbook="https://example.org")
def keywords(*, a: int) -> str:
    return str(a)


def helper(x: int, name: str) -> float:
    return float(x)


async def asynchronous_helper(x: int) -> bytes:
    return b""


def numbers() -> Iterator[int]:
    yield 1


def submitting(window: Window, noon: datetime) -> None:
    assert_type(plain.submit(1), JobHandle[float])
    assert_type(plain.submit(1, name="a").result(), float)
    assert_type(plain.submit(x=1).wait(timeout=3).results(), list[float])
    assert_type(with_context.submit(1).result(), list[str])
    assert_type(asynchronous.submit(1).result(), str)
    assert_type(asynchronous_with_context.submit(x=1).result(), str)
    assert_type(windowed.submit(window).result(), int)
    assert_type(windowed.submit(window, "us").result(), int)
    assert_type(takes_nothing.submit(), JobHandle[None])
    assert_type(takes_anything.submit("a").result(), int)
    assert_type(takes_objects.submit("a", 3).result(), int)
    assert_type(keywords.submit(a=1).result(), str)
    assert_type(
        plain.options(run_id="a", priority=1, delay="5m", expires=timedelta(days=1), labels={"a": "b"}).submit(1),
        JobHandle[float],
    )
    assert_type(asynchronous.options(start_at=noon, total_timeout=3).map([1]), JobHandle[str])


def mapping(window: Window) -> None:
    assert_type(plain.map([1, 2]), JobHandle[float])
    plain.map(range(3))
    plain.map(numbers(), key=lambda x: str(x + 1), args={"name": "a"})
    with_context.map({1, 2})
    assert_type(asynchronous.map((1, 2)).results(), list[str])
    asynchronous_with_context.map([1])
    windowed.map([window], args={"region": "us"})
    takes_anything.map(["a"])
    takes_objects.map([None])


def backfilling(day: date) -> None:
    assert_type(windowed.backfill("2013-01-01", "2014-01-01"), JobHandle[int])
    windowed.backfill(day, day, every="6h", tz="Europe/Zurich", only="failed", order="newest", args={"region": "us"})
    windowed.backfill(day, day, timedelta(hours=1), only="all", accept_risk=True)
    windowed_without_context.backfill(day, "2014-01-01", 3600)
    windowed.options(labels={"a": "b"}).backfill(day, day)


async def calling(ctx: Context, window: Window) -> None:
    assert_type(plain(1), float)
    assert_type(with_context(1), list[str])
    pending: Coroutine[Any, Any, str] = asynchronous(1)
    assert_type(await pending, str)
    assert_type(await asynchronous_with_context(1), str)
    assert_type(windowed(window), int)
    assert_type(window.key, str)
    assert_type(ctx.time_left, float | None)


@retrying
def decorated(x: int, *, name: str = "") -> float:
    return float(x)


@retrying(max_attempts=5, base_delay="1s", retry_on=(OSError, TRANSIENT), timeout=3)
async def decorated_asynchronous(x: int) -> str:
    return str(x)


@retrying()
def decorated_with_nothing() -> None: ...


def find_number() -> int:
    return 1


async def find_text() -> str:
    return ""


async def retrying_calls() -> None:
    assert_type(retry(find_number), int)
    assert_type(retry(find_number, 5, 1.0, 20.0, OSError, timeout="1m", total_timeout=timedelta(hours=1)), int)
    assert_type(retry(lambda: plain(1), retry_on=lambda error: isinstance(error, OSError)), float)
    assert_type(await retry(find_text, retries=BATCH), str)
    assert_type(decorated(1, name="a"), float)
    assert_type(await decorated_asynchronous(x=1), str)
    decorated_with_nothing()


@workflow
def nightly(days: list[int]) -> float:
    assert_type(plain(1), float)
    handle = plain.submit(2)
    assert_type(handle.result(), float)
    assert_type(gather(handle, asynchronous.submit(1)), tuple[float, str])
    assert_type(gather(*(plain.submit(day) for day in days)), tuple[float, ...])
    assert_type(plain.options(key="last").map(days).results(), list[float])
    return weekly(3)


@workflow(retries=2, total_timeout="12h")
def weekly(ctx: Context, weeks: int) -> float:
    return ctx.step(helper, weeks, name="a")


@workflow
async def hourly(hours: int) -> str:
    assert_type(await asynchronous(hours), str)
    return await asynchronous.submit(hours)


async def workflows_from_outside() -> None:
    assert_type(nightly.submit([1]).result(), float)
    assert_type(weekly(3), float)
    assert_type(await hourly(1), str)
    assert_type(await hourly.submit(1), str)
    assert_type(hourly.map([1, 2]).results(), list[str])
