"""Actions on a range of windows, of a job or of a pipeline: retry what failed, overwrite, backfill what is missing."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Query as Parameter
from fastapi import Request, Response

from mulligan.api.access import Caller, Routes
from mulligan.api.bulk_models import BulkPlan, Operation
from mulligan.api.models import Done, Job, Window
from mulligan.api.operations import OperationRoutes
from mulligan.api.requests import BulkBody, NewJob
from mulligan.console.desk import Desk
from mulligan.console.pages.acting import MODES, Calling, body_of, field, verb_of
from mulligan.console.pages.matching import NAMED
from mulligan.console.pages.windows import length_of, lengths, newest_zone
from mulligan.console.verbs import BACKFILL, OVERWRITE, RETRY, Toast, Verb
from mulligan.console.words import plainly
from mulligan.core.access import Principal, Role
from mulligan.core.errors import ArgumentsInvalid, MulliganError, NotFound, WindowInvalid
from mulligan.core.schedule import from_ms, instant_ms

SEEN = 500
"""So many windows of a range are looked at to say how they stand."""
Moment = Annotated[str, Parameter(max_length=64)]


@dataclass(frozen=True, slots=True)
class Range:
    """A range of windows, and whose."""

    task: str
    job: Job | None
    """None: of all jobs of the pipeline."""
    tz: str
    start_ms: int
    end_ms: int
    filters: dict[str, Any]
    """Of the work items that are for it."""

    @property
    def base(self) -> str:
        """The page that it was chosen on."""
        return f"/pipelines/{quote(self.task, safe='')}" if self.job is None else f"/jobs/{self.job.id}"


class RangePages:
    """The question before an action on a range of windows, with its plan, and the action."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._operations = OperationRoutes(desk.served)
        self._calling = Calling(desk)

    def add_to(self, routes: Routes) -> None:
        """Register the pages."""
        for path, of_job in (("/jobs/{id}/range/{verb}", True), ("/pipelines/{name}/range/{verb}", False)):
            ask, do = self._pages(of_job=of_job)
            self._desk.get(routes, path, Role.OPERATOR, ask)
            self._desk.post(routes, path, Role.OPERATOR, do)

    def _pages(self, *, of_job: bool) -> tuple[Callable[..., Response], Callable[..., Response]]:
        if of_job:

            def ask(request: Request, caller: Caller, id: str, verb: str, start: Moment = "", end: Moment = "") -> Response:
                return self._ask(request, caller, self._of_job(caller, id, start, end), _verb(verb))

            def do(request: Request, caller: Caller, id: str, verb: str) -> Response:
                found = self._of_job(caller, id, field(request, "start"), field(request, "end"))
                return self._do(request, caller, found, _verb(verb))

            return ask, do

        def ask_of(
            request: Request, caller: Caller, name: str, verb: str, start: Moment = "", end: Moment = "", tz: Moment = ""
        ) -> Response:
            return self._ask(request, caller, self._of_pipeline(caller, name, start, end, tz), _verb(verb))

        def do_of(request: Request, caller: Caller, name: str, verb: str) -> Response:
            given = [field(request, each) for each in ("start", "end", "tz")]
            return self._do(request, caller, self._of_pipeline(caller, name, *given), _verb(verb))

        return ask_of, do_of

    def _of_job(self, caller: Principal, id: str, start: str, end: str) -> Range:
        job = self._desk.jobs.get_job(caller, id)
        start_ms, end_ms = _moments(start, end, job.tz)
        return Range(job.task, job, job.tz, start_ms, end_ms, {"job": job.id, **_windows(start_ms, end_ms)})

    def _of_pipeline(self, caller: Principal, name: str, start: str, end: str, tz: str) -> Range:
        task = self._desk.overview.get_pipeline(caller, name).name
        tz = tz or newest_zone(self._desk, caller, task)
        start_ms, end_ms = _moments(start, end, tz)
        return Range(task, None, tz, start_ms, end_ms, {"task": task, "latest": True, **_windows(start_ms, end_ms)})

    def _ask(self, request: Request, caller: Principal, of: Range, verb: Verb, wrong: str = "") -> Response:
        """Show what would be done to the windows of the range, and ask."""
        plans: dict[str, BulkPlan | str] = {}
        body = None
        if verb is BACKFILL:
            body = self._backfill(caller, of)
            plans[""] = self._planned(lambda: self._plan_backfill(request, caller, body))
        else:
            for mode in MODES if verb is RETRY else ("",):
                plans[mode] = self._planned(lambda mode=mode: self._plan(request, caller, of, verb, mode))  # type: ignore[misc]
        forward = self._planned(lambda: self._plan(request, caller, of, verb, "", forward=True)) if verb is OVERWRITE else ""
        matched = max((each.matched for each in plans.values() if isinstance(each, BulkPlan)), default=0)
        states, more = self._states(caller, of)
        return self._desk.page(
            request,
            caller,
            "ask_range.html",
            409 if wrong else 200,
            verb=verb,
            of=of,
            plans=plans,
            forward=forward if isinstance(forward, str) else forward.plan,
            matched=matched,
            states=states,
            more=more,
            typed=of.task if matched > NAMED else "",
            every=None if body is None or body.backfill is None else length_of(body.backfill.every),
            args=json.dumps(body.args, ensure_ascii=False, indent=2) if body is not None and body.args else "",
            start=from_ms(of.start_ms, of.tz),
            end=from_ms(of.end_ms, of.tz),
            operation=secrets.token_urlsafe(18),
            wrong=wrong,
            has=None if of.job is None else self._windows_of(caller, of.job),
        )

    def _do(self, request: Request, caller: Principal, of: Range, verb: Verb) -> Response:
        """Do it, and say where it is followed."""
        expected = field(request, "expected")
        number = int(expected) if expected.isdigit() else None
        try:
            if number is not None and number > NAMED and field(request, "typed") != of.task:
                raise ArgumentsInvalid(f"type {of.task} to do this to {number:,} windows")
            toast = (
                self._submit(request, caller, of)
                if verb is BACKFILL
                else self._start(request, caller, of, verb, None if field(request, "forward") else number)
            )
        except MulliganError as error:
            job = "" if of.job is None else of.job.id
            toast = Toast(f"{verb.failed}.", job, (plainly(str(error)),), went_wrong=True)
        return self._calling.after(request, caller, toast, toast.view or of.base)

    def _start(self, request: Request, caller: Principal, of: Range, verb: Verb, expected: int | None) -> Toast:
        mode = (field(request, "type") or MODES[0]) if verb is RETRY else ""
        body = _bulk(request, of, verb, mode, dry_run=False, expected=expected)
        answer = self._operations.start_bulk(request, caller, body, field(request, "operation") or None)
        made = Operation.model_validate_json(bytes(answer.body))
        what = f"{made.matched:,} window{'' if made.matched == 1 else 's'}"
        return Toast(f"{verb.title} of {what} has begun. Operation {made.id}.", "", view=f"/operations/{made.id}")

    def _submit(self, request: Request, caller: Principal, of: Range) -> Toast:
        body = self._backfill(caller, of)
        answer = self._desk.jobs.submit_job(request, caller, body, field(request, "operation") or None)
        made = Job.model_validate_json(bytes(answer.body))
        if not made.counts.total:
            return Toast(f"{BACKFILL.nothing}: by now every window of the range has succeeded or is in flight.", made.id)
        windows = f"{made.counts.total:,} window{'' if made.counts.total == 1 else 's'}"
        return Toast(f"{BACKFILL.done} {windows} of {of.task}. Job ID {made.id}.", made.id, view=f"/jobs/{made.id}")

    def _plan(self, request: Request, caller: Principal, of: Range, verb: Verb, mode: str, *, forward: bool = False) -> BulkPlan:
        body = _bulk(request, of, verb, mode, dry_run=True)
        answer = self._operations.start_bulk(request, caller, body.model_copy(update={"forward": forward or body.forward}))
        return BulkPlan.model_validate_json(bytes(answer.body))

    def _plan_backfill(self, request: Request, caller: Principal, body: NewJob | None) -> BulkPlan:
        assert body is not None  # noqa: S101 - made just before
        answer = self._desk.jobs.submit_job(request, caller, body.model_copy(update={"dry_run": True}))
        plan = Done.model_validate_json(bytes(answer.body))
        return BulkPlan(matched=plan.total, plan=plan, by_status={}, by_class={}, reused={})

    def _planned(self, plan: Callable[[], BulkPlan]) -> BulkPlan | str:
        try:
            return plan()
        except MulliganError as error:
            return str(error)

    def _backfill(self, caller: Principal, of: Range) -> NewJob:
        """Return the job that does what is missing: windows as long as those that are there, with their arguments."""
        every, args = lengths(self._desk, caller, of.task, None if of.job is None else of.job.id)
        windows = {"start": _iso(of.start_ms), "end": _iso(of.end_ms), "tz": of.tz, "every": every, "only": "missing"}
        labels = {} if of.job is None else of.job.labels
        return body_of(NewJob, task=of.task, args=args, backfill=windows, labels=labels)

    def _windows_of(self, caller: Principal, job: Job) -> Window | None:
        brief = self._desk.summary.get_briefs(caller, [job.id]).get(job.id)
        return None if brief is None else brief.window

    def _states(self, caller: Principal, of: Range) -> tuple[list[tuple[str, int]], bool]:
        """Count how the windows of the range stand, and say whether there are more than are counted."""
        desk, start, end = self._desk, _iso(of.start_ms), _iso(of.end_ms)
        page: Any
        if of.job is None:
            page = desk.overview.list_partitions(caller, of.task, start, end, limit=SEEN)
        else:
            page = desk.jobs.list_job_items(caller, of.job.id, window_start=start, window_end=end, limit=SEEN)
        counts = Counter(str(each.status) for each in page.items)
        return counts.most_common(), page.next is not None


def _verb(path: str) -> Verb:
    if path == BACKFILL.path:
        return BACKFILL
    found = verb_of(path)
    if found not in (RETRY, OVERWRITE):
        raise NotFound(f"there is no action {path!r} on a range of windows: there are retry, overwrite and backfill")
    return found


def _bulk(request: Request, of: Range, verb: Verb, mode: str, *, dry_run: bool, expected: int | None = None) -> BulkBody:
    return body_of(
        BulkBody,
        action=verb.path,
        filter=of.filters,
        reason=field(request, "reason"),
        dry_run=dry_run,
        accept_risk=bool(field(request, "accept_risk")),
        forward=bool(field(request, "forward")),
        expected=expected,
        **({"type": mode} if mode else {}),
    )


def _moments(start: str, end: str, tz: str) -> tuple[int, int]:
    missing = [name for name, value in (("from", start), ("until", end)) if not value]
    if missing:
        raise ArgumentsInvalid(
            f"{missing[0]}: say where the range {'begins' if missing[0] == 'from' else 'ends'}, such as 2024-03-01"
        )
    first, last = instant_ms(start, tz, "from"), instant_ms(end, tz, "until")
    if last <= first:
        raise WindowInvalid(f"the range ends ({end}) before it has begun ({start}): until is the moment after the last window")
    return first, last


def _iso(ms: int) -> str:
    return from_ms(ms).isoformat()


def _windows(start_ms: int, end_ms: int) -> dict[str, str]:
    return {"window_start": _iso(start_ms), "window_end": _iso(end_ms)}
