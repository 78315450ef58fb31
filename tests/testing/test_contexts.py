"""A Context for unit tests of functions that take one."""

from __future__ import annotations

import asyncio

import pytest
from kit_tasks import asynchronous, did, download, fetch, ingest, windowed

from mulligan import Stopped, Window
from mulligan.core.errors import ArgumentsInvalid
from mulligan.testing import context


def test_what_is_done_with_it_can_be_looked_at() -> None:
    ctx = context()
    assert ingest.fn(ctx, "a.csv") == 3
    assert ctx.steps == [("download", [1, 2, 3])]
    assert ctx.cursors == [1, 2, 3]
    assert ctx.progressed == [(1, 3), (2, 3), (3, 3)]
    assert ctx.outputs == [3]
    assert did[0] == "download a.csv"


@pytest.mark.parametrize("known", [download, "download", "kit_tasks.download"])
def test_steps_and_cursor_of_an_earlier_attempt_are_gone_on_from(known: object) -> None:
    ctx = context(attempt=2, cursor=2, steps={known: [1, 2, 3]})  # type: ignore[dict-item]
    assert ingest.fn(ctx, "a.csv") == 3
    assert did == ["page 3"]
    assert ctx.steps == []


def test_it_says_what_it_was_told() -> None:
    window = Window.of_ms(1_704_067_200_000, 1_704_153_600_000)
    ctx = context(run_id="nightly", window=window, attempt=3, generation=2, time_left="5m")
    assert (ctx.run_id, ctx.attempt, ctx.generation, ctx.time_left, ctx.stopping) == ("nightly", 3, 2, 300, None)
    assert windowed.fn(ctx, window) == "2024-01-01 2024-01-01"
    assert context(key="mine").key == "mine"
    assert context().key == "0"


def test_an_asynchronous_step_is_awaited() -> None:
    assert asyncio.run(asynchronous.fn(context(), "a")) == "A"
    assert asyncio.run(asynchronous.fn(context(steps={fetch: "given"}), "a")) == "given"
    assert did == ["fetch a"]


def test_a_stop_reaches_the_function_at_its_next_call() -> None:
    ctx = context()
    told: list[str | None] = []
    ctx.on_stop(lambda: told.append(ctx.stopping))
    ctx.stop("drain")
    with pytest.raises(Stopped):
        ingest.fn(ctx, "a.csv")
    ctx.on_stop(lambda: told.append("at once"))
    assert told == ["drain", "at once"]


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ArgumentsInvalid):
        context(cursor=object())
    with pytest.raises(ArgumentsInvalid, match="functions or their names"):
        context(steps={3: 1})  # type: ignore[dict-item]
