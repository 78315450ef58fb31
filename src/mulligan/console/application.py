"""The console put together: every page, its static files, its login page."""

from __future__ import annotations

from collections.abc import Collection

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from mulligan.api.access import Routes
from mulligan.api.errors import Problem
from mulligan.api.served import Served
from mulligan.console.desk import Desk
from mulligan.console.pages.acting import ActingPages
from mulligan.console.pages.calls import CallPages
from mulligan.console.pages.causes import CausePages
from mulligan.console.pages.item import ItemPages
from mulligan.console.pages.jobs import JobPages
from mulligan.console.pages.many import ManyPages
from mulligan.console.pages.matching import MatchingPages
from mulligan.console.pages.overview import OverviewPages
from mulligan.console.pages.pipeline import PipelinePages
from mulligan.console.pages.ranges import RangePages
from mulligan.console.pages.running import RunPages
from mulligan.console.pages.settings import SettingsPages
from mulligan.console.pages.store import StorePages
from mulligan.console.pages.trends import TrendPages
from mulligan.console.rendering import STATIC, static_file

KINDS = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}

PAGES = (
    OverviewPages,
    JobPages,
    ItemPages,
    CallPages,
    PipelinePages,
    RangePages,
    RunPages,
    ActingPages,
    ManyPages,
    MatchingPages,
    CausePages,
    TrendPages,
    StorePages,
    SettingsPages,
)


class Console:
    """The pages for people."""

    def __init__(self, served: Served) -> None:
        self._desk = Desk(served)
        self.open_paths: Collection[str] = frozenset(f"/static/{name}" for name in STATIC)
        """What a browser may load before it has logged in."""

    def add_to(self, routes: Routes) -> None:
        """Register the pages, and what they load."""
        for each in PAGES:
            each(self._desk).add_to(routes)
        for name in STATIC:
            routes.open(f"/static/{name}", _static)

    def login_page(self, request: Request, following: str, wrong: str) -> str:
        """Return the login page."""
        page = self._desk.rendering.page(request, "login.html", {"following": following, "wrong": wrong})
        return bytes(page.body).decode()

    def problem_page(self, request: Request, problem: Problem) -> HTMLResponse:
        """Return the page that says what went wrong."""
        return self._desk.problem(request, problem)


def _static(request: Request) -> Response:
    name = request.url.path.rpartition("/")[2]
    content, mark = static_file(name)
    kept = "public, max-age=31536000, immutable" if request.query_params.get("v") == mark else "no-cache"
    return Response(content, media_type=KINDS[name.rpartition(".")[2]], headers={"Cache-Control": kept})
