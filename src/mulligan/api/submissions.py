"""Bodies of POST /api/jobs as submissions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mulligan.api.requests import Chunk, Item, NewJob, OneWindow
from mulligan.core.definition import Definition
from mulligan.core.errors import ArgumentsInvalid
from mulligan.core.schedule import instant_ms
from mulligan.core.submission import NewItem, Options, Submission
from mulligan.engine.uploading import Opened
from mulligan.sdk.options import call_options
from mulligan.sdk.published import named_call, named_items, named_range
from mulligan.sdk.window import Window


def submission_of(definition: Definition, body: NewJob, run_id: str | None) -> Submission:
    """Return what a body asks for; `run_id` holds where it names none. Raises ArgumentsInvalid, ConfigError, WindowInvalid."""
    if body.dry_run and body.backfill is None:
        raise ArgumentsInvalid(
            "dry_run: it is for a backfill, whose windows may be done already; what else is submitted is all taken"
        )
    if not body.sealed:
        return _begun(definition, body, run_id)
    ways = [name for name in ("window", "items", "backfill") if getattr(body, name) is not None]
    if len(ways) > 1:
        raise ArgumentsInvalid(f"give {ways[0]} or {ways[1]}, not both")
    options = _options(body, run_id)
    if body.items is not None:
        made = ((each.key, each.args, None if each.window is None else _window(each.window)) for each in body.items)
        return named_items(definition, made, body.args, options)
    if body.backfill is not None:
        asked = body.backfill
        return named_range(
            definition,
            asked.start,
            asked.end,
            options,
            every=asked.every,
            tz=asked.tz,
            only=asked.only,
            order=asked.order,
            args=body.args,
            accept_risk=asked.accept_risk,
        )
    return named_call(definition, (), _with_window(definition, body.args, body.window), options)


def chunk_of(opened: Opened, chunk: Chunk) -> list[NewItem]:
    """Return the work items of a chunk; raises ArgumentsInvalid."""
    _refuse_windows(chunk.items)
    items = ((each.key, each.args, None) for each in chunk.items)
    return list(named_items(opened.definition, items, opened.arguments, Options(), first=chunk.first).items)


def _begun(definition: Definition, body: NewJob, run_id: str | None) -> Submission:
    """Return the first part of a job that comes in chunks."""
    _refuse_windows(body.items or ())
    if definition.window is not None or body.window is not None or body.backfill is not None:
        raise ArgumentsInvalid("what comes in chunks has items: a window or a backfill is submitted at once, however long it is")
    return named_items(definition, ((each.key, each.args, None) for each in body.items or ()), body.args, _options(body, run_id))


def _refuse_windows(items: Iterable[Item]) -> None:
    if any(each.window is not None for each in items):
        raise ArgumentsInvalid("what comes in chunks has no windows: submit these in several jobs, or as a backfill")


def _options(body: NewJob, run_id: str | None) -> Options:
    return call_options(
        f"task {body.task!r}",
        run_id=body.run_id or run_id,
        priority=body.priority,
        delay=body.delay_s,
        start_at=body.start_at,
        expires=body.expires_at,
        labels=body.labels,
        total_timeout=body.total_timeout_s,
    ).now()


def _with_window(definition: Definition, args: dict[str, Any], window: OneWindow | None) -> dict[str, Any]:
    if definition.window is None:
        if window is not None:
            raise ArgumentsInvalid(f"task {definition.name!r} takes no Window: leave window out")
        return args
    if definition.window in args:
        raise ArgumentsInvalid(f"task {definition.name!r}: give its window as `window`, beside args")
    if window is None:
        raise ArgumentsInvalid(f"task {definition.name!r} takes a Window: give `window`, or submit a backfill")
    return {**args, definition.window: _window(window)}


def _window(asked: OneWindow) -> Window:
    start_ms, end_ms = (instant_ms(getattr(asked, name), asked.tz, name) for name in ("start", "end"))
    return Window.of_ms(start_ms, end_ms, asked.tz)
