"""Actions: the question before one, with its plan, and what is said after it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError

from mulligan.api.access import Caller, Routes
from mulligan.api.browsers import form_of
from mulligan.api.models import Audited, Done, Job, WorkItem
from mulligan.api.requests import Action, ActOnItem, Overwrite, OverwriteAny, OverwriteItem, Reasoned
from mulligan.console.desk import Desk
from mulligan.console.verbs import CANCEL, OVERWRITE, RETRY, RETRY_NOW, VERBS, Toast, Verb, already, said
from mulligan.console.words import plainly
from mulligan.core.access import Principal, Role
from mulligan.core.errors import ArgumentsInvalid, MulliganError, NotFound, OverwriteUnsafe
from mulligan.engine.ids import parse_item_id, parse_job_id

B = TypeVar("B", bound=BaseModel)
MODES = ("recover", "restart")


class ActingPages:
    """The pages that ask before an action, and the actions."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._calling = Calling(desk)

    def add_to(self, routes: Routes) -> None:
        """Register the pages and actions."""
        for kind in ("jobs", "work-items"):
            path = f"/{kind}/{{id}}/{{verb}}"
            self._desk.get(routes, path, Role.OPERATOR, self._asking(kind))
            self._desk.post(routes, path, Role.OPERATOR, self._doing(kind))
        self._desk.post(routes, "/pipelines/{name}/{verb}", Role.OPERATOR, self.pause)

    def pause(self, request: Request, caller: Caller, name: str, verb: str) -> Response:
        """Pause a pipeline, or resume it."""
        acts = {"pause": self._desk.overview.pause_pipeline, "resume": self._desk.overview.resume_pipeline}
        if verb not in acts:
            raise NotFound(f"there is no action {verb!r}")
        body = body_of(Reasoned, reason=field(request, "reason"))
        acts[verb](request, caller, name, body, field(request, "operation") or None)
        text = f"{name} is paused: nothing more of it is started." if verb == "pause" else f"{name} goes on."
        return self._calling.after(request, caller, Toast(text, ""), "/pipelines")

    def _asking(self, kind: str) -> Callable[..., Response]:
        def ask(request: Request, caller: Caller, id: str, verb: str) -> Response:
            return self._ask(request, caller, kind, id, verb_of(verb))

        return ask

    def _doing(self, kind: str) -> Callable[..., Response]:
        def do(request: Request, caller: Caller, id: str, verb: str) -> Response:
            return self._do(request, caller, kind, id, verb_of(verb))

        return do

    def _ask(self, request: Request, caller: Principal, kind: str, id: str, verb: Verb, wrong: str = "") -> Response:
        """Show what an action would do, and ask."""
        of = self._of(caller, kind, id)
        plans: dict[str, Done | str] = {}
        for mode in MODES if verb is RETRY else ("",):
            try:
                plans[mode] = self._calling.call(request, caller, kind, id, verb, mode, dry_run=True)
            except MulliganError as error:
                plans[mode] = str(error)
        forward: Done | str = ""
        if verb is OVERWRITE and isinstance(of, WorkItem) and of.window:
            try:
                forward = self._calling.call(request, caller, kind, id, verb, "", dry_run=True, forward=True)
            except MulliganError as error:
                forward = str(error)
        saved = [] if isinstance(of, Job) else self._desk.summary.list_checkpoints(caller, id).items
        return self._desk.page(
            request,
            caller,
            "ask.html",
            409 if wrong else 200,
            verb=verb,
            of=of,
            kind=kind,
            what=_what(of),
            plans=plans,
            forward=forward,
            kept=[each for each in saved if each.counts],
            operation=secrets.token_urlsafe(18),
            wrong=wrong,
            ranged=isinstance(of, Job) and of.kind == "backfill",
        )

    def _do(self, request: Request, caller: Principal, kind: str, id: str, verb: Verb) -> Response:
        """Do what is asked for, and say so."""
        of, back = self._of(caller, kind, id), f"/{kind}/{id}"
        job = of.id if isinstance(of, Job) else of.job
        mode = (field(request, "type") or "recover") if verb is RETRY else ""
        try:
            done = self._calling.call(request, caller, kind, id, verb, mode, dry_run=False)
        except OverwriteUnsafe as error:
            if not wants_json(request):
                return self._ask(request, caller, kind, id, verb, str(error))
            return self._calling.after(request, caller, _failed(verb, job, error), back)
        except MulliganError as error:
            return self._calling.after(request, caller, _failed(verb, job, error), back)
        before = None if done.total else self._before(caller, kind, id, job)
        now = self._desk.rendering.now()
        return self._calling.after(request, caller, said(verb, done, _what(of), job, mode, already(before, now)), back)

    def _before(self, caller: Principal, kind: str, id: str, job: str) -> Audited | None:
        """Return what was done last to it, for whoever comes second; nothing where the caller may not look at the audit."""
        if not self._desk.may_see(caller, "/audit"):
            return None
        targets = [f"job {job}", *([] if kind == "jobs" else [f"item {id}"])]
        found = [each for target in targets for each in self._desk.overview.list_audit(caller, target, limit=20).items]
        return max((each for each in found if each.changed), key=lambda each: (each.at, int(each.id)), default=None)

    def _of(self, caller: Principal, kind: str, id: str) -> Job | WorkItem:
        if kind == "jobs":
            return self._desk.jobs.get_job(caller, str(parse_job_id(id)))
        return self._desk.items.get_work_item(caller, str(parse_item_id(id)))


class Calling:
    """Calls the API's function for an action, and says what came of it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def call(
        self,
        request: Request,
        caller: Principal,
        kind: str,
        id: str,
        verb: Verb,
        mode: str,
        *,
        dry_run: bool,
        forward: bool = False,
    ) -> Done:
        """Call the API's function for an action, and return what it did or would do; `forward`: as if that were asked for."""
        routes: Any = self._desk.jobs if kind == "jobs" else self._desk.items
        one = "job" if kind == "jobs" else "work_item"
        operation = field(request, "operation")
        key = f"{operation}-{id}" if operation and not dry_run else None
        shared: dict[str, Any] = {"reason": field(request, "reason"), "dry_run": dry_run}
        seen = field(request, "generation")
        if kind != "jobs" and seen.isdigit() and not dry_run:  # one that somebody has set going since is left alone
            shared["generation"] = int(seen)
        asked = Action if kind == "jobs" else ActOnItem
        if verb is RETRY:
            if mode not in MODES:
                raise ArgumentsInvalid(f"type: expected recover or restart, not {mode!r}")
            answer = getattr(routes, f"retry_{one}")(request, caller, id, mode, body_of(asked, **shared), key)
        elif verb is RETRY_NOW:
            answer = getattr(routes, f"retry_{one}_now")(request, caller, id, body_of(asked, **shared), key)
        elif verb is CANCEL:
            answer = getattr(routes, f"cancel_{one}")(request, caller, id, body_of(asked, **shared), key)
        else:
            body = self._overwrite(request, kind, shared, forward=forward)
            answer = getattr(routes, f"overwrite_{one}")(request, caller, id, body, key)
        return Done.model_validate_json(bytes(answer.body))

    def _overwrite(self, request: Request, kind: str, shared: dict[str, Any], *, forward: bool) -> OverwriteAny:
        risks = {"accept_risk": bool(field(request, "accept_risk")), "forward": forward or bool(field(request, "forward"))}
        if kind != "jobs":
            return body_of(OverwriteItem, **shared, **risks)
        times = {name: field(request, name) or None for name in ("start", "end")}
        return body_of(Overwrite, **shared, **risks, **times)

    def after(self, request: Request, caller: Principal, toast: Toast, back: str) -> Response:
        """Say what was done: to the page's script, or as a page of its own."""
        status = 409 if toast.went_wrong else 200
        if wants_json(request):
            return JSONResponse(asdict(toast), status)
        return self._desk.page(request, caller, "done.html", status, toast=toast, back=back)


def verb_of(path: str) -> Verb:
    """Return an action by its path; raises NotFound."""
    if path not in VERBS:
        raise NotFound(f"there is no action {path!r}: there are {', '.join(VERBS)}")
    return VERBS[path]


def _failed(verb: Verb, job: str, error: MulliganError) -> Toast:
    return Toast(f"{verb.failed}. Job ID {job}.", job, (plainly(str(error)),), went_wrong=True)


def _what(of: Job | WorkItem) -> str:
    return f"{of.task} {of.key}" if isinstance(of, WorkItem) else of.task


def field(request: Request, name: str) -> str:
    """Return a field of the form that was sent, or of the query of a page; empty where there is none."""
    return form_of(request).get(name, [""])[0].strip() or (
        request.query_params.get(name, "").strip() if request.method == "GET" else ""
    )


def body_of(kind: type[B], **values: Any) -> B:
    """Return the body of a request made of fields; raises ArgumentsInvalid."""
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ArgumentsInvalid(f"{'.'.join(str(each) for each in first['loc'])}: {first['msg']}") from None


def wants_json(request: Request) -> bool:
    """Return whether it is the page's script that asks."""
    return "application/json" in request.headers.get("accept", "")
