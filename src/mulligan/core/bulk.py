"""Bulk operations: the same action on all work items that match a filter, begun slowly and at a bounded pace."""

from __future__ import annotations

from enum import StrEnum

from mulligan.core.job import JobStatus


class BulkAction(StrEnum):
    """What is done to each of the work items."""

    RETRY = "retry"
    RETRY_NOW = "retry-now"
    CANCEL = "cancel"
    OVERWRITE = "overwrite"


class BulkState(StrEnum):
    """COLLECTING: its work items are being written down, and nothing is done yet. The last three are for good."""

    COLLECTING = "COLLECTING"
    RUNNING = "RUNNING"
    DONE = "DONE"
    ABORTED = "ABORTED"
    FAILED = "FAILED"


FITTING: dict[BulkAction, tuple[JobStatus, ...]] = {
    BulkAction.RETRY: (JobStatus.FAILURE, JobStatus.REVOKED),
    BulkAction.RETRY_NOW: (JobStatus.PENDING, JobStatus.RETRY),
    BulkAction.CANCEL: (JobStatus.PENDING, JobStatus.STARTED, JobStatus.RETRY),
    BulkAction.OVERWRITE: (JobStatus.SUCCESS,),
}
"""The statuses in which an action makes sense."""
FIRST_PAGE = 10
"""What a mistake costs before anybody can have seen it."""
MOST = 500
"""Work items in one transaction: it may be one of a worker, which has others waiting for it."""
CREDIT_MS = 1_000
"""What was not used for so long is not made up for."""


def next_size(size: int, rate: int) -> int:
    """Return how large the page after one of a size is: twice as large, up to what a second has room for; `rate` 0: no limit."""
    return max(1, min(2 * size, MOST, rate or MOST))


def next_due_ms(due_ms: int, now_ms: int, count: int, rate: int) -> int:
    """Return when the page is due after one of so many items that was due at `due_ms`, at `rate` items a second; 0: at once."""
    if not rate:
        return now_ms
    return max(due_ms, now_ms - CREDIT_MS) + -(-1_000 * count // rate)
