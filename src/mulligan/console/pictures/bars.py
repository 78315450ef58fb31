"""A figure over time as bars; where there is no value there is a gap, which is not zero."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from mulligan.console.pictures.picture import Label, Line, Picture, Rect, Shape, fitted, px, said, text_width
from mulligan.core.durations import words

WIDTH, HEIGHT = 640, 150
LEFT, TOP, BOTTOM = 72, 10, 124
MAX_POINTS = 400
"""More points than these are not told apart: the newest are drawn."""
_LARGE = ((1e12, "T"), (1e9, "G"), (1e6, "M"))
_STEPS_S = (0.001, 0.01, 0.1, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 86400, 7 * 86400)
"""Distances of lines where the unit is seconds."""


def bars(points: Sequence[tuple[str, float | None]], unit: str, title: str) -> Picture:
    """Draw (name, value) in order; the unit `s` is said as a duration, `%` goes to 100, and an empty one is a plain number.

    A value that is no finite number is none.
    """
    name, unit = said(title, 200), said(unit, 20)
    known = [(said(label, 40), _finite(value)) for label, value in points]
    drawn = known[-MAX_POINTS:]
    low, high, step = _range([value for _, value in drawn if value is not None], unit)
    shapes: list[Shape] = [*_grid(low, high, step, unit)]
    pitch = (WIDTH - LEFT) / max(1, len(drawn))
    for place, (label, value) in enumerate(drawn):
        shapes.append(_bar(label, value, LEFT + place * pitch, pitch, low, high, unit))
    shapes += _names([label for label, _ in drawn], pitch)
    if not drawn:
        shapes.append(Label(LEFT + 8, (TOP + BOTTOM) // 2, "No values yet.", "note"))
    rows = tuple((label, _said(value, unit)) for label, value in drawn)
    left_out = len(known) - len(drawn)
    full = f"{name}; the newest {len(drawn)}, {left_out:,} earlier ones are left out" if left_out else name
    return Picture("bars", full, WIDTH, HEIGHT, tuple(shapes), ("When", name), rows)


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else max(-1e15, min(1e15, float(value)))


def _range(values: Sequence[float], unit: str) -> tuple[float, float, float]:
    """Return the lowest and highest value of the scale, with zero between them, and the distance of its lines."""
    low, high = min([0.0, *values]), max([0.0, *values])
    if unit == "%" and low >= 0 and high <= 100:
        return 0.0, 100.0, 50.0
    if high - low < 1e-6:
        high = low + 1.0
    step = _step(high - low, unit)
    return math.floor(low / step) * step, math.ceil(high / step) * step, step


def _step(length: float, unit: str) -> float:
    """Return a round distance of which at most three make the length."""
    if unit == "s" and length / 3 <= _STEPS_S[-1]:
        return next(each for each in _STEPS_S if each >= length / 3)
    size = 10.0 ** math.floor(math.log10(length / 3))
    return next(each * size for each in (1, 2, 5, 10) if each * size * 3 >= length * 0.999999)


def _y(value: float, low: float, high: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * ((value - low) / (high - low))


def _grid(low: float, high: float, step: float, unit: str) -> Iterator[Shape]:
    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        y = px(_y(value, low, high))
        yield Line(LEFT, y, WIDTH, y, "axis" if abs(value) < step / 2 else "tick")
        yield Label(LEFT - 8, px(y + 4), fitted(_shortly(value, unit), LEFT - 8), "axis-text", "end")


def _bar(label: str, value: float | None, x: float, pitch: float, low: float, high: float, unit: str) -> Shape:
    width = max(0.5, min(28.0, pitch * 0.7))
    left = x + (pitch - width) / 2
    tip = f"{label}: {_said(value, unit)}"
    if value is None:
        return Rect(px(left), TOP, px(width), BOTTOM - TOP, "gap", tip)
    zero, y = _y(0.0, low, high), _y(value, low, high)
    height = max(1.0, abs(zero - y))
    top = min(zero, y) if abs(zero - y) >= 1 else max(float(TOP), zero - 1)
    return Rect(px(left), px(top), px(width), px(height), "column", tip)


def _names(labels: Sequence[str], pitch: float) -> Iterator[Shape]:
    """Yield names below as many bars as have room for them, the newest always."""
    limit = float(WIDTH)
    for place in range(len(labels) - 1, -1, -1):
        width = text_width(labels[place])
        left = min(LEFT + (place + 0.5) * pitch - width / 2, WIDTH - width)
        if left >= LEFT - 30 and left + width <= limit:
            yield Label(px(left), BOTTOM + 18, labels[place], "axis-text")
            limit = left - 12


def _shortly(value: float, unit: str) -> str:
    size, letter = next(((size, letter) for size, letter in _LARGE if abs(value) >= size), (1.0, ""))
    return f"{value / size:g} {letter} {unit}".rstrip() if letter and unit != "s" else _said(value, unit)


def _said(value: float | None, unit: str) -> str:
    if value is None:
        return "no value"
    if unit == "s" and value >= 0:
        return words(value)
    number = f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:,.3g}"
    return f"{number} {unit}".rstrip()
