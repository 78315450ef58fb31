"""`retry` and `retrying`: any callable tried again in process, by the same policies and rules as tasks."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from functools import lru_cache
from types import CoroutineType
from typing import Any, ParamSpec, Protocol, TypedDict, TypeVar, Unpack, cast, overload

from mulligan.core.durations import Duration, seconds
from mulligan.core.errors import ConfigError, PolicyError
from mulligan.core.failure import Classification
from mulligan.core.job import FailureClass
from mulligan.core.retry import Policy, Retry
from mulligan.core.shown import shown
from mulligan.sdk.trying import Judged, Limit, Plan, Trial, in_thread, judge, run, run_async

P = ParamSpec("P")
R = TypeVar("R")

Kinds = type[Exception] | FailureClass
RetryOn = Kinds | tuple[Kinds, ...] | Callable[[Exception], bool]

_Chosen = Callable[[BaseException, Classification], bool]

ATTEMPTS, BASE_DELAY = 3, 1.0
_ALL = tuple(each for each in FailureClass if each is not FailureClass.PERMANENT)


def retry(
    func: Callable[[], R],
    max_attempts: int = ATTEMPTS,
    base_delay: Duration = BASE_DELAY,
    max_delay: Duration | None = None,
    retry_on: RetryOn | None = None,
    timeout: Duration | None = None,
    total_timeout: Duration | None = None,
    *,
    retries: object = None,
) -> R:
    """Call `func()` and return its value; while it fails and may be tried again, wait and call it again.

    Of an `async def`, or of anything that returns a coroutine, what this returns must be awaited. The wait after the n-th
    failure is `min(max_delay, base_delay * 2 ** (n - 1))`, and up to a quarter longer by chance, or as long as a Retry-After
    asks. `retry_on` names what is tried again, all else fails at once: exception classes, failure classes such as TRANSIENT,
    or a function of the error; without it all but PERMANENT is. `timeout` is for one attempt, `total_timeout` for all with
    their waits: a coroutine is cancelled, but a plain function that takes too long is left behind in a thread, where it goes
    on. `retries` takes what `@task(retries=…)` takes, in place of max_attempts and delays. A line is logged for each failure
    and for a success after one. Raises the error of the last attempt, AttemptTimeout (a TimeoutError), PolicyError, ConfigError.
    """
    plan = _plan(max_attempts, base_delay, max_delay, retry_on, timeout, total_timeout, retries)
    if not callable(func):
        raise PolicyError(f"retry: expected a function to call, not {shown(func)}; to decorate one, use @mulligan.retrying")
    if not plan.limited:
        return cast("R", _first(plan, func, (), {}))
    return cast("R", _limited_async(plan, func, (), {}) if _is_async(func) else _limited(plan, func, (), {}))


class RetryKeywords(TypedDict, total=False):
    """The options of `retrying`, which are those of `retry`."""

    max_attempts: int
    base_delay: Duration
    max_delay: Duration | None
    retry_on: RetryOn | None
    timeout: Duration | None
    total_timeout: Duration | None
    retries: object


class Decorator(Protocol):
    """What makes a function one that is tried again, of the same type."""

    def __call__(self, func: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def retrying(func: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def retrying(**options: Unpack[RetryKeywords]) -> Decorator: ...
def retrying(*func: Any, **options: Any) -> Any:
    """Decorate a function so that each call of it is tried again as `retry` does: `@retrying` or `@retrying(max_attempts=5)`.

    Options are checked here and now; raises PolicyError, ConfigError.
    """
    unknown = sorted(set(options) - set(RetryKeywords.__annotations__))
    if unknown or len(func) > 1 or (func and options):
        given = ", ".join(unknown) or "a function and more"
        raise PolicyError(f"retrying takes {', '.join(RetryKeywords.__annotations__)}, by name, not {given}")
    plan = _plan(
        options.get("max_attempts", ATTEMPTS),
        options.get("base_delay", BASE_DELAY),
        options.get("max_delay"),
        options.get("retry_on"),
        options.get("timeout"),
        options.get("total_timeout"),
        options.get("retries"),
    )
    return _decorated(plan, func[0]) if func else lambda each: _decorated(plan, each)


def _decorated(plan: Plan, func: Any) -> Any:
    if not callable(func) or inspect.isclass(func):
        raise PolicyError(f"retrying decorates functions, not {shown(func)}; options are given by name")
    if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
        raise PolicyError(f"retrying: {shown(func)} is a generator, which fails only while it is read; retry what reads it")
    wrapper = _asynchronous(plan, func) if _is_async(func) else _synchronous(plan, func)
    return functools.wraps(func)(wrapper)


def _synchronous(plan: Plan, func: Callable[..., Any]) -> Callable[..., Any]:
    if plan.limited:
        return lambda *args, **kwargs: _limited(plan, func, args, kwargs)

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            value = func(*args, **kwargs)
        except Exception as error:
            trial = _failed(plan, error)
            if trial is None:
                raise
        else:
            return _go_on(plan, func, args, kwargs, value) if type(value) is CoroutineType else value
        trial.sleep()
        return run(trial, lambda _: func(*args, **kwargs))

    return call


def _asynchronous(plan: Plan, func: Callable[..., Any]) -> Callable[..., Any]:
    if plan.limited:

        async def limited(*args: Any, **kwargs: Any) -> Any:
            return await _limited_async(plan, func, args, kwargs)

        return limited

    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return await func(*args, **kwargs)
        except Exception as error:
            trial = _failed(plan, error)
            if trial is None:
                raise
        await trial.pause()
        return await run_async(trial, lambda _: func(*args, **kwargs))

    return call


def _first(plan: Plan, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a function plainly: nearly all calls end here."""
    try:
        value = func(*args, **kwargs)
    except Exception as error:
        trial = _failed(plan, error)
        if trial is None:
            _advise(func, error)
            raise
    else:
        return _go_on(plan, func, args, kwargs, value) if type(value) is CoroutineType else value
    trial.sleep()
    return run(trial, lambda _: func(*args, **kwargs))


async def _go_on(
    plan: Plan, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], first: Coroutine[Any, Any, Any]
) -> Any:
    """Await what a plain function has returned as its first attempt."""
    try:
        return await first
    except Exception as error:
        trial = _failed(plan, error)
        if trial is None:
            raise
    await trial.pause()
    return await run_async(trial, lambda _: func(*args, **kwargs))


def _limited(plan: Plan, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    trial = Trial(plan)

    def attempt(limit: Limit | None) -> Any:
        if limit is None:
            return func(*args, **kwargs)
        return in_thread(limit, lambda: func(*args, **kwargs), lambda late: trial.abandoned(limit) if late else None)

    value = run(trial, attempt)
    if type(value) is CoroutineType:
        value.close()
        raise PolicyError(f"{shown(func)} returns a coroutine: give an `async def`, so that its attempts can be limited")
    return value


def _limited_async(
    plan: Plan, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Coroutine[Any, Any, Any]:
    return run_async(Trial(plan), lambda _: func(*args, **kwargs))


def _failed(plan: Plan, error: Exception) -> Trial | None:
    """Begin to look after a call whose first attempt has just failed; None when that was the last one."""
    trial = Trial(plan)
    trial.begin()
    return trial if trial.after(error) else None


def _advise(func: Callable[..., Any], error: Exception) -> None:
    """Help who wrote `@retry` above a function with parameters: it was called without any."""
    if isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None:
        error.add_note(f"mulligan.retry(func) calls func() without arguments; to decorate {shown(func)}, use @mulligan.retrying")


def _is_async(func: Any) -> bool:
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(getattr(func, "__call__", None))  # noqa: B004


def _plan(
    max_attempts: Any, base_delay: Any, max_delay: Any, retry_on: Any, timeout: Any, total_timeout: Any, retries: Any
) -> Plan:
    """Return the plan of these options: a cached one, where they hold no function that somebody else may want to forget."""
    if retry_on is None or isinstance(retry_on, (type, tuple, FailureClass)):
        try:
            return _kept_plan(max_attempts, base_delay, max_delay, retry_on, timeout, total_timeout, retries)
        except TypeError:  # something in it has no hash
            pass
    return _new_plan(max_attempts, base_delay, max_delay, retry_on, timeout, total_timeout, retries)


def _new_plan(
    max_attempts: Any, base_delay: Any, max_delay: Any, retry_on: Any, timeout: Any, total_timeout: Any, retries: Any
) -> Plan:
    classes, chosen = _chosen(retry_on)
    if retries is None:
        limit = base_delay if max_delay is None else max_delay
        if max_delay is not None and seconds(base_delay, "base_delay") > seconds(limit, "max_delay"):
            raise PolicyError(f"max_delay: {shown(max_delay)} is less than base_delay, {shown(base_delay)}")
        policy = Policy([(classes or _ALL, Retry(max_attempts, seconds(base_delay, "base_delay"), 2, max_delay))])
    elif (max_attempts, base_delay, max_delay) == (ATTEMPTS, BASE_DELAY, None):
        policy = Policy.of(retries)
        if classes:
            chosen = _is_among(classes)
    else:
        raise PolicyError("give either retries, or max_attempts, base_delay and max_delay, not both")
    return Plan(policy, _judge(chosen) if chosen else judge, _limit(timeout, "timeout"), _limit(total_timeout, "total_timeout"))


def _is_among(classes: tuple[FailureClass, ...]) -> _Chosen:
    return lambda _, judged: judged.failure_class in classes


_kept_plan = lru_cache(maxsize=256, typed=True)(_new_plan)


def _chosen(retry_on: Any) -> tuple[tuple[FailureClass, ...], _Chosen | None]:
    """Return what `retry_on` says: failure classes where it names only those, else a test of errors, or nothing."""
    if retry_on is None:
        return (), None
    kinds = retry_on if isinstance(retry_on, tuple) else (retry_on,)
    classes = tuple(each for each in kinds if isinstance(each, FailureClass))
    errors = tuple(each for each in kinds if isinstance(each, type) and issubclass(each, Exception))
    if kinds and len(classes) == len(kinds):
        return classes, None
    if kinds and len(classes) + len(errors) == len(kinds):
        return (), lambda error, judged: isinstance(error, errors) or judged.failure_class in classes
    if callable(retry_on) and not isinstance(retry_on, type):
        return (), lambda error, _: bool(retry_on(error))
    raise PolicyError(
        "retry_on: expected exception classes, failure classes such as TRANSIENT, or a function of the error, not "
        f"{shown(retry_on)}"
    )


def _judge(chosen: _Chosen) -> Callable[[BaseException], Judged]:
    """Judge by what the caller chose: what is chosen is worth another attempt, whatever the rules say; all else is not."""

    def judged(error: BaseException) -> Judged:
        failure, found = judge(error)
        if not chosen(error, found):
            why = f"{failure.error_type} is not in retry_on"
            return failure, Classification(FailureClass.PERMANENT, "retry_on", why)
        if found.failure_class not in (FailureClass.PERMANENT, FailureClass.UNKNOWN):
            return failure, found
        why = f"{failure.error_type} is in retry_on"
        return failure, Classification(FailureClass.TRANSIENT, "retry_on", why, found.retry_after_s)

    return judged


def _limit(value: Any, name: str) -> float | None:
    if value is None:
        return None
    limit_s = seconds(value, name)
    if not limit_s:
        raise ConfigError(f"{name}: must be longer than nothing; leave it out for no limit")
    return limit_s
