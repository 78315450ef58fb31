"""What a client asks of whatever it is connected to, in values that hold nothing of a store or of a connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, Protocol

from mulligan.core.definition import Definition
from mulligan.core.events import RetryMode
from mulligan.core.job import Counts, FailureClass, ItemKey, JobStatus, Outcome, Reason
from mulligan.core.submission import Submission
from mulligan.core.trends import Every, Trend
from mulligan.engine.asking import Plan
from mulligan.engine.reading import WorkerView
from mulligan.gateway.causes import Cause, CauseSample
from mulligan.gateway.keys import KeyAdmin
from mulligan.gateway.operations import Operations
from mulligan.store.interface import Hints
from mulligan.store.rows import AuditRow

Verb = Literal["cancel", "retry", "retry_now", "overwrite"]


class JobTold(NamedTuple):
    """What is said of a job for people."""

    label: str
    progress: float
    """Per cent."""
    error_message: str | None


@dataclass(frozen=True, slots=True)
class JobFacts:
    """A job as it was when it was read; times are milliseconds since 1970 UTC."""

    id: int
    task: str
    run_id: str
    kind: str
    tz: str
    """Name of the time zone of its windows."""
    status: JobStatus
    counts: Counts
    labels: Mapping[str, str]
    cancel_requested: bool
    created_ms: int
    ended_ms: int | None
    removed_ms: int | None
    """When retention removed its details."""
    told: Callable[[], JobTold] = field(repr=False, compare=False)
    """Says more; on a store it is read only then, since whoever merely waits does not need it."""


class ItemTold(NamedTuple):
    """What is said of a work item for people, and what stands elsewhere than in its row."""

    label: str
    progress: float
    """Per cent."""
    tz: str
    """Name of the time zone of its window."""
    parent: ItemKey | None
    """The work item of the workflow that called it."""
    safe_to_retry: bool | None


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """A work item as it was when it was read; times are milliseconds since 1970 UTC."""

    id: ItemKey
    task: str
    key: str
    window: tuple[int, int] | None
    arguments: str
    """A JSON object."""
    status: JobStatus
    reason: Reason
    generation: int
    attempt: int
    failure_class: FailureClass | None
    cause: str | None
    error_message: str | None
    result: str | None
    """JSON; None unless it is SUCCESS."""
    due_ms: int
    """When it is tried next, where it waits."""
    claimed_ms: int | None
    """When the attempt that runs was claimed."""
    worker: str | None
    created_ms: int
    ended_ms: int | None
    told: Callable[[], ItemTold] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One ended execution of a work item. Times are aware, in UTC."""

    generation: int
    number: int
    outcome: Outcome
    failure_class: FailureClass | None
    rule: str | None
    error_type: str | None
    error_message: str | None
    decision: Reason
    claimed_at: datetime
    started_at: datetime | None
    ended_at: datetime
    charged: bool
    """Whether it was charged to an entry of the policy."""
    delay_s: float | None
    """How long the wait after it was to be."""
    cause: str | None
    """What the failure is counted as; see `Client.causes`."""
    rows: int | None
    """Rows that it said it had written."""
    exit_code: int | None
    signal: int | None

    @property
    def began_at(self) -> datetime:
        """When it started, or was claimed where nobody was left to tell when it started."""
        return self.claimed_at if self.started_at is None else self.started_at


class Ended(NamedTuple):
    """What came of a work item of a job; `result` is JSON."""

    id: str
    status: JobStatus
    result: str | None
    failure_class: str | None
    error_type: str | None
    message: str
    """Why it failed, where it did."""


class LogPiece(NamedTuple):
    """A piece of what an attempt wrote; `place` counts the attempts of the work item from 1, the one that runs is the last."""

    place: int
    at_ms: int
    text: str


class LogPage(NamedTuple):
    """Pieces of a log, and where to go on after them, also for what is written later."""

    pieces: Sequence[LogPiece]
    following: str | None
    """To be given as `after`; None where there was nothing."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something that is asked for: what, of which job, single item or items that match, and why."""

    verb: Verb
    reason: str = ""
    dry_run: bool = False
    job: int | None = None
    item: ItemKey | None = None
    generation: int | None = None
    """The generation in which a single item was seen: one that has moved on since is left alone."""
    filters: Mapping[str, Any] = field(default_factory=dict)
    mode: RetryMode = "recover"
    window: tuple[int | None, int | None] = (None, None)
    """Of a job that is overwritten: where the windows begin and end that are meant."""
    accept_risk: bool = False
    forward: bool = False


class Gateway(Protocol):
    """A store, or a server with one behind it: takes submissions, reads, and does what it is asked for.

    Every method may be called from any thread. Ids that name nothing raise NotFound, what cannot be reached raises StoreAway
    or ServerAway.
    """

    def close(self) -> None:
        """Close it; safe to call twice."""
        ...

    def now_ms(self) -> int:
        """Return the time by which what it says is to be read."""
        ...

    def published(self, task: str) -> Definition:
        """Return what is known of a published task: its name, parameters and window; raises UnknownTask."""
        ...

    def take(self, submission: Submission) -> JobFacts:
        """Store a submission, all of it or nothing."""
        ...

    def plan(self, submission: Submission) -> Plan:
        """Say which windows of a backfill would be taken, and which left alone and why."""
        ...

    def job(self, id: int) -> JobFacts:
        """Return a job that somebody submitted."""
        ...

    def look(self, id: int, within_s: float | None = None) -> JobFacts:
        """Return a job, trying once only, and for so long at most: for whoever looks again anyway."""
        ...

    def jobs(self, filters: Mapping[str, Any], limit: int) -> list[JobFacts]:
        """Return jobs, newest first."""
        ...

    def item(self, key: ItemKey) -> ItemFacts:
        """Return a work item."""
        ...

    def items(self, filters: Mapping[str, Any], limit: int) -> list[ItemFacts]:
        """Return the first work items that match, by job and number."""
        ...

    def all_items(self, filters: Mapping[str, Any]) -> Iterator[ItemFacts]:
        """Yield all work items that match, a page at a time; what is wrong with the filters is raised at once."""
        ...

    def calls(self, key: ItemKey, filters: Mapping[str, Any], limit: int) -> list[ItemFacts]:
        """Return what a workflow has called since it was begun or restarted last, oldest first."""
        ...

    def call_counts(self, key: ItemKey) -> Counts:
        """Return how many of these calls are in each status."""
        ...

    def results(self, job: int) -> Iterable[Ended]:
        """Yield what came of the work items of a job that has ended, in their order."""
        ...

    def attempts(self, key: ItemKey) -> list[Attempt]:
        """Return the ended attempts of a work item, oldest first."""
        ...

    def logs(self, key: ItemKey, after: str | None = None) -> LogPage:
        """Return pieces of the log of a work item, from the beginning or after a page."""
        ...

    def explain(self, key: ItemKey) -> str:
        """Say why a work item is in the state it is in."""
        ...

    def act(self, act: Act) -> Plan:
        """Do what is asked for, or with `dry_run` say what would be done."""
        ...

    @property
    def operations(self) -> Operations:
        """What asks for bulk operations."""
        ...

    @property
    def keys(self) -> KeyAdmin:
        """What makes and revokes keys of the API."""
        ...

    def pause(self, task: str, reason: str, *, paused: bool) -> bool:
        """Pause or resume a task; returns whether that changed anything."""
        ...

    def causes(self, filters: Mapping[str, Any]) -> Iterator[Cause]:
        """Yield the root causes of failures, the one that was first seen last first."""
        ...

    def cause(self, id: str) -> Cause:
        """Return a root cause."""
        ...

    def cause_sample(self, id: str) -> CauseSample | None:
        """Return the newest failure of a cause; None where the details of all were removed."""
        ...

    def trends(self, every: Every, task: str | None, since: Any, until: Any) -> list[Trend]:
        """Return the figures of each pipeline, and of all together, by day or ISO week; `since` and `until` are days."""
        ...

    def workers(self) -> list[WorkerView]:
        """Return the newest workers, newest first."""
        ...

    def audit(self, target: str | None, limit: int) -> list[AuditRow]:
        """Return who asked for what, newest first."""
        ...

    def has_worker(self, task: str) -> bool:
        """Return whether a living worker has loaded a task."""
        ...

    def listen(self, job: int) -> Hints | None:
        """Listen for hints that a job has ended; None where there are none."""
        ...

    def pause_s(self, waited_s: float, hints: Hints | None) -> float:
        """Return how long to wait for a hint before looking again, for whoever has waited so long and listens to these."""
        ...


def at(ms: int) -> datetime:
    """Return a moment, aware, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)
