"""What a client hands over, as the bodies that a server takes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mulligan.core.errors import ArgumentsInvalid, ValueTooLarge
from mulligan.core.job import ItemKey, JobStatus
from mulligan.core.schedule import from_ms
from mulligan.core.submission import NewItem, Options, Submission
from mulligan.engine.filters import item_filters
from mulligan.gateway.interface import Act

MAX_BODY = 1_048_576
"""Bytes that a server takes in one request."""
MAX_ITEMS = 50_000
"""Work items that it takes in one."""
HEAD_ROOM = 200
"""Bytes that are left for what stands around the items of a chunk."""


def whole_body(submission: Submission, *, dry_run: bool = False) -> str | None:
    """Return the JSON of a submission of one work item, or of a range to be cut; None where it has items of its own."""
    head = {**_head(submission), "dry_run": True} if dry_run else _head(submission)
    if submission.cut is not None:
        cut = submission.cut
        window = {"start": iso(cut.start_ms), "end": iso(cut.end_ms), "tz": submission.tz, "every": cut.every_s}
        chosen = {"only": submission.only, "order": cut.order, "accept_risk": submission.accept_risk}
        return json.dumps({**head, "args": json.loads(cut.arguments), "backfill": window | chosen})
    if submission.kind == "submit":
        (item,) = submission.items
        return json.dumps({**head, "args": json.loads(item.arguments), **_window(item, submission.tz)})
    return None


def items_body(submission: Submission, items: Sequence[str], *, sealed: bool = True) -> str:
    """Return the JSON of a submission with its items, or with the first of them where it is not sealed."""
    head = _head(submission) if sealed else {**_head(submission), "sealed": False}
    return _with_items(head, items)


def chunk_body(first: int, items: Sequence[str]) -> str:
    """Return the JSON of further items of a job."""
    return _with_items({"first": first}, items)


def item_chunks(submission: Submission) -> Iterator[list[str]]:
    """Yield the items of a submission as JSON, as many at a time as one request carries; they are read as they are asked for.

    Raises ValueTooLarge where items that have windows are more than one request carries.
    """
    chunk: list[str] = []
    size = room = MAX_BODY - len(json.dumps(_head(submission)).encode()) - HEAD_ROOM
    for item in submission.items:
        text = _item(item, submission.tz)
        size -= len(text.encode()) + 2
        if chunk and (size < 0 or len(chunk) == MAX_ITEMS):
            if item.window is not None:
                raise _too_many(submission, len(chunk))
            yield chunk
            chunk, size = [], room - len(text.encode()) - 2
        chunk.append(text)
    yield chunk


def iso(ms: int) -> str:
    """Return a moment as a text that every server reads the same."""
    return from_ms(ms).isoformat(timespec="milliseconds")


def act_body(act: Act) -> dict[str, Any]:
    """Return the body of an action."""
    body: dict[str, Any] = {"reason": act.reason, "dry_run": act.dry_run}
    if act.generation is not None:
        body["generation"] = act.generation
    if act.verb == "overwrite":
        body |= {"accept_risk": act.accept_risk, "forward": act.forward}
        names = zip(("start", "end"), act.window, strict=True)
        body |= {name: iso(ms) for name, ms in names if ms is not None}
    if act.item is None and act.job is None:
        body["filter"] = filter_query(act.filters)
    return body


def filter_query(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return filters of work items as a server takes them, checked as a store does; raises ArgumentsInvalid."""
    plain = item_filters(filters)
    number = plain.pop("number", None)
    if number is not None:
        if "job" not in plain:
            raise ArgumentsInvalid("number: on a server it goes with job, or name the work item by its id")
        plain["ids"] = [each for each in plain.get("ids", [ItemKey(plain["job"], number)]) if each.number == number]
    if "after" in plain or "namespace" in plain:
        raise ArgumentsInvalid("there is no such filter on a server: 'after' and 'namespace' are of a store")
    return {name: _said(value) for name, value in plain.items() if name not in ("window_start", "window_end")} | {
        name: iso(plain[name]) for name in ("window_start", "window_end") if name in plain
    }


def _said(value: Any) -> Any:
    if isinstance(value, ItemKey):
        return str(value)
    if isinstance(value, list):
        return [str(each) for each in value]
    return str(value) if isinstance(value, (int, JobStatus)) and not isinstance(value, bool) else value


def _options(options: Options) -> dict[str, Any]:
    given = {
        "run_id": options.run_id,
        "priority": options.priority,
        "delay_s": options.delay_s,
        "start_at": None if options.start_at_ms is None else iso(options.start_at_ms),
        "expires_at": None if options.expires_ms is None else iso(options.expires_ms),
        "total_timeout_s": options.total_timeout_s,
        "labels": options.labels or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _window(item: NewItem, tz: str) -> dict[str, Any]:
    if item.window is None:
        return {}
    start_ms, end_ms = item.window
    return {"window": {"start": iso(start_ms), "end": iso(end_ms), "tz": tz}}


def _head(submission: Submission) -> dict[str, Any]:
    return {"task": submission.definition.name, **_options(submission.options)}


def _with_items(head: dict[str, Any], items: Sequence[str]) -> str:
    return f'{json.dumps(head)[:-1]}, "items": [{", ".join(items)}]}}'


def _item(item: NewItem, tz: str) -> str:
    made = {"key": item.key, **_window(item, tz)}
    return f'{json.dumps(made)[:-1]}, "args": {json.dumps(json.loads(item.arguments))}}}'


def _too_many(submission: Submission, fit: int) -> ValueTooLarge:
    return ValueTooLarge(
        f"task {submission.definition.name!r}: work items with windows go to a server in one request, which carries {MAX_BODY:,} "
        f"bytes: {fit:,} of these fit. Submit them in several jobs, or as a backfill"
    )
