"""The console put together: every page, its static files, its login page."""

from __future__ import annotations

from collections.abc import Collection

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from mulligan.api.access import Caller, Routes
from mulligan.api.served import Served
from mulligan.console.desk import Desk
from mulligan.console.pages.acting import ActingPages
from mulligan.console.pages.item import ItemPages
from mulligan.console.pages.jobs import JobPages
from mulligan.console.pages.many import ManyPages
from mulligan.console.pages.overview import OverviewPages
from mulligan.console.pages.settings import SettingsPages
from mulligan.console.pages.store import StorePages
from mulligan.console.rendering import STATIC, static_file
from mulligan.core.access import Role

KINDS = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


class Console:
    """The pages for people."""

    def __init__(self, served: Served) -> None:
        self._desk = Desk(served)
        self.open_paths: Collection[str] = frozenset(f"/static/{name}" for name in STATIC)
        """What a browser may load before it has logged in."""

    def add_to(self, routes: Routes) -> None:
        """Register the pages, and what they load."""
        for each in (OverviewPages, JobPages, ItemPages, ActingPages, ManyPages, StorePages, SettingsPages):
            each(self._desk).add_to(routes)
        for name in STATIC:
            routes.open(f"/static/{name}", _static)
        self._desk.get(routes, "/{path:path}", Role.VIEWER, self.nowhere)

    def login_page(self, request: Request, following: str, wrong: str) -> str:
        """Return the login page."""
        page = self._desk.rendering.page(request, "login.html", {"following": following, "wrong": wrong})
        return bytes(page.body).decode()

    def nowhere(self, request: Request, caller: Caller, path: str) -> HTMLResponse:
        """Say that there is no such page."""
        said = f"There is no page /{path}."
        return self._desk.page(request, caller, "problem.html", 404, said=said, code="no_such_route", request_id="")


def _static(request: Request) -> Response:
    name = request.url.path.rpartition("/")[2]
    content, mark = static_file(name)
    kept = "public, max-age=31536000, immutable" if request.query_params.get("v") == mark else "no-cache"
    return Response(content, media_type=KINDS[name.rpartition(".")[2]], headers={"Cache-Control": kept})
