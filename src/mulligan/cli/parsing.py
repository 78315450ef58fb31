"""What users write on the command line, turned into values; what cannot be is refused with how to write it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import typer

from mulligan.core.durations import Duration, seconds
from mulligan.core.errors import ConfigError

_JOB = re.compile(r"\d{1,18}", re.ASCII)
_ITEM = re.compile(r"\d{1,18}-\d{1,18}", re.ASCII)


def check_ids(ids: Sequence[str]) -> list[str]:
    """Return the ids, each once; raises BadParameter for what can be no id."""
    for each in ids:
        if not (_JOB.fullmatch(each) or _ITEM.fullmatch(each)):
            raise typer.BadParameter(f"{each!r} is no id: jobs are like 12, work items like 12-345")
    return list(dict.fromkeys(ids))


def is_item(id: str) -> bool:
    """Return whether an id is that of a work item."""
    return "-" in id


def check_item_ids(ids: Sequence[str]) -> list[str]:
    """Return the ids, each once; raises BadParameter for what can be no work item's id."""
    for each in ids:
        if _JOB.fullmatch(each):
            raise typer.BadParameter(f"{each!r} is a job: name one of its work items, such as {each}-0 (`mulligan show {each}`)")
    return check_ids(ids)


def arguments(pairs: Sequence[str], option: str = "KEY=JSON") -> dict[str, Any]:
    """Return arguments by name: values are JSON, and a bare word is a string."""
    found: dict[str, Any] = {}
    for each in pairs:
        name, equals, text = each.partition("=")
        if not equals or not name.isidentifier():
            raise typer.BadParameter(f"{each!r}: expected {option}, such as limit=10 or day=2024-03-07")
        if name in found:
            raise typer.BadParameter(f"{name!r} is given twice")
        found[name] = _value(name, text)
    return found


def label(text: str) -> tuple[str, str]:
    """Return name and value of `k=v`."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r}: expected a label such as team=ads")
    return name, value


def moment(text: str | None, option: str) -> datetime | None:
    """Return an aware datetime of ISO text; without a time zone it is UTC."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{option}: {text!r} is no time: write ISO text such as 2024-03-07T06:00") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def duration(text: str | None, option: str) -> Duration | None:
    """Return a duration as text, checked."""
    if text is None:
        return None
    try:
        return seconds(text, option)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from None


def duration_or_moment(text: str | None, option: str) -> Duration | datetime | None:
    """Return either of the two; what holds a date is a moment."""
    if text is None:
        return None
    return moment(text, option) if re.match(r"\d{4}-", text) else duration(text, option)


def _value(name: str, text: str) -> Any:
    if text.strip("-") in ("NaN", "Infinity"):
        return text
    try:
        return json.loads(text, parse_constant=lambda word: _no_constant(name, word))
    except json.JSONDecodeError as error:
        if text[:1] in ("{", "[", '"'):
            raise typer.BadParameter(
                f"{name}: {text!r} begins like JSON but is none ({error.msg}, character {error.pos}): quote it for the shell, "
                f"such as '{name}={{\"a\": 1}}'"
            ) from None
        return text
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"{name}: is no usable JSON: {error}") from None


def _no_constant(name: str, word: str) -> Any:
    raise typer.BadParameter(f"{name}: {word} is no JSON value")
