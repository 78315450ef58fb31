"""What the API takes: bodies of requests, checked before anything is done."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mulligan.core.job import FailureClass, JobStatus
from mulligan.core.shown import shown

MAX_IDS = 10_000
"""Work items in one call of the bulk retry: more than a body of 1 MiB holds of long ids."""


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError(f"{shown(text)} holds a NUL character, which no database can hold")
    return text


Text = Annotated[str, AfterValidator(_no_nul)]
Name = Annotated[Text, Field(min_length=1, max_length=200)]
Seconds = Annotated[float, Field(ge=0, le=10 * 366 * 86_400, strict=True)]


class Body(BaseModel):
    """What all bodies share: nothing that is not known."""

    model_config = ConfigDict(extra="forbid")


class Action(Body):
    """Why something is asked for; with `dry_run` it is only said what would be done."""

    reason: Annotated[Text, Field(max_length=2_000)] = Field(
        default="", description="Kept in the audit.", examples=["the warehouse is back"]
    )
    dry_run: Annotated[bool, Field(strict=True)] = False


class ActOnItem(Action):
    """Something asked for of one work item."""

    generation: Annotated[int, Field(ge=1, le=2**31, strict=True)] | None = Field(
        default=None, description="In which the asker saw it: one that has moved on since is left alone."
    )


class OverwriteAny(Action):
    """Whether a risk is accepted."""

    accept_risk: Annotated[bool, Field(strict=True)] = False
    forward: Annotated[bool, Field(strict=True, description="Also the later windows that were written since, in order.")] = False


class OverwriteItem(OverwriteAny, ActOnItem):
    """Whether a risk is accepted, of one work item."""


class Overwrite(OverwriteAny):
    """Which windows are run again, and whether a risk is accepted."""

    start: Annotated[Text, Field(max_length=64)] | None = Field(default=None, examples=["2024-03-01"])
    end: Annotated[Text, Field(max_length=64)] | None = Field(default=None, examples=["2024-03-08"])


class Matching(Body):
    """Which work items are meant: all that match everything that is given."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"task": "features", "status": ["FAILURE"], "error": "no such table"}]}
    )

    job: Annotated[str, Field(max_length=20)] | None = None
    parent: Annotated[str, Field(max_length=40)] | None = Field(
        default=None, description="Calls of the workflow of this work item."
    )
    ids: list[Annotated[str, Field(max_length=40)]] | None = Field(default=None, max_length=MAX_IDS)
    status: list[JobStatus] | None = Field(default=None, max_length=6)
    task: Name | None = None
    failure_class: FailureClass | None = None
    cause: Name | None = None
    run_id: Name | None = None
    key: Name | None = None
    window_start: Annotated[Text, Field(max_length=64)] | None = Field(default=None, examples=["2024-03-01"])
    window_end: Annotated[Text, Field(max_length=64)] | None = None
    error: Annotated[Text, Field(min_length=1, max_length=500)] | None = Field(
        default=None, description="Those with a text in their error."
    )
    latest: Annotated[bool, Field(strict=True)] | None = Field(
        default=None, description="Of those for the same window of a task only the newest. No filter by itself."
    )


class ActOnMatching(Action):
    """Something asked for of all work items that match."""

    filter: Matching


class OverwriteMatching(OverwriteAny, ActOnMatching):
    """Whether a risk is accepted, of all work items that match."""


class Reasoned(Body):
    """Why something is asked for."""

    reason: Annotated[Text, Field(max_length=2_000)] = Field(default="", description="Kept in the audit.")


class BulkBody(OverwriteItem):
    """What is done to all work items that match a filter."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "action": "retry",
                    "type": "recover",
                    "filter": {"task": "features", "failure_class": "TRANSIENT"},
                    "reason": "the warehouse is back",
                    "dry_run": True,
                }
            ]
        },
    )

    action: Literal["retry", "retry-now", "cancel", "overwrite"]
    type: Literal["restart", "recover"] = Field(default="recover", description="Of a retry: anew, or from the checkpoints.")
    filter: dict[Name, Any] = Field(
        max_length=20,
        description="Named as in the query of GET /api/work-items: status, task, failure_class, run_id, key, window_start, "
        "window_end, error, cause, job, parent, latest. One besides latest at least. "
        "Without a status those that the action fits.",
    )
    name: Annotated[Text, Field(max_length=200)] = Field(default="", description="For people; made of the action if empty.")
    expected: Annotated[int, Field(ge=0, le=2**53, strict=True)] | None = Field(
        default=None, description="How many work items were seen to match: 409 `more_match` if there are more by now."
    )


class WorkItemIds(Body):
    """The work items to be retried."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"work_item_ids": ["12-3", "12-4"]}]})

    work_item_ids: list[Annotated[str, Field(max_length=200)]] = Field(max_length=MAX_IDS)


class OneWindow(Body):
    """The window of a single work item. A moment without a zone is in `tz`."""

    start: Annotated[Text, Field(max_length=64)] = Field(examples=["2024-03-07"])
    end: Annotated[Text, Field(max_length=64)] = Field(examples=["2024-03-08"])
    tz: Annotated[Text, Field(max_length=64)] = "UTC"


class Item(Body):
    """A work item to be: its arguments by name, over those that all share; its key, by default its number or its window's."""

    key: Name | None = None
    args: dict[Text, Any] = Field(default_factory=dict)
    window: OneWindow | None = Field(default=None, description="Of a task that takes one. All of a job are of one time zone.")


class Backfill(OneWindow):
    """A range of time to be cut into windows."""

    every: Annotated[Text, Field(max_length=64)] | Seconds = Field(default="1d", examples=["1d", "1h", 900])
    only: Literal["missing", "failed", "all"] = "missing"
    order: Literal["oldest", "newest"] = "oldest"
    accept_risk: Annotated[bool, Field(strict=True)] = False


class NewJob(Body):
    """A job to be: of one work item, or with `items` of several, or with `backfill` of one for each window."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"task": "add", "args": {"a": 1, "b": 2}},
                {"task": "add", "items": [{"key": "one", "args": {"a": 1}}, {"args": {"a": 2}}], "args": {"b": 2}},
                {"task": "features", "backfill": {"start": "2024-01-01", "end": "2024-02-01"}, "labels": {"team": "ads"}},
            ]
        },
    )

    task: Name = Field(description="Published name of a task or a workflow.")
    args: dict[Text, Any] = Field(default_factory=dict, description="Arguments by name; of several items what all share.")
    window: OneWindow | None = None
    items: list[Item] | None = Field(default=None, max_length=50_000)
    backfill: Backfill | None = None
    sealed: Annotated[bool, Field(strict=True)] = Field(
        default=True, description="With false more work items follow in chunks; nothing starts before the job is sealed."
    )
    dry_run: Annotated[bool, Field(strict=True)] = Field(
        default=False, description="Of a backfill: only say which windows would be taken, and which left alone and why."
    )
    run_id: Name | None = Field(default=None, description="The same id and input give the same job.")
    priority: Annotated[int, Field(ge=1, le=5, strict=True)] | None = None
    delay_s: Seconds | None = None
    start_at: datetime | None = None
    expires_at: datetime | None = Field(default=None, description="An item that has not started by then fails.")
    total_timeout_s: Annotated[Seconds, Field(gt=0)] | None = None
    labels: dict[Annotated[Text, Field(max_length=200)], Annotated[Text, Field(max_length=200)]] = Field(
        default_factory=dict, max_length=50
    )


class Chunk(Body):
    """Further work items of a job that is not sealed."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"first": 2, "items": [{"args": {"a": 3}}]}]})

    first: Annotated[int, Field(ge=0, le=10**9, strict=True)] = Field(
        description="Number of the chunk's first work item in the job: how many there are before it."
    )
    items: list[Item] = Field(min_length=1, max_length=50_000)


class Seal(Reasoned):
    """That a job is complete."""

    total: Annotated[int, Field(ge=0, le=10**9, strict=True)] | None = Field(
        default=None, description="How many work items it must have; with another number it is not sealed."
    )
