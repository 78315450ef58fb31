"""Durations as users write them, turned into seconds and back into words."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from mulligan.core.errors import ConfigError
from mulligan.core.shown import shown

Duration = float | int | str | timedelta
"""Seconds, a `timedelta`, or a text such as `"90"`, `"1.5h"`, `"2h30m"`; units are ms, s, m, h, d and w."""

MAX_SECONDS = 10 * 366 * 86400.0
"""Ten years: anything longer is taken for a mistake."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


def seconds(value: Duration, name: str = "duration") -> float:
    """Return a duration in seconds; raises ConfigError when it is not one, is negative or is over ten years."""
    if isinstance(value, timedelta):
        result = value.total_seconds()
    elif isinstance(value, str):
        result = _parse(value, name)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        result = _float(value)
    else:
        raise ConfigError(f"{name}: expected seconds, a timedelta or a text such as '15m', not {shown(value)}")
    if not math.isfinite(result) or result < 0:
        raise ConfigError(f"{name}: {shown(value)} is not a duration of zero or more")
    if result > MAX_SECONDS:
        raise ConfigError(f"{name}: {shown(value)} is longer than ten years")
    return result


def words(duration_s: float) -> str:
    """Say a duration for people, rounded to its two largest units: `2 h 5 min`, `45 s`, `1.6 s`, `225 ms`."""
    if duration_s < 1:
        return f"{round(duration_s * 1000)} ms" if duration_s else "0 s"
    if duration_s < 9.95:
        return f"{duration_s:.1f}".removesuffix(".0") + " s"
    left = round(duration_s)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _parse(text: str, name: str) -> float:
    compact = text.strip().replace(" ", "")
    parts = _PART.findall(compact)
    if parts and "".join(number + unit for number, unit in parts) == compact:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        return float(compact)
    except ValueError:
        message = f"{name}: {text!r} is not a duration; write seconds or a text such as '15m' or '2h30m'"
        raise ConfigError(message) from None
