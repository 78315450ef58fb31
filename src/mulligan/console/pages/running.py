"""Running a pipeline from its page: its arguments, or the windows of a range, and the job that is made of them."""

from __future__ import annotations

import json
import secrets
from typing import Any, NamedTuple
from urllib.parse import quote

from fastapi import Request, Response

from mulligan.api.access import Caller, Routes
from mulligan.api.models import Job, Pipeline
from mulligan.api.requests import NewJob
from mulligan.console.desk import Desk
from mulligan.console.pages.acting import Calling, body_of, field, wants_json
from mulligan.console.pages.windows import newest_zone
from mulligan.console.verbs import RUN, Toast
from mulligan.console.words import plainly
from mulligan.core.access import Principal, Role
from mulligan.core.errors import ArgumentsInvalid, MulliganError


class Parameter(NamedTuple):
    """An argument that is asked for."""

    name: str
    kind: str
    """`text`, `number`, `boolean` or `json`: how its field is read."""
    required: bool
    default: str
    """What it is if nothing is said, as JSON; empty where nothing is known of it."""


class RunPages:
    """The question what to run a pipeline with, and its submission."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._calling = Calling(desk)

    def add_to(self, routes: Routes) -> None:
        """Register the pages."""
        self._desk.get(routes, "/pipelines/{name}/run", Role.OPERATOR, self.ask)
        self._desk.post(routes, "/pipelines/{name}/run", Role.OPERATOR, self.run)

    def ask(self, request: Request, caller: Caller, name: str) -> Response:
        """Ask what to run it with."""
        return self._page(request, caller, self._desk.overview.get_pipeline(caller, name))

    def run(self, request: Request, caller: Caller, name: str) -> Response:
        """Submit a job of it, and say so."""
        of = self._desk.overview.get_pipeline(caller, name)
        try:
            answer = self._desk.jobs.submit_job(request, caller, _job(of, request), field(request, "operation") or None)
        except MulliganError as error:
            if not wants_json(request):
                return self._page(request, caller, of, str(error))
            toast = Toast(f"{of.name}: {RUN.failed}.", "", (plainly(str(error)),), went_wrong=True)
            return self._calling.after(request, caller, toast, f"/pipelines/{quote(of.name, safe='')}")
        made = Job.model_validate_json(bytes(answer.body))
        text = f"{RUN.done} {of.name}. Job ID {made.id}."
        if not made.counts.total:
            text = f"{RUN.nothing}: every window of the range has succeeded or is in flight. Job ID {made.id}."
        return self._calling.after(request, caller, Toast(text, made.id), f"/jobs/{made.id}")

    def _page(self, request: Request, caller: Principal, of: Pipeline, wrong: str = "") -> Response:
        return self._desk.page(
            request,
            caller,
            "ask_run.html",
            409 if wrong else 200,
            verb=RUN,
            of=of,
            parameters=_parameters(of),
            given=lambda name: field(request, name),
            tz=field(request, "tz") or (newest_zone(self._desk, caller, of.name) if of.takes_window else ""),
            operation=secrets.token_urlsafe(18),
            wrong=wrong,
        )


def _parameters(of: Pipeline) -> list[Parameter]:
    """Return what a pipeline takes besides its window."""
    required = of.parameters.get("required", ())
    return [
        Parameter(name, _kind(schema), name in required, json.dumps(schema["default"]) if "default" in schema else "")
        for name, schema in of.parameters.get("properties", {}).items()
        if name != of.window
    ]


def _kind(schema: dict[str, Any]) -> str:
    """Return how a field of a parameter is read, by its JSON Schema."""
    kinds = {"string": "text", "integer": "number", "number": "number", "boolean": "boolean"}
    return kinds.get(str(schema.get("type")), "json")


def _job(of: Pipeline, request: Request) -> NewJob:
    args = {each.name: _value(each, field(request, f"arg.{each.name}")) for each in _parameters(of) if _is_said(each, request)}
    body: dict[str, Any] = {"task": of.name, "args": args, "run_id": field(request, "run_id") or None}
    if of.takes_window:
        missing = [name for name in ("start", "end") if not field(request, name)]
        if missing:
            raise ArgumentsInvalid(f"{'from' if missing[0] == 'start' else 'until'}: say when, such as 2024-03-01")
        body["backfill"] = {name: field(request, name) for name in ("start", "end", "every", "tz") if field(request, name)}
    return body_of(NewJob, **body)


def _is_said(parameter: Parameter, request: Request) -> bool:
    if field(request, f"arg.{parameter.name}"):
        return True
    if parameter.required and parameter.kind != "text":
        raise ArgumentsInvalid(f"{parameter.name}: say a value; it has no default")
    return parameter.required  # of texts the empty one is as good as any


def _value(parameter: Parameter, said: str) -> Any:
    if parameter.kind == "text":
        return said
    try:
        return json.loads(said)
    except ValueError:
        wanted = {"number": "a number", "boolean": "true or false"}.get(parameter.kind, 'JSON, such as "text", 3 or [1, 2]')
        raise ArgumentsInvalid(f"{parameter.name}: expected {wanted}, not {said[:100]!r}") from None
