"""The attempts of a work item on one scale of time: when each was queued, waited for its retry, ran, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from mulligan.cli.words import milliseconds, moment
from mulligan.client import Attempt, WorkItem
from mulligan.core.durations import words
from mulligan.core.job import FAR_FUTURE_MS, JobStatus, Outcome
from mulligan.core.labels import ENDS, end_letter
from mulligan.core.spans import Span, Standing, Tried, spans_of_attempts, spans_under_way

MAX_ROWS = 25
LABEL = 10
FACTS = 27

_GLYPHS = {"queued": ("·", "."), "waiting": ("░", "-"), "running": ("█", "#")}
_COLOURS = {"queued": "dim", "waiting": "yellow", "running": "cyan"}
_SAID = {"queued": "queued", "waiting": "waiting for its retry", "running": "running"}
_END_COLOURS = {"S": "green", "C": "magenta", "Z": "yellow", ">": "cyan"}


@dataclass(frozen=True, slots=True)
class Row:
    """An attempt, or what is going on now: its stretches, its end mark, and what stands beside it."""

    label: str
    spans: tuple[Span, ...]
    mark: str
    facts: str


def draw(item: WorkItem, attempts: Sequence[Attempt], now_ms: int, width: int, *, fancy: bool = True) -> Iterator[Text]:
    """Yield the timeline line by line, with its scale and its legend; the newest rows, where there are many."""
    rows = [*_ended(item, attempts), *_going_on(item, attempts, now_ms)]
    left_out = max(0, len(rows) - MAX_ROWS)
    shown = rows[left_out:]
    spans = [span for row in shown for span in row.spans]
    if not spans:
        return
    start, end = min(each.start_ms for each in spans), max(each.end_ms for each in spans)
    room = max(10, width - LABEL - FACTS)
    yield Text(f"{moment(start)} to {moment(end)}: {words((end - start) / 1000)}", "dim")
    if left_out:
        yield Text(f"({left_out} earlier attempts are not drawn; --json has them)", "dim")
    for row in shown:
        yield _line(row, start, max(1, end - start), room, fancy=fancy)
    yield _legend(shown, fancy=fancy)


def cells(spans: Sequence[Span], start_ms: int, length_ms: int, room: int) -> list[str | None]:
    """Return what each cell shows; a run always has a cell of its own, however short it was."""
    row: list[str | None] = [None] * room
    for span in sorted(spans, key=lambda each: each.kind == "running"):
        first = min(room - 1, (span.start_ms - start_ms) * room // length_ms)
        last = min(room, -(-(span.end_ms - start_ms) * room // length_ms))
        if span.kind == "running":
            last = max(last, first + 1)
        row[first:last] = [span.kind] * max(0, last - first)
    return row


def _ended(item: WorkItem, attempts: Sequence[Attempt]) -> Iterator[Row]:
    drawn = spans_of_attempts(_standing(item), [_tried(each) for each in attempts])
    for place, (attempt, spans) in enumerate(zip(attempts, drawn, strict=True), start=1):
        took = words(max(0.0, (attempt.ended_at - attempt.began_at).total_seconds()))
        letter = end_letter(attempt.outcome, attempt.failure_class)
        yield Row(_label(place, attempt.generation), spans, letter, f"{took}, {_ending(attempt)}")


def _ending(attempt: Attempt) -> str:
    if attempt.failure_class is not None:
        return str(attempt.failure_class)
    return {Outcome.SUCCEEDED: "success"}.get(attempt.outcome, str(attempt.outcome).lower())


def _going_on(item: WorkItem, attempts: Sequence[Attempt], now_ms: int) -> Iterator[Row]:
    standing = _standing(item)
    spans = spans_under_way(standing, _tried(attempts[-1]) if attempts else None, now_ms)
    label = _label(len(attempts) + 1, item.generation)
    if item.status is JobStatus.STARTED:
        yield Row(label, spans, ">", f"{words((spans[-1].end_ms - spans[-1].start_ms) / 1000)}, running")
    elif spans:
        left = max(0, (standing.due_ms or 0) - now_ms) / 1000
        yield Row(label, spans, " ", f"due in {words(left)}" if left else "due now")


def _standing(item: WorkItem) -> Standing:
    claimed_ms = None if item.claimed_at is None else milliseconds(item.claimed_at)
    due_ms = FAR_FUTURE_MS if item.due_at is None else milliseconds(item.due_at)
    return Standing(item.status, item.generation, milliseconds(item.created_at), claimed_ms, due_ms)


def _tried(attempt: Attempt) -> Tried:
    delay_ms = None if attempt.delay_s is None else round(1000 * attempt.delay_s)
    return Tried(attempt.generation, milliseconds(attempt.began_at), milliseconds(attempt.ended_at), delay_ms)


def _label(place: int, generation: int) -> str:
    return f"#{place}" if generation == 1 else f"#{place} gen {generation}"


def _line(row: Row, start_ms: int, length_ms: int, room: int, *, fancy: bool) -> Text:
    bar = cells(row.spans, start_ms, length_ms, room)
    last = max((place for place, kind in enumerate(bar) if kind is not None), default=-1)
    line = Text(f"{row.label:<{LABEL}}"[:LABEL])
    for kind in bar[: last + 1]:
        line.append(" " if kind is None else _GLYPHS[kind][not fancy], None if kind is None else _COLOURS[kind])
    line.append(row.mark, _end_style(row.mark) if row.mark in ENDS else None)
    line.append(" " * (room - last))
    line.append(row.facts[: FACTS - 2])
    return line


def _legend(rows: Sequence[Row], *, fancy: bool) -> Text:
    kinds = {span.kind for row in rows for span in row.spans if span.end_ms > span.start_ms or span.kind == "running"}
    line = Text()
    for kind, glyphs in _GLYPHS.items():
        if kind in kinds:
            line.append("  " if line else "").append(glyphs[not fancy], _COLOURS[kind]).append(f" {_SAID[kind]}")
    for mark in dict.fromkeys(row.mark for row in rows if row.mark in ENDS):
        line.append("  ").append(mark, _end_style(mark)).append(f" {ENDS[mark]}")
    return line


def _end_style(mark: str) -> str:
    return f"bold {_END_COLOURS.get(mark, 'red')}"
