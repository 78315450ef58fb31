"""A root cause, as users see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mulligan.core.job import FailureClass
from mulligan.engine.causes import CauseView, Sample


@dataclass(frozen=True, slots=True)
class PipelineCause:
    """What is counted of a cause for one pipeline. Times are aware, in UTC."""

    pipeline: str
    failed_now: int
    """Its work items that are in FAILURE of it now; calls of workflows are not among them."""
    failures: int
    """Failed attempts of all time, also of jobs that were removed since and of items that succeeded later."""
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Cause:
    """Failures that have in common what they came from. Times are aware, in UTC."""

    id: str
    failure_class: FailureClass
    """As its last failure was judged."""
    error_type: str
    title: str
    """Its first message, with placeholders for what differs: `no rows in <path>`."""
    failed_now: int
    failures: int
    pipelines: tuple[PipelineCause, ...]
    """Where it was seen, the one with its last failure first."""
    first_seen: datetime
    last_seen: datetime
    why: tuple[tuple[str, str], ...]
    """What its failures have in common: what it is, and its value."""
    version: int
    """Of the way in which the id was made of these."""


@dataclass(frozen=True, slots=True)
class CauseSample:
    """The newest failure of a cause whose details have not been removed."""

    work_item: str
    error_type: str | None
    error_message: str | None
    traceback: str | None


def cause_of(view: CauseView) -> Cause:
    """Return a cause as users see it."""
    return Cause(
        id=view.cause,
        failure_class=view.failure_class,
        error_type=view.first.error_type,
        title=view.first.title,
        failed_now=view.failed_now,
        failures=view.failures,
        pipelines=tuple(
            PipelineCause(row.task, row.failed_now, row.failures, _time(row.first_ms), _time(row.last_ms)) for row in view.rows
        ),
        first_seen=_time(view.first.first_ms),
        last_seen=_time(view.newest.last_ms),
        why=tuple(view.parts),
        version=view.first.version,
    )


def sample_of(sample: Sample | None) -> CauseSample | None:
    """Return a sample as users see it."""
    if sample is None:
        return None
    attempt = sample.attempt
    return CauseSample(str(sample.item), attempt and attempt.error_type, attempt and attempt.error_message, sample.traceback)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
