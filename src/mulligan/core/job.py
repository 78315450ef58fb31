"""The values that the life of a job is made of: statuses, classes, reasons, rows of items, attempts and jobs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple


class JobStatus(StrEnum):
    """Status of a job or a work item."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    RETRY = "RETRY"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    REVOKED = "REVOKED"


TERMINAL = frozenset({JobStatus.SUCCESS, JobStatus.FAILURE, JobStatus.REVOKED})
WAITING = frozenset({JobStatus.PENDING, JobStatus.RETRY})
WORST_FIRST = (
    JobStatus.FAILURE,
    JobStatus.REVOKED,
    JobStatus.RETRY,
    JobStatus.STARTED,
    JobStatus.PENDING,
    JobStatus.SUCCESS,
)
"""Which status stands for several of them: the first that is among them."""


class FailureClass(StrEnum):
    """What kind of failure it was: decides how it is retried."""

    TRANSIENT = "TRANSIENT"
    RATE_LIMITED = "RATE_LIMITED"
    INFRASTRUCTURE = "INFRASTRUCTURE"
    TIMEOUT = "TIMEOUT"
    PERMANENT = "PERMANENT"
    UNKNOWN = "UNKNOWN"


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    LOST = "LOST"
    INTERRUPTED = "INTERRUPTED"
    SNOOZED = "SNOOZED"
    CANCELLED = "CANCELLED"


class Reason(StrEnum):
    """Why a work item is in the status it is in: stored with every decision, shown and asserted."""

    SUBMITTED = "submitted"
    SUCCEEDED = "succeeded"
    CANCEL_TOO_LATE = "cancel_too_late"
    WILL_RETRY = "will_retry"
    AT_MOST_ONCE = "at_most_once"
    OUTCOME_UNKNOWN = "outcome_unknown"
    NOT_RETRIED = "not_retried"
    BUDGET_SPENT = "budget_spent"
    CUTOFF = "cutoff"
    EXPIRED = "expired"
    POISON = "poison"
    SNOOZED = "snoozed"
    SNOOZED_TOO_OFTEN = "snoozed_too_often"
    CANCELLED = "cancelled"
    RECOVERED = "recovered"
    RESTARTED = "restarted"
    OVERWRITTEN = "overwritten"
    REPLAYED = "replayed"


class Wait(StrEnum):
    """What a waiting work item waits for, as stored; what depends on others (a pause, no worker) is found on reading."""

    READY = "ready"
    BACKOFF = "backoff"
    SCHEDULE = "schedule"
    SNOOZE = "snooze"
    SUBMITTING = "submitting"
    PREDECESSOR = "predecessor"


class ItemKey(NamedTuple):
    """Identity of a work item: its job, and its number in the job (from 0)."""

    job: int
    number: int

    def __str__(self) -> str:
        return f"{self.job}-{self.number}"

    @classmethod
    def of(cls, text: str) -> ItemKey:
        """Read a key as it is written."""
        job, _, number = text.partition("-")
        return cls(int(job), int(number))


FAR_FUTURE_MS = 253402300799000
"""Due time of items that may not start yet, whatever the clock says: the last second of the year 9999."""


class Item(NamedTuple):
    """The row of a work item, as far as its life is concerned; times are milliseconds since 1970 UTC.

    A named tuple and not a dataclass, because a worker makes several of them for every attempt: ten times cheaper.

    While it is STARTED, `worker`, `token` and `claimed_ms` describe its one open attempt; the row of the attempt is
    written when it ends.
    """

    job: int
    number: int
    task: int
    definition: int
    once: bool
    priority: int
    status: JobStatus
    due_ms: int
    wait: Wait | None
    generation: int
    attempt: int
    token: int
    version: int
    worker: int | None
    claimed_ms: int | None
    cancel_ms: int | None
    deadline_ms: int | None
    """If it still waits by then it fails: `expires` until an attempt has started, then the cutoff."""
    cutoff_ms: int | None
    """End of the generation's total_timeout."""
    charges: tuple[int, ...]
    """Failures charged in this generation, for each entry of the policy."""
    crashes: int
    """Deaths of the child process since the last checkpoint."""
    snoozes: int
    keep_from: int
    """Checkpoints saved in this generation or later ones are gone on from."""
    reason: Reason
    failure_class: FailureClass | None
    created_ms: int
    ended_ms: int | None
    cause: str | None = None
    """The cause of what it failed of last; nothing once it has succeeded, was cancelled, or begins anew."""

    @property
    def key(self) -> ItemKey:
        return tuple.__new__(ItemKey, self[:2])  # half the cost of naming both, several times for each attempt

    def but(self, **changes: Any) -> Item:
        """Return the item with some fields changed; what `_replace` does, at a fourth of its cost."""
        values = list(self)
        for name, value in changes.items():
            values[_PLACES[name]] = value
        return tuple.__new__(Item, values)


_PLACES = {name: place for place, name in enumerate(Item._fields)}


class Attempt(NamedTuple):
    """One ended execution of a work item; never changes."""

    job: int
    number: int
    token: int
    generation: int
    attempt: int
    worker: int
    outcome: Outcome
    reason: Reason
    claimed_ms: int
    started_ms: int | None
    ended_ms: int
    failure_class: FailureClass | None = None
    rule: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    failure: str | None = None
    """The facts of the failure as JSON: what it was classified by, and its traceback."""
    entry: int | None = None
    """Which entry of the policy was charged; None when nothing was."""
    charged: int | None = None
    """How many failures of this generation that entry had been charged with, this one included."""
    delay_ms: int | None = None
    """How long to wait before the next attempt, jitter included."""
    planned_ms: int | None = None
    """The same before jitter and before what the other side asked for."""
    retry_after_ms: int | None = None
    rows: int | None = None
    result: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    pid: int | None = None
    cause: str | None = None
    """The cause it is counted as."""

    @property
    def began_ms(self) -> int:
        """When it started, or was claimed where nobody was left to tell when it started."""
        return self.claimed_ms if self.started_ms is None else self.started_ms


@dataclass(frozen=True, slots=True)
class Counts:
    """How many root work items of a job are in each status."""

    pending: int = 0
    started: int = 0
    retry: int = 0
    success: int = 0
    failure: int = 0
    revoked: int = 0

    @property
    def total(self) -> int:
        return self.pending + self.started + self.retry + self.success + self.failure + self.revoked

    @property
    def ended(self) -> int:
        return self.success + self.failure + self.revoked


def job_status(counts: Counts) -> JobStatus:
    """Return the status that a job has by the counts of its root items."""
    if counts.ended == counts.total:
        if counts.failure:
            return JobStatus.FAILURE
        return JobStatus.REVOKED if counts.revoked else JobStatus.SUCCESS
    if counts.started:
        return JobStatus.STARTED
    if counts.retry:
        return JobStatus.RETRY
    return JobStatus.STARTED if counts.ended else JobStatus.PENDING


@dataclass(frozen=True, slots=True)
class Job:
    """The row of a job."""

    id: int
    namespace: str
    task: int
    task_name: str
    run_id: str
    kind: str
    tz: str
    labels: dict[str, str]
    sealed: bool
    cancel_ms: int | None
    created_ms: int
    ended_ms: int | None
    counts: Counts
    pruned_ms: int | None = None
    """When retention removed its details: its work items and all that belongs to them."""
    parent: ItemKey | None = None
    """The work item of a workflow whose calls it holds; such a job is not listed."""
