"""Asking a store for bulk operations, and looking after what nobody else does."""

from __future__ import annotations

import json
from collections.abc import Callable

from mulligan.engine.asking import Asker
from mulligan.engine.bulk import Bulk, BulkWanted
from mulligan.engine.bulk_pages import BulkPages, BulkPlan
from mulligan.engine.clock import Clock
from mulligan.engine.filters import MAX_NUMBER
from mulligan.gateway.operations import BulkAsk, OperationFacts
from mulligan.store.verbs.bulk import BulkRow


class StoredOperations:
    """Asks a store, and does what nobody else does."""

    def __init__(self, bulk: Bulk, pages: BulkPages, asker: Callable[[str], Asker], clock: Clock) -> None:
        self._bulk, self._pages, self._asker, self._clock = bulk, pages, asker, clock

    def plan(self, ask: BulkAsk) -> BulkPlan:
        return self._pages.plan(self._wanted(ask))

    def begin(self, ask: BulkAsk) -> OperationFacts:
        return _of_row(self._bulk.create(self._wanted(ask)))

    def all(self, limit: int) -> list[OperationFacts]:
        return [_of_row(each) for each in self._bulk.all(MAX_NUMBER, limit)]

    def find(self, id: int) -> OperationFacts:
        return _of_row(self._bulk.find(id))

    def abort(self, id: int, reason: str) -> OperationFacts:
        return _of_row(self._bulk.abort(id, self._asker(reason)))

    def advance(self, id: int) -> bool:
        return self._pages.step(id) > 0

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)

    def _wanted(self, ask: BulkAsk) -> BulkWanted:
        return BulkWanted(
            action=ask.action,
            filters=ask.filters,
            asker=self._asker(ask.reason),
            mode=ask.mode,
            name=ask.name,
            accept_risk=ask.accept_risk,
            forward=ask.forward,
            expected=ask.expected,
        )


def _of_row(row: BulkRow) -> OperationFacts:
    return OperationFacts(
        id=row.id,
        name=row.name,
        action=row.action,
        mode=row.mode,
        filters=json.loads(row.filter),
        state=row.state,
        error=row.error,
        matched=row.matched,
        done=row.done,
        skipped=row.skipped,
        progress=row.progress,
        actor=row.actor,
        reason=row.reason,
        created_ms=row.created_ms,
        started_ms=row.started_ms,
        ended_ms=row.ended_ms,
        due_ms=row.due_ms,
    )
