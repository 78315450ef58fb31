"""`run`: a task under its own policy with failures that were asked for, on a clock that nobody waits for."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from mulligan.core.errors import ConfigError, TaskError
from mulligan.core.job import Attempt, FailureClass, JobStatus, Reason
from mulligan.core.shown import shown
from mulligan.core.submission import Submission
from mulligan.sdk.calling import Call, HereChannel, TaskCalls
from mulligan.sdk.ports import AMBIENT
from mulligan.sdk.submitting import SubmittedInside
from mulligan.sdk.task import Task
from mulligan.sdk.trying import Limit, Surroundings, Trial
from mulligan.sdk.trying import run as try_until_it_ends
from mulligan.telemetry import silent
from mulligan.testing.clock import VirtualClock
from mulligan.testing.induced import Ending, endings, is_timeout

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt; its times are seconds since the call."""

    number: int
    at_s: float
    took_s: float
    failure_class: FailureClass | None
    rule: str | None
    decision: Reason
    wait_s: float | None
    """How long the next attempt is waited for, jitter included; None after the last one."""
    error_type: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True)
class Run(Generic[R]):
    """What came of a call: its attempts, and its result or its error."""

    attempts: list[Tried]
    status: JobStatus
    reason: Reason
    result: R | None = None
    error: BaseException | None = None
    steps: list[tuple[str, Any]] = field(default_factory=list)
    """Names and results of the steps that were saved, in order."""
    cursor: Any = None
    rows: int | None = None
    """What `ctx.output` was told last."""
    submitted: list[Submission] = field(default_factory=list)
    """What was submitted, by each attempt: it goes nowhere."""

    @property
    def waits(self) -> list[float]:
        """Seconds between the attempts."""
        return [each.wait_s for each in self.attempts if each.wait_s is not None]

    @property
    def succeeded(self) -> bool:
        """Whether the last attempt returned."""
        return self.error is None

    def value(self) -> R:
        """Return the result, or raise the error of the last attempt."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # there is one where there is no error


def run(
    f: Task[..., R],
    *args: Any,
    fail: str | Iterable[Ending] = (),
    clock: VirtualClock | None = None,
    chance: float = 0.0,
    **kwargs: Any,
) -> Run[R]:
    """Call a task here under its policy, and return what came of it; nothing is waited for, and nothing is stored.

    `fail` says how attempts end, one after the other: an exception, a word of `mulligan dryrun` (`"503"`, `"timeout"`), or
    None to run the function, as all attempts after the last one do; a text is a list of words. Time passes on `clock` only:
    by the waits, by `timeout` words, and by what the function lets pass itself (`clock.pass_`); an attempt that takes longer
    than its limit then fails, after its end. `chance` is the random number of all jitter, from 0 up to but not 1: with 0
    waits are as planned. Raises ConfigError, TaskError.
    """
    if not isinstance(f, Task):
        raise TaskError(f"run: expected a task, which is a function declared with @task, not {shown(f)}")
    if isinstance(chance, bool) or not isinstance(chance, (int, float)) or not 0 <= chance < 1:
        raise ConfigError(f"chance: expected a number from 0 up to but not 1, not {shown(chance)}")
    _refuse_running_loop(f)
    passing = _Passing(clock or VirtualClock())
    around = Surroundings(passing, lambda: chance, lambda: silent)
    calls = TaskCalls(f, around)
    call, trial = Call(calls, args, kwargs), Trial(calls.plan, around)
    errors = endings(fail, f.fn.__globals__)
    began_ms = passing.now_ms()
    result: R | None = None
    failed: BaseException | None = None
    kept = _Keeping()
    with kept.instead_of_a_store():
        try:
            result = try_until_it_ends(trial, lambda limit: _attempt(calls, call, trial, limit, errors, passing))
        except Exception as error:  # noqa: BLE001 - whatever the task raises in the end is what came of it
            failed = error
    if not trial.tries.attempts or trial.tries.waits:  # it was not the task that failed: a rule file, or this
        assert failed is not None  # noqa: S101 - nothing else leaves it unfinished
        raise failed
    return _outcome(trial, call, began_ms, kept.submitted, result, failed)


def _attempt(
    calls: TaskCalls, call: Call, trial: Trial, limit: Limit | None, errors: list[BaseException | None], clock: _Passing
) -> Any:
    place = trial.number - 1
    error = errors[place] if place < len(errors) else None
    if limit is not None and is_timeout(error):
        clock.sleep(limit.seconds)
        raise limit.exceeded()
    if error is not None:
        raise error
    began_ms = clock.now_ms()
    value = asyncio.run(call.attempt_async(trial, limit)) if calls.asynchronous else call.within(HereChannel(call, trial, limit))
    if limit is not None and clock.now_ms() - began_ms > limit.seconds * 1000:
        raise limit.exceeded()
    return value


class _Keeping:
    """Implements `mulligan.sdk.ports.Backend`: keeps what is submitted."""

    def __init__(self) -> None:
        self.submitted: list[Submission] = []

    @contextlib.contextmanager
    def instead_of_a_store(self) -> Iterator[None]:
        """Be where submissions go."""
        before, AMBIENT.factory = AMBIENT.factory, lambda: self
        try:
            yield
        finally:
            AMBIENT.factory = before

    def take(self, submission: Submission) -> SubmittedInside:
        """Keep it, with its items."""
        self.submitted.append(replace(submission, items=list(submission.items)))
        return SubmittedInside(str(len(self.submitted)), submission.options.run_id or "", "PENDING")


class _Passing:
    """Implements `mulligan.sdk.trying.Clock`: whoever sleeps has time pass."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def sleep(self, seconds: float) -> None:
        self._clock.pass_(seconds)

    async def pause(self, seconds: float) -> None:
        self._clock.pass_(seconds)


def _outcome(
    trial: Trial, call: Call, began_ms: int, submitted: list[Submission], result: Any, error: BaseException | None
) -> Run[Any]:
    item = trial.tries.item
    return Run(
        attempts=[_tried(each, began_ms) for each in trial.tries.attempts],
        status=item.status,
        reason=item.reason,
        result=result,
        error=error,
        steps=[(key.split(":", 1)[0].rpartition(".")[2], json.loads(value)) for key, value in call.steps.items()],
        cursor=None if call.cursor is None else json.loads(call.cursor),
        rows=call.rows,
        submitted=submitted,
    )


def _tried(attempt: Attempt, began_ms: int) -> Tried:
    waits = attempt.delay_ms is not None and attempt.reason in (Reason.WILL_RETRY, Reason.SNOOZED)
    return Tried(
        number=attempt.attempt,
        at_s=(attempt.claimed_ms - began_ms) / 1000,
        took_s=(attempt.ended_ms - attempt.claimed_ms) / 1000,
        failure_class=attempt.failure_class,
        rule=attempt.rule,
        decision=attempt.reason,
        wait_s=(attempt.delay_ms or 0) / 1000 if waits else None,
        error_type=attempt.error_type,
        error_message=attempt.error_message,
    )


def _refuse_running_loop(f: Task[..., Any]) -> None:
    if f.declared.options.executor != "async":
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise ConfigError(
        f"run: {f.declared.owner} is an `async def`, which run() runs in a loop of its own: call it from a plain test"
    )
