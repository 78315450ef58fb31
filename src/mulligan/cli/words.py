"""Statuses, times and counts as the command line says them."""

from __future__ import annotations

from datetime import UTC, datetime

from mulligan.core.durations import words
from mulligan.core.job import Counts, JobStatus

STYLES = {
    JobStatus.PENDING: "dim",
    JobStatus.STARTED: "cyan",
    JobStatus.RETRY: "yellow",
    JobStatus.SUCCESS: "green",
    JobStatus.FAILURE: "red",
    JobStatus.REVOKED: "magenta",
}
NAMES = {
    JobStatus.PENDING: "waiting",
    JobStatus.STARTED: "running",
    JobStatus.RETRY: "retrying",
    JobStatus.SUCCESS: "succeeded",
    JobStatus.FAILURE: "failed",
    JobStatus.REVOKED: "cancelled",
}


def by_status(counts: Counts) -> dict[JobStatus, int]:
    """Return the counts by status."""
    return {
        JobStatus.PENDING: counts.pending,
        JobStatus.STARTED: counts.started,
        JobStatus.RETRY: counts.retry,
        JobStatus.SUCCESS: counts.success,
        JobStatus.FAILURE: counts.failure,
        JobStatus.REVOKED: counts.revoked,
    }


def counted(counts: Counts) -> str:
    """Say counts in words: `31 work items: 30 succeeded, 1 failed`."""
    some = [f"{count:,} {NAMES[status]}" for status, count in by_status(counts).items() if count]
    return f"{items(counts.total)}: {', '.join(some)}" if some else items(0)


def items(count: int) -> str:
    """Say how many work items."""
    return f"{count:,} work item{'' if count == 1 else 's'}"


def moment(ms: int) -> str:
    """Say a moment, in UTC to the second."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(moment: datetime | int | None) -> str | None:
    """Return a moment, or milliseconds since 1970 UTC, as ISO text for programs."""
    found = datetime.fromtimestamp(moment / 1000, UTC) if isinstance(moment, int) else moment
    return None if found is None else found.isoformat(timespec="milliseconds")


def milliseconds(moment: datetime) -> int:
    """Return a moment as milliseconds since 1970 UTC."""
    return round(moment.timestamp() * 1000)


def ago(ms: int, now_ms: int) -> str:
    """Say how long ago a moment was."""
    return f"{words(max(0, round((now_ms - ms) / 1000)))} ago"
