"""Tables for people: one line for each row, never wider than the terminal, and ids never cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from mulligan.core.plain import one_line

GAP = 2

Cell = str | tuple[str, str]
"""A text, or a text with its style."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    title: str
    fixed: bool = False
    """Whether it is never cut, as ids must not be."""
    right: bool = False


def lines(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> Iterator[Text]:
    """Yield a table line by line. Cells are made harmless here; what does not fit is cut, not wrapped."""
    cells = [[_split(cell) for cell in row] for row in rows]
    widths = _widths(columns, [[cell_len(text) for text, _ in row] for row in cells], width)
    yield _line(columns, [(column.title, "bold") for column in columns], widths)
    for row in cells:
        yield _line(columns, row, widths)


def cut(text: str, width: int) -> str:
    """Return a text of at most so many cells."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "…" if width > 0 else ""


def _split(cell: Cell) -> tuple[str, str]:
    text, style = (cell, "") if isinstance(cell, str) else cell
    return one_line(text), style


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[int]], width: int) -> list[int]:
    widths = [max([len(column.title), *(row[place] for row in rows)]) for place, column in enumerate(columns)]
    excess = sum(widths) + GAP * (len(columns) - 1) - width
    while excess > 0:
        loose = [place for place, column in enumerate(columns) if not column.fixed and widths[place] > len(column.title)]
        if not loose:
            break
        widest = max(loose, key=widths.__getitem__)
        second = max([widths[place] for place in loose if place != widest], default=0)
        taken = min(excess, max(1, widths[widest] - max(second, len(columns[widest].title))))
        widths[widest] -= taken
        excess -= taken
    return widths


def _line(columns: Sequence[Column], cells: Sequence[tuple[str, str]], widths: Sequence[int]) -> Text:
    line = Text()
    for place, ((text, style), column, width) in enumerate(zip(cells, columns, widths, strict=True)):
        shown = cut(text, width)
        fill = " " * (width - cell_len(shown))
        line.append(fill if column.right else "")
        line.append(shown, style or None)
        if place < len(columns) - 1:
            line.append(("" if column.right else fill) + " " * GAP)
    return line
