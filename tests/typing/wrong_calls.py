"""Calls that type checkers must refuse: exactly the lines that are marked. Never run."""

from __future__ import annotations

from mulligan import Context, Window, gather, retry, retrying, task, workflow


@task
def plain(x: int, name: str = "") -> float:
    return float(x)


@task
def with_context(ctx: Context, x: int) -> str:
    return str(x)


@task(retries=2)
async def asynchronous(x: int) -> str:
    return str(x)


@task
async def asynchronous_with_context(ctx: Context, x: int) -> str:
    return str(x)


@task
def windowed(ctx: Context, window: Window, region: str = "eu") -> int:
    return 1


@task
def takes_nothing() -> None: ...


@task
def keywords(*, a: int) -> str:
    return str(a)


def helper(x: int) -> str:
    return str(x)


def submitting(ctx: Context, window: Window) -> None:
    plain.submit()  # wrong
    plain.submit("1")  # wrong
    plain.submit(1, nmae="a")  # wrong
    plain.submit(1, "a", "b")  # wrong
    plain.submit(1).result().upper()  # wrong
    with_context.submit(ctx, 1)  # wrong
    with_context.submit("1")  # wrong
    asynchronous.submit("1")  # wrong
    asynchronous.submit(1).result() + 1  # wrong
    asynchronous_with_context.submit(ctx, 1)  # wrong
    windowed.submit("2024-03-07")  # wrong
    windowed.submit()  # wrong
    takes_nothing.submit(1)  # wrong
    keywords.submit(1)  # wrong
    plain.options(run_id="a").submit("1")  # wrong
    plain.options(priority="high").submit(1)  # wrong
    plain.options(colour="red").submit(1)  # wrong


def mapping() -> None:
    plain.map(["1"])  # wrong
    plain.map(3)  # wrong
    plain.map([1], key=len)  # wrong
    plain.map([1], key=lambda x: x)  # wrong
    plain.map([1], name="a")  # wrong
    with_context.map(["1"])  # wrong
    asynchronous.map(["1"])  # wrong
    asynchronous_with_context.map(["1"])  # wrong
    windowed.map(["2024-03-07"])  # wrong
    takes_nothing.map([1])  # wrong
    plain.map([1]).results()[0].upper()  # wrong


def backfilling() -> None:
    plain.backfill("2013-01-01", "2014-01-01")  # wrong
    with_context.backfill("2013-01-01", "2014-01-01")  # wrong
    asynchronous.backfill("2013-01-01", "2014-01-01")  # wrong
    takes_nothing.backfill("2013-01-01", "2014-01-01")  # wrong
    plain.options(priority=1).backfill("2013-01-01", "2014-01-01")  # wrong
    windowed.backfill("2013-01-01")  # wrong
    windowed.backfill(2013, 2014)  # wrong
    windowed.backfill("2013-01-01", "2014-01-01", only="some")  # wrong
    windowed.backfill("2013-01-01", "2014-01-01", order="random")  # wrong
    windowed.backfill("2013-01-01", "2014-01-01", window=3)  # wrong


async def calling(ctx: Context) -> None:
    plain("1")  # wrong
    asynchronous(1) + "a"  # wrong
    (await asynchronous(1)) + 1  # wrong
    ctx.step(helper, "1")  # wrong
    ctx.step(helper, 1) + 1  # wrong
    ctx.output(3)  # wrong
    ctx.stopping()  # wrong


task(retires=2)  # wrong
task(uses=3)  # wrong
task(executor="magic")  # wrong


@retrying
def decorated(x: int) -> float:
    return float(x)


@retrying(max_attempts=5)
async def decorated_asynchronous(x: int) -> str:
    return str(x)


async def retrying_calls() -> None:
    retry(helper)  # wrong
    retry(takes_nothing, max_attempts="5")  # wrong
    retry(takes_nothing, attempts=5)  # wrong
    retry(takes_nothing, retry_on=3)  # wrong
    retry(lambda: 1).upper()  # wrong
    retrying(attempts=5)  # wrong
    decorated("1")  # wrong
    decorated(1).upper()  # wrong
    decorated_asynchronous("1")  # wrong
    decorated_asynchronous(1).upper()  # wrong


@workflow
def nightly(days: int) -> float:
    plain("x")  # wrong
    gather(3)  # wrong
    return plain.submit(days).result().upper()  # wrong


@workflow
async def hourly(hours: int) -> str:
    return asynchronous(hours)  # wrong


@workflow(timeout="5m")  # wrong
def with_a_limit(days: int) -> float:
    return 1.0


async def workflows_from_outside() -> None:
    nightly.submit("x")  # wrong
    nightly(1).upper()  # wrong
    hourly("x")  # wrong
