"""What the API answers that sums up: many things in short."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from mulligan.api.models import Counts, Window, time_of, window_of
from mulligan.core.job import FailureClass, JobStatus, Outcome
from mulligan.engine.summary import PipelineView
from mulligan.store.rows import CheckpointRow
from mulligan.store.verbs.summary import End as EndRow
from mulligan.store.verbs.summary import Ends


class End(BaseModel):
    """How an attempt ended, in short."""

    outcome: Outcome
    failure_class: FailureClass | None

    @classmethod
    def of(cls, row: EndRow) -> Self:
        return cls(outcome=row.outcome, failure_class=row.failure_class)


class Brief(BaseModel):
    """What a list says of a job besides: which work items it has, and how the attempts of the first ended."""

    first: str = Field(description="Key of its first work item.", examples=["2024-03-01"])
    last: str = Field(description="Key of its last.", examples=["2024-03-31"])
    window: Window | None = Field(description="From the first window to the last.")
    ends: list[End] = Field(description="Of the first work item, oldest first.")

    @classmethod
    def of(cls, ends: Ends, attempts: list[EndRow]) -> Self:
        window = None if ends.window is None else window_of(*ends.window, ends.tz)
        return cls(first=ends.first, last=ends.last, window=window, ends=[End.of(each) for each in attempts])


class Checkpoint(BaseModel):
    """What an attempt saved: the result of a step, or the cursor."""

    kind: str = Field(examples=["step", "cursor"])
    name: str | None = Field(description="Of a step: its function.", examples=["download"])
    generation: int
    saved_at: datetime
    size: int = Field(description="Bytes of the value as JSON.")
    counts: bool = Field(description="Whether a recover goes on from it.")

    @classmethod
    def of(cls, row: CheckpointRow, keep_from: int) -> Self:
        return cls(
            kind=row.kind,
            name=row.key.rpartition(":")[0].rpartition(":")[0].rpartition(".")[2] if row.kind == "step" else None,
            generation=row.generation,
            saved_at=time_of(row.at_ms),
            size=len(row.value.encode()),
            counts=row.generation >= keep_from,
        )


class ClassCount(BaseModel):
    """How many work items failed of one class."""

    failure_class: FailureClass | None
    count: int


class Failures(BaseModel):
    """What the work items of a job failed of."""

    classes: list[ClassCount]
    more: bool = Field(description="Whether there are more than were looked at.")


class Run(BaseModel):
    """A job in short."""

    id: str
    created_at: datetime
    status: JobStatus


class Glance(BaseModel):
    """A pipeline at a glance."""

    name: str
    kind: str = Field(examples=["task", "workflow"])
    paused: bool
    has_worker: bool
    unended_jobs: int
    unended: Counts = Field(description="Work items of jobs that have not ended.")
    succeeded_last_day: int = Field(description="Work items of jobs that ended in the last 24 hours, or have not ended.")
    failed_last_day: int = Field(description="The same, of those that failed.")
    runs: list[Run] = Field(description="The newest 30, the last of them last.")

    @classmethod
    def of(cls, view: PipelineView) -> Self:
        return cls(
            name=view.name,
            kind="workflow" if view.workflow else "task",
            paused=view.paused,
            has_worker=view.has_worker,
            unended_jobs=view.unended.jobs,
            unended=Counts.of(view.unended.counts),
            succeeded_last_day=view.succeeded,
            failed_last_day=view.failed,
            runs=[Run(id=str(each.id), created_at=time_of(each.created_ms), status=each.status) for each in view.runs],
        )
