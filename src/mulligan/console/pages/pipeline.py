"""One pipeline: what it is, its last runs, and how each of its windows stands over all of its jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query as Parameter
from fastapi import Request, Response

from mulligan.api.access import Caller, Routes
from mulligan.console.desk import Desk
from mulligan.console.pages.windows import drawn_windows, newest_zone
from mulligan.console.pictures.run_strip import run_strip
from mulligan.core.access import Role

JOBS = 20
At = Annotated[str, Parameter(max_length=20)]


class PipelinePages:
    """A pipeline."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, routes: Routes) -> None:
        """Register the page."""
        self._desk.get(routes, "/pipelines/{name}", Role.VIEWER, self.pipeline)

    def pipeline(
        self,
        request: Request,
        caller: Caller,
        name: str,
        at: At = "",
        tz: Annotated[str, Parameter(max_length=64)] = "",
    ) -> Response:
        """Show a pipeline."""
        desk = self._desk
        found = desk.overview.get_pipeline(caller, name)
        zone = tz or newest_zone(desk, caller, found.name)
        jobs = desk.jobs.list_jobs(caller, task=found.name, limit=JOBS).items
        glance = next((each for each in desk.summary.get_overview(caller).items if each.name == found.name), None)
        return desk.page(
            request,
            caller,
            "pipeline.html",
            of=found,
            glance=glance,
            strip=run_strip([(each.id, each.status, each.created_at) for each in (glance.runs if glance else [])]),
            jobs=jobs,
            briefs=desk.summary.get_briefs(caller, [each.id for each in jobs]) if jobs else {},
            drawn=drawn_windows(desk, caller, found.name, None, at, zone),
            tz=zone,
            asked_tz=tz,
        )
