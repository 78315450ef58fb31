"""Routes of jobs: submitting, looking, acting."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import BackgroundTasks, Header, Query, Request, Response

from mulligan.api.access import Caller, Routes, Sight, asker_of
from mulligan.api.acting import Acting, Command
from mulligan.api.items import CLASSES, ERROR, KEY, STATUSES, WINDOW, Type, list_items
from mulligan.api.models import Done, Job, Page, WorkItem
from mulligan.api.pages import Cursor, Limit, cursor, place
from mulligan.api.replies import Key, Replies, run_id_of
from mulligan.api.requests import Action, Chunk, NewJob, Overwrite, Seal
from mulligan.api.served import Served
from mulligan.api.submissions import chunk_of, submission_of
from mulligan.core.access import Role
from mulligan.core.errors import ArgumentsInvalid, WindowInvalid
from mulligan.core.schedule import instant_ms
from mulligan.core.shown import shown
from mulligan.core.traceparent import place_of
from mulligan.engine.asking import Target
from mulligan.engine.filters import job_filters
from mulligan.engine.ids import parse_job_id

Label = Annotated[str | None, Query(max_length=401, description="Those with a label: `name=value`.", examples=["team=ads"])]

Traceparent = Annotated[
    str | None,
    Header(
        description="The span that submits, as W3C writes it: the job continues its trace. What is none is ignored.",
        examples=["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
    ),
]
PLANNED: dict[int | str, dict[str, Any]] = {
    200: {"model": Done, "description": "The plan of a backfill, where `dry_run` asked for it."}
}


class JobRoutes:
    """What can be asked about jobs, and of them."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._sight = Sight(served.engine)
        self._replies = Replies(served.engine)
        self._acting = Acting(self._replies)

    def add_to(self, routes: Routes) -> None:
        """Register the routes."""
        made = {"status_code": 201, "response_model": Job, "responses": PLANNED}
        routes.post("/api/jobs", Role.OPERATOR, tags=["jobs"], **made)(self.submit_job)
        routes.get("/api/jobs", Role.VIEWER, response_model=Page[Job], tags=["jobs"])(self.list_jobs)
        routes.get("/api/jobs/{id}", Role.VIEWER, response_model=Job, tags=["jobs"])(self.get_job)
        routes.get("/api/jobs/{id}/work-items", Role.VIEWER, response_model=Page[WorkItem], tags=["jobs"])(self.list_job_items)
        routes.post("/api/jobs/{id}/work-items", Role.OPERATOR, response_model=Job, tags=["jobs"])(self.add_job_items)
        routes.post("/api/jobs/{id}/seal", Role.OPERATOR, response_model=Job, tags=["jobs"])(self.seal_job)
        for path, act in (
            ("cancel", self.cancel_job),
            ("retry", self.retry_job),
            ("retry-now", self.retry_job_now),
            ("overwrite", self.overwrite_job),
        ):
            routes.post(f"/api/jobs/{{id}}/{path}", Role.OPERATOR, response_model=Done, tags=["jobs"])(act)

    def submit_job(
        self, request: Request, caller: Caller, body: NewJob, key: Key = None, traceparent: Traceparent = None
    ) -> Response:
        """Submit a job: all of it is stored, or nothing.

        The same `run_id` with the same input gives the job that is there; so does the same Idempotency-Key. With
        `dry_run` nothing is stored, and the answer is 200 with which windows of the backfill would be taken.
        """
        place = place_of(traceparent)
        served = self._served
        self._sight.task(caller, body.task)

        def act(operation: str | None) -> Job | Done:
            with served.engine.store.read() as session:
                definition = served.engine.definitions.current(session, body.task)[1]
            submission = submission_of(definition, body, None if operation is None else run_id_of(operation))
            submission = replace(submission, traceparent=None if place is None else str(place))
            if body.dry_run:
                return Done.of(served.submitting.plan(submission), dry_run=True)
            asker = asker_of(request, "", operation)
            if body.sealed:
                taken = served.submitting.take(submission, asker)
            else:
                taken = served.uploading.open(submission, body.args, asker)
            return Job.of(served.reading.job(taken.job))

        return self._replies.once(request, key, act, status=200 if body.dry_run else 201)

    def add_job_items(self, request: Request, caller: Caller, id: str, body: Chunk, key: Key = None) -> Response:
        """Add a chunk of work items to a job that is not sealed; a chunk may be sent again, and is not added twice.

        409 `chunk_gap` where work items before it are missing, `chunk_conflict` where others are there.
        """
        served, job = self._served, self._sight.job(caller, parse_job_id(id)).id

        def act(operation: str | None) -> Job:  # noqa: ARG001 - the audit tells of jobs, not of chunks
            served.uploading.append(job, body.first, chunk_of(served.uploading.opened(job), body))
            return Job.of(served.reading.job(job))

        return self._replies.once(request, key, act)

    def seal_job(self, request: Request, caller: Caller, id: str, body: Seal | None = None, key: Key = None) -> Response:
        """Complete a job that came in chunks: from now on its work items start. Sealing it again changes nothing."""
        served, job, asked = self._served, self._sight.job(caller, parse_job_id(id)).id, body or Seal()
        after = BackgroundTasks()

        def act(operation: str | None) -> Job:
            sealed = served.uploading.seal(job, asked.total, asker_of(request, asked.reason, operation))
            after.add_task(served.uploading.release, sealed)  # a million items take seconds, for which nobody waits
            return Job.of(served.reading.job(job))

        answer = self._replies.once(request, key, act)
        answer.background = after
        return answer

    def list_jobs(
        self,
        caller: Caller,
        status: STATUSES = None,
        task: Annotated[str | None, Query(max_length=200)] = None,
        run_id: Annotated[str | None, Query(max_length=200)] = None,
        label: Label = None,
        before: Annotated[str | None, Query(max_length=20, description="Those that are older than a job.")] = None,
        limit: Limit = 100,
        after: Annotated[Cursor, Query(alias="cursor")] = None,
    ) -> Page[Job]:
        """List jobs, newest first."""
        given = {
            "status": status,
            "task": task,
            "run_id": run_id,
            "label": None if label is None else _label(label),
            "before": before,
        }
        filters = job_filters(given) | self._sight.filters(caller)
        found = place(after, filters, 1)
        further = {} if found is None else {"before": found[0]}
        views = self._served.reading.jobs({**filters, **further}, limit)
        following = cursor((views[-1].row.id,), filters) if len(views) == limit else None
        return Page(items=[Job.of(each) for each in views], next=following)

    def get_job(self, caller: Caller, id: str) -> Job:
        """Return a job."""
        number = self._sight.job(caller, parse_job_id(id)).id
        return Job.of(self._served.reading.job(number))

    def list_job_items(
        self,
        caller: Caller,
        id: str,
        status: STATUSES = None,
        failure_class: CLASSES = None,
        key: KEY = None,
        window_start: WINDOW = None,
        window_end: WINDOW = None,
        error: ERROR = None,
        limit: Limit = 100,
        after: Annotated[Cursor, Query(alias="cursor")] = None,
    ) -> Page[WorkItem]:
        """List the work items of a job by their numbers."""
        self._sight.job(caller, parse_job_id(id))
        given = {
            "job": id,
            "status": status,
            "failure_class": failure_class,
            "key": key,
            "window_start": window_start,
            "window_end": window_end,
            "error": error,
        }
        return list_items(self._served.reading, given, limit, after)

    def cancel_job(self, request: Request, caller: Caller, id: str, body: Action | None = None, key: Key = None) -> Response:
        """Cancel what has not ended of a job: waiting work items at once, running ones are asked to stop."""
        return self._act(request, caller, id, body, key, self._served.commands.cancel)

    def retry_job(
        self, request: Request, caller: Caller, id: str, type: Type = "recover", body: Action | None = None, key: Key = None
    ) -> Response:
        """Retry what failed or was cancelled of a job."""
        return self._act(request, caller, id, body, key, partial(self._served.commands.retry, mode=type))

    def retry_job_now(self, request: Request, caller: Caller, id: str, body: Action | None = None, key: Key = None) -> Response:
        """Make the waiting work items of a job due at once."""
        return self._act(request, caller, id, body, key, self._served.commands.retry_now)

    def overwrite_job(
        self, request: Request, caller: Caller, id: str, body: Overwrite | None = None, key: Key = None
    ) -> Response:
        """Run what succeeded of a job again, of a backfill the windows in a range.

        409 `overwrite_unsafe`, with the evidence, where it is not known to be safe and the risk is not accepted.
        """
        asked = body or Overwrite()
        window = _range(asked, self._sight.job(caller, parse_job_id(id)).tz)
        overwrite = self._served.commands.overwrite
        command = partial(overwrite, window=window, accept_risk=asked.accept_risk, forward=asked.forward)
        return self._act(request, caller, id, asked, key, command)

    def _act(self, request: Request, caller: Caller, id: str, body: Action | None, key: str | None, command: Command) -> Response:
        target = Target(job=self._sight.job(caller, parse_job_id(id)).id)
        return self._acting.do(request, target, body or Action(), key, command)


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ArgumentsInvalid(f"label: expected name=value such as team=ads, not {shown(text)}")
    return name, value


def _range(asked: Overwrite, tz: str) -> tuple[int | None, int | None]:
    first = None if asked.start is None else instant_ms(asked.start, tz, "start")
    last = None if asked.end is None else instant_ms(asked.end, tz, "end")
    if first is not None and last is not None and last <= first:
        raise WindowInvalid(
            f"the range ends ({shown(asked.end)}) before it has begun ({shown(asked.start)}): no window lies in it"
        )
    return first, last
