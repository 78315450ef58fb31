"""Cutting a range of time into windows; pure arithmetic on instants and time zones, without a clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from mulligan.core.durations import Duration, seconds
from mulligan.core.errors import ConfigError, WindowInvalid
from mulligan.core.shown import shown

Instant = datetime | date | str
"""An aware or naive datetime, a date (its midnight), or either as ISO text; what is naive is taken in the range's zone."""

MAX_WINDOWS = 1_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
FIRST_MS = (datetime(1, 1, 3, tzinfo=UTC) - _EPOCH) // _MS
LAST_MS = (datetime(9999, 12, 30, tzinfo=UTC) - _EPOCH) // _MS


def windows(
    start: Instant, end: Instant, every: Duration = "1d", tz: str = "UTC", newest_first: bool = False
) -> Iterator[tuple[int, int]]:
    """Cut `[start, end)` into windows of milliseconds since 1970 UTC, one at a time; what is wrong is raised at once.

    Steps of whole days (or weeks) follow the calendar of `tz`, so that a day may have 23 or 25 hours; any other step is
    time that has passed. A local time that a change of the clock skips means the moment of the change; one that comes
    twice means the first. Raises WindowInvalid.
    """
    return _pairs(_cut(start, end, every, tz), newest_first)


def instant_ms(value: Instant, tz: str = "UTC", name: str = "time") -> int:
    """Return a point in time as milliseconds since 1970 UTC; raises WindowInvalid, naming it `name`."""
    return to_ms(_aware(value, zone(tz), name), name)


def to_ms(moment: datetime, name: str = "time") -> int:
    """Return an aware datetime as milliseconds since 1970 UTC; raises WindowInvalid where it is finer than that.

    Moments within two days of the first or last that Python knows are refused too: in some zone they do not exist.
    """
    if moment.microsecond % 1000:
        raise WindowInvalid(f"{name}: {moment.isoformat()} is finer than a millisecond; round it first")
    found = (moment - _EPOCH) // _MS
    if not FIRST_MS <= found <= LAST_MS:
        raise WindowInvalid(
            f"{name}: {moment.isoformat()} is too close to the ends of the calendar, the years 1 and 9999, "
            "to be told in every time zone; keep two days away from them"
        )
    return found


def from_ms(moment_ms: int, tz: str = "UTC") -> datetime:
    """Return milliseconds since 1970 UTC as an aware datetime in a time zone."""
    whole_s, rest_ms = divmod(moment_ms, 1000)
    moment = datetime.fromtimestamp(whole_s, zone(tz))
    return moment.replace(microsecond=rest_ms * 1000) if rest_ms else moment


def is_a_day(length_ms: int) -> bool:
    """Say whether a window of this length is a day; those on which the clock changes have 23 or 25 hours."""
    return abs(length_ms - _DAY_MS) <= _HOUR_MS


def zone(tz: str) -> tzinfo:
    """Return a time zone by its IANA name; raises WindowInvalid when there is none."""
    if not isinstance(tz, str):
        raise WindowInvalid(f"tz: expected the name of a time zone such as 'Europe/Zurich' or 'UTC', not {shown(tz)}")
    return _zone(tz)


@lru_cache(maxsize=256)
def _zone(tz: str) -> tzinfo:
    try:
        return UTC if tz == "UTC" else ZoneInfo(tz)
    except (KeyError, ValueError, OSError, TypeError):
        raise WindowInvalid(f"tz: {shown(tz)} is no known time zone; write a name such as 'Europe/Zurich' or 'UTC'") from None


@dataclass(frozen=True, slots=True)
class _Cut:
    """A range that a step divides: either in whole calendar days, or in milliseconds."""

    first: datetime
    start_ms: int
    end_ms: int
    count: int
    days: int
    step_ms: int

    def at(self, place: int) -> int:
        if place in (0, self.count):  # exact, also where the hour of the clock comes twice
            return self.end_ms if place else self.start_ms
        if self.days:
            return to_ms(self.first + timedelta(days=place * self.days))
        return self.start_ms + place * self.step_ms


def _pairs(cut: _Cut, newest_first: bool) -> Iterator[tuple[int, int]]:
    known, places = (cut.at(cut.count), range(cut.count - 1, -1, -1)) if newest_first else (cut.at(0), range(1, cut.count + 1))
    for place in places:
        moment = cut.at(place)
        if moment != known:  # a zone that moved over the date line has no such day at all
            yield (moment, known) if newest_first else (known, moment)
        known = moment


def _cut(start: Instant, end: Instant, every: Duration, tz: str) -> _Cut:
    local = zone(tz)
    first, last = _aware(start, local, "start"), _aware(end, local, "end")
    start_ms, end_ms = to_ms(first, "start"), to_ms(last, "end")
    if end_ms <= start_ms:
        raise WindowInvalid(f"the range ends ({last.isoformat()}) before it has begun ({first.isoformat()})")
    step_ms = _step_ms(every)
    days = 0 if step_ms % _DAY_MS else step_ms // _DAY_MS
    if days:
        length, step = _wall(last) - _wall(first), timedelta(days=days)
    else:
        length, step = timedelta(milliseconds=end_ms - start_ms), timedelta(milliseconds=step_ms)
    count, rest = divmod(length, step)
    if rest:
        raise WindowInvalid(_misfit(first, every, count, rest, step, bool(days)))
    if count > MAX_WINDOWS:
        raise WindowInvalid(
            f"every {shown(every)} cuts the range into {count:,} windows; at most {MAX_WINDOWS:,} make one backfill"
        )
    return _Cut(first, start_ms, end_ms, count, days, step_ms)


def _step_ms(every: Duration) -> int:
    try:
        step_s = seconds(every, "every")
    except ConfigError as error:
        raise WindowInvalid(str(error)) from None
    step_ms = round(step_s * 1000)
    if step_ms <= 0 or abs(step_ms - step_s * 1000) > 1e-6:
        raise WindowInvalid(
            f"every: {shown(every)} is not a step of whole milliseconds above zero; write for example '1d' or '6h'"
        )
    return step_ms


def _misfit(first: datetime, every: Duration, count: int, rest: timedelta, step: timedelta, calendar: bool) -> str:
    def boundary(place: int) -> str | None:
        try:
            if calendar:
                return (first + place * step).isoformat()
            return (first.astimezone(UTC) + place * step).astimezone(first.tzinfo).isoformat()
        except OverflowError:  # behind the end of the calendar
            return None

    fitting = [each for each in (boundary(place) for place in (count, count + 1) if place) if each]
    return f"every {shown(every)} does not divide the range: {rest} are left over after {count:,} windows; " + (
        f"end at {' or '.join(fitting)} instead" if fitting else "take a shorter step"
    )


def _wall(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


def _aware(value: Instant, local: tzinfo, name: str) -> datetime:
    moment = _parse(value, name) if isinstance(value, str) else value
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001 - made aware below
    if not isinstance(moment, datetime):
        raise WindowInvalid(f"{name}: expected a date, a datetime or ISO text such as '2024-03-07', not {shown(value)}")
    try:
        # A datetime that was made aware in another zone keeps its instant; the calendar steps are those of `local`.
        return moment.replace(tzinfo=local, fold=0) if moment.tzinfo is None else moment.astimezone(local)
    except OverflowError:
        raise WindowInvalid(f"{name}: {shown(value)} lies outside the years 1 to 9999 in this time zone") from None


def _parse(text: str, name: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise WindowInvalid(f"{name}: {text!r} is not a date or time; write ISO text such as '2024-03-07T06:00'") from None
