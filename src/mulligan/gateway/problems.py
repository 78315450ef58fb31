"""Problem documents of a server as the errors that a store would have raised."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import httpx

from mulligan.core.errors import ArgumentsInvalid, ConfigError, Forbidden, MulliganError, ServerError, TaskFailed, Unauthorized

_OTHERS: dict[str, type[MulliganError]] = {
    "key_missing": Unauthorized,
    "key_invalid": Unauthorized,
    "request_invalid": ArgumentsInvalid,
    "body_too_large": ArgumentsInvalid,
}
"""Codes that only a server has."""


def code_of(answer: httpx.Response) -> str:
    """Return the code of a problem, empty for what is none."""
    return str(_document(answer).get("code", ""))


def error_of(answer: httpx.Response, url: str) -> MulliganError:
    """Return the error of an answer that is none of success."""
    said = _document(answer)
    code, detail = str(said.get("code", "")), str(said.get("detail", ""))
    kind = _OTHERS.get(code) or _kinds().get(code)
    if kind is Unauthorized:
        return Unauthorized(f"the server at {url} refuses the key: {detail}")
    if kind is Forbidden or not (kind is None or issubclass(kind, ServerError)):
        return kind(detail)
    where = f"; it knows the request as {said['request_id']}" if "request_id" in said else ""
    return ServerError(f"the server at {url} answered {answer.status_code} {detail or answer.reason_phrase}{where}")


def _document(answer: httpx.Response) -> dict[str, Any]:
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        return {}
    try:
        found = json.loads(answer.content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@cache
def _kinds() -> dict[str, type[MulliganError]]:
    """Return the errors that are made of a message alone by their codes."""
    found: dict[str, type[MulliganError]] = {}
    left: list[type[MulliganError]] = [ConfigError, *MulliganError.__subclasses__()]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        if kind.__module__ == MulliganError.__module__ and not issubclass(kind, TaskFailed):
            found[kind.code] = kind
    return found
