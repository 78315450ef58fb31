"""Root causes: what failures have in common, and one of them with an example."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query as Parameter
from fastapi import Request, Response

from mulligan.api.access import Caller, Routes
from mulligan.api.causes import CauseRoutes
from mulligan.console.desk import Desk
from mulligan.core.access import Role

ROWS = 50
FAILED = 20
Cursor = Annotated[str | None, Parameter(max_length=200)]


class CausePages:
    """Root causes."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._causes = CauseRoutes(desk.served)

    def add_to(self, routes: Routes) -> None:
        """Register the pages."""
        self._desk.get(routes, "/causes", Role.VIEWER, self.causes)
        self._desk.get(routes, "/causes/{cause}", Role.VIEWER, self.cause)

    def causes(
        self,
        request: Request,
        caller: Caller,
        pipeline: Annotated[str, Parameter(max_length=200)] = "",
        cursor: Cursor = None,
    ) -> Response:
        """List root causes, the one that was first seen last first."""
        page = self._causes.list_causes(caller, pipeline or None, limit=ROWS, after=cursor)
        return self._desk.page(request, caller, "causes.html", page=page, pipeline=pipeline, first=cursor is None)

    def cause(self, request: Request, caller: Caller, cause: str) -> Response:
        """Show a root cause: why its failures are one, an example, and what is failed of it now."""
        found = self._causes.get_cause(caller, cause)
        failed = self._desk.items.list_work_items(caller, cause=found.id, limit=FAILED).items
        return self._desk.page(request, caller, "cause.html", cause=found, failed=failed)
