"""The application put together: every route, its errors, its guard."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from mulligan.api import errors
from mulligan.api.access import Authenticator, Routes, refuse_undeclared
from mulligan.api.guard import Guard
from mulligan.api.items import ItemRoutes
from mulligan.api.jobs import JobRoutes
from mulligan.api.overview import OverviewRoutes
from mulligan.api.probes import Probes
from mulligan.api.served import Served
from mulligan.api.summary import SummaryRoutes
from mulligan.core.access import Role

DESCRIPTION = """Runs the jobs of data and ML pipelines and takes care of what goes wrong.

Every path under `/api` takes a key: the header `apikey`, or `Authorization: Bearer KEY`. `x-role` says which role a key needs.
Errors are problem documents (RFC 9457) with a stable `code`. Lists page by `cursor`."""
SCHEMES = {
    "apikey": {"type": "apiKey", "in": "header", "name": "apikey"},
    "bearer": {"type": "http", "scheme": "bearer"},
}


def application(served: Served) -> FastAPI:
    """Return the application without its guard; raises where a route declares no role."""
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
    errors.add_to(app)
    routes = Routes(app.router)
    for each in (JobRoutes(served), ItemRoutes(served), OverviewRoutes(served), SummaryRoutes(served)):
        each.add_to(routes)
    routes.get("/api/openapi.json", Role.VIEWER, include_in_schema=False)(lambda: document(app))
    Probes(served).add_to(app.router)
    refuse_undeclared(app)
    return app


def guarded(served: Served) -> ASGIApp:
    """Return the application as it is served."""
    authenticator = Authenticator(served.keys, served.own_key)
    return Guard(application(served), authenticator, served.hosts, served.tell, tls=served.tls)


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
