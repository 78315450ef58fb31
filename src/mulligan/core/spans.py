"""What a work item did with its time: it was queued, waited for its retry, ran. The terminal and the console draw the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from mulligan.core.job import FAR_FUTURE_MS, WAITING, JobStatus

Kind = Literal["queued", "waiting", "running"]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time of one kind; it never ends before it starts, whatever the clocks said."""

    start_ms: int
    end_ms: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Tried:
    """An ended attempt: when it was, and how long a wait was decided after it."""

    generation: int
    began_ms: int
    ended_ms: int
    delay_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a work item stands; `due_ms` is None where it does not wait, `claimed_ms` where it does not run."""

    status: JobStatus
    generation: int
    created_ms: int
    claimed_ms: int | None = None
    due_ms: int | None = None


def spans_of_attempts(standing: Standing, attempts: Sequence[Tried]) -> Iterator[tuple[Span, ...]]:
    """Yield for each attempt what came before it and its run, the run last."""
    before: Tried | None = None
    for attempt in attempts:
        past = _before(standing, before, attempt.generation, attempt.began_ms)
        yield (*past, _span(attempt.began_ms, attempt.ended_ms, "running"))
        before = attempt


def spans_under_way(standing: Standing, last: Tried | None, now_ms: int) -> tuple[Span, ...]:
    """Return what is going on now; nothing where the item has ended, or may not start whatever the clock says.

    A wait goes on to the moment when it is due. `last` is the newest attempt that has ended.
    """
    if standing.status is JobStatus.STARTED:
        began = now_ms if standing.claimed_ms is None else standing.claimed_ms
        return (*_before(standing, last, standing.generation, began), _span(began, now_ms, "running"))
    due = standing.due_ms
    if standing.status not in WAITING or due is None or due >= FAR_FUTURE_MS:
        return ()
    since = standing.created_ms if last is None else last.ended_ms
    if last is not None and last.generation != standing.generation:
        since = min(due, now_ms)
    if standing.status is JobStatus.PENDING:
        return (_span(since, max(now_ms, due), "queued"),)
    wait = _span(since, due, "waiting")
    return (wait, _span(wait.end_ms, now_ms, "queued")) if now_ms > wait.end_ms else (wait,)


def _before(standing: Standing, before: Tried | None, generation: int, until_ms: int) -> tuple[Span, ...]:
    """Return what came before an attempt began: the wait that was decided, then the queue."""
    if before is None:
        return (_span(min(standing.created_ms, until_ms), until_ms, "queued"),)
    if before.generation != generation:  # nobody waited: it had ended, and somebody asked for it again later
        return ()
    due = max(before.ended_ms, min(until_ms, before.ended_ms + (before.delay_ms or 0)))
    return (_span(before.ended_ms, due, "waiting"), _span(due, until_ms, "queued"))


def _span(start_ms: int, end_ms: int, kind: Kind) -> Span:
    return Span(start_ms, max(start_ms, end_ms), kind)
