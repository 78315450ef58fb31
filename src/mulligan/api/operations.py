"""Routes of bulk operations: what is asked of all work items that match a filter, how far that is, and how it is stopped."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import BaseModel

from mulligan.api.access import Caller, Routes, Sight, asker_of
from mulligan.api.bulk_models import BulkPlan, Operation
from mulligan.api.models import Page
from mulligan.api.pages import MOST, Cursor, Limit, cursor, place
from mulligan.api.replies import Key, Replies
from mulligan.api.requests import BulkBody, Reasoned
from mulligan.api.served import Served
from mulligan.core.access import Principal, Role
from mulligan.core.bulk import BulkAction
from mulligan.core.errors import NotFound
from mulligan.engine.bulk import BulkWanted, parse_operation_id
from mulligan.engine.ids import parse_item_id
from mulligan.store.verbs.bulk import BulkRow

PLANNED: dict[int | str, dict[str, Any]] = {200: {"model": BulkPlan, "description": "The plan, where `dry_run` asked for it."}}


class OperationRoutes:
    """What can be asked about bulk operations, and of them."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._sight = Sight(served.engine)
        self._replies = Replies(served.engine)

    def add_to(self, routes: Routes) -> None:
        """Register the routes."""
        here: dict[str, Any] = {"tags": ["operations"]}
        made = {"status_code": 202, "response_model": Operation, "responses": PLANNED}
        routes.post("/api/work-items/bulk", Role.OPERATOR, **made, **here)(self.start_bulk)
        routes.get("/api/operations", Role.VIEWER, response_model=Page[Operation], **here)(self.list_operations)
        routes.get("/api/operations/{id}", Role.VIEWER, response_model=Operation, **here)(self.get_operation)
        routes.post("/api/operations/{id}/abort", Role.OPERATOR, response_model=Operation, **here)(self.abort_operation)

    def start_bulk(self, request: Request, caller: Caller, body: BulkBody, key: Key = None) -> Response:
        """Retry, cancel or overwrite all work items that match a filter, or make them due.

        Which they are is fixed when this is answered; the server does it in the background. With `dry_run` nothing is done, and
        the answer is 200 with what would be.
        """

        def act(operation: str | None) -> BaseModel:
            wanted = self._wanted(request, caller, body, operation)
            if body.dry_run:
                return BulkPlan.of(self._served.bulk_pages.plan(wanted))
            return Operation.of(self._served.bulk.create(wanted))

        return self._replies.once(request, key, act, status=200 if body.dry_run else 202)

    def list_operations(
        self, caller: Caller, limit: Limit = 100, after: Annotated[Cursor, Query(alias="cursor")] = None
    ) -> Page[Operation]:
        """List bulk operations, newest first."""
        found = place(after, {"list": "operations"}, 1)
        rows = self._served.bulk.all(MOST if found is None else found[0], limit, lambda row: caller.sees_operation(row.pipelines))
        following = cursor((rows[-1].id,), {"list": "operations"}) if len(rows) == limit else None
        return Page(items=[Operation.of(each) for each in rows], next=following)

    def get_operation(self, caller: Caller, id: str) -> Operation:
        """Return a bulk operation, and how far it is."""
        return Operation.of(self._seen(caller, id))

    def abort_operation(
        self, request: Request, caller: Caller, id: str, body: Reasoned | None = None, key: Key = None
    ) -> Response:
        """Stop a bulk operation before its next page. What was done stays done; one that has ended is answered as it is."""
        row = self._seen(caller, id)

        def act(operation: str | None) -> Operation:
            asker = asker_of(request, (body or Reasoned()).reason, operation)
            return Operation.of(self._served.bulk.abort(row.id, asker))

        return self._replies.once(request, key, act)

    def _wanted(self, request: Request, caller: Principal, body: BulkBody, operation: str | None) -> BulkWanted:
        parent = body.filter.get("parent")
        if isinstance(parent, str):
            self._sight.item(caller, parse_item_id(parent))
        return BulkWanted(
            action=BulkAction(body.action),
            filters=body.filter,
            asker=asker_of(request, body.reason, operation),
            mode=body.type,
            name=body.name,
            accept_risk=body.accept_risk,
            forward=body.forward,
            expected=body.expected,
            pipelines=caller.pipelines,
            sees=partial(self._sight.items, caller),
        )

    def _seen(self, caller: Principal, id: str) -> BulkRow:
        row = self._served.bulk.find(parse_operation_id(id))
        if not caller.sees_operation(row.pipelines):
            raise NotFound(f"there is no operation {row.id}")
        return row
