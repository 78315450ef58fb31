"""What happened as spans: values made of rows. Their ids follow from what they are about, so any process can tell any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mulligan.core.failure import Kind, failure_from_json
from mulligan.core.job import TERMINAL, Attempt, Item, ItemKey, JobStatus, Outcome, Wait
from mulligan.core.lifecycle import Transition
from mulligan.core.traceparent import Place, place_of, span_id, trace_id
from mulligan.store.verbs.jobs import SeenJob
from mulligan.store.verbs.traces import AttemptRow, OriginRow

Value = str | int | float | bool
Attributes = Mapping[str, Value]

TEXT = 1_024
"""Characters of an attribute."""
STACK = 8_192
"""Characters of a traceback: its end, which says most."""
WAITS = 100
"""Waits that the span of a work item tells of: the last ones."""
_ERRORS = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.LOST, Outcome.INTERRUPTED})


class Event(NamedTuple):
    """Something that happened within a span."""

    name: str
    at_ms: int
    attributes: Attributes


class Span(NamedTuple):
    """A span that is over."""

    name: str
    place: Place
    parent: Place | None
    start_ms: int
    end_ms: int
    attributes: Attributes
    events: Sequence[Event] = ()
    links: Sequence[Place] = ()
    error: str | None = None
    """Why it failed, where it did."""
    consumes: bool = False
    """Whether it is the work on something that was handed over earlier."""


class Origin(NamedTuple):
    """A job, and the trace that it belongs to."""

    row: OriginRow
    trace: int
    caller: Place | None
    """The span in which the job at the top was submitted."""
    sampled: bool

    def attempt(self, key: ItemKey, token: int) -> Place:
        """Return the span of an attempt."""
        return self._place("attempt", key.job, key.number, token)

    def item(self, key: ItemKey, generation: int) -> Place:
        """Return the span of a generation of a work item."""
        return self._place("item", key.job, key.number, generation)

    def job(self, end: int = 1) -> Place:
        """Return the span of the job at the top; one that ends again, after a retry, has another for each time."""
        return self._place("job", self.row.root, end)

    def _place(self, *about: object) -> Place:
        row = self.row
        return Place(self.trace, span_id(row.namespace, row.task, row.run_id, row.created_ms, *about), self.sampled)


def origin_of(row: OriginRow, *, sampled: bool) -> Origin:
    """Return the trace of a job: the one in which it was submitted, else its own, of which `sampled` says if it is recorded."""
    caller = place_of(row.traceparent)
    if caller is not None:
        return Origin(row, caller.trace, caller, caller.sampled)
    return Origin(row, trace_id(row.namespace, row.task, row.run_id, row.root, row.created_ms), None, sampled)


class Caller(NamedTuple):
    """The work item of a workflow that called something, and where it stands in its trace."""

    item: Place
    attempt: Place


def attempt_span(task: str, origin: Origin, moved: Transition, attempt: Attempt) -> Span:
    """Return the span of an attempt that has ended, with what was decided then."""
    item, failed = moved.after, attempt.outcome in _ERRORS
    attributes = {
        **_of_item(task, origin, item.key, attempt.generation),
        "mulligan.attempt": attempt.attempt,
        "mulligan.outcome": attempt.outcome,
        "mulligan.worker.id": attempt.worker,
        **_there("mulligan.failure_class", attempt.failure_class),
        **_there("mulligan.rule", attempt.rule),
        **_there("mulligan.cause", attempt.cause),
        **_there("mulligan.rows", attempt.rows),
        **_there("mulligan.exit_code", attempt.exit_code),
        **_there("mulligan.signal", attempt.signal),
        **_there("process.pid", attempt.pid),
        **_there("error.type", (attempt.error_type or attempt.outcome) if failed else None),
    }
    return Span(
        name=f"attempt {task}",
        place=origin.attempt(item.key, attempt.token),
        parent=origin.item(item.key, attempt.generation),
        start_ms=attempt.began_ms,
        end_ms=attempt.ended_ms,
        attributes=attributes,
        events=[*_exception(attempt), _decision(moved, attempt)],
        error=_cut(attempt.error_message or attempt.outcome) if failed else None,
        consumes=True,
    )


def item_span(
    task: str, origin: Origin, moved: Transition, key: str | None, attempts: Sequence[AttemptRow], caller: Caller | None
) -> Span:
    """Return the span of a generation of a work item that has ended; `attempts` are its earlier ones, where it had several."""
    item, last = moved.after, moved.attempt
    own = [each for each in attempts if each.generation == item.generation]
    began_ms = item.created_ms if item.generation == 1 else min([each.claimed_ms for each in own], default=item.ended_ms)
    failed = item.status is JobStatus.FAILURE
    attributes = {
        **_of_item(task, origin, item.key, item.generation),
        **_there("mulligan.item.key", key),
        "mulligan.item.attempts": item.attempt,
        "mulligan.item.status": item.status,
        "mulligan.reason": item.reason,
        **_there("mulligan.failure_class", item.failure_class),
        **_there("mulligan.cause", item.cause),
        **_there("error.type", ((last.error_type if last else None) or item.reason) if failed else None),
    }
    end_ms = item.ended_ms or 0
    return Span(
        name=f"item {task}",
        place=origin.item(item.key, item.generation),
        parent=origin.job() if caller is None else caller.item,
        start_ms=min(began_ms or end_ms, end_ms),
        end_ms=end_ms,
        attributes=attributes,
        events=[_wait(each) for each in own if each.delay_ms is not None][-WAITS:],
        links=() if caller is None else (caller.attempt,),
        error=_cut((last.error_message if last else None) or item.reason) if failed else None,
    )


def job_span(origin: Origin, job: SeenJob, ends: Sequence[tuple[str, int]]) -> Span:
    """Return the span of a job that has ended; `ends` are its ends so far, with what somebody asked of it in between."""
    turns = [place for place, (kind, _) in enumerate(ends) if kind == "job_ended"]
    again = len(turns) > 1
    start_ms = origin.row.created_ms
    if again:  # from when somebody asked for it, or else from its end before
        start_ms = ends[min(turns[-2] + 1, turns[-1] - 1)][1]
    end_ms, counts = job.ended_ms or start_ms, job.counts
    failed = counts.failure > 0
    attributes = {
        **_of_job(job.pipeline, origin, job.job),
        "mulligan.job.items": counts.total,
        "mulligan.job.items.success": counts.success,
        "mulligan.job.items.failure": counts.failure,
        "mulligan.job.items.revoked": counts.revoked,
        **_there("error.type", "items_failed" if failed else None),
    }
    return Span(
        name=f"job {job.pipeline}" + (" again" if again else ""),
        place=origin.job(max(1, len(turns))),
        parent=origin.job() if again else origin.caller,
        start_ms=min(start_ms, end_ms),
        end_ms=end_ms,
        attributes=attributes,
        error=f"{counts.failure} of {counts.total} work items failed" if failed else None,
    )


def is_end(moved: Transition) -> bool:
    """Return whether an item has ended by a move."""
    return moved.after.status in TERMINAL and moved.before.status not in TERMINAL


def _decision(moved: Transition, attempt: Attempt) -> Event:
    item = moved.after
    attributes: dict[str, Value] = {"mulligan.reason": attempt.reason, "mulligan.item.status": item.status}
    if item.status not in TERMINAL:
        waits = item.wait is not Wait.READY and attempt.delay_ms is not None
        attributes["mulligan.delay_s"] = (attempt.delay_ms or 0) / 1000 if waits else 0.0
        return Event("mulligan.retry", attempt.ended_ms, attributes)
    return Event("mulligan.ended", attempt.ended_ms, attributes)


def _wait(attempt: AttemptRow) -> Event:
    attributes: dict[str, Value] = {
        "mulligan.attempt": attempt.attempt,
        "mulligan.reason": attempt.reason,
        "mulligan.delay_s": (attempt.delay_ms or 0) / 1000,
        **_there("mulligan.failure_class", attempt.failure_class),
    }
    return Event("mulligan.wait", attempt.ended_ms, attributes)


def _exception(attempt: Attempt) -> list[Event]:
    if not attempt.failure:
        return []
    try:
        failure = failure_from_json(attempt.failure)
    except ValueError:  # facts that another version wrote
        return []
    if failure.kind is not Kind.EXCEPTION:
        return []
    attributes = {
        "exception.type": _cut(failure.error_type),
        "exception.message": _cut(failure.text),
        **_there("exception.stacktrace", failure.traceback[-STACK:] or None, STACK),
    }
    return [Event("exception", attempt.ended_ms, attributes)]


def _of_job(task: str, origin: Origin, job: int) -> dict[str, Value]:
    return {
        "mulligan.task": _cut(task),
        "mulligan.namespace": _cut(origin.row.namespace),
        "mulligan.job.id": str(job),
        "mulligan.run_id": _cut(origin.row.run_id),
    }


def _of_item(task: str, origin: Origin, key: ItemKey, generation: int) -> dict[str, Value]:
    return {**_of_job(task, origin, key.job), "mulligan.item.id": str(key), "mulligan.generation": generation}


def _there(name: str, value: Value | None, limit: int = TEXT) -> dict[str, Value]:
    """Return an attribute, or none where there is nothing to say."""
    if value is None:
        return {}
    return {name: _cut(value, limit) if isinstance(value, str) else value}


def _cut(text: str, limit: int = TEXT) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def parents_of(origins: Mapping[int, Origin], ended: Sequence[Transition]) -> set[ItemKey]:
    """Return the work items of workflows that called what has ended."""
    found = (origins[each.after.job].row.parent for each in ended if each.after.job in origins)
    return {each for each in found if each is not None}


def caller_of(origin: Origin, items: Mapping[ItemKey, Item]) -> Caller | None:
    """Return who called a job's items; their workflow as it stands."""
    parent = origin.row.parent
    item = None if parent is None else items.get(parent)
    if parent is None:
        return None
    generation, token = (1, 1) if item is None else (item.generation, item.token)
    return Caller(origin.item(parent, generation), origin.attempt(parent, token))
