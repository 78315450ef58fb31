"""Prints the table of moves as a page for people; what the moves are stands in `lifecycle`."""

from __future__ import annotations

from collections.abc import Iterator

from mulligan.core.job import JobStatus, Reason
from mulligan.core.labels import CANCELLING, PLAIN, REASONS
from mulligan.core.lifecycle import MOVES

_INTRODUCTION = """# The life of a work item

This page is printed from the code (`make docs`); a test fails when it is out of date.

A work item is in one of six statuses. Events move it: what a worker saw, what a person asked for, or that time passed. An
event that is not listed for a status comes too late there: it changes nothing, and one that came from a worker is counted
as refused.
"""
_SHOWN = {
    JobStatus.PENDING: "`Pending`, or `Waiting (why)`",
    JobStatus.STARTED: f"`{PLAIN[JobStatus.STARTED]}`; once a cancellation was asked for: `{CANCELLING}`",
    JobStatus.RETRY: "`Retrying (in X minutes)`, or `Waiting (why)`",
    JobStatus.SUCCESS: f"`{PLAIN[JobStatus.SUCCESS]}`",
    JobStatus.FAILURE: f"`{PLAIN[JobStatus.FAILURE]}`",
    JobStatus.REVOKED: f"`{PLAIN[JobStatus.REVOKED]}`",
}
_FENCE = """Events of an attempt (Succeeded, Failed, Snoozed, Stopped, WorkerLost, Released) move an item only while it is STARTED
by the same worker with the same token. The token grows by one with every claim and is never used again, so that an attempt
which was given up can no longer say anything.
"""


def lifecycle_table() -> str:
    """Return the page: statuses, moves and reasons, as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    yield "| status | shown as |"
    yield "| --- | --- |"
    yield from (f"| {status} | {_SHOWN[status]} |" for status in JobStatus)
    yield "\n## Moves\n"
    yield "| event | what happened | " + " | ".join(f"from {status}" for status in JobStatus) + " |"
    yield "| --- | --- |" + " --- |" * len(JobStatus)
    for event, moves in MOVES.items():
        what = " ".join((event.__doc__ or "").split()).rstrip(".")
        cells = (" or ".join(after for after in JobStatus if after in moves.get(before, ())) for before in JobStatus)
        yield f"| {event.__name__} | {what} | {' | '.join(cells)} |"
    yield f"\n{_FENCE}"
    yield "## Reasons\n"
    yield "Every move stores why it was made. `mulligan explain` says it in words.\n"
    yield "| reason | in words |"
    yield "| --- | --- |"
    yield from (f"| `{reason}` | {REASONS[reason]} |" for reason in Reason)
