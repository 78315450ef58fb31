"""Periods of the calendar: a year, a month, a day or an hour of a time zone, and their names."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

from mulligan.core.errors import WindowInvalid
from mulligan.core.schedule import FIRST_MS, LAST_MS, from_ms, instant_ms, zone
from mulligan.core.shown import shown

UNITS = ("year", "month", "day", "hour")
"""From the longest to the shortest."""
_FORMS = ("%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H")
_NAME = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T(\d{2}))?)?)?")


class Period(NamedTuple):
    """A range of time with a name, such as `2024` or `2024-03`; in milliseconds since 1970 UTC, half-open."""

    name: str
    unit: str
    start_ms: int
    end_ms: int


def period_at(moment_ms: int, unit: str, tz: str) -> Period:
    """Return the period of a unit in which a moment lies; raises WindowInvalid for no known time zone."""
    at = from_ms(moment_ms, tz)
    name = at.strftime(_FORMS[UNITS.index(unit)]).zfill(len("2024") + 3 * UNITS.index(unit))
    return period_named(name, tz)


def period_named(name: str, tz: str) -> Period:
    """Return the period that a text such as `2024`, `2024-03`, `2024-03-07` or `2024-03-07T06` names; raises WindowInvalid."""
    found = _NAME.fullmatch(name)
    local = zone(tz)
    if found is None:
        raise WindowInvalid(_wrong(name))
    parts = [int(each) for each in found.groups() if each is not None]
    unit = UNITS[len(parts) - 1]
    try:
        first = datetime(parts[0], *(parts[1:] + [1, 1][len(parts) - 1 :]))  # type: ignore[arg-type]  # noqa: DTZ001 - local
    except ValueError:
        raise WindowInvalid(_wrong(name)) from None
    return Period(name, unit, _within(first.replace(tzinfo=local)), _end_ms(first, unit, local))


def finer(unit: str) -> str | None:
    """Return the next shorter unit; None for the shortest."""
    place = UNITS.index(unit) + 1
    return UNITS[place] if place < len(UNITS) else None


def _end_ms(first: datetime, unit: str, local: tzinfo) -> int:
    """Return where a period ends: where the next begins, so that an hour of the clock that comes twice is one."""
    try:
        return _within(_after(first, unit).replace(tzinfo=local))
    except (ValueError, OverflowError):
        return LAST_MS


def _after(first: datetime, unit: str) -> datetime:
    if unit == "year":
        return first.replace(year=first.year + 1)
    if unit == "month":
        return (first + timedelta(days=31)).replace(day=1)
    return first + timedelta(hours=1 if unit == "hour" else 24)


def _within(moment: datetime) -> int:
    """Return a moment in milliseconds; at the ends of the calendar the last that there is in every time zone."""
    if moment.year <= 1:
        return FIRST_MS
    return LAST_MS if moment.year >= 9999 and (moment.month, moment.day) >= (12, 30) else instant_ms(moment)


def _wrong(name: str) -> str:
    return (
        f"at: {shown(name)} is no year, month, day or hour, and not all: write it as 2024, 2024-03, 2024-03-07 or 2024-03-07T06"
    )
