"""Says in words why a work item is in the state it is in: every decision with its rule, counters and arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from mulligan.core import labels
from mulligan.core.definition import Definition
from mulligan.core.durations import words
from mulligan.core.failure import RuleSet, classify, failure_from_json
from mulligan.core.fingerprint import fingerprint
from mulligan.core.job import WAITING, Attempt, Counts, Item, JobStatus, Outcome, Reason, Wait
from mulligan.core.retry import describe
from mulligan.engine.engine import held


class Known(NamedTuple):
    """All that an explanation is made of."""

    item: Item
    key: str
    label: str
    waits_for: str | None
    attempts: Sequence[Attempt]
    definition: Definition
    project: RuleSet
    default: RuleSet
    now_ms: int
    calls: Counts = Counts()
    """Of a workflow: what it has called."""


def explain(known: Known) -> str:
    """Return the explanation as text, a line for each fact."""
    return "\n".join(_lines(known))


def _lines(known: Known) -> Iterator[str]:
    item = known.item
    yield f"Work item {item.key} ({known.key}) of task {known.definition.name}: {known.label}"
    yield f"Because {labels.REASONS[item.reason]} [{item.reason}]."
    yield ""
    yield "Policy of this generation:"
    yield from _policy(known.definition)
    yield from _limits(known)
    generation = 0
    for attempt in known.attempts:
        if attempt.generation != generation:
            generation = attempt.generation
            yield ""
            yield f"Generation {generation}:"
        yield from _attempt(attempt, known)
    if not known.attempts:
        yield ""
        yield "It has not been run yet."
    yield ""
    yield from _next(known)


def _policy(definition: Definition) -> Iterator[str]:
    policy = definition.policy
    if definition.workflow:
        yield "  where its worker is stopped or lost, its body is replayed; what it called and was done is not done again"
        if policy.at_most_once:
            yield "  what the body itself raises is not retried (declare retries= to change that)"
            return
    if policy.at_most_once:
        yield "  at most once: nothing is retried by itself, whatever happens (declare retries= to change that)"
        return
    for place, (classes, retry) in enumerate(policy.entries):
        yield f"  entry {place}: {', '.join(classes)}: {describe(retry)}"
    absent = [name for name in labels.CLASSES if policy.find(name) is None]
    if absent:
        yield f"  not retried: {', '.join(absent)}"


def _limits(known: Known) -> Iterator[str]:
    item, definition = known.item, known.definition
    if definition.timeout_s is not None:
        yield f"  each attempt may take {words(definition.timeout_s)}"
    if item.cutoff_ms is not None:
        yield f"  no attempt starts after {_time(item.cutoff_ms)} (total_timeout)"
    if item.deadline_ms is not None and item.deadline_ms != item.cutoff_ms:
        yield f"  the first attempt starts before {_time(item.deadline_ms)}, or none does (expires)"


def _attempt(attempt: Attempt, known: Known) -> Iterator[str]:
    took = words((attempt.ended_ms - attempt.began_ms) / 1000)
    yield f"  attempt {attempt.attempt} at {_time(attempt.began_ms)}, {took}: {attempt.outcome}"
    if attempt.error_type:
        yield f"    {attempt.error_type}: {_short(attempt.error_message)}"
    yield from _classified(attempt, known)
    if attempt.charged is not None:
        yield f"    charged to entry {attempt.entry}: failure {attempt.charged}{_of_budget(attempt, known)}"
    elif attempt.outcome in (Outcome.SNOOZED, Outcome.CANCELLED):
        yield "    charged to nothing"
    yield f"    decision: {labels.REASONS[attempt.reason]} [{attempt.reason}]"
    yield from _delay(attempt)


def _classified(attempt: Attempt, known: Known) -> Iterator[str]:
    if attempt.failure_class is None:
        return
    yield f"    class {attempt.failure_class} by rule {attempt.rule}"
    yield from _cause(attempt)
    if not attempt.failure:
        return
    again = classify(failure_from_json(attempt.failure), known.definition.classify, known.project, known.default)
    if again.rule == attempt.rule:
        yield f"    {again.why}"
        for each in again.passed_over:
            yield f"    passed over: {each}"
    else:
        yield f"    by the rules as they are now it would be {again.failure_class} by rule {again.rule}"


def _cause(attempt: Attempt) -> Iterator[str]:
    """Say what the failure is counted as, and why, by what is stored of it."""
    if attempt.cause is None:
        return
    made = fingerprint(failure_from_json(attempt.failure)) if attempt.failure else None
    if made is None or made.cause != attempt.cause:
        named = "" if made is None else ", which a rule names or another version made"
        yield f"    cause {attempt.cause}{named}"
        return
    yield f"    cause {attempt.cause}: all failures with {'; '.join(f'{what} {value}' for what, value in made.parts)}"


def _of_budget(attempt: Attempt, known: Known) -> str:
    entries = known.definition.policy.entries
    if attempt.generation != known.item.generation or attempt.entry is None or attempt.entry >= len(entries):
        return ""
    return f" of {entries[attempt.entry][1].max_attempts}"


def _delay(attempt: Attempt) -> Iterator[str]:
    if attempt.delay_ms is None:
        return
    parts = []
    if attempt.planned_ms is not None:
        parts.append(f"planned {words(attempt.planned_ms / 1000)}")
        if attempt.delay_ms != attempt.planned_ms:
            parts.append(f"with jitter or Retry-After {words(attempt.delay_ms / 1000)}")
    if attempt.retry_after_ms is not None:
        parts.append(f"the other side asked for {words(attempt.retry_after_ms / 1000)}")
    due = _time(attempt.ended_ms + attempt.delay_ms)
    yield f"    wait: {', '.join(parts) or words(attempt.delay_ms / 1000)}; due about {due}"


def _next(known: Known) -> Iterator[str]:
    item = known.item
    if item.status in WAITING:
        yield from _waiting(known)
    elif item.status is JobStatus.FAILURE:
        if item.reason is Reason.POISON:
            yield "Save a checkpoint in between, or look why its process dies; then retry it by hand."
        elif item.reason is Reason.EXPIRED:
            yield "It was wanted until then only. A retry by hand has no such limit."
        else:
            yield "It is not tried again by itself. To change that, give the class that failed an entry in the task's policy."
        yield f"To go on from its checkpoints: mulligan retry {item.key} --type recover"
        yield f"To begin anew: mulligan retry {item.key} --type restart"
    elif item.status is JobStatus.REVOKED:
        unreached = item.generation > 1 and item.attempt == 0
        why = "It was cancelled, or the window it waited for did not succeed." if unreached else "It was cancelled."
        yield f"{why} To run it after all: mulligan retry {item.key}"
    elif item.status is JobStatus.STARTED:
        yield f"Attempt {item.attempt} is running since {_time(item.claimed_ms or known.now_ms)}."
        yield from _called(known)
    elif item.reason is Reason.CANCEL_TOO_LATE:
        yield "It had succeeded before the cancellation reached it, and stays so."
    else:
        yield f"Nothing is left to do. To run it again: mulligan overwrite {item.key}"


def _called(known: Known) -> Iterator[str]:
    calls, open_ = known.calls, known.calls.total - known.calls.ended
    if open_:
        parts = ((calls.started, "running"), (calls.retry, "waiting for a retry"), (calls.pending, "waiting to start"))
        said = ", ".join(f"{count:,} {what}" for count, what in parts if count)
        yield f"It waits for {open_:,} of the {calls.total:,} work items that it has called: {said}."


def _waiting(known: Known) -> Iterator[str]:
    item = known.item
    if item.wait is Wait.PREDECESSOR:
        yield "Next: it waits for the window before it, and is due once that has succeeded."
    elif item.wait is Wait.SUBMITTING:
        yield "Next: it waits until its job is submitted completely."
    elif item.due_ms > known.now_ms:
        yield f"Next: due {_time(item.due_ms)} ({labels.in_minutes(item.due_ms, known.now_ms)})."
    else:
        yield f"Next: due since {_time(item.due_ms)}{'' if known.waits_for else '; a worker takes it when it has room'}."
    if known.waits_for:
        also = "also " if item.due_ms > known.now_ms else ""
        yield f"It is {also}held by this: {known.waits_for}."
    if known.waits_for == labels.NO_WORKER:
        yield "To have it run, start a worker that has loaded this task."
    elif known.waits_for == labels.paused(known.definition.name):
        yield f"To have it run: mulligan resume {known.definition.name}"
    if item.due_ms > known.now_ms and not held(item):
        yield f"To try it at once: mulligan retry {item.key} --now"


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _short(message: str | None) -> str:
    line = (message or "").strip().splitlines()[0] if message and message.strip() else ""
    return line if len(line) <= 200 else f"{line[:200]}…"
