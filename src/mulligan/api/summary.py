"""Routes that sum up: the overview, what a job failed of, what an item has saved, how it was tried."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from fastapi.responses import PlainTextResponse

from mulligan.api.access import Caller, Routes, Sight
from mulligan.api.models import Counts, Page
from mulligan.api.served import Served
from mulligan.api.sums import Brief, Checkpoint, ClassCount, Failures, Glance
from mulligan.core.access import Role
from mulligan.core.job import ItemKey
from mulligan.engine.finding import missing_item
from mulligan.engine.ids import parse_item_id, parse_job_id
from mulligan.engine.reading import traceback_of
from mulligan.engine.summary import Glance as Sums

LOOKED_AT = 10_000
"""So many failed work items are counted by class; beyond that it is said that there are more."""

Ids = Annotated[list[str], Query(max_length=500, description="Ids of jobs; may be repeated.", alias="id")]


class SummaryRoutes:
    """What can be asked about many things at once."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._sight = Sight(served.engine)
        self._sums = Sums(served.engine)

    def add_to(self, routes: Routes) -> None:
        """Register the routes."""
        routes.get("/api/overview", Role.VIEWER, response_model=Page[Glance], tags=["pipelines"])(self.get_overview)
        routes.get("/api/briefs", Role.VIEWER, response_model=dict[str, Brief], tags=["jobs"])(self.get_briefs)
        routes.get("/api/call-counts", Role.VIEWER, response_model=dict[str, Counts], tags=["work items"])(self.get_call_counts)
        routes.get("/api/jobs/{id}/failures", Role.VIEWER, response_model=Failures, tags=["jobs"])(self.get_failures)
        routes.get("/api/work-items/{id}/checkpoints", Role.VIEWER, response_model=Page[Checkpoint], tags=["work items"])(
            self.list_checkpoints
        )
        texts = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "The traceback."}}
        trace = "/api/work-items/{id}/traceback"
        routes.get(trace, Role.VIEWER, response_class=Response, responses=texts, tags=["work items"])(self.get_traceback)

    def get_overview(self, caller: Caller) -> Page[Glance]:
        """Return every pipeline at a glance, those with the most trouble first; it may be two seconds old."""
        return Page(items=[Glance.of(each) for each in self._sums.pipelines() if caller.sees(each.name)])

    def get_briefs(self, caller: Caller, ids: Ids) -> dict[str, Brief]:
        """Return of some jobs which work items they have, and how the attempts of the first ended; by the ids of the jobs."""
        with self._served.engine.store.read() as session:
            found = session.summary.ranges(parse_job_id(each) for each in ids)
            seen = {job: each for job, each in found.items() if caller.sees(each.task)}
            ends = session.summary.first_ends(seen)
        return {str(job): Brief.of(each, ends.get(job, [])) for job, each in seen.items()}

    def get_call_counts(
        self, caller: Caller, ids: Annotated[list[str], Query(max_length=500, description="Ids; may be repeated.", alias="id")]
    ) -> dict[str, Counts]:
        """Count by status what some work items have called, those that have called anything; by their ids."""
        keys = self._sight.items(caller, [parse_item_id(each) for each in ids])
        with self._served.engine.store.read() as session:
            found = session.calls.counts(session.items.read(keys))
        return {str(key): Counts.of(each) for key, each in found.items()}

    def get_failures(self, caller: Caller, id: str) -> Failures:
        """Count the failed work items of a job by class, the first 10,000 of them."""
        job = self._sight.job(caller, parse_job_id(id))
        with self._served.engine.store.read() as session:
            found = session.summary.failed_by_class(job.id, LOOKED_AT)
        classes = [ClassCount(failure_class=name, count=count) for name, count in found]
        return Failures(classes=classes, more=job.counts.failure > LOOKED_AT)

    def list_checkpoints(self, caller: Caller, id: str) -> Page[Checkpoint]:
        """List what the attempts of a work item saved, oldest first."""
        key = parse_item_id(id)
        self._sight.item(caller, key)
        with self._served.engine.store.read() as session:
            found = session.items.read([key])
            if not found:
                raise missing_item(session, key)
            rows = session.records.checkpoints(key)
        return Page(items=[Checkpoint.of(each, found[0].keep_from) for each in rows])

    def get_traceback(self, caller: Caller, id: str) -> Response:
        """Return the traceback of the last attempt of a work item that failed, as it was."""
        key = parse_item_id(id)
        self._sight.item(caller, key)
        return PlainTextResponse(self.traceback(key))

    def traceback(self, key: ItemKey) -> str:
        """Return the traceback of the last attempt that failed; empty where there is none."""
        with self._served.engine.store.read() as session:
            return traceback_of(session.items.attempts(key))
