"""Routes about the whole store: pipelines, partitions, workers, the audit."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from fastapi import Query, Request, Response

from mulligan.api.access import Caller, Routes, Sight, asker_of
from mulligan.api.models import Audited, Calendar, Counts, Page, Partition, Paused, Pipeline, Worker, window_of
from mulligan.api.pages import Cursor, Limit, cursor, place
from mulligan.api.replies import Key, Replies
from mulligan.api.requests import Reasoned
from mulligan.api.served import Served
from mulligan.core.access import Role
from mulligan.core.errors import UnknownTask
from mulligan.core.job import JobStatus
from mulligan.core.schedule import FIRST_MS, LAST_MS, from_ms, instant_ms, zone
from mulligan.core.shown import shown
from mulligan.engine.calendars import EVERYTHING, read_calendar
from mulligan.engine.filters import text
from mulligan.engine.ids import parse_job_id
from mulligan.engine.reading import worker_views

Moment = Annotated[str | None, Query(max_length=64, examples=["2024-03-01"])]
At = Annotated[str | None, Query(max_length=20, description="A year, month, day or hour; or all.", examples=["2024", "2024-03"])]
Cursored = Annotated[Cursor, Query(alias="cursor")]


class OverviewRoutes:
    """What can be asked about the whole store."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._sight = Sight(served.engine)
        self._replies = Replies(served.engine)

    def add_to(self, routes: Routes) -> None:
        """Register the routes."""
        pipelines, store = ["pipelines"], ["store"]
        routes.get("/api/pipelines", Role.VIEWER, response_model=Page[Pipeline], tags=pipelines)(self.list_pipelines)
        routes.get("/api/pipelines/{name}", Role.VIEWER, response_model=Pipeline, tags=pipelines)(self.get_pipeline)
        for act in (self.pause_pipeline, self.resume_pipeline):
            path = f"/api/pipelines/{{name}}/{act.__name__.partition('_')[0]}"
            routes.post(path, Role.OPERATOR, response_model=Paused, tags=pipelines)(act)
        routes.get("/api/partitions", Role.VIEWER, response_model=Page[Partition], tags=pipelines)(self.list_partitions)
        routes.get("/api/partitions/calendar", Role.VIEWER, response_model=Calendar, tags=pipelines)(self.get_calendar)
        routes.get("/api/workers", Role.VIEWER, response_model=Page[Worker], tags=store)(self.list_workers)
        routes.get("/api/audit", Role.OPERATOR, response_model=Page[Audited], tags=store)(self.list_audit)

    def list_pipelines(self, caller: Caller, limit: Limit = 100, after: Cursored = None) -> Page[Pipeline]:
        """List the tasks and workflows that are published, in the order in which they came to be."""
        served = self._served
        found = place(after, {"list": "pipelines"}, 1)
        with served.engine.store.read() as session:
            living = session.tasks.with_workers()
            rows = sorted(session.tasks.all(served.engine.definitions.namespace), key=lambda row: row.id)
            rows = [row for row in rows if row.definition is not None and caller.sees(row.name)]
            rows = [row for row in rows if found is None or row.id > found[0]]
            page = [
                Pipeline.of(row, served.engine.definitions.get(session, row.definition or 0), has_worker=row.id in living)
                for row in rows[:limit]
            ]
        more = len(rows) > limit
        return Page(items=page, next=cursor((rows[limit - 1].id,), {"list": "pipelines"}) if more else None)

    def get_pipeline(self, caller: Caller, name: str) -> Pipeline:
        """Return a task or workflow as it is published."""
        definitions = self._served.engine.definitions
        if "\0" in name:
            raise UnknownTask(f"no task {shown(name)} is published in namespace {definitions.namespace!r}")
        with self._served.engine.store.read() as session:
            found, definition = definitions.current(session, self._sight.task(caller, text(name, "name")))
            row = session.tasks.by_id(found.task)
            assert row is not None  # noqa: S101 - just found
            return Pipeline.of(row, definition, has_worker=row.id in session.tasks.with_workers())

    def pause_pipeline(
        self, request: Request, caller: Caller, name: str, body: Reasoned | None = None, key: Key = None
    ) -> Response:
        """Start nothing more of a task or workflow."""
        return self._pause(request, caller, name, body or Reasoned(), key, paused=True)

    def resume_pipeline(
        self, request: Request, caller: Caller, name: str, body: Reasoned | None = None, key: Key = None
    ) -> Response:
        """Start work of a paused task or workflow again."""
        return self._pause(request, caller, name, body or Reasoned(), key, paused=False)

    def list_partitions(
        self,
        caller: Caller,
        task: Annotated[str, Query(max_length=200)],
        start: Moment = None,
        end: Moment = None,
        tz: Annotated[str, Query(max_length=64, description="For moments without a zone, and of the windows.")] = "UTC",
        limit: Limit = 100,
        after: Cursored = None,
    ) -> Page[Partition]:
        """List the windows of a task that start in a range, oldest first, each with the newest work item for it.

        That is one in flight, else the one that ended last, also where retention has removed it.
        """
        served = self._served
        name = self._sight.task(caller, text(task, "task"))
        first = FIRST_MS if start is None else instant_ms(start, tz, "start")
        last = LAST_MS if end is None else instant_ms(end, tz, "end")
        filters = {"task": name, "start": first, "end": last}
        found = place(after, filters, 2)
        with served.engine.store.read() as session:
            row = session.tasks.find(served.engine.definitions.namespace, name)
            if row is None:
                raise UnknownTask(f"no task {name!r} is published in namespace {served.engine.definitions.namespace!r}")
            begin = (first, first) if found is None else (found[0], found[1])
            windows = session.windows.page(row.id, begin, last, limit + 1)
            newest = session.windows.newest(row.id, windows[0][0], windows[-1][0] + 1) if windows else {}
        page = [self._partition(each, *newest[each], tz) for each in windows[:limit] if each in newest]
        return Page(items=page, next=cursor(windows[limit - 1], filters) if len(windows) > limit else None)

    def get_calendar(
        self,
        caller: Caller,
        task: Annotated[str, Query(max_length=200)],
        at: At = None,
        job: Annotated[str | None, Query(max_length=20, description="Only the work items of a job of that task.")] = None,
        tz: Annotated[str, Query(max_length=64, description="Whose calendar it is.")] = "UTC",
    ) -> Calendar:
        """Return the windows of a task that start in a period, the newest period if none is named.

        A period of more than 9,000 windows gives way to the last month, day or hour in it that has no more.
        """
        served = self._served
        name = self._sight.task(caller, text(task, "task"))
        zone(tz)
        number = None if job is None else self._sight.job(caller, parse_job_id(job)).id
        with served.engine.store.read() as session:
            row = session.tasks.find(served.engine.definitions.namespace, name)
            if row is None:
                raise UnknownTask(f"no task {name!r} is published in namespace {served.engine.definitions.namespace!r}")
            found = read_calendar(session, row.id, number, None if at is None else text(at, "at"), tz)
        counts = Counter(status for _, _, status in found.windows)
        period = found.period
        return Calendar(
            at=None if period is None else period.name,
            start=None if period in (None, EVERYTHING) else from_ms(period.start_ms, tz),
            end=None if period in (None, EVERYTHING) else from_ms(period.end_ms, tz),
            tz=tz,
            counts=Counts(total=len(found.windows), **{each.lower(): counts[each] for each in JobStatus}),
            earlier=found.earlier,
            later=found.later,
            more=found.more,
            items=[self._partition(window, key, status, tz) for window, key, status in found.windows],
        )

    def list_workers(self, caller: Caller) -> Page[Worker]:
        """List the newest 500 workers, newest first. `dead`: its process is gone, which nobody has acted on yet."""
        self._sight.everything(caller)
        with self._served.engine.store.read() as session:
            return Page(items=[Worker.of(each) for each in worker_views(session, self._served.is_free)])

    def list_audit(
        self,
        caller: Caller,
        target: Annotated[str | None, Query(max_length=500, examples=["job 12"])] = None,
        limit: Limit = 100,
        after: Cursored = None,
    ) -> Page[Audited]:
        """List who asked for what, newest first."""
        self._sight.everything(caller)
        filters = {"target": None if target is None else text(target, "target")}
        found = place(after, filters, 1)
        with self._served.engine.store.read() as session:
            rows = session.records.audit(filters["target"], limit, *(() if found is None else found))
        following = cursor((rows[-1].id,), filters) if len(rows) == limit else None
        return Page(items=[Audited.of(each) for each in rows], next=following)

    def _partition(self, window: tuple[int, int], key: object, status: JobStatus, tz: str) -> Partition:
        return Partition(window=window_of(*window, tz), status=status, work_item=str(key))

    def _pause(self, request: Request, caller: Caller, name: str, body: Reasoned, key: str | None, *, paused: bool) -> Response:
        task = self._sight.task(caller, text(name, "name"))

        def act(operation: str | None) -> Paused:
            changed = self._served.commands.pause(task, asker_of(request, body.reason, operation), paused=paused)
            return Paused(paused=paused, changed=changed)

        return self._replies.once(request, key, act)
