"""What the API answers: names as in Python and in the store, times as ISO texts in UTC."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from mulligan.core.definition import Definition
from mulligan.core.job import WAITING, FailureClass, JobStatus, Outcome, Reason
from mulligan.core.job import Attempt as AttemptRow
from mulligan.core.job import Counts as CountsRow
from mulligan.core.schedule import from_ms
from mulligan.engine.asking import Plan
from mulligan.engine.logs import Piece
from mulligan.engine.reading import ItemView, JobView, WorkerView
from mulligan.store.rows import AuditRow, TaskRow

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A page of a list. `next` is the cursor of the page after it, null at the end."""

    items: list[T]
    next: str | None = None


class Counts(BaseModel):
    """How many work items are in each status."""

    total: int
    pending: int
    started: int
    retry: int
    success: int
    failure: int
    revoked: int

    @classmethod
    def of(cls, row: CountsRow) -> Self:
        return cls.model_validate(row, from_attributes=True)


class Window(BaseModel):
    """A half-open range of time."""

    start: datetime = Field(examples=["2024-03-07T00:00:00Z"])
    end: datetime = Field(examples=["2024-03-08T00:00:00Z"])
    tz: str = Field(description="Name of the time zone that it is of.", examples=["UTC"])


class Job(BaseModel):
    """One run of a task over its work items, or of a workflow."""

    id: str = Field(examples=["12"])
    task: str = Field(examples=["features"])
    run_id: str = Field(examples=["20240307T030000Z-4be1c09af2d3"])
    kind: str = Field(examples=["backfill"])
    tz: str = Field(description="Name of the time zone of its windows.", examples=["UTC"])
    status: JobStatus
    label: str = Field(examples=["Retrying (in 5 minutes)"])
    progress: float = Field(description="Per cent.", examples=[96.8])
    counts: Counts
    labels: dict[str, str]
    cancel_requested: bool
    sealed: bool = Field(description="Whether all of its work items are there; nothing starts before.")
    error_message: str | None
    created_at: datetime
    ended_at: datetime | None
    details_removed_at: datetime | None = Field(description="When retention removed its work items.")

    @classmethod
    def of(cls, view: JobView) -> Self:
        row = view.row
        return cls(
            id=str(row.id),
            task=row.task_name,
            run_id=row.run_id,
            kind=row.kind,
            tz=row.tz,
            status=view.status,
            label=view.label,
            progress=round(view.progress, 1),
            counts=Counts.of(row.counts),
            labels=row.labels,
            cancel_requested=row.cancel_ms is not None,
            sealed=row.sealed,
            error_message=view.error_message,
            created_at=time_of(row.created_ms),
            ended_at=time_or_none(row.ended_ms),
            details_removed_at=time_or_none(row.pruned_ms),
        )


class WorkItem(BaseModel):
    """One unit of a job's work."""

    id: str = Field(examples=["12-345"])
    job: str = Field(examples=["12"])
    task: str = Field(examples=["features"])
    parent: str | None = Field(description="Id of the work item of the workflow that called it.")
    key: str = Field(examples=["2024-03-07"])
    window: Window | None
    args: dict[str, Any]
    status: JobStatus
    label: str = Field(examples=["Retrying (in 5 minutes)"])
    reason: Reason
    generation: int
    attempt: int
    failure_class: FailureClass | None
    cause: str | None = Field(description="What it failed of last: see `/api/causes`.", examples=["3f9c01b27ad4"])
    error_type: str | None
    error_message: str | None
    result: Any = None
    rows: int | None = Field(description="Rows that the last attempt said it had written.")
    progress: float = Field(description="Per cent.")
    due_at: datetime | None = Field(description="When it is tried next.")
    claimed_at: datetime | None = Field(description="When a worker took it for the attempt that is under way.")
    deadline_at: datetime | None = Field(description="When it fails if it still waits (expires, total_timeout), or still runs.")
    worker: str | None
    safe_to_retry: bool | None
    cancel_requested: bool
    created_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, view: ItemView) -> Self:
        detail = view.detail
        item, window = detail.item, detail.input.window
        result = detail.result if item.status is JobStatus.SUCCESS else None
        return cls(
            id=str(item.key),
            job=str(item.job),
            task=detail.task,
            parent=None if view.parent is None else str(view.parent),
            key=detail.input.key,
            window=None if window is None else window_of(*window, view.tz),
            args=json.loads(detail.input.arguments),
            status=item.status,
            label=view.label,
            reason=item.reason,
            generation=item.generation,
            attempt=item.attempt,
            failure_class=item.failure_class,
            cause=item.cause,
            error_type=detail.error_type,
            error_message=view.error_message,
            result=None if result is None else json.loads(result),
            rows=detail.rows,
            progress=round(view.progress, 1),
            due_at=time_of(item.due_ms) if item.status in WAITING else None,
            claimed_at=time_or_none(item.claimed_ms) if item.status is JobStatus.STARTED else None,
            deadline_at=time_or_none(item.deadline_ms if item.status in WAITING else item.cutoff_ms),
            worker=detail.worker,
            safe_to_retry=view.safe_to_retry,
            cancel_requested=item.cancel_ms is not None,
            created_at=time_of(item.created_ms),
            ended_at=time_or_none(item.ended_ms),
        )


class Attempt(BaseModel):
    """One execution of a work item that has ended."""

    place: int = Field(description="Counts the attempts of all generations, from 1.")
    generation: int
    attempt: int
    outcome: Outcome
    failure_class: FailureClass | None
    rule: str | None = Field(examples=["default:http-503"])
    cause: str | None = Field(description="What the failure is counted as: see `/api/causes`.", examples=["3f9c01b27ad4"])
    error_type: str | None
    error_message: str | None
    decision: Reason
    charged: bool
    delay_s: float | None = Field(description="How long the wait after it was to be.")
    claimed_at: datetime
    started_at: datetime | None
    ended_at: datetime
    rows: int | None
    exit_code: int | None
    signal: int | None

    @classmethod
    def of(cls, place: int, row: AttemptRow) -> Self:
        return cls(
            place=place,
            generation=row.generation,
            attempt=row.attempt,
            outcome=row.outcome,
            failure_class=row.failure_class,
            rule=row.rule,
            cause=row.cause,
            error_type=row.error_type,
            error_message=row.error_message,
            decision=row.reason,
            charged=row.entry is not None,
            delay_s=None if row.delay_ms is None else row.delay_ms / 1000,
            claimed_at=time_of(row.claimed_ms),
            started_at=time_or_none(row.started_ms),
            ended_at=time_of(row.ended_ms),
            rows=row.rows,
            exit_code=row.exit_code,
            signal=row.signal,
        )


class LogPiece(BaseModel):
    """A piece of what an attempt wrote."""

    place: int = Field(description="Of the attempt, from 1; the one that runs is the last.")
    at: datetime
    text: str


class LogPage(BaseModel):
    """Pieces of a log. `next` goes on after them, also with what is written later; null where there is nothing (yet)."""

    items: list[LogPiece]
    next: str | None = Field(examples=["3.0"])
    skipped: bool = Field(
        default=False, description="Whether some before these were left out, since only the `last` were wanted."
    )

    @classmethod
    def of(cls, pieces: Sequence[Piece], following: str | None, skipped: bool = False) -> Self:
        found = [LogPiece(place=each.place, at=time_of(each.at_ms), text=each.text) for each in pieces]
        return cls(items=found, next=following, skipped=skipped)


class Explanation(BaseModel):
    """Why a work item is in the state it is in, a line for each fact."""

    id: str
    lines: list[str]


class Verdict(BaseModel):
    """Whether overwriting a work item is safe, and by which evidence."""

    verdict: str = Field(examples=["UNSAFE"])
    evidence: list[str]


class Done(BaseModel):
    """What an action did, or with `dry_run` would do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "total": 1,
                    "dry_run": False,
                    "examples": ["recover 12-3 (FAILURE)"],
                    "left_alone": {"is SUCCESS": 30},
                    "warnings": [],
                    "unsafe_total": 0,
                    "unsafe": {},
                }
            ]
        }
    )

    total: int = Field(description="Work items that were started, cancelled or made due.")
    dry_run: bool = False
    examples: list[str] = Field(default_factory=list, description="The first of them.")
    left_alone: dict[str, int] = Field(default_factory=dict, description="Others, counted by why.")
    warnings: list[str] = Field(default_factory=list)
    unsafe_total: int = Field(default=0, description="Of an overwrite: how many it is not known to be safe for.")
    unsafe: dict[str, Verdict] = Field(default_factory=dict, description="The first of these, with the evidence.")

    @classmethod
    def of(cls, plan: Plan, *, dry_run: bool) -> Self:
        return cls(
            total=plan.total,
            dry_run=dry_run,
            examples=plan.examples,
            left_alone=dict(plan.skipped),
            warnings=plan.warnings,
            unsafe_total=plan.unsafe,
            unsafe={
                item: Verdict(verdict=str(each.verdict), evidence=list(each.evidence)) for item, each in plan.judgements.items()
            },
        )


class Total(BaseModel):
    """How many work items a retry was started of."""

    total: int = Field(examples=[1])


class Partition(BaseModel):
    """A window of a task, with the newest work item for it."""

    window: Window
    status: JobStatus
    work_item: str = Field(examples=["12-345"])


class Calendar(BaseModel):
    """The windows of a task, or of one job, that start in a period of the calendar; each with the newest work item for it."""

    at: str | None = Field(
        description="The year, month, day or hour; null where there are no windows.", examples=["2024", "2024-03"]
    )
    start: datetime | None
    end: datetime | None
    tz: str = Field(examples=["UTC"])
    counts: Counts = Field(description="Windows by the status of their newest work item.")
    earlier: str | None = Field(description="The period before it that has windows.", examples=["2023"])
    later: str | None = Field(description="The period after it that has windows.")
    more: bool = Field(description="Whether it has more windows than the 9,000 that are listed: only an hour may.")
    items: list[Partition]


class Pipeline(BaseModel):
    """A task or a workflow as it is published."""

    name: str = Field(examples=["features"])
    kind: str = Field(examples=["task", "workflow"])
    module: str
    paused_at: datetime | None
    has_worker: bool = Field(description="Whether a living worker has loaded it.")
    takes_window: bool
    window: str | None = Field(description="Name of the parameter that takes the window.")
    parameters: dict[str, Any] = Field(description="JSON Schema of its arguments by name.")
    timeout_s: float | None
    offline: bool | None
    online: bool | None
    idempotent: bool | None
    uses: list[str]
    runbook: str | None

    @classmethod
    def of(cls, row: TaskRow, definition: Definition, *, has_worker: bool) -> Self:
        return cls(
            name=row.name,
            kind="workflow" if definition.workflow else "task",
            module=row.module,
            paused_at=time_or_none(row.paused_ms),
            has_worker=has_worker,
            takes_window=definition.window is not None,
            window=definition.window,
            parameters=json.loads(definition.parameters),
            timeout_s=definition.timeout_s,
            offline=definition.offline,
            online=definition.online,
            idempotent=definition.idempotent,
            uses=list(definition.uses),
            runbook=definition.runbook,
        )


class Paused(BaseModel):
    """Whether a pipeline is paused now, and whether the request changed that."""

    paused: bool
    changed: bool


class Worker(BaseModel):
    """A worker process."""

    id: str
    name: str = Field(examples=["host:4711"])
    pid: int
    state: str = Field(examples=["living", "stopped", "lost", "dead"])
    started_at: datetime
    seen_at: datetime
    refused_writes: int

    @classmethod
    def of(cls, view: WorkerView) -> Self:
        return cls(
            id=str(view.id),
            name=view.name,
            pid=view.pid,
            state=view.state,
            started_at=time_of(view.started_ms),
            seen_at=time_of(view.seen_ms),
            refused_writes=view.refused,
        )


class Audited(BaseModel):
    """Who asked for what, from where and why; what was expected, and what was found."""

    id: str
    at: datetime
    actor: str
    source: str = Field(examples=["rest", "cli", "python"])
    address: str | None = Field(examples=["127.0.0.1"])
    operation: str | None = Field(description="The Idempotency-Key, where the request had one.")
    action: str
    target: str
    reason: str
    expected: str
    found: str
    changed: int

    @classmethod
    def of(cls, row: AuditRow) -> Self:
        return cls(
            id=str(row.id),
            at=time_of(row.at_ms),
            actor=row.actor,
            source=row.source,
            address=row.address or None,
            operation=row.operation,
            action=row.action,
            target=row.target,
            reason=row.reason,
            expected=row.expected,
            found=row.found,
            changed=row.changed,
        )


class Alive(BaseModel):
    """The process answers."""

    status: str = "ok"


class Ready(BaseModel):
    """Which part of the server works."""

    status: str = Field(examples=["ok", "failing"])
    process: str = "ok"
    store: str = Field(examples=["ok", "away"])
    supervisor: str = Field(examples=["ok", "stuck"])


def window_of(start_ms: int, end_ms: int, tz: str) -> Window:
    """Return a window, shown in a time zone."""
    return Window(start=from_ms(start_ms, tz), end=from_ms(end_ms, tz), tz=tz)


def time_of(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def time_or_none(ms: int | None) -> datetime | None:
    return None if ms is None else time_of(ms)
