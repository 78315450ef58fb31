"""What a picture is made of: shapes at places, and the table of the same facts. How they become SVG is in the template."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from mulligan.core.job import JobStatus
from mulligan.core.plain import one_line

STATUS_CLASSES = {status: f"is-{status.lower()}" for status in JobStatus}
"""The style class of what shows a status."""
STATUS_GLYPHS = {
    JobStatus.PENDING: "ring",
    JobStatus.STARTED: "play",
    JobStatus.RETRY: "again",
    JobStatus.SUCCESS: "check",
    JobStatus.FAILURE: "cross",
    JobStatus.REVOKED: "stopped",
}
STATUS_WORDS = {
    JobStatus.PENDING: "Pending",
    JobStatus.STARTED: "Running",
    JobStatus.RETRY: "Retrying",
    JobStatus.SUCCESS: "Success",
    JobStatus.FAILURE: "Failed",
    JobStatus.REVOKED: "Manually Cancelled",
}
GLYPHS = {
    "again": "M3.2-2.4A4 4 0 1 0 4 .6M3.4-4.6V-2.2H1",
    "bolt": "M1-5-2.6.8H.4L-1 5 2.6-.8H-.4Z",
    "check": "M-4 .4-1.2 3.4 4-3",
    "clock": "M4.2 0A4.2 4.2 0 1 1-4.2 0 4.2 4.2 0 1 1 4.2 0ZM0-2.6V0L1.8 1.3",
    "cross": "M-3.4-3.4 3.4 3.4M3.4-3.4-3.4 3.4",
    "flag": "M-4-4H4L0 2Z",
    "hourglass": "M-3.2-4.2H3.2L-3.2 4.2H3.2Z",
    "moon": "M1.4-4.2A4.4 4.4 0 1 0 4.2 2.4 3.6 3.6 0 0 1 1.4-4.2Z",
    "play": "M-2.8-4 4 0-2.8 4Z",
    "question": "M-2.6-2.2C-2.6-5.4 2.8-5.2 2.6-2.2 2.5-.4 0-.4 0 1.4M0 3.6V4.4",
    "ring": "M3.2 0A3.2 3.2 0 1 1-3.2 0 3.2 3.2 0 1 1 3.2 0Z",
    "stopped": "M4 0A4 4 0 1 1-4 0 4 4 0 1 1 4 0ZM-2.8 2.8 2.8-2.8",
    "wave": "M-4.4 1C-2.8-3-1.2-2 0 0S2.8 3 4.4-1",
    "zigzag": "M-4 5-1.5-5M0 5 2.5-5",
}
"""Outlines by name, about a middle, within five units of it: drawn and not written, so that they need no font."""

LINE_HEIGHT = 16
_NARROW, _WIDE = frozenset("ijl.,:;'|!I ()[]ftr"), frozenset("mwMW@%")


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle."""

    shape: ClassVar[str] = "rect"
    x: float
    y: float
    width: float
    height: float
    css: str
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line."""

    shape: ClassVar[str] = "line"
    x1: float
    y1: float
    x2: float
    y2: float
    css: str
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Glyph:
    """A sign of `GLYPHS` about a middle, `scale` times as large as there."""

    shape: ClassVar[str] = "glyph"
    x: float
    y: float
    name: str
    css: str = ""
    tip: str = ""
    scale: float = 1

    @property
    def path(self) -> str:
        """Its outline, as SVG writes it."""
        return GLYPHS[self.name]


@dataclass(frozen=True, slots=True)
class Label:
    """A text on a line of its own; `anchor` is what of it stands at `x`: start, middle or end."""

    shape: ClassVar[str] = "label"
    x: float
    y: float
    text: str
    css: str = ""
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class Link:
    """Shapes that lead somewhere; `tip` is what it is called. `href` is a path below the console's own."""

    shape: ClassVar[str] = "link"
    href: str
    tip: str
    shapes: tuple[Rect | Line | Glyph | Label, ...]
    start: str = ""
    """Of what it stands for a range of time: its start and its end as ISO text, for scripts that let one choose a range."""
    end: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """A cell of the table that leads somewhere."""

    text: str
    href: str


Shape = Rect | Line | Glyph | Label | Link
Row = tuple[str | Reference, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and its twin; `kind` is its style class, `title` says in words what is seen."""

    kind: str
    title: str
    width: float
    height: float
    shapes: tuple[Shape, ...]
    headers: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def linked(self) -> bool:
        """Whether something in it leads somewhere: then it is a group of links and no image."""
        return any(isinstance(each, Link) for each in self.shapes)


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a legend: a sample and what it means."""

    css: str
    text: str
    glyph: str = ""
    letter: str = ""
    hatched: bool = False
    faint: bool = False
    """Whether a glyph on the sample must stand out from a light one."""


def said(text: object, limit: int = 60) -> str:
    """Return a text on one line, harmless, and cut where it is longer than `limit` characters."""
    line = one_line(str(text)[: 4 * limit])
    return line if len(line) <= limit else line[: limit - 1] + "…"


def text_width(text: str) -> float:
    """Return about how wide a label is, in a wide font: rather too much than too little."""
    return sum(map(_character_width, text))


def _character_width(character: str) -> float:
    if character in _NARROW:
        return 4.3
    if character in _WIDE:
        return 10.6
    if not character.isascii() and unicodedata.east_asian_width(character) in "WF":
        return 13.0
    return 7.7 if character.isupper() else 6.9 if character.isascii() else 8.5


def fitted(text: str, room: float) -> str:
    """Cut a text so that it fits."""
    if text_width(text) <= room:
        return text
    while text and text_width(text) + text_width("…") > room:
        text = text[:-1]
    return text + "…" if text else ""


def px(number: float) -> float:
    """Round a place to what can be seen."""
    return round(number, 1)


def status_key(status: JobStatus) -> Key:
    """Return the entry of a legend for a status."""
    return Key(f"cell {STATUS_CLASSES[status]}", STATUS_WORDS[status], "cross" if status is JobStatus.FAILURE else "")


def on_cell(faint: bool) -> str:
    """Return the style class of a glyph on a cell, which may be a light one."""
    return "on-faint" if faint else "on"


def legend(keys: Iterable[Key], left: float, top: float, right: float) -> tuple[list[Shape], float]:
    """Return the shapes of a legend between two edges, and where it ends."""
    shapes: list[Shape] = []
    x, y, bottom = left, top, top
    for key in keys:
        sample = 26 if key.letter else 18
        text = fitted(key.text, right - left - sample)
        if x > left and x + sample + text_width(text) > right:
            x, y = left, y + LINE_HEIGHT
        shapes += _sample(key, x, y)
        shapes.append(Label(px(x + sample), px(y + 12), text, "legend"))
        x += sample + text_width(text) + 14
        bottom = y + LINE_HEIGHT
    return shapes, px(bottom)


def _sample(key: Key, x: float, y: float) -> list[Shape]:
    middle_x, middle_y = px(x + 6), px(y + 8)
    shapes: list[Shape] = []
    if key.css:
        shapes.append(Rect(px(x), px(y + 2), 12, 12, key.css))
    if key.hatched:
        shapes.append(Line(px(x), middle_y, px(x + 12), middle_y, "hatch"))
    if key.glyph:
        sign = on_cell(key.faint) if key.css else "ending"
        shapes.append(Glyph(middle_x, middle_y, key.glyph, sign, scale=0.9))
    if key.letter:
        shapes.append(Label(px(x + 14), px(y + 12), key.letter, "letter"))
    return shapes
