"""Failures that are asked for in words: `503`, `timeout`, `ConnectionResetError`, `exit:137`, `429+retry-after:120`, `ok`."""

from __future__ import annotations

import builtins
import importlib
import re
import signal
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from types import ModuleType
from typing import Any

from mulligan.core.durations import seconds
from mulligan.core.errors import ConfigError
from mulligan.core.failure import Failure, Kind, signal_name
from mulligan.core.signals import InfrastructureError, PermanentError, RateLimited, Snooze, TransientError
from mulligan.sdk.trying import KnownFailure

OK = "ok"
MAX_WORDS = 10_000
WORDS = (
    "an HTTP status such as 503; an exception such as ConnectionResetError or requests.exceptions.Timeout; timeout; heartbeat; "
    "lost; stopped; oom; exit:137; signal:KILL; transient, rate_limited, infrastructure, permanent, unknown; retry-after:120; "
    "snooze:10m; ok. 503*3 is the same three times, 503+retry-after:120 adds how long to wait"
)

_REPEATED = re.compile(r"(.+)\*(\d+)")
_STATED = {
    "timeout": Failure(Kind.TIMEOUT, message="took longer than its timeout (induced)"),
    "heartbeat": Failure(Kind.HEARTBEAT, message="no sign of life (induced)"),
    "lost": Failure(Kind.LOST, message="the worker was lost (induced)"),
    "stopped": Failure(Kind.STOPPED, message="the worker was stopped (induced)"),
    "oom": Failure(Kind.OUT_OF_MEMORY, signal=9, message="killed for want of memory (induced)", crashed=True),
}
_RAISED: Mapping[str, type[Exception]] = {
    "transient": TransientError,
    "rate_limited": RateLimited,
    "infrastructure": InfrastructureError,
    "permanent": PermanentError,
}


class Induced(KnownFailure):
    """A failure that no exception would tell of: a process that died, a time limit, a lost worker."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class InducedError(Exception):
    """An error that was asked for; `status_code` is the HTTP status, where it is one."""

    status_code: int | None = None


InducedError.__module__ = "induced"  # what people read in the reasons for a decision


def induce(text: str, space: Mapping[str, Any] | None = None) -> list[tuple[str, BaseException | None]]:
    """Return each word of a list such as `503*2,timeout,ok` with its error; None stands for an attempt that does not fail.

    `space` holds names that exceptions may be called by besides their full ones: those of a task's module. Raises ConfigError.
    """
    found = [(word, one(word, space)) for word in _words(text)]
    if not found:
        raise ConfigError(f"no failure is named; there is: {WORDS}")
    return found


def one(word: str, space: Mapping[str, Any] | None = None) -> BaseException | None:
    """Return the error that a word stands for, a new one each time, or None for `ok`; raises ConfigError."""
    if word.lower() == OK:
        return None
    named, plus, wait = word.partition("+")
    if named.lower().startswith("retry-after:"):
        named, plus, wait = "rate_limited", "+", word
    error = _error(named, space or {})
    if plus:
        _ask_to_wait(error, wait, word)
    return error


def _words(text: str) -> Iterator[str]:
    count = 0
    for each in filter(None, (part.strip() for part in text.split(","))):
        repeated = _REPEATED.fullmatch(each)
        times = min(int(repeated[2][:9]), MAX_WORDS + 1) if repeated else 1
        count += times
        if count > MAX_WORDS:
            raise ConfigError(f"more than {MAX_WORDS:,} attempts are named")
        yield from [repeated[1].strip() if repeated else each] * times


def _error(word: str, space: Mapping[str, Any]) -> BaseException:
    lower = word.lower()
    if lower in _STATED:
        return Induced(_STATED[lower])
    if lower in _RAISED:
        return _RAISED[lower]("induced")
    if lower == "unknown":
        return InducedError("induced")
    if word.isdigit():
        return _http(word)
    kind, colon, value = lower.partition(":")
    if colon and kind in ("exit", "signal", "snooze"):
        return {"exit": _exit, "signal": _signal, "snooze": _snooze}[kind](value, word)
    return _exception(word, space)


def _http(word: str) -> InducedError:
    status = int(word) if len(word) == 3 else 0
    if not 100 <= status <= 599:
        raise ConfigError(f"{word!r}: an HTTP status is a number from 100 to 599")
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    error = InducedError(f"{status} {phrase}".strip())
    error.status_code = status
    return error


def _exit(value: str, word: str) -> Induced:
    if not value.isdigit() or int(value[:4]) > 255:
        raise ConfigError(f"{word!r}: an exit code is a number from 0 to 255, such as exit:137")
    return Induced(Failure(Kind.EXIT, exit_code=int(value), message=f"ended with exit code {value} (induced)", crashed=True))


def _signal(value: str, word: str) -> Induced:
    name = value.upper().removeprefix("SIG")
    number = int(value) if value.isdigit() and len(value) < 4 else getattr(signal, f"SIG{name}", None)
    if not isinstance(number, int) or number not in {int(each) for each in signal.Signals}:
        raise ConfigError(f"{word!r}: there is no such signal; write signal:KILL or signal:9")
    said = f"ended with {signal_name(int(number))} (induced)"
    return Induced(Failure(Kind.SIGNAL, signal=int(number), message=said, crashed=True))


def _snooze(value: str, word: str) -> Snooze:
    return Snooze(seconds(value, word))


def _ask_to_wait(error: BaseException, text: str, word: str) -> None:
    name, colon, value = text.partition(":")
    if not colon or name.strip().lower() != "retry-after" or isinstance(error, (Induced, Snooze)):
        raise ConfigError(f"{word!r}: what may be added is +retry-after:SECONDS, to an HTTP status, a class or an exception")
    error.retry_after = seconds(value, word)  # type: ignore[attr-defined]  # read off any exception that has it


def _exception(word: str, space: Mapping[str, Any]) -> BaseException:
    cls = _named(word, space)
    if not isinstance(cls, type) or not issubclass(cls, Exception):
        raise ConfigError(f"{word!r} is neither a word for a failure nor an exception that can be found; there is: {WORDS}")
    try:
        error = cls(f"{word} (induced)")
    except Exception:  # noqa: BLE001 - it wants other arguments: its type and its parents are what it is judged by
        error = cls.__new__(cls)
        error.args = (f"{word} (induced)",)
    return error


def _named(word: str, space: Mapping[str, Any]) -> object:
    names = word.split(".")
    if not all(name.isidentifier() for name in names):
        return None
    for holder in _holders(names, space):
        found: Any = holder
        for name in names if not isinstance(holder, ModuleType) else names[holder.__name__.count(".") + 1 :]:
            found = found.get(name) if isinstance(found, Mapping) else getattr(found, name, None)
        if isinstance(found, type):
            return found
    return None


def _holders(names: list[str], space: Mapping[str, Any]) -> Iterable[Any]:
    """Yield where a name may be found: the task's module, the builtins, the module that it begins with."""
    yield space
    yield vars(builtins)
    for length in range(len(names) - 1, 0, -1):
        try:
            yield importlib.import_module(".".join(names[:length]))
        except ImportError:
            continue
