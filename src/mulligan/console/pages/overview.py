"""The first page: what needs me now, and how each pipeline fares."""

from __future__ import annotations

from fastapi import Request, Response

from mulligan.api.access import Caller, Routes
from mulligan.api.sums import Glance
from mulligan.console.desk import Desk
from mulligan.console.pictures.run_strip import run_strip
from mulligan.core.access import Role
from mulligan.core.job import JobStatus

NOW = 8
"""So many jobs that failed, and as many that wait for a retry, are named on the first page."""


class OverviewPages:
    """The overview and the list of pipelines."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, routes: Routes) -> None:
        """Register the pages."""
        self._desk.get(routes, "/", Role.VIEWER, self.overview)
        self._desk.get(routes, "/pipelines", Role.VIEWER, self.pipelines)

    def overview(self, request: Request, caller: Caller) -> Response:
        """Show what needs somebody."""
        desk = self._desk
        glances = desk.summary.get_overview(caller).items
        return desk.page(
            request,
            caller,
            "overview.html",
            sums=_sums(glances),
            glances=glances,
            strips=_strips(glances),
            failed=desk.jobs.list_jobs(caller, status=[JobStatus.FAILURE], limit=NOW).items,
            retrying=desk.jobs.list_jobs(caller, status=[JobStatus.RETRY], limit=NOW).items,
        )

    def pipelines(self, request: Request, caller: Caller) -> Response:
        """Show every pipeline, with what can be done to it."""
        desk = self._desk
        glances = desk.summary.get_overview(caller).items
        published = {each.name: each for each in desk.overview.list_pipelines(caller, limit=500).items}
        return desk.page(request, caller, "pipelines.html", glances=glances, published=published, strips=_strips(glances))


def _strips(glances: list[Glance]) -> dict[str, object]:
    return {each.name: run_strip([(run.id, run.status, run.created_at) for run in each.runs]) for each in glances}


def _sums(glances: list[Glance]) -> dict[str, int]:
    return {
        "running": sum(each.unended.started for each in glances),
        "retrying": sum(each.unended.retry for each in glances),
        "waiting": sum(each.unended.pending for each in glances),
        "failed": sum(each.failed_last_day for each in glances),
        "succeeded": sum(each.succeeded_last_day for each in glances),
    }
