"""Actions on all work items that match a filter: the question with its plan, and the operations that came of them."""

from __future__ import annotations

import json
import secrets
from typing import Annotated

from fastapi import Query as Parameter
from fastapi import Request, Response

from mulligan.api.access import Caller, Routes
from mulligan.api.bulk_models import BulkPlan, Operation
from mulligan.api.operations import OperationRoutes
from mulligan.api.requests import BulkBody, Reasoned
from mulligan.console.desk import Desk
from mulligan.console.pages.acting import MODES, Calling, body_of, field, verb_of
from mulligan.console.query import parse
from mulligan.console.verbs import RETRY, Toast, Verb
from mulligan.console.words import plainly
from mulligan.core.access import Principal, Role
from mulligan.core.bulk import BulkState
from mulligan.core.errors import ArgumentsInvalid, MulliganError

NAMED = 1_000
"""More than so many work items take that the pipeline's name, or `all`, is typed."""
ROWS = 50
Q = Annotated[str, Parameter(max_length=500)]
Cursor = Annotated[str | None, Parameter(max_length=200)]


class MatchingPages:
    """Bulk operations."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._routes = OperationRoutes(desk.served)
        self._calling = Calling(desk)

    def add_to(self, routes: Routes) -> None:
        """Register the pages."""
        desk = self._desk
        desk.get(routes, "/matching/{verb}", Role.OPERATOR, self.ask)
        desk.post(routes, "/matching/{verb}", Role.OPERATOR, self.start)
        desk.get(routes, "/operations", Role.VIEWER, self.operations)
        desk.get(routes, "/operations/{id}", Role.VIEWER, self.operation)
        desk.post(routes, "/operations/{id}/abort", Role.OPERATOR, self.abort)

    def ask(self, request: Request, caller: Caller, verb: str, q: Q = "") -> Response:
        """Show what would be done to all that match, and ask."""
        asked = verb_of(verb)
        plans = {mode: self._plan(request, caller, asked, mode, q) for mode in (MODES if asked is RETRY else ("",))}
        first = next(iter(plans.values()))
        return self._desk.page(
            request,
            caller,
            "ask_matching.html",
            verb=asked,
            q=q,
            plans=plans,
            matched=first.matched,
            statuses=first.by_status,
            classes=first.by_class,
            typed=_typed(q) if first.matched > NAMED else "",
            operation=secrets.token_urlsafe(18),
        )

    def start(self, request: Request, caller: Caller, verb: str) -> Response:
        """Begin the operation, and say where it is followed."""
        asked, q = verb_of(verb), field(request, "q")
        mode = (field(request, "type") or MODES[0]) if asked is RETRY else ""
        expected = field(request, "expected")
        try:
            if expected.isdigit() and int(expected) > NAMED and field(request, "typed") != _typed(q):
                raise ArgumentsInvalid(f"type {_typed(q)} to do this to {int(expected):,} work items")
            body = self._body(request, asked, mode, q, dry_run=False, expected=int(expected) if expected.isdigit() else None)
            answer = self._routes.start_bulk(request, caller, body, field(request, "operation") or None)
        except MulliganError as error:
            return self._calling.after(
                request, caller, Toast(f"{asked.failed}.", "", (plainly(str(error)),), went_wrong=True), "/work-items"
            )
        made = Operation.model_validate_json(bytes(answer.body))
        text = f"{asked.title} of {made.matched:,} work items has begun. Operation {made.id}."
        return self._calling.after(request, caller, Toast(text, "", view=f"/operations/{made.id}"), f"/operations/{made.id}")

    def operations(self, request: Request, caller: Caller, cursor: Cursor = None) -> Response:
        """List bulk operations."""
        page = self._routes.list_operations(caller, ROWS, cursor)
        return self._desk.page(request, caller, "operations.html", page=page, first=cursor is None)

    def operation(self, request: Request, caller: Caller, id: str) -> Response:
        """Show a bulk operation, and how far it is."""
        found = self._routes.get_operation(caller, id)
        ended = found.state in (BulkState.DONE, BulkState.ABORTED, BulkState.FAILED)
        said = json.dumps(found.filter, ensure_ascii=False, indent=2)
        return self._desk.page(request, caller, "operation.html", of=found, ended=ended, filter=said)

    def abort(self, request: Request, caller: Caller, id: str) -> Response:
        """Stop an operation before its next page."""
        answer = self._routes.abort_operation(request, caller, id, Reasoned(), field(request, "operation") or None)
        found = Operation.model_validate_json(bytes(answer.body))
        text = f"Operation {found.id} is {found.state.lower()}: {found.done:,} of {found.matched:,} were done."
        return self._calling.after(request, caller, Toast(text, "", view=f"/operations/{found.id}"), f"/operations/{found.id}")

    def _plan(self, request: Request, caller: Principal, verb: Verb, mode: str, q: str) -> BulkPlan:
        answer = self._routes.start_bulk(request, caller, self._body(request, verb, mode, q, dry_run=True))
        return BulkPlan.model_validate_json(bytes(answer.body))

    def _body(self, request: Request, verb: Verb, mode: str, q: str, *, dry_run: bool, expected: int | None = None) -> BulkBody:
        query = parse(q)
        if not query.filters or not query.of_items:
            raise ArgumentsInvalid("give a filter of work items: an action on everything at once is not offered")
        return body_of(
            BulkBody,
            action=verb.path,
            filter=query.filters,
            reason=field(request, "reason"),
            dry_run=dry_run,
            accept_risk=bool(field(request, "accept_risk")),
            expected=expected,
            **({"type": mode} if mode else {}),
        )


def _typed(q: str) -> str:
    """Return what is typed to confirm: the pipeline's name, where there is one."""
    return str(parse(q).filters.get("task", "all"))
