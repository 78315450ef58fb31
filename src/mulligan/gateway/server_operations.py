"""Asking a server for bulk operations, which it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from mulligan.core.bulk import BulkAction, BulkState
from mulligan.engine.bulk_pages import BulkPlan
from mulligan.gateway.answers import maybe_ms_of, ms_of, plan_of
from mulligan.gateway.bodies import filter_query
from mulligan.gateway.operations import BulkAsk, OperationFacts
from mulligan.gateway.requests import Requests


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
