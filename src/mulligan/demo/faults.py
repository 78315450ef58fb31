"""Which request for an object fails, and how: a plan that follows from a seed, so that every run meets the same trouble."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from random import Random
from typing import Literal

Kind = Literal["unavailable", "limited", "reset", "stall", "truncated"]

MAX_FAULTS = 3
"""No object fails more often than this in a row, so that a policy can be chosen that always gets through."""

_OUTAGES = 4
_OUTAGE_DAYS = 6
_TROUBLED = 0.12
_FIRST_DAY = date(2013, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Fault:
    """How one request fails; `retry_after_s` is what the answer asks the caller to wait."""

    kind: Kind
    retry_after_s: int | None = None


def fault(seed: int, name: str, number: int) -> Fault | None:
    """Return how the n-th request (from 1) for an object such as `flights/2013-01-01.csv` fails, or None when it is served."""
    plan = faults(seed, name)
    return plan[number - 1] if 1 <= number <= len(plan) else None


@lru_cache(maxsize=4096)
def faults(seed: int, name: str) -> tuple[Fault, ...]:
    """Return the faults of the first requests for an object; all later requests are served."""
    random = Random(f"{seed} {name}")  # noqa: S311 - repeatable on purpose
    if _day(name) in _outages(seed):
        return _burst(random, 2)
    if random.random() >= _TROUBLED:
        return ()
    match random.choice(("unavailable", "limited", "reset", "stall", "truncated")):
        case "unavailable":
            return _burst(random, random.randint(1, MAX_FAULTS))
        case "limited":
            return (Fault("limited", retry_after_s=1),) * random.randint(1, 2)
        case "reset":
            return (Fault("reset"),) * random.randint(1, 2)
        case "stall":
            return (Fault("stall"),)
        case _:
            return (Fault("truncated"),) * random.randint(1, 2)


def _burst(random: Random, length: int) -> tuple[Fault, ...]:
    return tuple(Fault("unavailable", retry_after_s=random.choice((None, None, 1))) for _ in range(length))


@lru_cache(maxsize=64)
def _outages(seed: int) -> frozenset[int]:
    random = Random(f"{seed} outages")  # noqa: S311 - repeatable on purpose
    starts = random.sample(range(365 - _OUTAGE_DAYS), _OUTAGES)
    return frozenset(_FIRST_DAY + start + day for start in starts for day in range(_OUTAGE_DAYS))


def _day(name: str) -> int:
    return date.fromisoformat(name.rpartition("/")[2].removesuffix(".csv")).toordinal()
