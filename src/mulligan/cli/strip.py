"""The partition strip of a backfill: a cell for each window in order, told apart by shape as well as by colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from rich.text import Text

from mulligan.cli.words import NAMES, STYLES
from mulligan.core.job import WORST_FIRST, JobStatus
from mulligan.core.schedule import from_ms, is_a_day

SHAPES = {
    JobStatus.SUCCESS: "■",
    JobStatus.FAILURE: "✗",
    JobStatus.RETRY: "↻",
    JobStatus.STARTED: "▶",
    JobStatus.PENDING: "·",
    JobStatus.REVOKED: "○",
}
LETTERS = {
    JobStatus.SUCCESS: "S",
    JobStatus.FAILURE: "F",
    JobStatus.RETRY: "R",
    JobStatus.STARTED: ">",
    JobStatus.PENDING: ".",
    JobStatus.REVOKED: "X",
}

MAX_ROWS = 48
_HOUR_MS = 3_600_000


class Cell(NamedTuple):
    """A window and the status of its work item."""

    start_ms: int
    end_ms: int
    status: JobStatus


def draw(cells: Sequence[Cell], tz: str, width: int, *, fancy: bool = True) -> Iterator[Text]:
    """Yield the strip line by line, and its legend: months of days, days of hours, or simply one after the other."""
    marks = SHAPES if fancy else LETTERS
    ordered = sorted(cells)
    rows = _calendar(ordered, tz, width)
    if rows is None:
        share = _share(len(ordered), width)
        rows = list(_wrapped(ordered, tz, width, share))
        if share > 1:
            yield Text(f"each cell stands for {share} windows and shows the worst of them", "dim")
    for name, row in rows:
        line = Text(f"{name}  ")
        for each in row:
            line.append(" " if each is None else marks[each], None if each is None else STYLES[each])
        yield line
    yield _legend(cells, marks)


def _calendar(cells: Sequence[Cell], tz: str, width: int) -> list[tuple[str, list[JobStatus | None]]] | None:
    """Return a row for each month of days, or for each day of hours; None where windows are neither."""
    kinds = {_unit(each) for each in cells}
    if len(kinds) != 1 or None in kinds:
        return None
    daily = kinds == {"day"}
    if width < (8 + 31 if daily else 12 + 25):
        return None
    starts = [(from_ms(each.start_ms, tz), each.status) for each in cells]
    rows = []
    for name, group in groupby(starts, key=lambda pair: pair[0].strftime("%Y-%m" if daily else "%Y-%m-%d")):
        rows.append((name, _placed([(_place(moment, daily=daily), status) for moment, status in group])))
        if len(rows) > MAX_ROWS:
            return None
    return rows


def _unit(cell: Cell) -> str | None:
    length = cell.end_ms - cell.start_ms
    if is_a_day(length):
        return "day"
    return "hour" if length == _HOUR_MS else None


def _place(moment: datetime, *, daily: bool) -> int:
    return moment.day - 1 if daily else moment.hour


def _placed(pairs: Sequence[tuple[int, JobStatus]]) -> list[JobStatus | None]:
    row: list[JobStatus | None] = []
    for place, status in pairs:
        row += [None] * (place - len(row))
        row.append(status)
    return row


def _share(count: int, width: int) -> int:
    """Return how many windows one cell stands for, so that the strip stays on a screen."""
    return max(1, -(-count // (MAX_ROWS * max(10, width - 20))))


def _wrapped(cells: Sequence[Cell], tz: str, width: int, share: int) -> Iterator[tuple[str, list[JobStatus | None]]]:
    size = max(10, (width - 20) // 10 * 10)
    merged = [
        (cells[place].start_ms, min((each.status for each in cells[place : place + share]), key=WORST_FIRST.index))
        for place in range(0, len(cells), share)
    ]
    for first in range(0, len(merged), size):
        row = merged[first : first + size]
        yield f"{from_ms(row[0][0], tz):%Y-%m-%d %H:%M}", [status for _, status in row]


def _legend(cells: Sequence[Cell], marks: dict[JobStatus, str]) -> Text:
    there = {each.status for each in cells}
    line = Text()
    for status, mark in marks.items():
        if status in there:
            line.append("  " if line else "")
            line.append(mark, STYLES[status])
            line.append(f" {NAMES[status]}")
    return line
