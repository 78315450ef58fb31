"""What people can do from a page, and how it is said before and after."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from mulligan.api.models import Audited, Done, Job, WorkItem
from mulligan.console.words import left_alone
from mulligan.core.bulk import FITTING, BulkAction
from mulligan.core.durations import words
from mulligan.core.job import JobStatus


@dataclass(frozen=True, slots=True)
class Verb:
    """An action as pages say it."""

    path: str
    button: str
    title: str
    """Above the question."""
    done: str
    """Before what it was done to."""
    failed: str
    nothing: str


RETRY = Verb("retry", "Retry", "Retry", "Retry scheduled for", "Retry could not be scheduled", "Nothing was retried")
RETRY_NOW = Verb(
    "retry-now", "Retry now", "Retry now", "Next attempt is due now for", "It could not be made due", "Nothing was waiting"
)
OVERWRITE = Verb(
    "overwrite", "Overwrite", "Overwrite", "Re-run scheduled for", "Re-run could not be scheduled", "Nothing was run again"
)
CANCEL = Verb(
    "cancel", "Cancel", "Cancel", "Cancellation requested for", "Cancellation could not be requested", "Nothing was cancelled"
)
BACKFILL = Verb(
    "backfill",
    "Backfill what is missing",
    "Backfill what is missing",
    "Submitted",
    "Nothing could be submitted",
    "Nothing is missing",
)
"""On a range of windows only."""
RUN = Verb("run", "Run", "Run", "Scheduled", "it could not be scheduled", "Nothing is missing")
"""Of a pipeline."""
VERBS = {each.path: each for each in (RETRY, RETRY_NOW, OVERWRITE, CANCEL)}


@dataclass(frozen=True, slots=True)
class Toast:
    """What is said after an action; one that `went_wrong` stays until it is closed, and has an id to copy."""

    text: str
    job: str
    details: tuple[str, ...] = ()
    went_wrong: bool = False
    view: str = ""
    """Where to look at what came of it; by default the job."""


def possible(of: Job | WorkItem) -> tuple[Verb, ...]:
    """Return what can be done to a job or a work item in its state."""
    if of.cancel_requested and of.status not in (JobStatus.SUCCESS, JobStatus.FAILURE, JobStatus.REVOKED):
        return ()
    match of.status:
        case JobStatus.RETRY:
            return (RETRY_NOW, CANCEL)
        case JobStatus.PENDING | JobStatus.STARTED:
            return (CANCEL,)
        case JobStatus.SUCCESS:
            return (OVERWRITE,)
    return (RETRY,)


def fitting(statuses: Collection[str]) -> tuple[Verb, ...]:
    """Return what can be done to all that match a filter of some statuses; none: of any."""
    return tuple(verb for path, verb in VERBS.items() if not statuses or set(FITTING[BulkAction(path)]) & set(statuses))


def at_once(of: Job | WorkItem, verb: Verb) -> bool:
    """Return whether an action needs no question: it can do no harm, and is what people do most."""
    if verb is RETRY_NOW:
        return True
    return verb is RETRY and isinstance(of, WorkItem) and of.safe_to_retry is True


DID = {
    "recover": "retried (recover)",
    "restart": "retried (restart)",
    "retry now": "made due",
    "overwrite": "set to run again",
    "cancel": "cancelled",
}
"""What the audit's actions have done."""


def already(before: Audited | None, now: datetime) -> str:
    """Say what was done to something before, by whom and how long ago; empty where nothing is known of it."""
    if before is None or before.action not in DID:
        return ""
    seconds = max(0, round((now - before.at).total_seconds()))
    return f"It was already {DID[before.action]} by {before.actor}, {words(seconds)} ago."


def said(verb: Verb, done: Done, what: str, job: str, mode: str = "", before: str = "") -> Toast:
    """Say what an action did; `before` is what somebody else did, where nothing was left to do."""
    skipped = left_alone(done)
    if not done.total:
        return Toast(f"{verb.nothing}: {what}.", job, (*((before,) if before else ()), *skipped, *done.warnings))
    how = f" ({mode})" if mode else ""
    count = f", {done.total:,} work items" if done.total > 1 else ""
    return Toast(f"{verb.done} {what}{count}{how}. Job ID {job}.", job, (*skipped, *done.warnings))
