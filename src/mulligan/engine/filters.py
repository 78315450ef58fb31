"""Filters, reasons and limits as users write them: checked, and turned into those of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from mulligan.core.errors import ArgumentsInvalid, ConfigError
from mulligan.core.events import RetryMode
from mulligan.core.job import FailureClass, ItemKey, JobStatus
from mulligan.core.schedule import instant_ms
from mulligan.core.shown import shown
from mulligan.engine.ids import parse_item_id, parse_job_id
from mulligan.store.listing import MAX_PAGE

E = TypeVar("E", bound=StrEnum)

MAX_NUMBER = 2**63 - 1


def job_filters(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return filters of jobs as the store takes them; raises ArgumentsInvalid."""
    return _checked(filters, _OF_JOBS)


def item_filters(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return filters of work items as the store takes them; raises ArgumentsInvalid, NotFound for an id that is none."""
    return _checked(filters, _OF_ITEMS)


def cause_filters(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return filters of causes as the store takes them; raises ArgumentsInvalid."""
    found = _checked(filters, _OF_CAUSES)
    return {{"since": "since_ms"}.get(name, name): value for name, value in found.items()}


def chosen(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return filters that choose what an action is for; raises ConfigError for such as choose everything."""
    given = {name: value for name, value in filters.items() if value is not None and value is not False}
    if not set(given) - {"latest"}:
        raise ConfigError("give at least one filter, such as job=12 or task='features': an empty one would match everything")
    if "after" in given:
        raise ArgumentsInvalid("'after' is for going through pages: name what the action is for by other filters")
    empty = sorted(name for name, value in given.items() if value in ("", [], ()))
    if empty:
        raise ConfigError(f"the filter {empty[0]!r} is empty, which would match everything or nothing: leave it out")
    return given


def text(value: object, name: str) -> str:
    """Return a text that a database can hold; raises ArgumentsInvalid."""
    if not isinstance(value, str):
        raise ArgumentsInvalid(f"{name}: expected a text, not {shown(value)}")
    if any("\ud800" <= each <= "\udfff" for each in value):
        raise ArgumentsInvalid(f"{name} {shown(value)}: holds half of a surrogate pair, which is no character")
    if "\0" in value:
        raise ArgumentsInvalid(f"{name} {shown(value)}: holds a NUL character, which no database can hold")
    return value


def whole(value: object, name: str, most: int = MAX_NUMBER) -> int:
    """Return a whole number from 0 to `most`; raises ArgumentsInvalid."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most:
        return value
    raise ArgumentsInvalid(f"{name}: expected a whole number from 0 to {most:,}, not {shown(value)}")


def limit(value: object, more: str) -> int:
    """Return how many rows are wanted; raises ArgumentsInvalid, which says how to get `more` than one page."""
    try:
        return whole(value, "limit", MAX_PAGE)
    except ArgumentsInvalid as error:
        raise ArgumentsInvalid(f"{error}; for more, {more}") from None


def flag(value: object, name: str) -> bool:
    """Return True or False and nothing that only counts as one; raises ArgumentsInvalid."""
    if isinstance(value, bool):
        return value
    raise ArgumentsInvalid(f"{name}: expected True or False, not {shown(value)}")


def retry_mode(value: object) -> RetryMode:
    """Return `recover` or `restart`; raises ArgumentsInvalid."""
    if value == "recover" or value == "restart":
        return value
    raise ArgumentsInvalid(f"type: expected 'recover' or 'restart', not {shown(value)}")


def _checked(filters: Mapping[str, Any], known: Mapping[str, Callable[[Any, str], Any]]) -> dict[str, Any]:
    unknown = sorted(set(filters) - set(known))
    if unknown:
        raise ArgumentsInvalid(f"there is no filter {unknown[0]!r}: use {', '.join(sorted(known))}")
    return {name: known[name](value, name) for name, value in filters.items() if value is not None}


def _status(value: Any, name: str) -> list[JobStatus]:
    return [one_of(JobStatus, each, name) for each in _several(value, name)]


def _failure_class(value: Any, name: str) -> FailureClass:
    return one_of(FailureClass, value, name)


def one_of(kind: type[E], value: Any, name: str) -> E:
    """Return the member that a text names; raises ArgumentsInvalid, which says which there are."""
    try:
        return kind(value)
    except ValueError:
        raise ArgumentsInvalid(f"{name}: expected one of {', '.join(kind)}, not {shown(value)}") from None


def _several(value: Any, name: str) -> list[Any]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Iterable) and not isinstance(value, (bytes, Mapping)):
        return list(value)
    raise ArgumentsInvalid(f"{name}: expected one or a list of several, not {shown(value)}")


def _label(value: Any, name: str) -> tuple[str, str]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ArgumentsInvalid(f"{name}: expected name and value such as ('team', 'ads'), not {shown(value)}")
    return text(value[0], f"{name}, its name"), text(value[1], f"{name}, its value")


def _job(value: Any, _: str) -> int:
    return parse_job_id(value)


def _ids(value: Any, name: str) -> list[ItemKey]:
    return [parse_item_id(each) for each in _several(value, name)]


def _parent(value: Any, _: str) -> ItemKey:
    return parse_item_id(value)


def _after(value: Any, name: str) -> ItemKey:
    if not isinstance(value, tuple) or len(value) != 2:
        raise ArgumentsInvalid(f"{name}: expected the key of a work item, not {shown(value)}")
    return ItemKey(whole(value[0], name), whole(value[1], name))


def _moment(value: Any, name: str) -> int:
    return instant_ms(value, name=name)


def _if_set(value: Any, name: str) -> bool | None:
    return flag(value, name) or None


_OF_JOBS: dict[str, Callable[[Any, str], Any]] = {
    "status": _status,
    "task": text,
    "namespace": text,
    "run_id": text,
    "label": _label,
    "before": _job,
}
_OF_ITEMS: dict[str, Callable[[Any, str], Any]] = {
    "job": _job,
    "number": whole,
    "ids": _ids,
    "status": _status,
    "task": text,
    "namespace": text,
    "failure_class": _failure_class,
    "cause": text,
    "run_id": text,
    "key": text,
    "window_start": _moment,
    "window_end": _moment,
    "error": text,
    "latest": _if_set,
    "after": _after,
    "parent": _parent,
}
_OF_CAUSES: dict[str, Callable[[Any, str], Any]] = {
    "task": text,
    "failure_class": _failure_class,
    "since": _moment,
}
