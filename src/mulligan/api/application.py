"""The application put together: every route, its errors, its guard."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple, Protocol

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.middleware.gzip import GZipMiddleware

from mulligan.api import errors
from mulligan.api.access import OPEN, Authenticator, Routes, refuse_undeclared
from mulligan.api.browsers import LoginCookie
from mulligan.api.causes import CauseRoutes
from mulligan.api.feeding import Feeding
from mulligan.api.guard import Before, Guard
from mulligan.api.items import ItemRoutes
from mulligan.api.jobs import JobRoutes
from mulligan.api.keys import KeyRoutes
from mulligan.api.logins import LoginRoutes
from mulligan.api.matching import MatchingRoutes
from mulligan.api.metrics import MetricRoutes
from mulligan.api.operations import OperationRoutes
from mulligan.api.overview import OverviewRoutes
from mulligan.api.probes import Probes
from mulligan.api.served import Served
from mulligan.api.stream import StreamRoutes
from mulligan.api.summary import SummaryRoutes
from mulligan.api.trends import TrendRoutes
from mulligan.core.access import Principal, Role
from mulligan.engine.logins import Logins
from mulligan.engine.watchers import Watchers

DESCRIPTION = """Runs the jobs of data and ML pipelines and takes care of what goes wrong.

Every path under `/api` takes a key: the header `apikey`, or `Authorization: Bearer KEY`. `x-role` says which role a key needs.
Errors are problem documents (RFC 9457) with a stable `code`. Lists page by `cursor`."""
SCHEMES = {
    "apikey": {"type": "apiKey", "in": "header", "name": "apikey"},
    "bearer": {"type": "http", "scheme": "bearer"},
}


class Pages(Protocol):
    """Pages for people that are served along with the API, of another package."""

    open_paths: Collection[str]
    """What of them needs no key: these paths, exactly, such as the style sheet of the login page."""

    def add_to(self, routes: Routes) -> None:
        """Register the routes, each with its role."""

    def login_page(self, request: Request, following: str, wrong: str) -> str:
        """Return the HTML of the login page; `following` is where to go on to, `wrong` what was wrong, if anything."""
        ...

    def problem_page(self, request: Request, problem: errors.Problem) -> Response:
        """Return the page that says what went wrong."""
        ...


class _Parts(NamedTuple):
    """What several of the routes and the guard share."""

    logins: Logins
    authenticator: Authenticator
    cookie: LoginCookie
    feeding: Feeding


def application(served: Served, pages: Pages | None = None) -> FastAPI:
    """Return the application without its guard; raises where a route declares no role."""
    return _made(served, pages, _parts(served))


def guarded(served: Served, pages: Pages | None = None) -> Guard:
    """Return the application as it is served."""
    parts = _parts(served)
    open_paths = OPEN.union(() if pages is None else pages.open_paths)
    before = Before(parts.cookie, served.hosts, served.tls, open_paths, _anybody(served), served.requests_per_second)
    return Guard(_made(served, pages, parts), parts.authenticator, before, served.tell, parts.feeding.stop)


def _parts(served: Served) -> _Parts:
    key = served.own_key
    own = None if key is None else key.principal
    logins = Logins(served.engine, served.login_idle_s, own)
    watchers = Watchers(served.engine, served.login_idle_s, own)
    return _Parts(
        logins=logins,
        authenticator=Authenticator(served.keys, key, logins),
        cookie=LoginCookie(served.tls or served.behind_proxy, served.root_path),
        feeding=Feeding(served.engine, watchers, served.listen, served.tell),
    )


def _anybody(served: Served) -> dict[str, Principal]:
    """Return what may be read without a key although it declares a role, and as whom."""
    return {"/metrics": Principal("", "anybody on this machine", Role.VIEWER)} if served.metrics_open else {}


def _made(served: Served, pages: Pages | None, parts: _Parts) -> FastAPI:
    app = FastAPI(
        title="Mulligan",
        description=DESCRIPTION,
        version="1",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_name_of,
        redirect_slashes=False,
    )
    app.add_middleware(GZipMiddleware, minimum_size=1_000)
    errors.add_to(app, None if pages is None else pages.problem_page)
    routes = Routes(app.router)
    for each in (
        JobRoutes(served),
        ItemRoutes(served),
        OperationRoutes(served),
        MatchingRoutes(served),
        OverviewRoutes(served),
        SummaryRoutes(served),
        CauseRoutes(served),
        TrendRoutes(served),
        MetricRoutes(served),
        KeyRoutes(served),
    ):
        each.add_to(routes)
    routes.get("/api/openapi.json", Role.VIEWER, include_in_schema=False)(lambda: document(app))
    Probes(served).add_to(app.router)
    StreamRoutes(served, parts.feeding).add_to(routes)
    page = None if pages is None else pages.login_page
    LoginRoutes(served, parts.logins, parts.authenticator, parts.cookie, page).add_to(app.router, routes)
    if pages is not None:
        pages.add_to(routes)
    refuse_undeclared(app, () if pages is None else pages.open_paths)
    return app


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of an application."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        made.setdefault("components", {})["securitySchemes"] = SCHEMES
        for path in made["paths"].values():
            for operation in path.values():
                _only_problem_json(operation["responses"])
        app.openapi_schema = made
    return app.openapi_schema


def _only_problem_json(responses: dict[str, Any]) -> None:
    """Say of problems that they are problem documents and not plain JSON, which FastAPI cannot be told."""
    for response in responses.values():
        content = response.get("content", {})
        if errors.PROBLEM_JSON in content:
            schema = content.pop("application/json", {}).get("schema")
            if schema is not None:
                content[errors.PROBLEM_JSON] = {"schema": schema}


def _name_of(route: APIRoute) -> str:
    return route.name
