"""A task called outside of any job: under its own policy, here and now."""

from __future__ import annotations

import _thread
import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from in_memory import KeepingBackend
from turned import TurnedClock

import mulligan
from mulligan import (
    BATCH,
    INFRASTRUCTURE,
    PERMANENT,
    TRANSIENT,
    Context,
    Policy,
    RateLimited,
    Retry,
    Snooze,
    TransientError,
    Window,
    task,
)
from mulligan.core.errors import ConfigError, LeaseLost, TaskError
from mulligan.core.signals import Stopped
from mulligan.sdk.ports import RUNNING
from mulligan.sdk.trying import AttemptTimeout

made: list[str] = []
"""What the tasks below have done, in order."""
to_raise: list[BaseException] = []
"""What they raise next."""
release = threading.Event()


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    made.clear()
    to_raise.clear()
    release.clear()
    yield
    release.set()


def do(what: str) -> str:
    made.append(what)
    if to_raise:
        raise to_raise.pop(0)
    return what


@task
def once(x: str) -> str:
    return do(x)


@task(retries=(5, 300, 600))
def linear(x: str) -> str:
    return do(x)


@task(retries=3)
def inner(x: str) -> str:
    return do(x)


@task(retries=2)
def outer(x: str) -> str:
    return inner(x) + "!"


def download(name: str) -> str:
    made.append(f"download {name}")
    return name.upper()


@task(retries=2)
def stepping(ctx: Context, name: str, pages: int = 1) -> list[Any]:
    text = ctx.step(download, name)
    found = [text, ctx.cursor, ctx.attempt, ctx.generation, ctx.run_id, ctx.idempotency_key, ctx.time_left]
    ctx.checkpoint(f"after {ctx.attempt}")
    ctx.progress(1, 2)
    ctx.output(rows=3)
    do("loaded")
    return found


@task(retries=2)
def windowed(ctx: Context, window: Window) -> str:
    return f"{ctx.key} {ctx.window} {window.key}"


@task(retries=2)
async def pausing(ctx: Context, x: str) -> str:
    await asyncio.sleep(0)
    return f"{do(x)} {ctx.attempt}"


@task(retries=2)
async def plain_pausing(x: str) -> str:
    return do(x)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_call_that_succeeds_is_one_call_that_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert linear("a") == "a"
    assert made == ["a"]
    assert lines(capsys) == []
    assert RUNNING.get() is None


def test_the_waits_are_those_of_the_policy_to_the_second(clock: TurnedClock, capsys: pytest.CaptureFixture[str]) -> None:
    to_raise[:] = [ConnectionResetError(f"no {n}") for n in range(5)]
    assert linear("a") == "a"
    assert clock.waits == [300, 375, 450, 525, 600]
    told = lines(capsys)
    assert told[0] == "attempt=1 transient='no 0' sleeping=300.00s"
    assert told[-1] == "success value: 'a'"
    assert len(told) == 6


def test_the_error_of_the_last_attempt_is_raised_itself_and_says_why_it_was_the_last(clock: TurnedClock) -> None:
    last = ConnectionResetError("the last")
    to_raise[:] = [*(ConnectionResetError("no") for _ in range(5)), last]
    with pytest.raises(ConnectionResetError) as caught:
        linear("a")
    assert caught.value is last
    assert clock.at_s == 2250
    assert "attempt 6 (TRANSIENT by rule py.connection) was the last" in "".join(last.__notes__)
    assert last.__context__ is None


def test_a_task_without_retries_raises_at_once_and_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    to_raise[:] = [ConnectionResetError("no")]
    with pytest.raises(ConnectionResetError) as caught:
        once("a")
    assert made == ["a"]
    assert lines(capsys) == []
    assert not hasattr(caught.value, "__notes__")


def test_what_is_permanent_is_raised_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    to_raise[:] = [FileNotFoundError("no such file")]
    with pytest.raises(FileNotFoundError):
        linear("a")
    assert made == ["a"]
    assert lines(capsys) == ["attempt=1 permanent='no such file' giving up: the policy does not retry this class"]


def test_each_class_has_a_budget_and_waits_of_its_own(clock: TurnedClock) -> None:
    @task(retries=Policy({TRANSIENT: Retry(2, delay=10, jitter=None), INFRASTRUCTURE: Retry(3, delay=1, jitter=None)}))
    def mixed() -> str:
        return do("x")

    to_raise[:] = [mulligan.InfrastructureError(), TransientError(), mulligan.InfrastructureError(), TransientError("spent")]
    with pytest.raises(TransientError, match="spent"):
        mixed()
    assert clock.waits == [1, 10, 1]


def test_what_the_other_side_asks_for_is_waited(clock: TurnedClock) -> None:
    to_raise[:] = [RateLimited("slow down", retry_after=4000)]
    assert linear("a") == "a"
    assert clock.waits == [4000]


def test_a_tasks_own_classification_counts() -> None:
    @task(retries=2, classify={FileNotFoundError: TRANSIENT})
    def by_mapping() -> str:
        return do("x")

    @task(retries=2, classify=lambda error: PERMANENT if "never" in str(error) else None)
    def by_function() -> str:
        return do("x")

    to_raise[:] = [FileNotFoundError("not yet there")]
    assert by_mapping() == "x"
    to_raise[:] = [TimeoutError("never")]
    with pytest.raises(TimeoutError):
        by_function()
    assert len(made) == 3


def test_the_rules_of_the_project_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nid = "mine"\nclass = "TRANSIENT"\nexceptions = ["FileNotFoundError"]\n', "utf-8")
    monkeypatch.setenv("MULLIGAN_RULES", str(rules))
    monkeypatch.setattr(mulligan, "_rules", None)
    to_raise[:] = [FileNotFoundError("late")]
    assert inner("a") == "a"


def test_a_snooze_waits_and_charges_nothing(clock: TurnedClock, capsys: pytest.CaptureFixture[str]) -> None:
    to_raise[:] = [Snooze("10m"), Snooze("20m")]
    assert once("a") == "a"
    assert clock.waits == [600, 1200]
    assert lines(capsys)[0] == "attempt=1 snoozed sleeping=600.00s"


def test_an_interrupt_from_the_keyboard_ends_it_at_once() -> None:
    to_raise[:] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        linear("a")
    assert made == ["a"]


def test_the_end_of_the_process_is_no_failure_to_try_again() -> None:
    to_raise[:] = [SystemExit(75)]
    with pytest.raises(SystemExit):
        linear("a")
    assert made == ["a"]


def test_a_call_inside_a_call_is_part_of_its_attempt(clock: TurnedClock) -> None:
    to_raise[:] = [ConnectionResetError("no") for _ in range(3)]
    with pytest.raises(ConnectionResetError):
        outer("a")
    assert made == ["a"] * 3
    assert outer("b") == "b!"


def test_a_context_carries_what_was_saved_from_one_attempt_to_the_next(clock: TurnedClock) -> None:
    to_raise[:] = [ConnectionResetError("no")]
    text, cursor, attempt, generation, run_id, key, left = stepping("a.csv")
    assert (text, cursor, attempt, generation, left) == ("A.CSV", "after 1", 2, 1, None)
    assert made == ["download a.csv", "loaded", "loaded"]
    assert run_id.startswith("here-")
    assert len(key) == 32
    assert stepping("a.csv")[4] != run_id
    assert stepping.options(run_id="nightly")("a.csv")[4] == "nightly"


def test_the_arguments_of_a_task_with_a_context_are_checked_like_those_of_a_job() -> None:
    with pytest.raises(mulligan.MulliganError, match="takes 2 arguments by position"):
        stepping("a", 2, 3)  # type: ignore[call-arg]


def test_a_window_is_a_plain_argument_and_known_to_the_context() -> None:
    window = Window.of_ms(1_704_067_200_000, 1_704_153_600_000)
    assert windowed(window) == "2024-01-01 2024-01-01 2024-01-01"
    assert windowed(window=window) == "2024-01-01 2024-01-01 2024-01-01"


@pytest.mark.parametrize("asynchronous", [pausing, plain_pausing])
def test_an_asynchronous_task_is_tried_again_the_same_way(asynchronous: Any, clock: TurnedClock) -> None:
    to_raise[:] = [ConnectionResetError("no"), Snooze(5)]
    assert asyncio.run(asynchronous("a")) in ("a", "a 3")
    assert clock.waits == [5]
    to_raise[:] = [PermissionError("no")]
    with pytest.raises(PermissionError):
        asyncio.run(asynchronous("a"))
    assert RUNNING.get() is None


def test_an_asynchronous_attempt_that_takes_too_long_is_cancelled() -> None:
    @task(retries=2, timeout=0.02)
    async def slow(ctx: Context) -> int:
        assert ctx.time_left is not None
        if ctx.attempt == 1:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                made.append("cancelled")
                raise
        return ctx.attempt

    assert asyncio.run(slow()) == 2
    assert made == ["cancelled"]


def test_a_timeout_of_the_function_itself_is_no_limit_of_the_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    @task(retries=1, timeout=60)
    async def own(x: str) -> str:
        return do(x)

    to_raise[:] = [TimeoutError("of its own")]
    assert asyncio.run(own("a")) == "a"
    assert "='of its own' " in lines(capsys)[0]


def test_a_plain_attempt_that_takes_too_long_is_left_behind_and_can_save_nothing_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    late: list[BaseException] = []
    told = threading.Event()

    @task(retries=2, timeout=0.05)
    def slow(ctx: Context) -> int:
        if ctx.attempt > 1:
            return ctx.attempt
        ctx.on_stop(lambda: made.append(f"told {ctx.stopping}"))
        release.wait(30)
        for attempted in (lambda: ctx.checkpoint("late"), lambda: ctx._channel.call("cursor", '"late"')):
            try:
                attempted()
            except (Stopped, LeaseLost) as error:
                late.append(error)
        told.set()
        return 0

    assert slow() == 2
    assert made == ["told timeout"]
    first, second, *_ = lines(capsys)
    assert first == "attempt=1 took longer than 50 ms: its thread cannot be ended and is left behind"
    assert second.startswith("attempt=1 timeout='took longer than 50 ms'")
    release.set()
    assert told.wait(30)
    assert [type(each) for each in late] == [Stopped, LeaseLost]


def test_an_interrupt_while_an_attempt_with_a_limit_runs_ends_the_call_and_tells_the_attempt(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = threading.Event()

    @task(retries=2, timeout=60)
    def interrupting(ctx: Context) -> None:
        ctx.on_stop(lambda: (made.append(str(ctx.stopping)), told.set())[0])
        _thread.interrupt_main()
        release.wait(30)

    with pytest.raises(KeyboardInterrupt):
        interrupting()
    assert told.wait(30)
    assert made == ["cancel"]
    assert lines(capsys) == []


def test_the_classes_of_a_script_are_known_as_workers_know_them(tmp_path: Path) -> None:
    script = tmp_path / "my_script.py"
    script.write_text(
        "from mulligan import TRANSIENT, task\n"
        "class Mine(PermissionError): ...\n"
        "class Other(PermissionError): ...\n"
        "raised = [Mine('a'), Other('b')]\n"
        "@task(retries=2, classify={Mine: TRANSIENT, 'my_script.Other': TRANSIENT})\n"
        "def f():\n"
        "    if raised: raise raised.pop()\n"
        "    print('done')\n"
        "f()\n",
        "utf-8",
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout == "done\n", done.stderr


def test_a_task_that_always_takes_too_long_ends_in_a_timeout_error() -> None:
    @task(retries=1, timeout=0.02)
    def stuck() -> None:
        release.wait(30)

    with pytest.raises(TimeoutError, match="took longer than 20 ms") as caught:
        stuck()
    assert isinstance(caught.value, AttemptTimeout)


def test_what_an_attempt_with_a_limit_raises_comes_through(clock: TurnedClock) -> None:
    @task(retries=1, timeout=60)
    def limited(x: str) -> str:
        return do(x)

    to_raise[:] = [ConnectionResetError("no")]
    assert limited("a") == "a"
    to_raise[:] = [PermissionError("secret")]
    with pytest.raises(PermissionError, match="secret"):
        limited("a")


def test_no_attempt_is_waited_for_beyond_the_total_timeout(clock: TurnedClock) -> None:
    @task(retries=(5, 300, 600), total_timeout=700)
    def bounded() -> str:
        return do("x")

    to_raise[:] = [ConnectionResetError(str(n)) for n in range(6)]
    with pytest.raises(ConnectionResetError) as caught:
        bounded()
    assert clock.waits == [300, 375]
    assert "the time for all attempts together is over" in "".join(caught.value.__notes__)
    clock.waits.clear()
    to_raise[:] = [ConnectionResetError(str(n)) for n in range(6)]
    with pytest.raises(ConnectionResetError):
        bounded.options(total_timeout=301)()
    assert clock.waits == [300]


def test_an_attempt_is_ended_by_the_total_timeout() -> None:
    @task(retries=5, total_timeout=0.05)
    def stuck() -> None:
        made.append("x")
        release.wait(30)

    with pytest.raises(TimeoutError, match="the total time limit was reached"):
        stuck()
    assert made == ["x"]


def test_who_sleeps_past_the_end_gets_the_error_of_before(clock: TurnedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    @task(retries=(2, 10), total_timeout=100)
    def bounded() -> str:
        return do("x")

    def oversleep(seconds: float) -> None:
        clock.virtual.pass_(seconds + 1000)

    monkeypatch.setattr(clock, "sleep", oversleep)
    to_raise[:] = [ConnectionResetError("before")]
    with pytest.raises(ConnectionResetError, match="before"):
        bounded()
    assert made == ["x"]


def test_a_retry_does_not_submit_twice(backend: KeepingBackend) -> None:
    @task(retries=2)
    def submitting(ctx: Context) -> None:
        once.submit("a")
        once.submit("a")
        once.options(run_id="own").submit("a")
        do("submitted")

    to_raise[:] = [ConnectionResetError("no")]
    submitting()
    run_ids = [submission.options.run_id for submission, _ in backend.taken]
    assert run_ids[:3] == run_ids[3:]
    assert len(set(run_ids)) == 3
    assert run_ids[2] == "own"
    submitting()
    assert backend.taken[-3][0].options.run_id != run_ids[0]


@pytest.mark.parametrize("options", [{"delay": 5}, {"expires": 60}])
def test_options_that_only_a_job_can_keep_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TaskError, match="are for jobs"):
        once.options(**options)("a")


def test_secrets_and_long_messages_are_cut_in_the_log(clock: TurnedClock, capsys: pytest.CaptureFixture[str]) -> None:
    to_raise[:] = [
        ConnectionResetError("postgresql://me:hunter2@db/x password=hunter2 Authorization: Bearer hunter2hunter2"),
        ConnectionResetError("x" * 10_000),
    ]
    assert linear("y" * 10_000)
    told = lines(capsys)
    assert "hunter2" not in "".join(told)
    assert "postgresql://me:***@db/x" in told[0]
    assert all(len(each) < 300 for each in told)


def test_an_application_that_has_configured_structlog_gets_the_facts(clock: TurnedClock) -> None:
    import structlog
    from structlog.testing import LogCapture

    kept = LogCapture()
    structlog.configure(processors=[kept])
    try:
        to_raise[:] = [ConnectionResetError("no")]
        linear("a")
    finally:
        structlog.reset_defaults()
    assert kept.entries[0] == {
        "event": "will retry",
        "log_level": "info",
        "attempt": 1,
        "failure_class": "TRANSIENT",
        "error": "no",
        "sleeping_s": 300.0,
    }
    assert kept.entries[1]["event"] == "succeeded"


def test_a_broken_rule_file_is_told_of_and_not_taken_for_the_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text("nonsense", "utf-8")
    monkeypatch.setenv("MULLIGAN_RULES", str(rules))
    monkeypatch.setattr(mulligan, "_rules", None)
    to_raise[:] = [ConnectionResetError("no")]
    with pytest.raises(ConfigError, match="this is not TOML") as caught:
        inner("a")
    assert caught.value.__context__ is not None
    assert isinstance(caught.value.__context__.__context__, ConnectionResetError)


def test_batch_waits_five_minutes_and_then_longer(clock: TurnedClock) -> None:
    @task(retries=BATCH)
    def nightly() -> str:
        return do("x")

    to_raise[:] = [ConnectionResetError("no") for _ in range(3)]
    assert nightly() == "x"
    assert all(planned <= real <= planned * 1.25 for planned, real in zip([300, 600, 1200], clock.waits, strict=True))
