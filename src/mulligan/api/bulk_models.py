"""What the API answers about bulk operations."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, Field

from mulligan.api.models import Done, time_of, time_or_none
from mulligan.core.bulk import BulkAction, BulkState
from mulligan.engine.bulk_pages import BulkPlan as Planned
from mulligan.store.verbs.bulk import BulkRow


class Operation(BaseModel):
    """A bulk operation: an action on the work items that matched a filter when it was asked for."""

    id: str = Field(examples=["7"])
    name: str = Field(examples=["recover features"])
    action: BulkAction
    type: str | None = Field(description="Of a retry.", examples=["recover"])
    filter: dict[str, Any] = Field(examples=[{"task": "features", "failure_class": "TRANSIENT"}])
    accept_risk: bool
    forward: bool
    state: BulkState
    error: str | None = Field(description="Why it FAILED.")
    matched: int = Field(description="Work items that it is for, fixed when it was asked for.")
    done: int = Field(description="Of these, how many were started, cancelled or made due.")
    left_alone: dict[str, int] = Field(description="Others that it has come by, counted by why.")
    progress: float = Field(description="Per cent that it has come by.")
    actor: str
    source: str
    reason: str
    address: str | None
    created_at: datetime
    started_at: datetime | None = Field(description="When the first page was done.")
    changed_at: datetime = Field(description="When the last page was done.")
    ended_at: datetime | None

    @classmethod
    def of(cls, row: BulkRow) -> Self:
        return cls(
            id=str(row.id),
            name=row.name,
            action=row.action,
            type=row.mode,
            filter=json.loads(row.filter),
            accept_risk=row.accept_risk,
            forward=row.forward,
            state=row.state,
            error=row.error,
            matched=row.matched,
            done=row.done,
            left_alone=row.skipped,
            progress=round(row.progress, 1),
            actor=row.actor,
            source=row.source,
            reason=row.reason,
            address=row.address or None,
            created_at=time_of(row.created_ms),
            started_at=time_or_none(row.started_ms),
            changed_at=time_of(row.touched_ms),
            ended_at=time_or_none(row.ended_ms),
        )


class BulkPlan(BaseModel):
    """What a bulk operation would do."""

    matched: int = Field(description="Work items that match.")
    plan: Done = Field(description="What would be done to these, and what would be left alone.")
    by_status: dict[str, int] = Field(description="Of these.", examples=[{"FAILURE": 120}])
    by_class: dict[str, int] = Field(description="Of those that have failed.", examples=[{"TRANSIENT": 118, "PERMANENT": 2}])
    reused: dict[str, int] = Field(
        description="What a recover would not do again: saved steps, cursors, successful calls of workflows.",
        examples=[{"steps": 240, "cursors": 12, "calls": 0}],
    )

    @classmethod
    def of(cls, found: Planned) -> Self:
        return cls(
            plan=Done.of(found.plan, dry_run=True),
            matched=found.matched,
            by_status=dict(found.statuses),
            by_class=dict(found.classes),
            reused=dict(found.kept),
        )
