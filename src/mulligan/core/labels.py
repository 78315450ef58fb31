"""What a status reads like for people, and what something waits for."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from mulligan.core.job import TERMINAL, FailureClass, Item, JobStatus, Outcome, Reason, Wait

PLAIN = {
    JobStatus.PENDING: "Pending",
    JobStatus.STARTED: "Running",
    JobStatus.SUCCESS: "Success",
    JobStatus.FAILURE: "Failed",
    JobStatus.REVOKED: "Manually Cancelled",
}
CLASSES = tuple(FailureClass)
CLASS_LETTERS = {
    FailureClass.TRANSIENT: "T",
    FailureClass.RATE_LIMITED: "L",
    FailureClass.INFRASTRUCTURE: "I",
    FailureClass.TIMEOUT: "O",
    FailureClass.PERMANENT: "P",
    FailureClass.UNKNOWN: "U",
}
_OUTCOME_LETTERS = {Outcome.SUCCEEDED: "S", Outcome.CANCELLED: "C", Outcome.SNOOZED: "Z"}
ENDS = {
    "S": "succeeded",
    "T": "transient",
    "L": "rate limited",
    "I": "infrastructure",
    "O": "timeout",
    "P": "permanent",
    "U": "unknown",
    "C": "cancelled",
    "Z": "snoozed",
    ">": "goes on",
}
"""What the letters at the ends of attempts mean; those of failures are their classes."""
CANCELLING = "Manual Cancellation Requested"
NO_WORKER = "no capable worker"
"""What an item waits for where nobody runs its task."""

_WAITS = {
    Wait.SCHEDULE: "scheduled",
    Wait.SNOOZE: "snoozed",
    Wait.SUBMITTING: "being submitted",
    Wait.PREDECESSOR: "the window before it",
}

REASONS = {
    Reason.SUBMITTED: "it was submitted",
    Reason.SUCCEEDED: "the task returned",
    Reason.CANCEL_TOO_LATE: "the task returned before the cancellation reached it",
    Reason.WILL_RETRY: "the policy allows another attempt",
    Reason.AT_MOST_ONCE: "the task has no retries, so it runs at most once",
    Reason.OUTCOME_UNKNOWN: "the task has no retries and it is unknown whether it had finished: it is not run again by itself",
    Reason.NOT_RETRIED: "the policy does not retry this class",
    Reason.BUDGET_SPENT: "the policy's attempts for this class are used up",
    Reason.CUTOFF: "the time for all attempts together is over, or would be before the next one",
    Reason.EXPIRED: "it had not started by the time that was given for that (expires)",
    Reason.POISON: "its process died three times since the last checkpoint",
    Reason.SNOOZED: "the task asked to be run later",
    Reason.SNOOZED_TOO_OFTEN: "the task asked a thousand times to be run later",
    Reason.CANCELLED: "somebody cancelled it",
    Reason.RECOVERED: "somebody asked to recover it: it goes on from its checkpoints",
    Reason.RESTARTED: "somebody asked to restart it: it begins anew",
    Reason.OVERWRITTEN: "somebody asked to overwrite it: it begins anew",
    Reason.REPLAYED: "the worker was stopped or lost while its workflow ran: the body is replayed, which is charged to nothing",
}


def end_letter(outcome: Outcome, failure_class: FailureClass | None) -> str:
    """Return the letter of how an attempt ended: the class of its failure, or what else came of it."""
    if outcome is not Outcome.SUCCEEDED and failure_class is not None:
        return CLASS_LETTERS[failure_class]
    return _OUTCOME_LETTERS.get(outcome, "I")


def in_minutes(due_ms: int, now_ms: int) -> str:
    """Say how long it is until a moment, in whole minutes, rounded up."""
    minutes = max(0, math.ceil((due_ms - now_ms) / 60_000))
    return f"in {minutes} minute{'' if minutes == 1 else 's'}"


def item_label(item: Item, now_ms: int, waits_for: str | None = None) -> str:
    """Say an item's status. `waits_for` is what keeps it besides its due time: a paused task, no capable worker."""
    if item.status is JobStatus.STARTED and item.cancel_ms is not None:
        return CANCELLING
    if item.status is JobStatus.RETRY:
        overdue = waits_for and item.due_ms <= now_ms
        return f"Waiting ({waits_for})" if overdue else f"Retrying ({in_minutes(item.due_ms, now_ms)})"
    if item.status is JobStatus.PENDING:
        return _pending(item.wait, item.due_ms, now_ms, waits_for)
    return PLAIN[item.status]


def _pending(wait: Wait | None, due_ms: int, now_ms: int, waits_for: str | None) -> str:
    if wait in (Wait.SUBMITTING, Wait.PREDECESSOR):
        return f"Waiting ({_WAITS[wait]})"
    if due_ms > now_ms and wait is not None and wait in _WAITS:
        return f"Waiting ({_WAITS[wait]}, due {in_minutes(due_ms, now_ms)})"
    return f"Waiting ({waits_for})" if waits_for else PLAIN[JobStatus.PENDING]


def job_label(
    status: JobStatus,
    cancelling: bool,
    next_ms: int | None,
    now_ms: int,
    waits_for: str | None = None,
    wait: Wait | None = None,
) -> str:
    """Say a job's status; `next_ms` is the earliest moment at which one of its items is tried.

    `wait` is what the first of them waits for until then, of a job of which nothing has started.
    """
    if status in TERMINAL:
        return PLAIN[status]
    if cancelling:
        return CANCELLING
    if status is JobStatus.RETRY:
        due_ms = now_ms if next_ms is None else next_ms
        return f"Waiting ({waits_for})" if waits_for and due_ms <= now_ms else f"Retrying ({in_minutes(due_ms, now_ms)})"
    if status is JobStatus.PENDING:
        return _pending(wait, now_ms if next_ms is None else next_ms, now_ms, waits_for)
    return PLAIN[status]


def paused(task: str) -> str:
    """Say what an item waits for whose task is paused."""
    return f"task {task} is paused"


def removed(job: int, pruned_ms: int) -> str:
    """Say that retention has removed the details of a job."""
    day = datetime.fromtimestamp(pruned_ms / 1000, UTC).date()
    return f"the details of job {job} were removed on {day} by retention"


def failure_message(reason: Reason, message: str | None) -> str:
    """Say why an item failed: its error where that is the reason, else the reason with the last error."""
    if message and reason in (Reason.WILL_RETRY, Reason.AT_MOST_ONCE, Reason.NOT_RETRIED, Reason.BUDGET_SPENT):
        return message
    said = REASONS[reason]
    return f"{said}; last error: {message}" if message else said
