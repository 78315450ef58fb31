"""What every page stands on: the API's functions in this process, who looks, and how a page is made."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from mulligan.api.access import Routes, caller_of
from mulligan.api.browsers import csrf_token_for
from mulligan.api.errors import Problem
from mulligan.api.items import ItemRoutes
from mulligan.api.jobs import JobRoutes
from mulligan.api.overview import OverviewRoutes
from mulligan.api.served import Served
from mulligan.api.summary import SummaryRoutes
from mulligan.console.rendering import NAV, Rendering
from mulligan.core.access import Principal, Role

Page = Callable[..., Response]


class Desk:
    """The API's functions, and what makes a page of their answers."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.jobs = JobRoutes(served)
        self.items = ItemRoutes(served)
        self.overview = OverviewRoutes(served)
        self.summary = SummaryRoutes(served)
        self.rendering = Rendering(served.engine.clock)

    def page(self, request: Request, caller: Principal, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a page."""
        shared = {
            "caller": caller,
            "may_act": caller.may(Role.OPERATOR),
            "nav": [(path, name) for path, name in NAV if self.may_see(caller, path)],
            "csrf": csrf_token_for(request),
            "partial": request.headers.get("x-partial") == "1",
        }
        return self.rendering.page(request, template, {**shared, **values}, status)

    def may_see(self, caller: Principal, path: str) -> bool:
        """Return whether somebody may open a page of the navigation: what is about all pipelines is not for a limited key."""
        whole = path in ("/workers", "/audit")
        return (not whole or caller.pipelines is None) and (path != "/audit" or caller.may(Role.OPERATOR))

    def get(self, routes: Routes, path: str, role: Role, page: Page) -> None:
        """Register a page."""
        routes.get(path, role, include_in_schema=False, response_class=HTMLResponse)(page)

    def post(self, routes: Routes, path: str, role: Role, act: Page) -> None:
        """Register what a form on a page asks for."""

        @functools.wraps(act)
        def told(*args: Any, **kwargs: Any) -> Response:
            kwargs["request"].scope["mulligan.source"] = "console"
            return act(*args, **kwargs)

        routes.post(path, role, include_in_schema=False, response_class=HTMLResponse)(told)

    def problem(self, request: Request, problem: Problem) -> HTMLResponse:
        """Return a page that says what is wrong."""
        return self.page(request, caller_of(request), "problem.html", problem.status, problem=problem)
