"""Pages by cursor: a cursor says after which row the next page begins, so that rows that are added meanwhile change nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Query

from mulligan.core.errors import ArgumentsInvalid
from mulligan.store.listing import MAX_PAGE

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Rows of a page.")]
Cursor = Annotated[
    str | None,
    Query(max_length=200, pattern=r"^[A-Za-z0-9_-]+$", description="`next` of the page before, with the same filters."),
]
MOST = 2**63 - 1
OTHER_LIST = "cursor: it is of another list; go on with the same path and the same filters"


def cursor(place: tuple[int | str, ...], filters: Mapping[str, Any]) -> str:
    """Return an opaque text for a place in a list that was filtered like this."""
    text = json.dumps([_mark(filters), *place], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place(text: str | None, filters: Mapping[str, Any], length: int) -> tuple[int, ...] | None:
    """Return the place of a cursor, None without one; raises ArgumentsInvalid for what is none, or is of another list."""
    if text is None:
        return None
    found = _opened(text, filters)
    numbers = tuple(each for each in found if type(each) is int and -MOST <= each <= MOST)
    if len(numbers) != length or len(found) != length:
        raise ArgumentsInvalid(OTHER_LIST)
    return numbers


def named_place(text: str | None, filters: Mapping[str, Any]) -> tuple[int, str] | None:
    """Return the place of a cursor that is a number and a name, None without one; raises ArgumentsInvalid."""
    if text is None:
        return None
    match _opened(text, filters):
        case [int(number), str(name)] if -MOST <= number <= MOST and "\0" not in name and name.isprintable():
            return number, name
    raise ArgumentsInvalid(OTHER_LIST)


def _opened(text: str, filters: Mapping[str, Any]) -> list[Any]:
    try:
        opened: list[Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        mark, *found = opened
    except (ValueError, TypeError, RecursionError):
        raise ArgumentsInvalid("cursor: this is none; take `next` of the page before as it is") from None
    if mark != _mark(filters):
        raise ArgumentsInvalid(OTHER_LIST)
    return found


def _mark(filters: Mapping[str, Any]) -> str:
    text = json.dumps(dict(filters), sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]
