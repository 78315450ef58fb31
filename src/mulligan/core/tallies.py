"""What is counted when work items move: each move becomes a few numbers, which are summed up by task and day."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Literal, NamedTuple

from mulligan.core.job import TERMINAL, Attempt, Item, JobStatus, Outcome, Reason
from mulligan.core.lifecycle import Transition

DAY_MS = 86_400_000


class Measure(StrEnum):
    """What a number counts; in brackets its kind, and its detail."""

    ATTEMPTS = "attempts"
    """Attempts that ended (outcome; failure class, empty where nothing failed)."""
    ITEMS = "items"
    """Ends of generations of work items (status; `Try`)."""
    RETRIES = "retries"
    """Attempts that failed and were followed by another one by itself (failure class)."""
    AGAIN = "again"
    """Work items that a person had run again (recovered, restarted, overwritten)."""
    LOST_MS = "lost_ms"
    """Milliseconds that failed attempts took (failure class)."""
    RECOVERIES = "recoveries"
    """Successes after a failure (`How`; the bucket that the time to recovery is in)."""
    RECOVERY_MS = "recovery_ms"
    """Milliseconds from the first failure to the next success (`How`)."""


_text = str.__str__
"""A word of an enum as a plain text: it is hashed several times for every failure, which takes ten times as long for the word."""
_ATTEMPTS, _ITEMS, _RETRIES, _LOST_MS, _RECOVERIES, _RECOVERY_MS = (
    _text(each)
    for each in (
        Measure.ATTEMPTS, Measure.ITEMS, Measure.RETRIES, Measure.LOST_MS, Measure.RECOVERIES, Measure.RECOVERY_MS,
    )
)  # fmt: skip

Try = Literal["first_try", "first", "later"]
"""How an item came to its end: in its first attempt; in its first generation; in a later one."""
How = Literal["automatic", "manual"]
"""How something recovered: by its own retries, or because somebody had it run again."""

BUCKETS_S = (
    1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200,
    86_400, 172_800, 604_800, 2_592_000,
)  # fmt: skip
"""Upper bounds, in seconds, of the buckets for times to recovery; what took longer than the last is in `INF`."""
INF = "inf"
_AGAIN = frozenset({Reason.RECOVERED, Reason.RESTARTED, Reason.OVERWRITTEN})


class Tally(NamedTuple):
    """A number that was counted of a task on a day: days since 1970, UTC."""

    task: int
    day: int
    measure: str
    kind: str
    detail: str
    value: int


class Recovery(NamedTuple):
    """Something succeeded after it had failed."""

    task: int
    how: How
    since_ms: int
    """When its first attempt failed."""
    until_ms: int


Count = Counter[tuple[int, int, str, str, str]]


Plain = dict[tuple[int, int], int]
"""Successes at the first try, by task and day."""


def set_apart(moved: Sequence[Transition]) -> tuple[Plain, list[Transition]]:
    """Return how many moves are successes at the first try, of which nothing else is to be said, and the others.

    Nearly all that moves is of the first kind, and is looked at here only.
    """
    plain: Plain = {}
    others: list[Transition] = []
    for move in moved:
        _, after, attempt, _ = move
        if attempt is not None and after.status is JobStatus.SUCCESS and _is_first_try(after):
            place = after.task, attempt.ended_ms // DAY_MS
            plain[place] = plain.get(place, 0) + 1
        else:
            others.append(move)
    return plain, others


def tallies(
    plain: Plain, others: Iterable[Transition], now_ms: int, recoveries: Iterable[Recovery], is_workflow: Callable[[Item], bool]
) -> list[Tally]:
    """Return what moves of work items count for, which were set apart.

    The time that the body of a workflow took is not lost when it fails: it waited, and what succeeded under it is kept.
    """
    count: Count = Counter()
    for move in others:
        _add(count, move, now_ms, is_workflow)
    for each in recoveries:
        _add_recovery(count, each)
    rows = [Tally(*place, value) for place, value in count.items()]
    for (task, day), number in plain.items():
        rows.append(Tally(task, day, _ATTEMPTS, _text(Outcome.SUCCEEDED), "", number))
        rows.append(Tally(task, day, _ITEMS, _text(JobStatus.SUCCESS), "first_try", number))
    return rows


def summed(rows: Iterable[Tally]) -> list[Tally]:
    """Return the sums of what was counted, one for each task, day, measure, kind and detail, in this order."""
    count: Count = Counter()
    for row in rows:
        count[row[:5]] += row.value
    return [Tally(*place, value) for place, value in sorted(count.items())]


def bucket(duration_ms: int) -> str:
    """Return the upper bound of the bucket that a time is in, in seconds, or `INF`."""
    place = bisect_left(BUCKETS_S, duration_ms / 1000)
    return INF if place == len(BUCKETS_S) else str(BUCKETS_S[place])


def _is_first_try(item: Item) -> bool:
    return item.generation == 1 and item.attempt - item.snoozes <= 1


def _add(count: Count, move: Transition, now_ms: int, is_workflow: Callable[[Item], bool]) -> None:
    before, after, attempt, _ = move
    task, day = after.task, (now_ms if attempt is None else attempt.ended_ms) // DAY_MS
    if attempt is not None:
        kind = attempt.failure_class
        count[task, day, _ATTEMPTS, _text(attempt.outcome), "" if kind is None else _text(kind)] += 1
        if kind is not None:
            _add_failure(count, after, attempt, _text(kind), day, lost=not is_workflow(after))
    if after.status in TERMINAL and before.status not in TERMINAL:
        tried: Try = "first_try" if _is_first_try(after) else "first" if after.generation == 1 else "later"
        count[task, day, _ITEMS, _text(after.status), tried] += 1
    elif before.status in TERMINAL and after.reason in _AGAIN:
        count[task, day, _text(Measure.AGAIN), _text(after.reason), ""] += 1


def _add_failure(count: Count, after: Item, attempt: Attempt, kind: str, day: int, *, lost: bool) -> None:
    if after.status is JobStatus.RETRY:
        count[after.task, day, _RETRIES, kind, ""] += 1
    if lost:
        count[after.task, day, _LOST_MS, kind, ""] += attempt.ended_ms - attempt.began_ms


def _add_recovery(count: Count, recovery: Recovery) -> None:
    took_ms = max(0, recovery.until_ms - recovery.since_ms)  # by clocks that may have been set in between
    day = recovery.until_ms // DAY_MS
    count[recovery.task, day, _RECOVERIES, recovery.how, bucket(took_ms)] += 1
    count[recovery.task, day, _RECOVERY_MS, recovery.how, ""] += took_ms
