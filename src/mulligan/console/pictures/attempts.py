"""The rows of an attempt picture: what each attempt did with its time, how it ended, and how the table says it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mulligan.api.models import Attempt, WorkItem
from mulligan.console.pictures.picture import STATUS_CLASSES, Row, said
from mulligan.core.durations import words
from mulligan.core.job import FAR_FUTURE_MS, JobStatus, Outcome
from mulligan.core.labels import ENDS, REASONS, end_letter
from mulligan.core.spans import Span, Standing, Tried, spans_of_attempts, spans_under_way

MAX_ROWS = 25
HEADERS = (
    "Attempt",
    "Queued",
    "Waited",
    "Started (UTC)",
    "Ended (UTC)",
    "Took",
    "End",
    "Charged",
    "What followed",
    "Checkpoints",
)
_NOTHING = "–"
_NAMED = 5
"""How many checkpoints of an attempt are named in the table."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint; `counts` is false where a restart has put it aside."""

    at: datetime
    name: str
    counts: bool = True

    @property
    def at_ms(self) -> int:
        """When, in milliseconds since 1970 UTC."""
        return ms_of(self.at)


@dataclass(frozen=True, slots=True)
class Bar:
    """A row: an attempt that has ended, the one under way, or the wait for the next one."""

    name: str
    generation: int
    spans: tuple[Span, ...]
    letter: str
    """How it ended, see `labels.ENDS`; empty where it has not."""
    css: str
    facts: str
    """What stands beside it."""
    end: str
    charged: str = _NOTHING
    followed: str = _NOTHING
    due_ms: int | None = None
    """When it begins, where it has not yet."""

    @property
    def run(self) -> Span | None:
        """Its run, where it has begun."""
        return next((each for each in self.spans if each.kind == "running"), None)

    def saved(self, saved: Sequence[Saved]) -> list[Saved]:
        """Return the checkpoints that it made."""
        run = self.run
        return [] if run is None else [each for each in saved if run.start_ms <= each.at_ms <= run.end_ms]


def bars_of(item: WorkItem, attempts: Sequence[Attempt], now_ms: int, until: int | None = None) -> tuple[list[Bar], int]:
    """Return the newest rows, oldest first, and how many attempts before them are left out.

    `until` is the place of the last attempt that has a row; then what is under way has none.
    """
    ordered = sorted((each for each in attempts if until is None or each.place <= until), key=lambda each: each.place)
    standing = _standing(item)
    last = ordered[-1] if ordered else None
    under_way = list(_under_way(item, standing, last, now_ms)) if until is None else []
    near = ordered[-MAX_ROWS - 1 :]
    drawn = list(zip(near, spans_of_attempts(standing, [_tried(each) for each in near]), strict=True))
    if drawn and near[0].place > 1:  # what came before it is not known here
        drawn[0] = (near[0], drawn[0][1][-1:])
    kept = drawn[max(0, len(drawn) + len(under_way) - MAX_ROWS) :]
    bars = [_ended(each, spans) for each, spans in kept] + under_way
    return bars, max(0, kept[0][0].place - 1) if kept else 0


def row_of(bar: Bar, saved: Sequence[Saved]) -> Row:
    """Return what the table says of a row."""
    run = bar.run
    made = [said(each.name, 40) for each in bar.saved(saved)]
    names = f"{len(made)}: {', '.join(made[:_NAMED])}{', …' if len(made) > _NAMED else ''}" if made else _NOTHING
    return (
        bar.name,
        _spent(bar, "queued"),
        _spent(bar, "waiting"),
        _NOTHING if run is None else said_moment(run.start_ms),
        _NOTHING if run is None or bar.letter == ">" else said_moment(run.end_ms),
        _NOTHING if run is None else _length(run),
        bar.end,
        bar.charged,
        bar.followed,
        names,
    )


def ms_of(at: datetime) -> int:
    """Return a moment in milliseconds since 1970 UTC."""
    return round(at.timestamp() * 1000)


def said_moment(ms: int) -> str:
    """Say a moment, in UTC to the second."""
    at = datetime.fromtimestamp(min(ms, FAR_FUTURE_MS) / 1000, UTC)
    return at.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")


def _standing(item: WorkItem) -> Standing:
    due = None if item.due_at is None else ms_of(item.due_at)
    claimed = None if item.claimed_at is None else ms_of(item.claimed_at)
    return Standing(item.status, item.generation, ms_of(item.created_at), claimed, due)


def _tried(attempt: Attempt) -> Tried:
    began = attempt.claimed_at if attempt.started_at is None else attempt.started_at
    delay = None if attempt.delay_s is None else round(attempt.delay_s * 1000)
    return Tried(attempt.generation, ms_of(began), ms_of(attempt.ended_at), delay)


def _ended(attempt: Attempt, spans: tuple[Span, ...]) -> Bar:
    ending = _ending(attempt)
    error = ": ".join(said(each, 200) for each in (attempt.error_type, attempt.error_message) if each)
    failed = attempt.outcome not in (Outcome.SUCCEEDED, Outcome.SNOOZED, Outcome.CANCELLED)
    css = STATUS_CLASSES[_likeness(attempt.outcome)]
    later = "" if attempt.delay_s is None else f"; next in {words(max(0.0, attempt.delay_s))}"
    return Bar(
        name=_name(attempt.place, attempt.generation),
        generation=attempt.generation,
        spans=spans,
        letter=end_letter(attempt.outcome, attempt.failure_class),
        css=f"{css} uncharged" if failed and not attempt.charged else css,
        facts=f"{_length(spans[-1])}, {ending}",
        end=f"{ending}: {error}" if error else ending,
        charged=_NOTHING if not failed else "yes" if attempt.charged else "no",
        followed=REASONS[attempt.decision] + later,
    )


def _under_way(item: WorkItem, standing: Standing, last: Attempt | None, now_ms: int) -> Iterator[Bar]:
    spans = spans_under_way(standing, None if last is None else _tried(last), now_ms)
    if not spans:
        return
    name = _name(1 if last is None else last.place + 1, item.generation)
    if item.status is JobStatus.STARTED:
        facts = f"{_length(spans[-1])}, running"
        yield Bar(name, item.generation, spans, ">", STATUS_CLASSES[item.status], facts, "running")
        return
    due = standing.due_ms or 0
    left = f"next in {words((due - now_ms) / 1000)}" if due > now_ms else "due now"
    end = f"due {said_moment(due)}; {said(item.label)}"
    yield Bar(name, item.generation, spans, "", STATUS_CLASSES[item.status], left, end, due_ms=max(due, now_ms))


def _ending(attempt: Attempt) -> str:
    ending = ENDS[end_letter(attempt.outcome, attempt.failure_class)]
    return f"{ending} (lost)" if attempt.outcome is Outcome.LOST else ending


def _likeness(outcome: Outcome) -> JobStatus:
    """Return the status in whose colour an attempt is drawn."""
    alike = {Outcome.SUCCEEDED: JobStatus.SUCCESS, Outcome.CANCELLED: JobStatus.REVOKED, Outcome.SNOOZED: JobStatus.RETRY}
    return alike.get(outcome, JobStatus.FAILURE)


def _name(place: int, generation: int) -> str:
    return f"#{place}" if generation == 1 else f"#{place} gen {generation}"


def _length(span: Span) -> str:
    return words((span.end_ms - span.start_ms) / 1000)


def _spent(bar: Bar, kind: str) -> str:
    total = sum(each.end_ms - each.start_ms for each in bar.spans if each.kind == kind)
    return words(total / 1000) if total else _NOTHING
