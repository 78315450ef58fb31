"""Every error as a problem document (RFC 9457) with a status and a stable code: the only place that chooses them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from mulligan.core.errors import (
    ArgumentsInvalid,
    ConfigError,
    Forbidden,
    MulliganError,
    NotFound,
    Refused,
    ResultInvalid,
    SecretInClear,
    StoreAway,
    StoreBusy,
    StoreError,
    TaskError,
    UnknownTask,
    ValueTooLarge,
)
from mulligan.sdk.ports import AMBIENT

PROBLEM_JSON = "application/problem+json"
_STATUSES: tuple[tuple[type[MulliganError], int], ...] = (
    (NotFound, 404),
    (UnknownTask, 404),
    (ValueTooLarge, 413),
    (ArgumentsInvalid, 422),
    (ResultInvalid, 422),
    (SecretInClear, 422),
    (ConfigError, 422),
    (TaskError, 409),
    (Refused, 409),
    (StoreError, 503),
)
"""The first that an error is one of; what is none of them is a mistake of ours."""
RETRY_AFTER_S = {StoreBusy: 1, StoreAway: 5}
CODES = {404: "no_such_route", 405: "method_not_allowed"}


class RequestRefused(Exception):
    """A request that goes no further than the guard, and what it is told."""

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, headers or {}


class KeyReused(MulliganError):
    """The Idempotency-Key belongs to another request."""

    code = "idempotency_key_reused"


class InProgress(MulliganError):
    """A request with this Idempotency-Key is being answered."""

    code = "request_in_progress"


_OF_REQUESTS: dict[type[MulliganError], int] = {Forbidden: 403, KeyReused: 422, InProgress: 409}


class Wrong(BaseModel):
    """One thing that is wrong in a request."""

    where: str = Field(examples=["body.reason"])
    what: str = Field(examples=["Input should be a valid string"])


class Problem(BaseModel):
    """What went wrong (RFC 9457). `code` is stable and meant for programs, `detail` for people."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Not Found",
                    "status": 404,
                    "code": "not_found",
                    "detail": "there is no job 12",
                    "request_id": "9f2c6d0e5b7a4c31",
                }
            ]
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    errors: list[Wrong] | None = None


ProblemPage = Callable[[Request, Problem], Response]


def problem(
    status: int,
    code: str,
    detail: str,
    request_id: str,
    *,
    errors: Sequence[Wrong] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return a problem document."""
    title = HTTPStatus(status).phrase
    hidden = AMBIENT.mask.text
    made = Problem(
        title=title,
        status=status,
        code=code,
        detail=hidden(detail),
        request_id=request_id,
        errors=None if errors is None else [Wrong(where=hidden(each.where), what=hidden(each.what)) for each in errors],
    )
    content = made.model_dump(exclude_none=True)
    return JSONResponse(content, status, dict(headers or {}), media_type=PROBLEM_JSON)


def of_error(error: MulliganError, request_id: str) -> JSONResponse:
    """Return the problem document of an error."""
    status = _OF_REQUESTS.get(type(error)) or next((code for kind, code in _STATUSES if isinstance(error, kind)), 500)
    waits = next((seconds for kind, seconds in RETRY_AFTER_S.items() if isinstance(error, kind)), None)
    waits = 1 if isinstance(error, InProgress) else waits
    return problem(status, error.code, str(error), request_id, headers=None if waits is None else {"Retry-After": str(waits)})


def request_id_of(request: Request) -> str:
    """Return the id that a request was given."""
    return str(request.scope.get("mulligan.request_id", ""))


def add_to(app: FastAPI, page: ProblemPage | None = None) -> None:
    """Have an app answer errors with problem documents; `page` makes the HTML for somebody who looks at pages in a browser."""

    def told(request: Request, document: JSONResponse) -> Response:
        if page is None or request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
            return document
        return page(request, Problem.model_validate_json(bytes(document.body)))

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, MulliganError)  # noqa: S101 - it is registered for these
        return told(request, of_error(error, request_id_of(request)))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for these
        wrong = [_wrong(each) for each in error.errors()]
        said = "; ".join(f"{each.where}: {each.what}" for each in wrong[:3])
        return told(request, problem(422, "request_invalid", said, request_id_of(request), errors=wrong[:20]))

    async def of_routing(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
        code, headers, said = CODES.get(error.status_code, "request_invalid"), error.headers, str(error.detail)
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = ", ".join(sorted(_methods(app, request)))
            headers, said = {"Allow": allowed}, f"{request.method} cannot be asked of this path, which takes {allowed}"
        return told(request, problem(error.status_code, code, said, request_id_of(request), headers=headers))

    async def unexpected(request: Request, error: Exception) -> Response:  # noqa: ARG001 - the guard tells of it
        request_id = request_id_of(request)
        said = f"something is wrong here: look for {request_id} in the log"
        return told(request, problem(500, "internal_error", said, request_id))

    app.add_exception_handler(MulliganError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, of_routing)
    app.add_exception_handler(Exception, unexpected)


def _methods(app: FastAPI, request: Request) -> set[str]:
    """Return what a path takes, of all routes that it has: the one that refused knows its own only."""
    having = (each for each in app.routes if isinstance(each, Route) and each.matches(request.scope)[0] is not Match.NONE)
    return {method for each in having for method in each.methods or ()}


def _wrong(error: Any) -> Wrong:
    return Wrong(where=".".join(str(each) for each in error["loc"]), what=str(error["msg"]))
