"""What the API answers about root causes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, Field

from mulligan.api.models import time_of
from mulligan.core.job import FailureClass
from mulligan.engine.causes import CauseView, Sample
from mulligan.store.verbs.causes import CauseRow


class PipelineCause(BaseModel):
    """What is counted of a cause for one pipeline; failures of calls count for the workflow at their top."""

    pipeline: str = Field(examples=["features"])
    failed_now: int = Field(description="Its work items that are in FAILURE of it now, without calls.")
    failures: int = Field(description="Failed attempts of all time, also of what was removed since or succeeded later.")
    first_seen_at: datetime
    last_seen_at: datetime

    @classmethod
    def of(cls, row: CauseRow) -> Self:
        return cls(
            pipeline=row.task,
            failed_now=row.failed_now,
            failures=row.failures,
            first_seen_at=time_of(row.first_ms),
            last_seen_at=time_of(row.last_ms),
        )


class Part(BaseModel):
    """Something that all failures of a cause have in common."""

    what: str = Field(examples=["error type"])
    value: str = Field(examples=["KeyError"])


class Cause(BaseModel):
    """A root cause: failures that have in common what they came from."""

    id: str = Field(examples=["3f9c01b27ad4"])
    failure_class: FailureClass = Field(description="As its last failure was judged.")
    error_type: str = Field(examples=["botocore.exceptions.ClientError"])
    title: str = Field(description="Its first message, with placeholders for what differs.", examples=["no rows in <path>"])
    failed_now: int
    failures: int
    pipelines: list[PipelineCause] = Field(description="Where it was seen, the one with its last failure first.")
    first_seen_at: datetime
    last_seen_at: datetime
    version: int = Field(description="Of the way in which it was made of these parts.")
    why: list[Part] = Field(description="What its failures have in common.")

    @classmethod
    def of(cls, view: CauseView) -> Self:
        return cls(**_cause(view))


class CauseSample(BaseModel):
    """The newest failure of a cause whose details have not been removed."""

    work_item: str = Field(examples=["12-345"])
    place: int | None = Field(description="Of its attempt; null where it failed without one.")
    error_type: str | None
    error_message: str | None
    traceback: str | None = Field(description="As it was stored.")
    at: datetime | None

    @classmethod
    def of(cls, sample: Sample) -> Self:
        attempt = sample.attempt
        return cls(
            work_item=str(sample.item),
            place=sample.place,
            error_type=attempt and attempt.error_type,
            error_message=attempt and attempt.error_message,
            traceback=sample.traceback,
            at=None if attempt is None else time_of(attempt.ended_ms),
        )


class CauseDetail(Cause):
    """A root cause, and one of its failures."""

    sample: CauseSample | None

    @classmethod
    def with_sample(cls, view: CauseView, sample: Sample | None) -> Self:
        return cls(**_cause(view), sample=None if sample is None else CauseSample.of(sample))


def _cause(view: CauseView) -> dict[str, Any]:
    return {
        "id": view.cause,
        "failure_class": view.failure_class,
        "error_type": view.first.error_type,
        "title": view.first.title,
        "failed_now": view.failed_now,
        "failures": view.failures,
        "pipelines": [PipelineCause.of(row) for row in view.rows],
        "first_seen_at": time_of(view.first.first_ms),
        "last_seen_at": time_of(view.newest.last_ms),
        "version": view.first.version,
        "why": [Part(what=what, value=value) for what, value in view.parts],
    }
