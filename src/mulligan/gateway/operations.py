"""Bulk operations as a client asks for them and reads them, of a store or of a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mulligan.core.bulk import BulkAction, BulkState
from mulligan.core.events import RetryMode
from mulligan.engine.bulk_pages import BulkPlan


@dataclass(frozen=True, slots=True)
class BulkAsk:
    """An action on all work items that match filters as users name them."""

    action: BulkAction
    filters: Mapping[str, Any] = field(default_factory=dict)
    mode: RetryMode = "recover"
    reason: str = ""
    name: str = ""
    accept_risk: bool = False
    forward: bool = False
    expected: int | None = None
    """How many matching items the asker has seen: if there are more by now, it is refused."""


@dataclass(frozen=True, slots=True)
class OperationFacts:
    """A bulk operation as it was when it was read; times are milliseconds since 1970 UTC."""

    id: int
    name: str
    action: BulkAction
    mode: RetryMode | None
    filters: Mapping[str, Any]
    state: BulkState
    error: str | None
    matched: int
    done: int
    skipped: Mapping[str, int]
    """How many work items were left alone, by why."""
    progress: float
    """Per cent."""
    actor: str
    reason: str
    created_ms: int
    started_ms: int | None
    ended_ms: int | None
    due_ms: int | None = None
    """When its next page is done, where that is known."""


class Operations(Protocol):
    """Asks for bulk operations, and looks after them. Ids that name nothing raise NotFound."""

    def plan(self, ask: BulkAsk) -> BulkPlan:
        """Return what would be done."""
        ...

    def begin(self, ask: BulkAsk) -> OperationFacts:
        """Fix the work items, and have it done to them in the background."""
        ...

    def all(self, limit: int) -> list[OperationFacts]:
        """Return operations, newest first."""
        ...

    def find(self, id: int) -> OperationFacts:
        """Return an operation."""
        ...

    def abort(self, id: int, reason: str) -> OperationFacts:
        """Stop one before its next page."""
        ...

    def advance(self, id: int) -> bool:
        """Do the next page of one if it is due, where the asker may; returns whether anything was done."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let time pass until the next look."""
        ...
