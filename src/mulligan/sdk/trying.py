"""Trying a call again in process: what is decided in `core` is carried out here, with a clock, a log, and limits of time."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

from mulligan.core.attempt import time_limit
from mulligan.core.concealed import concealed, shown_value
from mulligan.core.durations import words
from mulligan.core.failure import Classification, Failure, Kind, classify
from mulligan.core.job import Attempt, FailureClass, Outcome, Reason
from mulligan.core.labels import REASONS
from mulligan.core.masking import HIDDEN
from mulligan.core.retry import Policy
from mulligan.core.signals import Snooze
from mulligan.sdk.ports import AMBIENT
from mulligan.sdk.tries import Tries

if TYPE_CHECKING:
    from mulligan.telemetry import Tell

T = TypeVar("T")

Judged = tuple[Failure, Classification]


class Clock(Protocol):
    """Milliseconds that only ever grow, and two ways to let them pass."""

    def now_ms(self) -> int: ...

    def sleep(self, seconds: float) -> None: ...

    async def pause(self, seconds: float) -> None: ...


class MachineClock:
    """This machine's time since some moment; setting the clock on the wall changes nothing."""

    def now_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        threading.Event().wait(seconds)  # time.sleep fails where the clock is a faked one

    async def pause(self, seconds: float) -> None:
        import asyncio

        await asyncio.sleep(seconds)


class KnownFailure(Exception):
    """An exception that brings along what is known of the failure, beyond what could be read off it."""

    failure: Failure


class AttemptTimeout(TimeoutError, KnownFailure):
    """An attempt in process took longer than its `timeout`, or than what was left of `total_timeout`."""

    def __init__(self, limit_s: float, *, cutoff: bool) -> None:
        said = f"the total time limit was reached after {words(limit_s)} of this attempt"
        super().__init__(said if cutoff else f"took longer than {words(limit_s)}")
        self.failure = Failure(Kind.CUTOFF if cutoff else Kind.TIMEOUT, message=str(self))


@dataclass(frozen=True, slots=True)
class Plan:
    """How calls of one function are tried."""

    policy: Policy
    judge: Callable[[BaseException], Judged]
    timeout_s: float | None = None
    total_timeout_s: float | None = None

    @property
    def limited(self) -> bool:
        """Whether attempts must be watched: without limits the first one is a plain call."""
        return self.timeout_s is not None or self.total_timeout_s is not None


@dataclass(frozen=True, slots=True)
class Limit:
    """How long an attempt may take."""

    seconds: float
    cutoff: bool

    def exceeded(self) -> AttemptTimeout:
        """Return the error of an attempt that took longer."""
        return AttemptTimeout(self.seconds, cutoff=self.cutoff)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where time and chance come from, and who is told what happens."""

    clock: Clock
    chance: Callable[[], float]
    tell: Callable[[], Tell]


def _telling() -> Tell:
    from mulligan.telemetry import tries_teller

    return tries_teller()


MACHINE = Surroundings(MachineClock(), random.random, _telling)


class Trial:
    """One call that may need several attempts: asks what is decided after each, tells of it, and waits."""

    def __init__(self, plan: Plan, around: Surroundings = MACHINE) -> None:
        self._plan = plan
        self._around = around
        self._error: BaseException | None = None
        self.tries = Tries(plan.policy, around.clock.now_ms(), plan.total_timeout_s, around.chance)

    @property
    def number(self) -> int:
        """The number of the attempt that runs, or ran last."""
        return self.tries.item.attempt

    def now_ms(self) -> int:
        """Return the time by the clock of this call."""
        return self._around.clock.now_ms()

    def begin(self) -> Limit | None:
        """Begin an attempt; raises the last failure when the time for all attempts went by while it waited."""
        now_ms = self._around.clock.now_ms()
        if not self.tries.begin(now_ms):
            self._give_up_late()
        seconds, cutoff = time_limit(self._plan.timeout_s, self.tries.item.cutoff_ms, now_ms)
        return None if seconds is None else Limit(seconds, cutoff)

    def after(self, error: BaseException) -> bool:
        """End the attempt by what it raised; returns whether there is another one to wait for."""
        now_ms = self._around.clock.now_ms()
        if isinstance(error, Snooze):
            self.tries.snooze(error.delay, now_ms)
        else:
            self.tries.fail(*self._plan.judge(error), now_ms)
        self._error = error if self.tries.waits else None
        self._tell(error, self.tries.attempts[-1])
        return self.tries.waits

    def succeed(self, value: object) -> None:
        """End the attempt: it returned. Told only where another one had ended before it."""
        self._error = None
        self.tries.succeed(self._around.clock.now_ms())
        if len(self.tries.attempts) > 1:
            self._around.tell()("succeeded", value=_shown(value))

    def abandoned(self, limit: Limit) -> None:
        """Tell that an attempt took too long and cannot be ended."""
        self._around.tell()("abandoned", attempt=self.number, after=words(limit.seconds))

    def sleep(self) -> None:
        """Wait until the next attempt is due."""
        while (left_s := self._left_s()) > 0:
            self._around.clock.sleep(left_s)

    async def pause(self) -> None:
        """Wait until the next attempt is due, while others of the event loop run."""
        while (left_s := self._left_s()) > 0:
            await self._around.clock.pause(left_s)

    def _left_s(self) -> float:
        return (self.tries.item.due_ms - self._around.clock.now_ms()) / 1000

    def _give_up_late(self) -> NoReturn:
        error, self._error = self._error, None
        error = error or AttemptTimeout(self._plan.total_timeout_s or 0.0, cutoff=True)
        _note(error, self.number, None, REASONS[self.tries.item.reason])
        raise error

    def _tell(self, error: BaseException, attempt: Attempt) -> None:
        if attempt.reason is Reason.AT_MOST_ONCE:
            return  # whoever asked for nothing hears nothing but the error itself
        facts: dict[str, Any] = {"attempt": attempt.attempt}
        if attempt.outcome is not Outcome.SNOOZED:
            facts |= {
                "failure_class": str(attempt.failure_class),
                "error": concealed(AMBIENT.mask.text(attempt.error_message or "")),
            }
        if self.tries.waits:
            self._around.tell()("will retry", **facts, sleeping_s=(attempt.delay_ms or 0) / 1000)
            return
        why = REASONS[attempt.reason]
        self._around.tell()("gave up", **facts, why=why)
        _note(error, attempt.attempt, attempt, why)


def run(trial: Trial, attempt: Callable[[Limit | None], T]) -> T:
    """Try a call until it returns, or its policy allows no other attempt; raises what the last one raised."""
    while True:
        limit = trial.begin()
        try:
            value = attempt(limit)
        except Exception as error:
            if not trial.after(error):
                raise
        else:
            trial.succeed(value)
            return value
        trial.sleep()


async def run_async(trial: Trial, attempt: Callable[[Limit | None], Awaitable[T]]) -> T:
    """Try an asynchronous call until it returns, as `run` does; an attempt that takes too long is cancelled."""
    while True:
        limit = trial.begin()
        try:
            value = await (attempt(None) if limit is None else _cancelled_after(limit, attempt(limit)))
        except Exception as error:
            if not trial.after(error):
                raise
        else:
            trial.succeed(value)
            return value
        await trial.pause()


def in_thread(limit: Limit, function: Callable[[], T], abandon: Callable[[bool], None]) -> T:
    """Call a function in a thread and wait for its end; when it takes too long, raise AttemptTimeout.

    Python cannot end a thread: it goes on by itself, and does not keep the process alive. `abandon` is called before, with
    True when it took too long, and with False when the wait for it was interrupted.
    """
    ended = threading.Event()
    outcome: list[tuple[Any, BaseException | None]] = []
    context = copy_context()

    def call() -> None:
        try:
            outcome.append((context.run(function), None))
        except BaseException as error:  # noqa: BLE001 - it is raised where the call was made
            outcome.append((None, error))
        ended.set()

    thread = threading.Thread(target=call, daemon=True, name="mulligan attempt")
    try:
        thread.start()
        in_time = ended.wait(limit.seconds)
    except BaseException:
        abandon(False)
        raise
    if not in_time:
        abandon(True)
        raise limit.exceeded()
    value, error = outcome.pop()
    if error is not None:
        raise error
    return value  # type: ignore[no-any-return]  # what the function returned


def judge(
    error: BaseException, declared: FailureClass | None = None, task_rules: tuple[tuple[str, FailureClass], ...] = ()
) -> Judged:
    """Return the facts of an error and their class, by a task's rules, the project's, and those that come with Mulligan."""
    from mulligan.config.rules import rules_of
    from mulligan.sdk.facts import failure_of

    failure = error.failure if isinstance(error, KnownFailure) else _as_published(failure_of(error, declared))
    project, default = rules_of(None) if AMBIENT.rules is None else AMBIENT.rules()
    return failure, classify(failure, task_rules, project, default)


def _shown(value: object) -> str:
    """Show a value shortly, and not at all where a secret is in it: cut short it could not be found any more."""
    whole = str(value) + repr(value) if AMBIENT.mask else ""
    return HIDDEN if AMBIENT.mask.text(whole) != whole else shown_value(value)


async def _cancelled_after(limit: Limit, pending: Awaitable[T]) -> T:
    import asyncio

    try:
        async with asyncio.timeout(limit.seconds) as scope:
            return await pending
    except TimeoutError as error:
        if not scope.expired():
            raise
        raise limit.exceeded() from error


def _as_published(failure: Failure) -> Failure:
    """Call the classes of a script by the module that workers know it by, as rules do."""
    if not any(name.startswith("__main__.") for facts in failure.chain for name in facts.types):
        return failure
    from mulligan.sdk.signature import public_module

    def renamed(name: str) -> str:
        module, dot, rest = name.partition(".")
        return f"{public_module(module)}{dot}{rest}" if module == "__main__" else name

    return replace(failure, chain=tuple(replace(each, types=tuple(map(renamed, each.types))) for each in failure.chain))


def _note(error: BaseException, number: int, attempt: Attempt | None, why: str) -> None:
    judged = f" ({attempt.failure_class} by rule {attempt.rule})" if attempt and attempt.failure_class else ""
    with contextlib.suppress(Exception):  # an exception may refuse to be changed
        error.add_note(f"mulligan: attempt {number}{judged} was the last: {why}")
