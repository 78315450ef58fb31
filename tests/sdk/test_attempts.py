"""One attempt of a task: what it gets, what it saves and tells, what it returns."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from in_memory import KeepingChannel
from pydantic import BaseModel

from mulligan import Context, Stopped, Window, task
from mulligan.core.errors import ArgumentsInvalid, Refused, ResultInvalid, TaskError, ValueTooLarge
from mulligan.sdk.ports import AMBIENT, RUNNING
from mulligan.sdk.submitting import submission_from_json
from mulligan.sdk.task import Task

CALLS: list[Any] = []


class Page(BaseModel):
    token: str
    rows: list[tuple[int, str]]


@pytest.fixture(autouse=True)
def forget_calls() -> None:
    CALLS.clear()


def run(work: Task[..., Any], channel: KeepingChannel, arguments: dict[str, Any] | None = None, **info: Any) -> Any:
    """Run one attempt and return its result."""
    text = work.execute(json.dumps(arguments or {}), channel.info(**info), channel)
    return json.loads(text if isinstance(text, str) else asyncio.run(text))


def download(name: str, times: int = 1) -> Page:
    CALLS.append(name)
    return Page(token=name * times, rows=[(1, "a")])


async def download_async(name: str) -> tuple[int, str]:
    CALLS.append(name)
    return 1, name


def failing(name: str) -> int:
    CALLS.append(name)
    raise OSError("no")


def unordered(names: set[str], more: dict[str, int]) -> int:
    CALLS.append(names)
    return len(names)


@task
def double(x: int) -> int:
    return x * 2


@task
def answers(x: Any) -> int:
    return x


@task
def windowed(context: Context, x: int, window: Window) -> str:
    assert context.window == window
    return f"{x} {window.key} {window.start.tzinfo}"


@task
def stepping(ctx: Context) -> list[str]:
    first = ctx.step(download, "a")
    again = ctx.step(download, "a")
    other = ctx.step(download, "b", times=2)
    assert isinstance(first, Page)
    return [first.token, again.token, other.token, first.rows[0][1]]


@task
async def stepping_async(ctx: Context) -> list[Any]:
    one = await ctx.step(download_async, "a")
    assert isinstance(one, tuple)
    return [*one, ctx.step(download, "b").token]


@task
def step_of_anything(ctx: Context, kind: str) -> int:
    if kind == "lambda":
        return ctx.step(lambda: 1)
    if kind == "fails":
        return ctx.step(failing, "x")
    if kind == "task":
        return ctx.step(double, 4)
    if kind == "unordered":
        return ctx.step(unordered, {"a", "b", "c"}, {"x": 1, "y": 2}) + ctx.step(unordered, {"c", "b", "a"}, {"y": 2, "x": 1})
    return ctx.step(len, threading.Lock())


@task
def counting(ctx: Context) -> int:
    done = int(ctx.cursor or 0)
    ctx.checkpoint(done + 1)
    return int(ctx.cursor)


@task
def calls_others(ctx: Context) -> list[Any]:
    return [double(2), plain_context(3)]


@task
def plain_context(ctx: Context, x: int) -> str:
    return f"{ctx.key} {x}"


@task
def submits(ctx: Context) -> list[str]:
    first: Any = double.submit(1)
    second: Any = double.submit(1)
    third: Any = double.options(run_id="own").map([1, 2])
    return [first.id, first.run_id, second.status, third.id]


@task
def submits_and_waits() -> int:
    return double.submit(1).result()


@task
async def submits_async() -> str:
    await asyncio.sleep(0)
    return double.submit(1).id


def test_an_attempt_turns_json_into_json() -> None:
    channel = KeepingChannel()
    assert double.execute('{"x": 21}', None, channel) == "42"
    with pytest.raises(ArgumentsInvalid, match="parameter 'x'"):
        double.execute('{"x": "a"}', None, channel)
    with pytest.raises(ResultInvalid, match=r"task 'answers'.*not 'a'"):
        answers.execute('{"x": "a"}', None, channel)


def test_context_and_window_are_injected_wherever_they_stand(channel: KeepingChannel) -> None:
    assert run(windowed, channel, {"x": 1}, window=(1709787600000, 1709874000000, "America/New_York")) == (
        "1 2024-03-07 America/New_York"
    )
    with pytest.raises(ArgumentsInvalid, match="takes a Window"):
        run(windowed, channel, {"x": 1})
    with pytest.raises(ArgumentsInvalid, match="takes a Context"):
        counting.execute("{}", None, channel)


def test_a_context_knows_its_attempt(channel: KeepingChannel) -> None:
    context = Context(channel.info(attempt=2, generation=3), channel)
    assert (context.run_id, context.key, context.attempt, context.generation) == ("nightly", "2024-03-07", 2, 3)
    assert (context.window, context.cursor, context.stopping, context.time_left) == (None, None, None, 12.5)


def test_the_idempotency_key_is_the_same_in_every_attempt_and_generation_and_only_there(channel: KeepingChannel) -> None:
    keys = [Context(channel.info(attempt=n, generation=g), channel).idempotency_key for n in (1, 2) for g in (1, 2)]
    assert len(set(keys)) == 1
    assert Context(channel.info(number=4), channel).idempotency_key != keys[0]
    assert Context(channel.info(job="8"), channel).idempotency_key != keys[0]


def test_a_saved_step_is_not_run_again_and_gives_the_same(channel: KeepingChannel) -> None:
    first = run(stepping, channel)
    assert first == ["a", "a", "bb", "a"]
    assert CALLS == ["a", "a", "b"]
    assert run(stepping, channel, attempt=2) == first
    assert CALLS == ["a", "a", "b"]
    assert len(channel.steps) == 3


def test_a_step_of_an_async_function_is_awaited_and_saved_off_the_loop(channel: KeepingChannel) -> None:
    assert run(stepping_async, channel) == [1, "a", "b"]
    assert run(stepping_async, channel, attempt=2) == [1, "a", "b"]
    assert CALLS == ["a", "b"]
    assert len(channel.threads) == 2


def test_a_failing_step_is_not_saved(channel: KeepingChannel) -> None:
    for _ in range(2):
        with pytest.raises(OSError, match="no"):
            run(step_of_anything, channel, {"kind": "fails"})
    assert CALLS == ["x", "x"]
    assert channel.steps == {}


def test_sets_and_dicts_are_known_again_whatever_their_order(channel: KeepingChannel) -> None:
    assert run(step_of_anything, channel, {"kind": "unordered"}) == 6
    names = {key.rsplit(":", 1)[0] for key in channel.steps}
    assert len(names) == 1


def test_a_task_may_be_a_step(channel: KeepingChannel) -> None:
    assert run(step_of_anything, channel, {"kind": "task"}) == 8
    assert next(iter(channel.steps)).startswith(f"{__name__}.double:")


@pytest.mark.parametrize(("kind", "words"), [("lambda", "lambda has no name"), ("lock", "inside the step")])
def test_a_step_that_could_not_be_known_again_is_refused(kind: str, words: str, channel: KeepingChannel) -> None:
    with pytest.raises(ArgumentsInvalid, match=words):
        run(step_of_anything, channel, {"kind": kind})
    assert channel.steps == {}


def test_a_saved_result_that_no_longer_fits_says_so(channel: KeepingChannel) -> None:
    run(stepping, channel)
    channel.steps = dict.fromkeys(channel.steps, '{"token": 3}')
    with pytest.raises(ResultInvalid, match=r"step .*download.*saved does not fit"):
        run(stepping, channel, attempt=2)


def test_a_cursor_is_seen_at_once_and_by_the_next_attempt(channel: KeepingChannel) -> None:
    assert [run(counting, channel, attempt=n) for n in (1, 2, 3)] == [1, 2, 3]
    context = Context(channel.info(), channel)
    context.checkpoint({"page": (1, 2)})
    assert context.cursor == {"page": [1, 2]}
    for value, error in ((math.nan, ArgumentsInvalid), (object(), ArgumentsInvalid), ("x" * 300_000, ValueTooLarge)):
        with pytest.raises(error, match="checkpoint"):
            context.checkpoint(value)
    assert context.cursor == {"page": [1, 2]}


def test_progress_and_output_are_checked_and_told(channel: KeepingChannel) -> None:
    context = Context(channel.info(), channel)
    context.progress(0.5)
    context.progress(7, 5)
    context.output(rows=3)
    context.output(rows=0)
    assert channel.told == [(0.5, 1.0), (5.0, 5.0)]
    assert channel.rows == 0
    for done, total in ((-1, 1), (1, 0), (math.nan, 1), (1, math.inf), ("a", 1), (True, 1)):
        with pytest.raises(ArgumentsInvalid, match="progress"):
            context.progress(done, total)
    for rows in (-1, 1.5, "3", True, None):
        with pytest.raises(ArgumentsInvalid, match="rows"):
            context.output(rows=rows)


@pytest.mark.parametrize(
    "call",
    [
        lambda ctx: ctx.step(download, "a"),
        lambda ctx: ctx.step(download_async, "a"),
        lambda ctx: ctx.checkpoint(1),
        lambda ctx: ctx.progress(1),
        lambda ctx: ctx.output(rows=1),
    ],
)
def test_the_next_call_after_a_stop_was_asked_raises_stopped(call: Callable[[Context], Any], channel: KeepingChannel) -> None:
    context = Context(channel.info(), channel)
    channel.cause = "drain"
    assert context.stopping == "drain"
    with pytest.raises(Stopped) as caught:
        call(context)
    assert caught.value.cause == "drain"
    assert CALLS == []
    assert not isinstance(caught.value, Exception)


def test_a_step_that_finishes_after_a_stop_was_asked_is_still_saved(channel: KeepingChannel) -> None:
    def stopped_meanwhile() -> int:
        channel.cause = "cancel"
        return 1

    context = Context(channel.info(), channel)
    assert context.step(stopped_meanwhile) == 1
    assert len(channel.steps) == 1


def test_every_call_shows_that_the_attempt_is_alive(channel: KeepingChannel) -> None:
    context = Context(channel.info(), channel)
    context.progress(1)
    context.checkpoint(1)
    context.output(rows=1)
    context.on_stop(print)
    assert channel.touched == 3
    assert channel.callbacks == [print]


def test_a_log_line_is_one_line_on_standard_error(channel: KeepingChannel, capsys: pytest.CaptureFixture[str]) -> None:
    context = Context(channel.info(), channel)
    context.log.info("loaded\npage", rows=3, name="a b")
    try:
        raise ValueError("bad")
    except ValueError:
        context.log.exception("failed")
    first, second = capsys.readouterr().err.splitlines()
    assert "level=info event=loaded\\npage " in first
    assert 'rows=3 name="a b"' in first
    assert "ValueError: bad" in second


def test_a_task_called_inside_an_attempt_is_a_plain_call_with_the_same_context(channel: KeepingChannel) -> None:
    assert run(calls_others, channel) == [4, "2024-03-07 3"]
    assert RUNNING.get() is None


def test_in_a_thread_of_an_attempt_a_call_is_plain_and_has_no_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AMBIENT, "rules", None)  # as in the child processes of workers
    assert double(3) == 6
    with pytest.raises(TaskError, match=r"plain_context\.submit.*plain_context\.fn"):
        plain_context(3)


def test_a_submission_from_inside_is_the_same_in_every_attempt(channel: KeepingChannel) -> None:
    assert run(submits, channel) == ["7", "7-0/x", "PENDING", "7"]
    first = [submission_from_json(payload, "7-3") for payload in channel.submitted]
    channel.submitted.clear()
    run(submits, channel, attempt=2)
    assert [submission_from_json(payload, "7-3") for payload in channel.submitted] == first
    run_ids = [each.options.run_id for each in first]
    assert run_ids[0] is not None
    assert run_ids[0].startswith("7-3.double-")
    assert len(set(run_ids)) == 3
    assert run_ids[2] == "own"
    assert submission_from_json(channel.submitted[0], "7-4").options.run_id != run_ids[0]
    assert first[0].definition == double.definition()
    assert [item.arguments for item in first[2].items] == ['{"x":1}', '{"x":2}']


def test_a_backfill_from_inside_travels_whole(channel: KeepingChannel) -> None:
    @task
    def submits_backfill(ctx: Context) -> None:
        windowed.backfill("2024-01-01", "2024-01-03", tz="Europe/Zurich", args={"x": 1}, only="all", accept_risk=True)

    run(submits_backfill, channel)
    submission = submission_from_json(channel.submitted[0], "7-3")
    assert [(item.key, item.window and type(item.window)) for item in submission.items] == [
        ("2024-01-01", tuple),
        ("2024-01-02", tuple),
    ]
    assert (submission.kind, submission.tz, submission.only, submission.accept_risk) == ("backfill", "Europe/Zurich", "all", True)


def test_a_task_may_submit_without_taking_a_context(channel: KeepingChannel) -> None:
    text = submits_async.execute("{}", None, channel)
    assert asyncio.run(text) == '"7"'
    assert len(channel.submitted) == 1


def test_waiting_inside_a_task_for_what_it_submitted_names_the_workflow(channel: KeepingChannel) -> None:
    with pytest.raises(Refused, match="@workflow"):
        submits_and_waits.execute("{}", None, channel)


def test_running_is_put_back_when_a_task_fails(channel: KeepingChannel) -> None:
    with pytest.raises(Refused):
        submits_and_waits.execute("{}", None, channel)
    assert RUNNING.get() is None


def test_the_window_of_an_attempt_is_shown_in_its_zone(channel: KeepingChannel) -> None:
    context = Context(channel.info(window=(0, 86_400_000, "UTC")), channel)
    assert context.window is not None
    assert context.window.start == datetime(1970, 1, 1, tzinfo=UTC)


def test_an_attempt_of_nearly_nothing_costs_little(channel: KeepingChannel) -> None:
    double.execute('{"x": 1}', None, channel)
    started = time.process_time()
    for _ in range(5_000):
        double.execute('{"x": 1}', None, channel)
    assert (time.process_time() - started) / 5_000 < 100e-6  # ten times what it should be
