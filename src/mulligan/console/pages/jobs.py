"""The list of jobs, and one job: its counts, its windows, its work items."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query as Parameter
from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from mulligan.api.access import Caller, Routes
from mulligan.api.models import Job, WorkItem
from mulligan.console.desk import Desk
from mulligan.console.pages.calls import tree_of
from mulligan.console.pages.windows import Drawn, drawn_windows
from mulligan.console.pictures.calendar import MAX_CELLS
from mulligan.console.pictures.counts import counts_bar
from mulligan.console.query import EXAMPLE, Query, parse
from mulligan.console.verbs import fitting
from mulligan.core.access import Role
from mulligan.core.errors import ArgumentsInvalid, NotFound
from mulligan.core.job import JobStatus

ROWS = 50
FAILED = 10
"""So many of the work items that failed stand at the top of a job's page."""
Q = Annotated[str, Parameter(max_length=500)]
Cursor = Annotated[str | None, Parameter(max_length=200)]


class JobPages:
    """Jobs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, routes: Routes) -> None:
        """Register the pages."""
        self._desk.get(routes, "/jobs", Role.VIEWER, self.jobs)
        self._desk.get(routes, "/work-items", Role.VIEWER, self.work_items)
        self._desk.get(routes, "/jobs/{id}", Role.VIEWER, self.job)

    def jobs(self, request: Request, caller: Caller, q: Q = "", cursor: Cursor = None) -> Response:
        """List jobs, newest first."""
        desk, wrong, query = self._desk, "", Query(q)
        try:
            query = parse(q)
            if not query.of_jobs:
                return _elsewhere(request, "/work-items", q)
        except ArgumentsInvalid as error:
            wrong = str(error)
        try:
            page = desk.jobs.list_jobs(caller, limit=ROWS, after=cursor, **_as_asked(query))
        except (ArgumentsInvalid, NotFound) as error:
            if cursor is not None:
                raise
            page, wrong = desk.jobs.list_jobs(caller, limit=ROWS), query.wrong(error)
        briefs = desk.summary.get_briefs(caller, [each.id for each in page.items]) if page.items else {}
        return desk.page(
            request,
            caller,
            "jobs.html",
            page=page,
            briefs=briefs,
            q=q,
            wrong=wrong,
            example=EXAMPLE,
            first=cursor is None,
        )

    def work_items(self, request: Request, caller: Caller, q: Q = "", cursor: Cursor = None) -> Response:
        """List work items of all jobs."""
        desk, wrong, query = self._desk, "", Query(q)
        try:
            query = parse(q)
            if not query.of_items:
                return _elsewhere(request, "/jobs", q)
        except ArgumentsInvalid as error:
            wrong = str(error)
        try:
            page = desk.items.list_work_items(caller, limit=ROWS, after=cursor, **query.filters)
        except (ArgumentsInvalid, NotFound) as error:
            if cursor is not None:
                raise
            page, wrong, query = desk.items.list_work_items(caller, limit=ROWS), query.wrong(error), Query(q)
        matching = fitting(query.filters.get("status") or ()) if query.filters and page.items else ()
        return desk.page(
            request,
            caller,
            "work_items.html",
            page=page,
            q=q,
            wrong=wrong,
            example=EXAMPLE,
            first=cursor is None,
            matching=matching,
        )

    def job(
        self,
        request: Request,
        caller: Caller,
        id: str,
        status: Annotated[JobStatus | None, Parameter()] = None,
        at: Annotated[str, Parameter(max_length=20)] = "",
        cursor: Cursor = None,
    ) -> Response:
        """Show a job."""
        desk = self._desk
        job = desk.jobs.get_job(caller, id)
        removed = job.details_removed_at is not None
        items = None
        if not removed:
            asked = None if status is None else [status]
            items = desk.jobs.list_job_items(caller, id, status=asked, limit=ROWS, after=cursor)
        brief = desk.summary.get_briefs(caller, [id]).get(id)
        return desk.page(
            request,
            caller,
            "job.html",
            job=job,
            items=items,
            chosen=status,
            bar=counts_bar(job.counts),
            brief=brief,
            drawn=None if removed or brief is None or brief.window is None else self._windows(caller, job, at),
            at=at,
            tree=tree_of(desk, caller, items.items) if items is not None and cursor is None and status is None else [],
            first_failed=self._first_failed(caller, job),
            failures=desk.summary.get_failures(caller, id) if job.counts.failure and not removed else None,
            first=cursor is None,
        )

    def _first_failed(self, caller: Caller, job: Job) -> list[WorkItem]:
        if not job.counts.failure or job.details_removed_at is not None:
            return []
        return self._desk.jobs.list_job_items(caller, job.id, status=[JobStatus.FAILURE], limit=FAILED).items

    def _windows(self, caller: Caller, job: Job, at: str) -> Drawn | None:
        """Return windows of a job as a picture: its own items, not those of later jobs; nothing for a single one."""
        if job.kind != "backfill" and job.counts.total == 1:
            return None
        return drawn_windows(self._desk, caller, job.task, job.id, at or ("all" if job.counts.total <= MAX_CELLS else ""), job.tz)


def _as_asked(query: Query) -> dict[str, Any]:
    return dict(query.filters) if query.of_jobs else {}


def _elsewhere(request: Request, path: str, q: str) -> Response:
    root = str(request.scope.get("root_path", "")).rstrip("/")
    return RedirectResponse(f"{root}{path}?{urlencode({'q': q})}", 303)
