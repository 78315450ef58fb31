"""The partitions of a pipeline as a calendar: days in weeks, hours in days, months in years; or as a plain bar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise

from mulligan.api.models import Partition
from mulligan.console.pictures.picture import (
    LINE_HEIGHT,
    STATUS_CLASSES,
    STATUS_WORDS,
    Glyph,
    Key,
    Label,
    Link,
    Picture,
    Rect,
    Reference,
    Row,
    Shape,
    legend,
    on_cell,
    px,
    said,
    status_key,
    text_width,
)
from mulligan.core.job import WORST_FIRST, JobStatus
from mulligan.core.schedule import is_a_day, zone

MAX_CELLS = 2_000
"""More cells than these are drawn as fewer, each for several partitions."""
GAP = 6
SHADES = 4
"""By how many tones the share of failures is told apart."""
FAINT = ("share-1", "share-2")

_HOUR_S = 3600
_DAY_MS = 86_400_000
_MONTH_MS = 27 * _DAY_MS
_BAR_COLUMNS = 40
_WEEKDAYS = ("Mon", "", "Wed", "", "Fri", "", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell and all partitions in it, at its column and row."""

    column: int
    row: int
    name: str
    partitions: tuple[Partition, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Cells with a name to the left of each row and above some columns; `empty` are places without a partition."""

    title: str
    cells: tuple[Cell, ...]
    empty: tuple[tuple[int, int], ...]
    beside: Mapping[int, str]
    above: Mapping[int, str]
    gaps: frozenset[int] = frozenset()
    """Rows before which something is left out."""


_Dated = tuple[datetime, Partition]


def calendar(partitions: Sequence[Partition], tz: str, href: Callable[[Partition], str]) -> Picture | None:
    """Draw the partitions in a time zone; nothing where there are none. Raises WindowInvalid for no known time zone.

    A cell leads where `href` says, with several partitions in it where the worst of them leads.
    """
    if not partitions:
        return None
    local = zone(tz)
    dated = sorted(((each.window.start.astimezone(local), each) for each in partitions), key=lambda pair: pair[0])
    blocks = _blocks(dated, min(_length_ms(each) for each in partitions))
    shapes, width, height = _laid_out(blocks, href)
    cells = [cell for block in blocks for cell in block.cells]
    keys, bottom = legend(_keys(cells), 0, height + 4, max(width, 420))
    several = len(cells) < len(partitions)
    headers = ("Window", "State", "Failed", "Windows") if several else ("Window", "State")
    rows = tuple(_row(cell, href, several=several) for cell in cells)
    return Picture("calendar", _title(partitions, tz, dated), max(width, 420), bottom + 2, (*shapes, *keys), headers, rows)


def state(cell: Cell) -> str:
    """Say how the partitions of a cell stand."""
    if len(cell.partitions) == 1:
        return STATUS_WORDS[cell.partitions[0].status]
    counts = Counter(each.status for each in cell.partitions)
    return ", ".join(f"{counts[status]:,} {STATUS_WORDS[status]}" for status in WORST_FIRST if counts[status])


def _length_ms(partition: Partition) -> int:
    return round((partition.window.end - partition.window.start).total_seconds() * 1000)


def _blocks(dated: Sequence[_Dated], shortest_ms: int) -> list[Block]:
    """Choose the finest form that the windows fill and that stays small enough."""
    days = len({at.date() for at, _ in dated})
    if shortest_ms < _DAY_MS and not is_a_day(shortest_ms):
        hours = max(hours for hours in (1, 2, 3, 4, 6, 8, 12) if hours * _HOUR_S * 1000 <= max(shortest_ms, _HOUR_S * 1000))
        if days * 24 // hours <= MAX_CELLS:
            return [_hours(dated, hours)]
    if shortest_ms < _DAY_MS or is_a_day(shortest_ms):
        if sum(_days_drawn(dated).values()) <= MAX_CELLS:
            return list(_years_of_days(dated))
    elif shortest_ms < _MONTH_MS:
        return [_bar(dated)]
    return [_months(dated)] if len({at.year for at, _ in dated}) * 12 <= MAX_CELLS else [_bar(dated)]


def _days_drawn(dated: Sequence[_Dated]) -> dict[int, int]:
    """Return how many days of each year are drawn."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for at, _ in dated:
        day = at.timetuple().tm_yday
        first.setdefault(at.year, day)
        last[at.year] = day
    return {year: last[year] - first[year] + 1 for year in first}


def _hours(dated: Sequence[_Dated], hours: int) -> Block:
    days = sorted({at.date() for at, _ in dated})
    row_of = {day: row for row, day in enumerate(days)}
    found = _gathered(dated, lambda at: (at.hour // hours, row_of[at.date()]))
    cells = tuple(
        Cell(column, row, f"{_day_name(days[row])} {column * hours:02}:00", tuple(inside)) for (column, row), inside in found
    )
    taken = {(cell.column, cell.row) for cell in cells}
    columns = 24 // hours
    empty = tuple((column, row) for row in range(len(days)) for column in range(columns) if (column, row) not in taken)
    above = {column: f"{column * hours:02}" for column in range(columns) if column * hours % 6 == 0}
    beside = {row: f"{day.day} {_MONTHS[day.month - 1]}" for row, day in enumerate(days)}
    gaps = frozenset(row for row, (before, day) in enumerate(pairwise(days), 1) if (day - before).days > 1)
    years = sorted({day.year for day in days})
    return Block(f"{years[0]:04}" if len(years) == 1 else f"{years[0]:04}–{years[-1]:04}", cells, empty, beside, above, gaps)


def _years_of_days(dated: Sequence[_Dated]) -> Iterator[Block]:
    years: dict[int, list[_Dated]] = {}
    for at, partition in dated:
        years.setdefault(at.year, []).append((at, partition))
    for year, inside in years.items():
        yield _year_of_days(year, inside)


def _year_of_days(year: int, dated: Sequence[_Dated]) -> Block:
    first, last = dated[0][0].date(), dated[-1][0].date()
    start = first.weekday()

    def place(day: date) -> tuple[int, int]:
        return divmod(start + (day - first).days, 7)

    found = _gathered(dated, lambda at: place(at.date()))
    cells = tuple(
        Cell(column, row, _day_name(first + timedelta(days=column * 7 + row - start)), tuple(inside))
        for (column, row), inside in found
    )
    taken = {(cell.column, cell.row) for cell in cells}
    drawn = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    empty = tuple(each for each in map(place, drawn) if each not in taken)
    above: dict[int, str] = {}
    for day in drawn:
        if day == first or day.day == 1:
            above[place(day)[0]] = _MONTHS[day.month - 1]
    columns = sorted(above)
    if len(columns) > 1 and columns[1] - columns[0] < 2:  # a month of which only the end is there leaves its place to the next
        del above[columns[0]]
    return Block(f"{year:04}", cells, empty, dict(enumerate(_WEEKDAYS)), above)


def _months(dated: Sequence[_Dated]) -> Block:
    years = sorted({at.year for at, _ in dated})
    row_of = {year: row for row, year in enumerate(years)}
    found = _gathered(dated, lambda at: (at.month - 1, row_of[at.year]))
    cells = tuple(Cell(column, row, f"{_MONTHS[column]} {years[row]:04}", tuple(inside)) for (column, row), inside in found)
    gaps = frozenset(row for row, (before, year) in enumerate(pairwise(years), 1) if year - before > 1)
    above = {column: month for column, month in enumerate(_MONTHS) if column % 3 == 0}
    return Block("", cells, (), {row: f"{year:04}" for row, year in enumerate(years)}, above, gaps)


def _bar(dated: Sequence[_Dated]) -> Block:
    """Return cells one after the other, each for as many partitions as it takes."""
    share = -(-len(dated) // MAX_CELLS)
    cells = []
    beside = {}
    for place, first in enumerate(range(0, len(dated), share)):
        inside = dated[first : first + share]
        row, column = divmod(place, _BAR_COLUMNS)
        began, ended = inside[0][0], inside[-1][0]
        name = _moment_name(began) if len(inside) == 1 else f"{_moment_name(began)} to {_moment_name(ended)}"
        cells.append(Cell(column, row, name, tuple(each for _, each in inside)))
        if column == 0:
            beside[row] = began.date().isoformat()
    return Block("", tuple(cells), (), beside, {})


def _gathered(
    dated: Sequence[_Dated], place: Callable[[datetime], tuple[int, int]]
) -> list[tuple[tuple[int, int], list[Partition]]]:
    found: dict[tuple[int, int], list[Partition]] = {}
    for at, partition in dated:
        found.setdefault(place(at), []).append(partition)
    return list(found.items())


def _day_name(day: date) -> str:
    return f"{day.day} {day:%B} {day.year:04}"


def _moment_name(at: datetime) -> str:
    return _day_name(at.date()) if (at.hour, at.minute, at.second) == (0, 0, 0) else f"{_day_name(at.date())} {at:%H:%M:%S}"


def _laid_out(blocks: Sequence[Block], href: Callable[[Partition], str]) -> tuple[list[Shape], float, float]:
    columns = 1 + max(each.column for block in blocks for each in block.cells)
    pitch = 20 if columns <= 30 else 16
    left = 10 + max(text_width(text) for block in blocks for text in (block.title, *block.beside.values()))
    shapes: list[Shape] = []
    width, y = 0.0, 0.0
    for block in blocks:
        made, right, bottom = _block(block, href, px(left), y, pitch)
        shapes += made
        width, y = max(width, right), bottom + 8
    return shapes, width, y


def _block(
    block: Block, href: Callable[[Partition], str], left: float, top: float, pitch: int
) -> tuple[list[Shape], float, float]:
    """Return the shapes of a block, its right edge and its lower one."""
    shapes: list[Shape] = []
    if block.title:
        shapes.append(Label(0, top + 12, block.title, "calendar-title"))
    shapes += [Label(px(left + column * pitch), top + 12, text, "axis-text") for column, text in block.above.items()]
    tops, bottom = _tops(block, top + (LINE_HEIGHT + 2 if block.title or block.above else 0), pitch)
    shapes += [Label(0, tops[row] + pitch - 6, text, "axis-text") for row, text in block.beside.items() if text]
    size = pitch - 3
    shapes += [Rect(px(left + column * pitch), tops[row], size, size, "cell none") for column, row in block.empty]
    shapes += [_cell(cell, href, px(left + cell.column * pitch), tops[cell.row], size) for cell in block.cells]
    last = max([each.column for each in block.cells] + [column for column, _ in block.empty])
    labels = [left + column * pitch + text_width(text) for column, text in block.above.items()]
    return shapes, px(max([left + (last + 1) * pitch, *labels])), bottom


def _tops(block: Block, top: float, pitch: int) -> tuple[list[float], float]:
    """Return where rows begin, and where the last one ends."""
    rows = 1 + max([each.row for each in block.cells] + list(block.beside))
    tops = []
    for row in range(rows):
        top += GAP if row in block.gaps else 0
        tops.append(top)
        top += pitch
    return tops, top


def _cell(cell: Cell, href: Callable[[Partition], str], x: float, y: float, size: float) -> Link:
    css, failed = _looks(cell)
    shapes: list[Rect | Glyph] = [Rect(x, y, size, size, f"cell {css}")]
    if failed:
        sign = on_cell(css.endswith(FAINT))
        shapes.append(Glyph(px(x + size / 2), px(y + size / 2), "cross", sign, scale=px(size / 13)))
    start, end = min(each.window.start for each in cell.partitions), max(each.window.end for each in cell.partitions)
    return Link(href(_worst(cell)), f"{cell.name}: {state(cell)}", tuple(shapes), start.isoformat(), end.isoformat())


def _looks(cell: Cell) -> tuple[str, bool]:
    """Return the style class of a cell, and whether something in it failed."""
    failed = sum(each.status is JobStatus.FAILURE for each in cell.partitions)
    if failed == 0 or len(cell.partitions) == 1:
        return STATUS_CLASSES[_worst(cell).status], bool(failed)
    return f"is-failure share-{max(1, -(-SHADES * failed // len(cell.partitions)))}", True


def _worst(cell: Cell) -> Partition:
    return min(cell.partitions, key=lambda each: WORST_FIRST.index(each.status))


def _row(cell: Cell, href: Callable[[Partition], str], *, several: bool) -> Row:
    name = Reference(cell.name, href(_worst(cell)))
    if not several:
        return (name, state(cell))
    failed = sum(each.status is JobStatus.FAILURE for each in cell.partitions)
    return (name, state(cell), f"{failed:,}", f"{len(cell.partitions):,}")


def _keys(cells: Sequence[Cell]) -> Iterator[Key]:
    there = {each.status for cell in cells for each in cell.partitions}
    mixed = any(len(cell.partitions) > 1 and _looks(cell)[1] for cell in cells)
    for status in JobStatus:
        if status in there and not (mixed and status is JobStatus.FAILURE):
            yield status_key(status)
    if mixed:
        for shade, text in ((1, "few failed"), (SHADES, "most or all failed")):
            yield Key(f"cell is-failure share-{shade}", text, "cross", faint=shade == 1)


def _title(partitions: Sequence[Partition], tz: str, dated: Sequence[_Dated]) -> str:
    counts = Counter(each.status for each in partitions)
    some = ", ".join(f"{counts[status]:,} {STATUS_WORDS[status]}" for status in WORST_FIRST if counts[status])
    first, last = _moment_name(dated[0][0]), _moment_name(dated[-1][0])
    windows = f"{len(partitions):,} window{'' if len(partitions) == 1 else 's'}"
    return f"{windows} from {first} to {last} ({said(tz, 64)}): {some}"
