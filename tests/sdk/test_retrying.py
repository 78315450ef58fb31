"""`retry` and `retrying`: any function tried again in process."""

from __future__ import annotations

import asyncio
import functools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from turned import TurnedClock

from mulligan import PERMANENT, RATE_LIMITED, TIMEOUT, TRANSIENT, PermanentError, Policy, RateLimited, Retry, retry, retrying
from mulligan.core.errors import ConfigError, PolicyError


class Unavailable(Exception):
    pass


class Failing:
    """Fails so often, then returns what it is called with."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, value: Any = "data") -> Any:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return value

    async def wait(self, value: Any = "data") -> Any:
        await asyncio.sleep(0)
        return self(value)


def twice(error: type[Exception] = Unavailable) -> Failing:
    return Failing(error("503 Service Unavailable"), error("503 Service Unavailable"))


def test_it_calls_the_function_and_logs_as_the_lesson_does(clock: TurnedClock, capsys: pytest.CaptureFixture[str]) -> None:
    assert retry(twice(), max_attempts=5, base_delay=1.0, max_delay=20.0, retry_on=Unavailable) == "data"
    first, second, last = capsys.readouterr().err.splitlines()
    assert first == f"attempt=1 transient='503 Service Unavailable' sleeping={clock.waits[0]:.2f}s"
    assert second == f"attempt=2 transient='503 Service Unavailable' sleeping={clock.waits[1]:.2f}s"
    assert last == "success value: 'data'"


def test_the_delay_doubles_up_to_its_limit_and_has_jitter(clock: TurnedClock) -> None:
    failing = Failing(*(Unavailable(str(n)) for n in range(6)))
    assert retry(failing, max_attempts=7, base_delay=1, max_delay=5, retry_on=Unavailable) == "data"
    planned = [1, 2, 4, 5, 5, 5]
    assert all(wait <= real <= wait * 1.25 for wait, real in zip(planned, clock.waits, strict=True))
    assert clock.waits != planned


def test_it_gives_up_after_max_attempts_with_the_last_error(clock: TurnedClock) -> None:
    failing = Failing(*(Unavailable(str(n)) for n in range(9)))
    with pytest.raises(Unavailable, match="2"):
        retry(failing)
    assert failing.calls == 3


@pytest.mark.parametrize("attempts", [0, -1, float("inf"), True, None, 10**7])
def test_there_are_no_endless_retries(attempts: Any) -> None:
    with pytest.raises(PolicyError, match="max_attempts"):
        retry(lambda: 1, max_attempts=attempts)


def test_what_is_permanent_fails_at_once() -> None:
    for error in (PermissionError("401"), TypeError("a bug"), PermanentError("no")):
        failing = Failing(error)
        with pytest.raises(type(error)):
            retry(failing)
        assert failing.calls == 1


@pytest.mark.parametrize(
    ("retry_on", "tried_again"),
    [
        (Unavailable, True),
        ((ValueError, Unavailable), True),
        ((ValueError, PERMANENT), False),
        ((ValueError, TIMEOUT, Unavailable), True),
        (ValueError, False),
        (lambda error: "503" in str(error), True),
        (lambda error: False, False),
        (None, True),
        ((), None),
    ],
)
def test_only_what_was_named_is_tried_again(retry_on: Any, tried_again: bool | None, clock: TurnedClock) -> None:
    failing = twice()
    if tried_again is None:
        with pytest.raises(PolicyError, match="retry_on"):
            retry(failing, retry_on=retry_on)
    elif tried_again:
        assert retry(failing, retry_on=retry_on) == "data"
    else:
        with pytest.raises(Unavailable):
            retry(failing, retry_on=retry_on)
        assert failing.calls == 1


def test_an_error_that_calls_itself_transient_is_still_not_tried_again_unless_named() -> None:
    failing = Failing(RateLimited("429"))
    with pytest.raises(RateLimited):
        retry(failing, retry_on=Unavailable)
    assert failing.calls == 1


def test_failure_classes_may_be_named(clock: TurnedClock) -> None:
    failing = Failing(ConnectionResetError("no"), RateLimited("slow", retry_after=90), TimeoutError("late"))
    with pytest.raises(TimeoutError):
        retry(failing, retry_on=(TRANSIENT, RATE_LIMITED), base_delay=1)
    assert clock.waits[1] == 90


def test_exceptions_and_failure_classes_may_be_named_together(clock: TurnedClock) -> None:
    failing = Failing(ConnectionResetError("transient"), ValueError("named"))
    assert retry(failing, retry_on=(ValueError, TRANSIENT)) == "data"
    assert failing.calls == 3


def test_an_attempt_with_a_limit_sees_the_context_of_its_caller() -> None:
    whose: ContextVar[str] = ContextVar("whose", default="nobody's")
    whose.set("the caller's")
    assert retry(whose.get, timeout=60) == "the caller's"


@pytest.mark.parametrize("wrong", [KeyboardInterrupt, "TRANSIENT", 3, (ValueError, "x"), int])
def test_what_names_no_errors_is_refused(wrong: Any) -> None:
    with pytest.raises(PolicyError, match="retry_on"):
        retry(lambda: 1, retry_on=wrong)


def test_a_policy_may_be_given_instead(clock: TurnedClock) -> None:
    assert retry(twice(ConnectionResetError), retries=(2, 30)) == "data"
    assert clock.waits == [30, 30]
    only = Policy({TRANSIENT: Retry(5, delay=1, jitter=None)})
    assert retry(twice(ConnectionResetError), retries=only) == "data"
    with pytest.raises(ConnectionResetError):
        retry(twice(ConnectionResetError), retries=only, retry_on=TIMEOUT)
    with pytest.raises(PolicyError, match="not both"):
        retry(lambda: 1, 5, retries=2)


@pytest.mark.parametrize(
    "wrong",
    [{"base_delay": -1}, {"base_delay": "soon"}, {"base_delay": 9, "max_delay": 1}, {"timeout": 0}, {"total_timeout": -1}],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_called(wrong: dict[str, Any]) -> None:
    failing = Failing()
    with pytest.raises(ConfigError):
        retry(failing, **wrong)
    with pytest.raises(ConfigError):
        retrying(**wrong)
    assert failing.calls == 0


def test_an_asynchronous_function_is_awaited(clock: TurnedClock) -> None:
    failing = twice()

    async def fetch() -> str:
        return str(await failing.wait())

    assert asyncio.run(retry(fetch)) == "data"
    assert failing.calls == 3
    failing.errors = [Unavailable("once")]
    assert asyncio.run(retry(lambda: failing.wait("by lambda"))) == "by lambda"
    with pytest.raises(PermissionError):
        asyncio.run(retry(lambda: Failing(PermissionError("no")).wait()))


def test_an_asynchronous_attempt_has_a_limit() -> None:
    cancelled = []

    async def slow() -> int:
        try:
            await asyncio.sleep(0 if cancelled else 60)
        except asyncio.CancelledError:
            cancelled.append(1)
            raise
        return len(cancelled)

    assert asyncio.run(retry(slow, base_delay=0, timeout=0.02)) == 1


def test_a_plain_attempt_has_a_limit(capsys: pytest.CaptureFixture[str]) -> None:
    release = threading.Event()
    calls: list[int] = []

    def slow() -> str:
        calls.append(1)
        if len(calls) == 1:
            release.wait(30)
        return "in time"

    assert retry(slow, base_delay=0, timeout=0.05) == "in time"
    release.set()
    assert "is left behind" in capsys.readouterr().err


def test_all_attempts_together_have_a_limit(clock: TurnedClock) -> None:
    failing = Failing(*(Unavailable(str(n)) for n in range(9)))
    with pytest.raises(Unavailable, match="1"):
        retry(failing, max_attempts=9, base_delay=40, total_timeout=100)
    assert failing.calls == 2


def test_a_plain_function_that_returns_a_coroutine_cannot_be_limited() -> None:
    with pytest.raises(PolicyError, match="async def"):
        retry(lambda: Failing().wait(), timeout=5)


def test_a_decorated_function_is_tried_again_at_each_call(clock: TurnedClock) -> None:
    failing = twice()

    @retrying
    def bare(value: str, *, again: int = 1) -> str:
        """Say it."""
        return str(failing(value)) * again

    @retrying(max_attempts=2, base_delay=5)
    def with_options(value: str) -> str:
        return str(failing(value))

    assert bare("a", again=2) == "aa"
    assert bare.__doc__ == "Say it."
    assert bare.__name__ == "bare"
    failing.errors = [Unavailable(str(n)) for n in range(2)]
    with pytest.raises(Unavailable, match="1"):
        with_options("b")
    assert 5 <= clock.waits[-1] <= 6.25


def test_a_decorated_coroutine_function_stays_one(clock: TurnedClock) -> None:
    failing = twice()

    @retrying(timeout=60)
    async def limited(value: str) -> str:
        return str(await failing.wait(value))

    @retrying
    async def bare(value: str) -> str:
        return str(await failing.wait(value))

    assert asyncio.iscoroutinefunction(bare)
    assert asyncio.iscoroutinefunction(limited)
    assert asyncio.run(limited("a")) == "a"
    failing.errors = [Unavailable("x")]
    assert asyncio.run(bare("b")) == "b"
    failing.errors = [PermissionError("x")]
    with pytest.raises(PermissionError):
        asyncio.run(bare("b"))


def test_methods_and_partials_can_be_decorated(clock: TurnedClock) -> None:
    class Client:
        def __init__(self) -> None:
            self.failing = twice()

        @retrying
        def read(self, value: str) -> str:
            return str(self.failing(value))

    assert Client().read("a") == "a"
    assert retry(functools.partial(twice(), "b")) == "b"
    with_limit: Callable[[], Any] = retrying(timeout=60)(functools.partial(twice(), "c"))
    assert with_limit() == "c"


def test_a_generator_cannot_be_decorated() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    with pytest.raises(PolicyError, match="generator"):
        retrying(numbers)


def test_the_two_forms_are_not_mistaken_for_one_another() -> None:
    def needs(x: int) -> int:
        return x

    with pytest.raises(TypeError) as caught:
        retry(needs)  # type: ignore[arg-type]
    assert "@mulligan.retrying" in "".join(caught.value.__notes__)
    with pytest.raises(PolicyError, match="use @mulligan"):
        retry(5)  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match="by name"):
        retrying(needs, 5)  # type: ignore[call-overload]
    with pytest.raises(PolicyError, match="attempts"):
        retrying(attempts=5)  # type: ignore[call-overload]


def test_an_interrupt_ends_it_at_once() -> None:
    failing = Failing(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        retry(failing)
    with pytest.raises(KeyboardInterrupt):
        retry(Failing(KeyboardInterrupt()), timeout=60)
    assert failing.calls == 1


def test_the_example_prints_the_lines_of_the_lesson() -> None:
    example = Path(__file__).parents[2] / "examples" / "retry.py"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, env=environment, check=True)
    first, second, last = done.stderr.splitlines()
    assert re.fullmatch(r"attempt=1 transient='503 Service Unavailable' sleeping=0\.1\ds", first)
    assert re.fullmatch(r"attempt=2 transient='503 Service Unavailable' sleeping=0\.2\ds", second)
    assert last == "success value: b'data'"


def test_an_asynchronous_call_has_a_limit_for_all_its_attempts() -> None:
    async def stuck() -> None:
        await asyncio.sleep(60)

    with pytest.raises(TimeoutError, match="total time limit"):
        asyncio.run(retry(stuck, total_timeout=0.02))
