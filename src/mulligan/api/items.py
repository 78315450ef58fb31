"""Routes of work items: looking at one, at its attempts and logs, at many by filter, and acting on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse

from mulligan.api.access import Caller, Routes, Sight, asker_of
from mulligan.api.acting import Acting, Command
from mulligan.api.models import Attempt, Counts, Done, Explanation, LogPage, Page, Total, WorkItem
from mulligan.api.pages import Cursor, Limit, cursor, place
from mulligan.api.replies import Key, Replies
from mulligan.api.requests import ActOnItem, OverwriteItem, WorkItemIds
from mulligan.api.served import Served
from mulligan.core.access import Role
from mulligan.core.errors import NotFound
from mulligan.core.job import FailureClass, ItemKey, JobStatus
from mulligan.engine.asking import Target
from mulligan.engine.by_ids import known_keys, retry_those_that_can
from mulligan.engine.ids import parse_item_id
from mulligan.engine.logs import log_page, log_tail
from mulligan.engine.reading import Reading, traceback_of

STATUSES = Annotated[list[JobStatus] | None, Query(max_length=6, description="Those in one of these; may be repeated.")]
CLASSES = Annotated[FailureClass | None, Query(description="Those whose last failure was of a class.")]
CAUSE = Annotated[str | None, Query(max_length=64, description="Those that failed of a cause last.", examples=["3f9c01b27ad4"])]
KEY = Annotated[str | None, Query(max_length=200, description="The one of a key within its job.")]
WINDOW = Annotated[str | None, Query(max_length=64, description="A moment; without a zone in UTC.", examples=["2024-03-07"])]
LATEST = Annotated[
    bool | None,
    Query(description="Of those for the same window of a task only the newest: one in flight, else the last that ended."),
]
ERROR = Annotated[str | None, Query(max_length=500, description="Those with a text in their error.")]
Place = Annotated[int | None, Query(ge=1, le=1_000_000_000, description="The `place` of one attempt; all of them if not given.")]
After = Annotated[
    str | None, Query(max_length=40, pattern=r"^[0-9]+\.[0-9]+$", description="`next` of the page before.", examples=["3.0"])
]
Last = Annotated[int | None, Query(ge=1, le=1_000, description="Only the newest so many.")]
Type = Annotated[Literal["restart", "recover"], Query(description="Begin anew, or go on from the checkpoints.")]


def list_items(
    reading: Reading, given: Mapping[str, Any], limit: int, after: str | None, seen: Mapping[str, Any] | None = None
) -> Page[WorkItem]:
    """Return a page of work items by job and number; `seen` limits it to what a key may see."""
    filters = {**reading.plain_filters(given), **(seen or {})}
    found = place(after, filters, 2)
    more = {} if found is None else {"after": ItemKey(*found)}
    views = reading.items({**filters, **more}, limit)
    following = cursor(tuple(views[-1].detail.item.key), filters) if len(views) == limit else None
    return Page(items=[WorkItem.of(each) for each in views], next=following)


class History(NamedTuple):
    """A work item, its ended attempts, every decision in words, the traceback of its last failure, and the end of its log."""

    item: WorkItem
    attempts: list[Attempt]
    explanation: list[str]
    traceback: str
    log: LogPage


class ItemRoutes:
    """What can be asked about work items, and of them."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._sight = Sight(served.engine)
        self._replies = Replies(served.engine)
        self._acting = Acting(self._replies)

    def add_to(self, routes: Routes) -> None:
        """Register the routes."""
        here: dict[str, Any] = {"tags": ["work items"]}
        one = "/api/work-items/{id}"
        routes.put("/api/pipelines/work-items/retry", Role.OPERATOR, response_model=Total, **here)(self.retry_work_items)
        routes.get("/api/work-items", Role.VIEWER, response_model=Page[WorkItem], **here)(self.list_work_items)
        routes.get(one, Role.VIEWER, response_model=WorkItem, **here)(self.get_work_item)
        routes.get(f"{one}/attempts", Role.VIEWER, response_model=Page[Attempt], **here)(self.list_attempts)
        texts = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "The output."}}
        routes.get(f"{one}/logs", Role.VIEWER, response_class=Response, responses=texts, **here)(self.get_logs)
        routes.get(f"{one}/logs/pieces", Role.VIEWER, response_model=LogPage, **here)(self.list_log_pieces)
        routes.get(f"{one}/explain", Role.VIEWER, response_model=Explanation, **here)(self.explain_work_item)
        routes.get(f"{one}/calls", Role.VIEWER, response_model=Page[WorkItem], **here)(self.list_calls)
        routes.get(f"{one}/call-counts", Role.VIEWER, response_model=Counts, **here)(self.count_calls)
        for path, act in (
            ("cancel", self.cancel_work_item),
            ("retry", self.retry_work_item),
            ("retry-now", self.retry_work_item_now),
            ("overwrite", self.overwrite_work_item),
        ):
            routes.post(f"{one}/{path}", Role.OPERATOR, response_model=Done, **here)(act)

    def list_work_items(
        self,
        caller: Caller,
        ids: Annotated[list[str] | None, Query(max_length=100, description="Those of these ids; may be repeated.")] = None,
        job: Annotated[str | None, Query(max_length=20)] = None,
        parent: Annotated[str | None, Query(max_length=40, description="Calls of the workflow of this work item.")] = None,
        status: STATUSES = None,
        task: Annotated[str | None, Query(max_length=200)] = None,
        failure_class: CLASSES = None,
        cause: CAUSE = None,
        run_id: Annotated[str | None, Query(max_length=200)] = None,
        key: KEY = None,
        window_start: WINDOW = None,
        window_end: WINDOW = None,
        error: ERROR = None,
        latest: LATEST = None,
        limit: Limit = 100,
        after: Annotated[Cursor, Query(alias="cursor")] = None,
    ) -> Page[WorkItem]:
        """List work items by job and number. Calls of workflows are among them only by `parent`."""
        if parent is not None:
            self._sight.item(caller, parse_item_id(parent))
        given = {
            "ids": ids,
            "job": job,
            "parent": parent,
            "status": status,
            "task": task,
            "failure_class": failure_class,
            "cause": cause,
            "run_id": run_id,
            "key": key,
            "window_start": window_start,
            "window_end": window_end,
            "error": error,
            "latest": latest,
        }
        seen = {} if parent is not None else self._sight.filters(caller)
        return list_items(self._served.reading, given, limit, after, seen)

    def get_work_item(self, caller: Caller, id: str) -> WorkItem:
        """Return a work item."""
        return WorkItem.of(self._served.reading.item(self._seen(caller, id)))

    def list_attempts(
        self, caller: Caller, id: str, limit: Limit = 100, after: Annotated[Cursor, Query(alias="cursor")] = None
    ) -> Page[Attempt]:
        """List the ended attempts of a work item, oldest first, those of earlier generations among them."""
        key = self._seen(caller, id)
        found = place(after, {"attempts": str(key)}, 1)
        first = 0 if found is None else found[0]
        with self._served.engine.store.read() as session:
            rows = session.items.attempts(key)
        page = [Attempt.of(number, row) for number, row in enumerate(rows, 1)][first : first + limit]
        more = first + limit < len(rows)
        return Page(items=page, next=cursor((first + limit,), {"attempts": str(key)}) if more else None)

    def get_logs(self, caller: Caller, id: str, attempt: Place = None) -> Response:
        """Return what the attempts of a work item wrote to stdout, stderr and logs, as it was written."""
        key, token = self._seen(caller, id), None
        if attempt is not None:
            with self._served.engine.store.read() as session:
                rows = session.items.attempts(key)
            if attempt > len(rows):
                raise NotFound(f"work item {key} has {len(rows)} ended attempts: there is no attempt {attempt}")
            token = rows[attempt - 1].token
        return StreamingResponse(self._pieces(key, token), media_type="text/plain; charset=utf-8")

    def explain_work_item(self, caller: Caller, id: str) -> Explanation:
        """Say why a work item is in the state it is in: every decision with its rule, counters and arithmetic."""
        key = self._seen(caller, id)
        return Explanation(id=str(key), lines=self._served.reading.explain(key).splitlines())

    def list_calls(
        self,
        caller: Caller,
        id: str,
        status: STATUSES = None,
        failure_class: CLASSES = None,
        task: Annotated[str | None, Query(max_length=200)] = None,
        key: KEY = None,
        error: ERROR = None,
        limit: Limit = 100,
        after: Annotated[Cursor, Query(alias="cursor")] = None,
    ) -> Page[WorkItem]:
        """List what a workflow has called since it was begun or restarted last; nothing of any other task."""
        caller_key, reading = self._seen(caller, id), self._served.reading
        with self._served.engine.store.read() as session:
            job = session.calls.jobs([reading.item(caller_key).detail.item]).get(caller_key)
        if job is None:
            return Page(items=[])
        given = {"job": job, "status": status, "failure_class": failure_class, "task": task, "key": key, "error": error}
        return list_items(reading, given, limit, after)

    def count_calls(self, caller: Caller, id: str) -> Counts:
        """Count the calls of a workflow, those that `/calls` lists, by their statuses."""
        item = self._served.reading.item(self._seen(caller, id)).detail.item
        with self._served.engine.store.read() as session:
            return Counts.of(self._served.reading.call_counts(session, item))

    def list_log_pieces(self, caller: Caller, id: str, after: After = None, last: Last = None) -> LogPage:
        """Return up to a thousand pieces of what the attempts wrote: by which attempt, and when.

        Go on with `after`, the `next` of the page before, until it is null; later again with the last one, to follow. `last`:
        only the newest so many of them, to show the end of a log and what is added to it.
        """
        key = self._seen(caller, id)
        with self._served.engine.store.read() as session:
            return (
                LogPage.of(*log_page(session, key, after)) if last is None else LogPage.of(*log_tail(session, key, last, after))
            )

    def history(self, caller: Caller, id: str, last: int) -> History:
        """Return a work item with all that is known of how it was tried, each thing read once."""
        key = self._seen(caller, id)
        with self._served.engine.store.read() as session:
            found = self._served.reading.history(key)
            tail = log_tail(session, key, last, attempts=found.attempts)
        return History(
            WorkItem.of(found.view),
            [Attempt.of(place, row) for place, row in enumerate(found.attempts, 1)],
            found.explanation.splitlines(),
            traceback_of(found.attempts),
            LogPage.of(*tail),
        )

    def cancel_work_item(
        self, request: Request, caller: Caller, id: str, body: ActOnItem | None = None, key: Key = None
    ) -> Response:
        """Cancel a work item."""
        return self._act(request, caller, id, body, key, self._served.commands.cancel)

    def retry_work_item(
        self, request: Request, caller: Caller, id: str, type: Type = "recover", body: ActOnItem | None = None, key: Key = None
    ) -> Response:
        """Retry a work item that failed or was cancelled."""
        return self._act(request, caller, id, body, key, partial(self._served.commands.retry, mode=type))

    def retry_work_item_now(
        self, request: Request, caller: Caller, id: str, body: ActOnItem | None = None, key: Key = None
    ) -> Response:
        """Make a work item due at once that waits for its next attempt."""
        return self._act(request, caller, id, body, key, self._served.commands.retry_now)

    def overwrite_work_item(
        self, request: Request, caller: Caller, id: str, body: OverwriteItem | None = None, key: Key = None
    ) -> Response:
        """Run a work item again although it succeeded; 409 `overwrite_unsafe` where that is not known to be safe."""
        asked = body or OverwriteItem()
        command = partial(self._served.commands.overwrite, accept_risk=asked.accept_risk, forward=asked.forward)
        return self._act(request, caller, id, asked, key, command)

    def retry_work_items(self, request: Request, caller: Caller, type: Type, body: WorkItemIds, key: Key = None) -> Response:
        """Retry work items that failed or were cancelled; returns of how many a retry was started.

        Ids that do not exist, that run or that have succeeded are not counted, and neither are those that were retried before.
        """
        served = self._served
        keys = self._sight.items(caller, known_keys(body.work_item_ids))

        def act(operation: str | None) -> Total:
            plan = retry_those_that_can(served.engine.store, served.commands, keys, type, asker_of(request, "", operation))
            return Total(total=plan.total)

        return self._replies.once(request, key, act, lambda total: Total(total=total))

    def _act(
        self, request: Request, caller: Caller, id: str, body: ActOnItem | None, key: str | None, command: Command
    ) -> Response:
        asked = body or ActOnItem()
        seen = () if asked.generation is None else (asked.generation,)
        return self._acting.do(request, Target(items=(self._seen(caller, id),), generations=seen), asked, key, command)

    def _seen(self, caller: Caller, id: str) -> ItemKey:
        key = parse_item_id(id)
        self._sight.item(caller, key)
        return key

    def _pieces(self, key: ItemKey, token: int | None) -> Iterator[str]:
        after = (0, -1) if token is None else (token, -1)
        while True:
            with self._served.engine.store.read() as session:
                page = session.records.logs(key, *after)
            yield "".join(each[3] for each in page if token in (None, each[0]))
            if len(page) < 1000 or (token is not None and page[-1][0] != token):
                return
            after = (page[-1][0], page[-1][1])
