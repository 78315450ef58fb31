"""Policies: for each class of failure how many attempts, and how long between them. Computes waits, decides nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

from mulligan.core.durations import MAX_SECONDS, Duration, seconds, words
from mulligan.core.errors import ConfigError, PolicyError
from mulligan.core.job import FailureClass
from mulligan.core.shown import shown

Jitter = float | Literal["full", "equal"] | None
Classes = FailureClass | tuple[FailureClass, ...]

MAX_ATTEMPTS = 1_000_000
MAX_LISTED = 1_001
"""Waits given one by one are part of every published definition: so many attempts at most."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and after how long, failures of one kind are tried again.

    `max_attempts` counts failures: the one that reaches it ends the work item, so 1 never retries. The wait after the
    n-th failure is `min(max_delay, delay * factor ** (n - 1))`, or the n-th of `delays` (the last one stands for all
    that follow), and never more than ten years. Durations are seconds, a `timedelta` or a text such as `"5m"`. `jitter`
    then adds up to that share of the wait (0.25: the wait becomes 1 to 1.25 times as long), or `"full"`: uniform between
    0 and the wait, or `"equal"`: uniform between half of it and all of it, or None: nothing. Raises PolicyError.
    """

    max_attempts: int = 3
    delay: Duration = 0
    factor: float = 1
    max_delay: Duration | None = None
    jitter: Jitter = 0.25
    listed: tuple[float, ...] | None = None

    def __init__(
        self,
        max_attempts: int = 3,
        delay: Duration = 0,
        factor: float = 1,
        max_delay: Duration | None = None,
        jitter: Jitter = 0.25,
        delays: Sequence[Duration] | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "max_attempts", _attempts(max_attempts))
        put(self, "delay", _seconds(delay, "delay"))
        put(self, "factor", _factor(factor))
        put(self, "max_delay", None if max_delay is None else _seconds(max_delay, "max_delay"))
        put(self, "jitter", _jitter(jitter))
        put(self, "listed", None if delays is None else _waits(delays))
        if delays is not None and delay:
            raise PolicyError("give either delay or delays, not both")

    @classmethod
    def linear(cls, retries: int, first: Duration, last: Duration) -> Retry:
        """Retry `retries` times with waits that grow evenly from `first` to `last`, without jitter."""
        if not isinstance(retries, int) or isinstance(retries, bool) or not 1 <= retries < MAX_LISTED:
            raise PolicyError(f"linear: expected a number of retries from 1 to {MAX_LISTED - 1:,}, not {shown(retries)}")
        low, high = _seconds(first, "first"), _seconds(last, "last")
        step = (high - low) / (retries - 1) if retries > 1 else 0.0
        return cls(max_attempts=retries + 1, delays=[low + step * n for n in range(retries)], jitter=None)

    def planned_s(self, failures: int) -> float:
        """Return the wait in seconds after the given number of failures (1 or more), before jitter."""
        if self.listed is not None:
            wait = self.listed[min(failures, len(self.listed)) - 1]
        else:
            wait = _grown(_seconds(self.delay, "delay"), self.factor, failures - 1)
        return min(wait, MAX_SECONDS if self.max_delay is None else _seconds(self.max_delay, "max_delay"))

    def delays(self) -> list[float]:
        """List the planned waits in seconds, before jitter; at most the first thousand."""
        return [self.planned_s(n) for n in range(1, min(self.max_attempts, 1001))]

    def spread_s(self, wait_s: float, fraction: float) -> float:
        """Return a planned wait with jitter; `fraction` is a random number in [0, 1).

        `full` and `equal` are the formulas of the AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).
        """
        if self.jitter is None:
            return wait_s
        if self.jitter == "full":
            return wait_s * fraction
        if self.jitter == "equal":
            return wait_s / 2 * (1 + fraction)
        return wait_s * (1 + float(self.jitter) * fraction)


_ALL_BUT_PERMANENT = tuple(each for each in FailureClass if each is not FailureClass.PERMANENT)


class Policy:
    """Which `Retry` holds for which failure class. Each entry has its own budget; an absent class is not retried."""

    __slots__ = ("_index", "at_most_once", "entries")

    @overload
    def __init__(self, entries: Mapping[Classes, Retry]) -> None: ...
    @overload
    def __init__(self, entries: Iterable[tuple[Classes, Retry]] = ()) -> None: ...
    def __init__(self, entries: Mapping[Classes, Retry] | Iterable[tuple[Classes, Retry]] = ()) -> None:
        self.entries: tuple[tuple[tuple[FailureClass, ...], Retry], ...] = tuple(
            (_classes(classes), _retry(retry)) for classes, retry in _pairs(entries)
        )
        self._index: dict[FailureClass, int] = {}
        for place, (classes, _) in enumerate(self.entries):
            for each in classes:
                if each in self._index:
                    raise PolicyError(f"{each} stands in two entries of the policy: give each class once")
                self._index[each] = place
        self.at_most_once: bool = all(retry.max_attempts == 1 for _, retry in self.entries)
        """Whether nothing is ever retried under this policy."""

    @classmethod
    def of(cls, form: Any) -> Policy:
        """Make a policy of any form that `retries=` takes: None, 2, (2, 300), (5, 300, 600), a Retry or a Policy.

        The short forms retry every class but PERMANENT, all from one budget, without jitter.
        """
        match form:
            case None:
                return cls()
            case Policy():
                return form
            case Retry():
                return cls([(_ALL_BUT_PERMANENT, form)])
            case bool():
                raise PolicyError(f"retries={shown(form)}: give the number of retries")
            case int():
                if form < 0:
                    raise PolicyError(f"retries={form}: the number of retries cannot be negative")
                return cls([(_ALL_BUT_PERMANENT, Retry(form + 1, jitter=None))]) if form else cls()
            case (int(retries), wait):
                return cls([(_ALL_BUT_PERMANENT, Retry(_count(retries) + 1, delay=wait, jitter=None))])
            case (int(retries), first, last):
                return cls([(_ALL_BUT_PERMANENT, Retry.linear(_count(retries), first, last))])
        raise PolicyError(f"retries={shown(form)}: give a number, (n, seconds), (n, first, last), a Retry or a Policy")

    def find(self, failure_class: FailureClass) -> tuple[int, Retry] | None:
        """Return the place and the Retry of the entry for a class, or None when the class is absent."""
        place = self._index.get(failure_class)
        return None if place is None else (place, self.entries[place][1])

    def delays(self, failure_class: FailureClass) -> list[float]:
        """List the planned waits in seconds for failures of one class, before jitter; empty when it is not retried."""
        found = self.find(*_classes((failure_class,)))
        return found[1].delays() if found else []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and self.entries == other.entries

    def __hash__(self) -> int:
        return hash(self.entries)

    def __repr__(self) -> str:
        parts = (f"({', '.join(classes)}): {retry!r}" for classes, retry in self.entries)
        return f"Policy({{{', '.join(parts)}}})"


def _grown(first: float, factor: float, steps: int) -> float:
    try:
        return float(first * factor**steps) if first else 0.0
    except OverflowError:
        return math.inf  # only a factor above 1 comes here: what shrinks ends at 0


def _seconds(value: Duration, name: str) -> float:
    try:
        return seconds(value, name)
    except ConfigError as error:
        raise PolicyError(str(error)) from None


def _attempts(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_ATTEMPTS:
        raise PolicyError(f"max_attempts: expected a whole number from 1 to {MAX_ATTEMPTS:,}, not {shown(value)}")
    return value


def _count(value: int) -> int:
    if isinstance(value, bool) or value < 1:
        raise PolicyError(f"the number of retries must be at least 1 where waits are given, not {shown(value)}")
    return value


def _waits(value: object) -> tuple[float, ...]:
    if not isinstance(value, (list, tuple)) or not 1 <= len(value) < MAX_LISTED:
        raise PolicyError(f"delays: expected a list of 1 to {MAX_LISTED - 1:,} waits such as [10, '5m'], not {shown(value)}")
    return tuple(_seconds(each, "delays") for each in value)


def _pairs(entries: object) -> list[tuple[object, object]]:
    pairs = list(entries.items()) if isinstance(entries, Mapping) else list(entries) if isinstance(entries, Iterable) else None
    if pairs is None or not all(isinstance(each, tuple) and len(each) == 2 for each in pairs):
        raise PolicyError(f"expected a mapping such as {{TRANSIENT: Retry(5), PERMANENT: NEVER}}, not {shown(entries)}")
    return pairs


def _factor(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 1000:
        raise PolicyError(f"factor: expected a number from 0 to 1000, not {shown(value)}")
    return float(value)


def _jitter(value: object) -> Jitter:
    if value is None or value == "full" or value == "equal":
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise PolicyError(f"jitter: expected a share from 0 to 1, 'full', 'equal' or None, not {shown(value)}")


def _classes(value: object) -> tuple[FailureClass, ...]:
    classes = value if isinstance(value, tuple) else (value,)
    if not classes:
        raise PolicyError("an entry of the policy has no failure class: name at least one")
    try:
        return tuple(FailureClass(each) for each in classes)
    except ValueError:
        raise PolicyError(f"{shown(value)}: expected failure classes ({', '.join(FailureClass)})") from None


def _retry(value: object) -> Retry:
    if not isinstance(value, Retry):
        raise PolicyError(f"{shown(value)}: expected a Retry or NEVER")
    return value


def describe(retry: Retry) -> str:
    """Say a Retry in one line for people."""
    if retry.max_attempts == 1:
        return "never retried"
    waits = [words(each) for each in retry.delays()[:3]]
    return f"up to {retry.max_attempts} failures, waits {', '.join(waits)}{', …' if retry.max_attempts > 4 else ''}"


NEVER = Retry(max_attempts=1, jitter=None)
"""The first failure of this kind ends the work item."""

BATCH = Policy(
    {
        FailureClass.INFRASTRUCTURE: Retry(max_attempts=100),
        (FailureClass.TRANSIENT, FailureClass.RATE_LIMITED, FailureClass.TIMEOUT, FailureClass.UNKNOWN): Retry(
            max_attempts=10, delay="5m", factor=2, max_delay="6h"
        ),
        FailureClass.PERMANENT: NEVER,
    }
)
"""For batch work such as materialization: lost machines are retried at once, a hundred times; all else after 5 minutes,
then twice as long each time, ten times; what is permanent never."""
