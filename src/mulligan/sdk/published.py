"""Arguments for a task that is known by its published definition alone, without its code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from mulligan.core.definition import Definition
from mulligan.core.durations import Duration
from mulligan.core.errors import ArgumentsInvalid
from mulligan.core.schedule import Instant, windows
from mulligan.core.shown import shown
from mulligan.core.submission import NewItem, Only, Options, Submission
from mulligan.sdk.items import arguments_by_name, check_range, cut_of
from mulligan.sdk.schema import problems
from mulligan.sdk.values import dump_any
from mulligan.sdk.window import Window


def named_call(definition: Definition, args: tuple[Any, ...], values: dict[str, Any], options: Options) -> Submission:
    """Return the submission of one work item of a published task; raises ArgumentsInvalid."""
    if args:
        raise ArgumentsInvalid(f"task {definition.name!r} is given by its name: give its arguments by name too")
    if definition.window is None:
        return Submission(definition, "submit", [NewItem("0", arguments_of(definition, values))], options)
    window = values.pop(definition.window, None)
    if not isinstance(window, Window):
        raise ArgumentsInvalid(f"task {definition.name!r}: parameter {definition.window!r} takes a Window, not {shown(window)}")
    item = NewItem(window.key, arguments_of(definition, values), (window.start_ms, window.end_ms))
    return Submission(definition, "submit", [item], options, window.tz)


def named_range(
    definition: Definition,
    start: Instant,
    end: Instant,
    options: Options,
    *,
    every: Duration = "1d",
    tz: str = "UTC",
    only: Only = "missing",
    order: str = "oldest",
    args: Mapping[str, Any] | None = None,
    accept_risk: bool = False,
    run_id: str | None = None,
) -> Submission:
    """Return the submission of a backfill of a published task; raises ArgumentsInvalid, WindowInvalid."""
    owner = f"task {definition.name!r}"
    if definition.window is None:
        raise ArgumentsInvalid(f"{owner} takes no Window: a backfill is for tasks that do")
    check_range(owner, only, order, accept_risk)
    text = arguments_of(definition, arguments_by_name(owner, args))
    cut = windows(start, end, every, tz, order == "newest")
    items = (NewItem(Window.of_ms(first, last, tz).key, text, (first, last)) for first, last in cut)
    if run_id is not None:
        options = replace(options, run_id=run_id)
    made = cut_of(start, end, every, tz, order, text)
    return Submission(definition, "backfill", items, options, tz, only, accept_risk=accept_risk, cut=made)


def arguments_of(definition: Definition, values: Mapping[str, Any]) -> str:
    """Check arguments by name against a published schema, and return them as JSON.

    What the schema cannot say, such as validators in code, is checked when the task's code reads them. Raises
    ArgumentsInvalid, ValueTooLarge.
    """
    schema = _schema(definition.parameters)
    known: dict[str, Any] = schema.get("properties", {})
    where = f"task {definition.name!r}"
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ArgumentsInvalid(f"{where} has no parameter {unknown[0]!r}; it takes {', '.join(known) or 'none'}")
    missing = [name for name in schema.get("required", []) if name not in values]
    if missing:
        raise ArgumentsInvalid(f"{where} needs {', '.join(missing)}")
    text = dump_any(dict(values), f"{where}: the arguments")
    wrong = problems(definition.parameters, json.loads(text))
    if wrong:
        raise ArgumentsInvalid(f"{where}, {_said(wrong)}")
    return text


@lru_cache(maxsize=64)  # of thousands of work items it is the same
def _schema(text: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(text)
    return schema


def _said(wrong: list[tuple[tuple[Any, ...], str]]) -> str:
    texts = [f"parameter {'.'.join(map(str, place))!r}: {what}" for place, what in wrong[:3]]
    if len(wrong) > 3:
        texts.append(f"and {len(wrong) - 3} more")
    return "; ".join(texts)


def named_items(
    definition: Definition,
    items: Iterable[tuple[str | None, Mapping[str, Any], Window | None]],
    shared: Mapping[str, Any],
    options: Options,
    *,
    first: int = 0,
) -> Submission:
    """Return the submission of several work items of a published task: each its key, its arguments, and its window.

    The key of one without is its number, counted from `first` on, or that of its window. All of them are checked at once. Raises
    ArgumentsInvalid, which names the item.
    """
    made: dict[str, NewItem] = {}
    zones: set[str] = set()
    for number, (key, values, window) in enumerate(items, first):
        _check_window(definition, number, window)
        named = key or (str(number) if window is None else window.key)
        if named in made:
            raise ArgumentsInvalid(f"task {definition.name!r}: item {number} has the key {named!r} of another item")
        range_ms = None if window is None else (window.start_ms, window.end_ms)
        zones |= set() if window is None else {window.tz}
        try:
            made[named] = NewItem(named, arguments_of(definition, {**shared, **values}), range_ms)
        except ArgumentsInvalid as error:
            raise type(error)(f"item {number}: {error}") from None
    if len(zones) > 1:
        raise ArgumentsInvalid(f"task {definition.name!r}: the windows of a job are of one time zone, not of {len(zones)}")
    return Submission(definition, "map", list(made.values()), options, zones.pop() if zones else "UTC")


def _check_window(definition: Definition, number: int, window: Window | None) -> None:
    if definition.window is None and window is not None:
        raise ArgumentsInvalid(f"task {definition.name!r} takes no Window: leave that of item {number} out")
    if definition.window is not None and window is None:
        raise ArgumentsInvalid(f"task {definition.name!r} takes a Window: give item {number} one, or submit a backfill")
