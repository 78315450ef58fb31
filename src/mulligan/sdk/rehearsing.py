"""A policy tried out on failures that were asked for: the real decisions, on a clock that only counts."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mulligan.core.attempt import time_limit
from mulligan.core.failure import Classification, Failure, Kind
from mulligan.core.job import Attempt, Item, JobStatus, Reason
from mulligan.core.retry import Policy
from mulligan.core.signals import Snooze
from mulligan.sdk.induced import OK, Induced
from mulligan.sdk.tries import Tries
from mulligan.sdk.trying import AttemptTimeout, Judged

TAKEN = 100_000
"""So many attempts are rehearsed at most: words may ask for that many snoozes and failures, policies for more."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is rehearsed of a task."""

    name: str
    policy: Policy
    judge: Callable[[BaseException], Judged]
    timeout_s: float | None = None
    total_timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One attempt of a rehearsal; its times are milliseconds since the beginning."""

    word: str
    attempt: Attempt
    judged: Classification | None


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What came of it."""

    steps: tuple[Step, ...]
    item: Item

    @property
    def succeeded(self) -> bool:
        """Whether it ended in success."""
        return self.item.status is JobStatus.SUCCESS

    @property
    def reason(self) -> Reason:
        """Why it ended."""
        return self.item.reason


def rehearse(
    subject: Subject,
    failures: Sequence[tuple[str, BaseException | None]],
    takes_s: float = 0.0,
    chance: Callable[[], float] = random.random,
) -> Rehearsal:
    """Return what a policy makes of failures, one for each attempt; what comes after the last one succeeds.

    Each attempt takes `takes_s` seconds; one that times out takes the task's timeout, and one that takes longer than that
    times out.
    """
    tries = Tries(subject.policy, 0, subject.total_timeout_s, chance)
    steps: list[Step] = []
    while tries.waits and len(steps) < TAKEN:
        began_ms = tries.item.due_ms
        if not tries.begin(began_ms):
            break
        word, error = failures[len(steps)] if len(steps) < len(failures) else (OK, None)
        limit = time_limit(subject.timeout_s, tries.item.cutoff_ms, began_ms)
        took_s, error = _outcome(error, takes_s, *limit)
        judged = _end(tries, error, began_ms + round(took_s * 1000), subject.judge)
        steps.append(Step(word, tries.attempts[-1], judged))
    return Rehearsal(tuple(steps), tries.item)


def _outcome(
    error: BaseException | None, takes_s: float, limit_s: float | None, cutoff: bool
) -> tuple[float, BaseException | None]:
    """Return how long an attempt takes and what it ends with."""
    overruns = isinstance(error, Induced) and error.failure.kind is Kind.TIMEOUT
    if limit_s is not None and (overruns or takes_s > limit_s):
        return limit_s, AttemptTimeout(limit_s, cutoff=cutoff)
    return takes_s, error


def _end(
    tries: Tries, error: BaseException | None, now_ms: int, judge: Callable[[BaseException], tuple[Failure, Classification]]
) -> Classification | None:
    if error is None:
        tries.succeed(now_ms)
        return None
    if isinstance(error, Snooze):
        tries.snooze(error.delay, now_ms)
        return None
    failure, judged = judge(error)
    tries.fail(failure, judged, now_ms)
    return judged
