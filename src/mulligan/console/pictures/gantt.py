"""The attempts of a work item on one scale of time, what goes on now, and when the next attempt is due."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from mulligan.api.models import Attempt, WorkItem
from mulligan.console.pictures.attempts import HEADERS, Bar, Saved, bars_of, ms_of, row_of, said_moment
from mulligan.console.pictures.picture import (
    LINE_HEIGHT,
    Glyph,
    Key,
    Label,
    Line,
    Picture,
    Rect,
    Shape,
    fitted,
    legend,
    px,
    said,
    text_width,
)
from mulligan.console.pictures.timescale import Scale, scale_of, ticks
from mulligan.core.durations import words
from mulligan.core.job import FAR_FUTURE_MS, TERMINAL, JobStatus, Reason
from mulligan.core.labels import ENDS
from mulligan.core.spans import Span

__all__ = ["Saved", "gantt"]

WIDTH = 820
PLOT, FACTS = 84, 622
"""Where the plot and the facts beside it begin."""
ROOM = FACTS - PLOT - 40
"""How wide the plot is; what is left of it is for the mark at the end of a bar."""
TOP, ROW_HEIGHT = 50, 24
APART = 96
"""How far marks of the scale stay from one another."""
GHOST = 12
"""What is due is drawn as long as the newest run, and where there is none, as one of so many parts of all the time."""

END_GLYPHS = {
    "S": "check",
    "T": "wave",
    "I": "bolt",
    "L": "hourglass",
    "O": "clock",
    "P": "cross",
    "U": "question",
    "C": "stopped",
    "Z": "moon",
    ">": "play",
}
_MEANS = {"queued": "queued", "waiting": "waiting for its retry", "running": "running"}


@dataclass(frozen=True, slots=True)
class _Mark:
    """A moment with a line through all rows, and what it is."""

    at_ms: int
    text: str
    css: str


@dataclass(frozen=True, slots=True)
class _Plot:
    """What is drawn, and where its rows are."""

    bars: Sequence[Bar]
    saved: Sequence[Saved]
    marks: Sequence[_Mark]
    scale: Scale
    now_ms: int
    top: int
    ghost_ms: int

    @property
    def bottom(self) -> int:
        return self.top + ROW_HEIGHT * len(self.bars)


def gantt(
    item: WorkItem, attempts: Sequence[Attempt], now: datetime, saved: Sequence[Saved] = (), until: int | None = None
) -> Picture:
    """Draw the newest attempts of an item, oldest first, the one under way, and when the next one is due.

    `until` is the place of the last attempt that is drawn: then what is under way is not, and neither is what came later.
    Where waits are much longer than runs they are drawn shorter, so that runs stay visible.
    """
    now_ms = ms_of(now)
    bars, left_out = bars_of(item, attempts, now_ms, until)
    start_here = _recover_from(item, saved)
    if until is None:
        title = _title(item, len(bars), left_out, now_ms, start_here)
    else:
        title = f"Attempts {until - len(bars) + 1} to {until} of work item {said(item.id, 40)}"
    if not bars:
        note = Label(0, 14, "No attempt yet.", "note")
        return Picture("gantt", title, WIDTH, LINE_HEIGHT + 4, (note,), HEADERS, ())
    marks = [] if until is not None else _marks(item, bars, saved, now_ms, start_here)
    plot = _plot(bars, saved, now_ms, marks, TOP + (LINE_HEIGHT + 2 if left_out else 0))
    lines, y = _lines(plot)
    shapes: list[Shape] = [*_ground(plot, left_out), *lines]
    for place, bar in enumerate(bars):
        shapes += _row(plot, bar, plot.top + place * ROW_HEIGHT)
    keys, height = legend(_keys(plot), 0, y + 6, WIDTH)
    rows = tuple(row_of(each, saved) for each in bars)
    return Picture("gantt", title, WIDTH, height + 2, (*shapes, *keys), HEADERS, rows)


def _title(item: WorkItem, drawn: int, left_out: int, now_ms: int, start_here: Saved | None) -> str:
    parts = [f"Attempts of work item {said(item.id, 40)} as of {said_moment(now_ms)} UTC: {said(item.label)}"]
    if left_out:
        parts.append(f"the newest {drawn}, {left_out} earlier ones are left out")
    deadline = _deadline(item)
    if deadline is not None:
        parts.append(f"deadline {said_moment(deadline)} UTC")
    if start_here is not None:
        parts.append(f"recover starts after checkpoint {said(start_here.name, 40)} of {said_moment(start_here.at_ms)} UTC")
    return "; ".join(parts)


def _recover_from(item: WorkItem, saved: Sequence[Saved]) -> Saved | None:
    if item.status is JobStatus.SUCCESS:
        return None
    return max((each for each in saved if each.counts), key=lambda each: each.at_ms, default=None)


def _deadline(item: WorkItem) -> int | None:
    """Return the deadline where it still matters, or was what ended the item."""
    if item.deadline_at is None or (item.status in TERMINAL and item.reason not in (Reason.CUTOFF, Reason.EXPIRED)):
        return None
    found = ms_of(item.deadline_at)
    return found if found < FAR_FUTURE_MS else None


def _marks(item: WorkItem, bars: Sequence[Bar], saved: Sequence[Saved], now_ms: int, start_here: Saved | None) -> list[_Mark]:
    deadline = _deadline(item)
    marks = []
    if start_here is not None and any(start_here in bar.saved(saved) for bar in bars):
        marks.append(_Mark(start_here.at_ms, "recover starts here", "recover"))
    if item.status not in TERMINAL:
        marks.append(_Mark(now_ms, "now", "present"))
    if deadline is not None:
        marks.append(_Mark(deadline, "deadline", "deadline"))
    return marks


def _plot(bars: Sequence[Bar], saved: Sequence[Saved], now_ms: int, marks: Sequence[_Mark], top: int) -> _Plot:
    times = [ms for bar in bars for span in bar.spans for ms in (span.start_ms, span.end_ms)] + [each.at_ms for each in marks]
    start, end = min(times), max(times)
    ghost_ms = _ghost(bars, end - start)
    busy = [(span.start_ms, max(span.start_ms + 1, span.end_ms)) for bar in bars for span in bar.spans if span.kind == "running"]
    busy += [(bar.due_ms, bar.due_ms + ghost_ms) for bar in bars if bar.due_ms is not None]
    end = min(max([end, *(until for _, until in busy)]), FAR_FUTURE_MS)
    return _Plot(bars, saved, marks, scale_of(busy, start, end, PLOT, ROOM), now_ms, top, ghost_ms)


def _ghost(bars: Sequence[Bar], length_ms: int) -> int:
    """Return how long what is due is drawn."""
    runs = [each.run for each in bars if each.run is not None]
    return max(1, runs[-1].end_ms - runs[-1].start_ms if runs else length_ms // GHOST)


def _ground(plot: _Plot, left_out: int) -> Iterator[Shape]:
    """Yield what lies below the bars: the scale, where it is broken, and a line where a generation begins."""
    yield Line(PLOT, TOP - 10, PLOT + ROOM, TOP - 10, "axis")
    for piece in plot.scale.pieces:
        if piece.broken:
            tip = f"{words((piece.end_ms - piece.start_ms) / 1000)} without a run, drawn shorter"
            yield Rect(px(piece.x), TOP - 10, px(piece.width), plot.bottom - TOP + 10, "broken", tip)
            yield Glyph(px(piece.x + piece.width / 2), TOP - 10, "zigzag", "axis-break", tip)
    for tick in ticks(plot.scale, APART):
        yield Line(px(tick.x), TOP - 14, px(tick.x), plot.bottom, "tick")
        yield Label(px(tick.x), TOP - 21, tick.text, "axis-text")
        if tick.day:
            yield Label(px(tick.x), TOP - 35, tick.day, "axis-day")
    if left_out:
        some = "1 earlier attempt is" if left_out == 1 else f"{left_out:,} earlier attempts are"
        yield Label(0, TOP + 10, f"{some} not drawn", "note")
    for place, (before, bar) in enumerate(pairwise(plot.bars), start=1):
        if before.generation != bar.generation:
            y = plot.top + place * ROW_HEIGHT
            yield Line(0, y, WIDTH, y, "generation")


def _row(plot: _Plot, bar: Bar, top: int) -> Iterator[Shape]:
    middle = top + ROW_HEIGHT // 2
    yield Label(0, middle + 4, fitted(bar.name, PLOT - 8), "row-name")
    for span in bar.spans:
        yield from _stretch(plot, bar, span, middle)
    for tick in _apart(plot, bar):
        yield Line(px(tick[0]), middle - 9, px(tick[0]), middle + 9, "checkpoint", tick[1])
    if bar.letter:
        x = _right(plot, bar)
        tip = f"{bar.name}: {said(bar.end, 300)}"
        yield Glyph(px(x + 10), middle, END_GLYPHS[bar.letter], f"ending {bar.css}", tip)
        yield Label(px(x + 18), middle + 4, bar.letter, "letter")
    elif bar.due_ms is not None:
        x = plot.scale.x(bar.due_ms)
        width = max(6.0, plot.scale.x(bar.due_ms + plot.ghost_ms) - x)
        yield Rect(px(x), middle - 6, px(width), 12, "ghost", f"the next attempt: {bar.end}")
    yield Label(FACTS, middle + 4, fitted(bar.facts, WIDTH - FACTS), "beside")


def _stretch(plot: _Plot, bar: Bar, span: Span, middle: int) -> Iterator[Shape]:
    """Yield a stretch of a row; of a wait what is still to come is drawn fainter."""
    left, right = px(plot.scale.x(span.start_ms)), px(plot.scale.x(span.end_ms))
    width = px(right - left)
    length = words((span.end_ms - span.start_ms) / 1000)
    tip = f"{_MEANS[span.kind]}: {length}, from {said_moment(span.start_ms)} to {said_moment(span.end_ms)} UTC"
    if span.kind == "running":
        yield Rect(left, middle - 6, max(3.0, width), 12, f"run {bar.css}", tip)
    elif width <= 0:
        return
    elif span.kind == "queued":
        yield Rect(left, middle - 1.5, width, 3, "queued", tip)
    else:
        yield Rect(left, middle - 4, width, 8, "waiting", tip)
        split = px(min(right, max(left, plot.scale.x(plot.now_ms))))
        if split > left:
            yield Line(left, middle, split, middle, "hatch", tip)
        if right > split:
            yield Line(split, middle, right, middle, "hatch ahead", tip)


def _right(plot: _Plot, bar: Bar) -> float:
    run = bar.run
    return PLOT if run is None else max(plot.scale.x(run.start_ms) + 3, plot.scale.x(run.end_ms))


def _apart(plot: _Plot, bar: Bar) -> Iterator[tuple[float, str]]:
    """Yield the checkpoints of a row that can be told apart."""
    before = -1.0
    for each in sorted(bar.saved(plot.saved), key=lambda one: one.at_ms):
        x = plot.scale.x(each.at_ms)
        if x - before >= 3:
            yield x, f"checkpoint {said(each.name, 80)}, {said_moment(each.at_ms)} UTC{'' if each.counts else ' (put aside)'}"
            before = x


def _lines(plot: _Plot) -> tuple[list[Shape], int]:
    """Return the lines through all rows with their words below, none over another, and where those end."""
    shapes: list[Shape] = []
    taken: list[float] = []
    for mark in sorted(plot.marks, key=lambda each: each.at_ms):
        x, width = plot.scale.x(mark.at_ms), text_width(mark.text)
        left = min(x, WIDTH - width)
        level = next((place for place, until in enumerate(taken) if until + 8 <= left), len(taken))
        taken[level : level + 1] = [left + width]
        y = plot.bottom + 4 + level * LINE_HEIGHT
        shapes.append(Line(px(x), TOP - 10, px(x), y + 4, f"mark {mark.css}"))
        if mark.css == "recover":
            shapes.append(Glyph(px(x), TOP - 6, "flag", "mark recover"))
        shapes.append(Label(px(left), y + 14, mark.text, f"mark {mark.css}"))
    return shapes, plot.bottom + 4 + len(taken) * LINE_HEIGHT


def _keys(plot: _Plot) -> Iterator[Key]:
    spans = [span for bar in plot.bars for span in bar.spans if span.end_ms > span.start_ms]
    kinds = {span.kind for span in spans}
    if "queued" in kinds:
        yield Key("queued", "queued")
    if "waiting" in kinds:
        yield Key("waiting", "waiting for its retry", hatched=True)
    for letter in dict.fromkeys(bar.letter for bar in plot.bars if bar.letter):
        yield Key("", ENDS[letter] if letter != ">" else "running", END_GLYPHS[letter], letter)
    if any(bar.css.endswith("uncharged") for bar in plot.bars):
        yield Key("run is-failure uncharged", "not charged")
    if any(bar.due_ms is not None for bar in plot.bars):
        yield Key("ghost", "next attempt")
    if any(each.broken for each in plot.scale.pieces):
        yield Key("", "time drawn shorter", "zigzag")
