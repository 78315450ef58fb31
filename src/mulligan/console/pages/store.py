"""Workers and the audit."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query as Parameter
from fastapi import Request, Response

from mulligan.api.access import Caller, Routes
from mulligan.console.desk import Desk
from mulligan.core.access import Role

ROWS = 100
Cursor = Annotated[str | None, Parameter(max_length=200)]


class StorePages:
    """What is about the whole store."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, routes: Routes) -> None:
        """Register the pages."""
        self._desk.get(routes, "/workers", Role.VIEWER, self.workers)
        self._desk.get(routes, "/audit", Role.OPERATOR, self.audit)

    def workers(self, request: Request, caller: Caller) -> Response:
        """Show the workers."""
        found = self._desk.overview.list_workers(caller).items
        return self._desk.page(request, caller, "workers.html", workers=found)

    def audit(
        self,
        request: Request,
        caller: Caller,
        target: Annotated[str | None, Parameter(max_length=500)] = None,
        cursor: Cursor = None,
    ) -> Response:
        """Show who asked for what."""
        page = self._desk.overview.list_audit(caller, target or None, ROWS, cursor)
        return self._desk.page(request, caller, "audit.html", page=page, target=target or "", first=cursor is None)
