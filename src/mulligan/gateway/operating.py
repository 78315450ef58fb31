"""Asking for bulk operations: of a store, which whoever asks may look after too, or of a server."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from mulligan.core.bulk import BulkAction, BulkState
from mulligan.engine.asking import Asker
from mulligan.engine.bulk import Bulk, BulkWanted
from mulligan.engine.bulk_pages import BulkPages, BulkPlan
from mulligan.engine.clock import Clock
from mulligan.engine.filters import MAX_NUMBER
from mulligan.gateway.answers import maybe_ms_of, ms_of, plan_of
from mulligan.gateway.bodies import filter_query
from mulligan.gateway.operations import BulkAsk, OperationFacts
from mulligan.gateway.requests import Requests
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


class ServerOperations:
    """Asks a server, which does them."""

    def __init__(
        self, requests: Requests, sleep: Callable[[float], None], page: Callable[[str, int], list[dict[str, Any]]]
    ) -> None:
        """`page` reads so many rows of a list."""
        self._requests, self._page = requests, page
        self.sleep = sleep

    def plan(self, ask: BulkAsk) -> BulkPlan:
        said = self._requests.post("/api/work-items/bulk", {**_body(ask), "dry_run": True})
        statuses, classes, kept = (Counter[str](said[name]) for name in ("by_status", "by_class", "reused"))
        return BulkPlan(said["matched"], statuses, classes, kept, plan_of(said["plan"]))

    def begin(self, ask: BulkAsk) -> OperationFacts:
        return _of_answer(self._requests.post("/api/work-items/bulk", _body(ask)))

    def all(self, limit: int) -> list[OperationFacts]:
        return [_of_answer(each) for each in self._page("/api/operations", limit)]

    def find(self, id: int) -> OperationFacts:
        return _of_answer(self._requests.get(f"/api/operations/{id}"))

    def abort(self, id: int, reason: str) -> OperationFacts:
        return _of_answer(self._requests.post(f"/api/operations/{id}/abort", {"reason": reason}))

    def advance(self, id: int) -> bool:  # noqa: ARG002 - the server does it
        return False


def _body(ask: BulkAsk) -> dict[str, Any]:
    body = {
        "action": str(ask.action),
        "type": ask.mode,
        "filter": filter_query(ask.filters),
        "reason": ask.reason,
        "name": ask.name,
        "accept_risk": ask.accept_risk,
        "forward": ask.forward,
    }
    return body if ask.expected is None else {**body, "expected": ask.expected}


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


def _of_answer(said: dict[str, Any]) -> OperationFacts:
    return OperationFacts(
        id=int(said["id"]),
        name=said["name"],
        action=BulkAction(said["action"]),
        mode=said["type"],
        filters=said["filter"],
        state=BulkState(said["state"]),
        error=said["error"],
        matched=said["matched"],
        done=said["done"],
        skipped=said["left_alone"],
        progress=said["progress"],
        actor=said["actor"],
        reason=said["reason"],
        created_ms=ms_of(said["created_at"]),
        started_ms=maybe_ms_of(said["started_at"]),
        ended_ms=maybe_ms_of(said["ended_at"]),
    )
