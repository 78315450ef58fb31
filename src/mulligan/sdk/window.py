"""Window: the range of time that a work item is for, and its name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

from mulligan.core.errors import WindowInvalid
from mulligan.core.schedule import from_ms, to_ms
from mulligan.core.shown import shown

_HOUR_MS = 3_600_000
_SHORTEST_DAY_MS = 12 * _HOUR_MS
_DAY = timedelta(days=1)


@dataclass(frozen=True, eq=False)
class Window:
    """A half-open range `[start, end)` of aware datetimes, to the millisecond; raises WindowInvalid when it is not one.

    `end` is shown in the time zone of `start`. Two windows are equal when they begin and end at the same instants.
    """

    start: datetime
    end: datetime
    _range_ms: ClassVar[tuple[int, int]]
    """The same in milliseconds: set on each window, but no field of it."""

    def __post_init__(self) -> None:
        for name, moment in (("start", self.start), ("end", self.end)):
            if not isinstance(moment, datetime) or moment.utcoffset() is None:
                raise WindowInvalid(f"{name}: a window takes datetimes that have a time zone, not {shown(moment)}")
        object.__setattr__(self, "_range_ms", (to_ms(self.start, "start"), to_ms(self.end, "end")))
        object.__setattr__(self, "end", self.end.astimezone(self.start.tzinfo))
        # Compared as instants: in one zone Python compares wall clocks, which run back where summer time ends.
        if self.end_ms <= self.start_ms:
            raise WindowInvalid(f"a window must end after it starts: {self.start.isoformat()} to {self.end.isoformat()}")

    @classmethod
    def of_ms(cls, start_ms: int, end_ms: int, tz: str = "UTC") -> Window:
        """Make a window of milliseconds since 1970 UTC, shown in a time zone."""
        return cls(from_ms(start_ms, tz), from_ms(end_ms, tz))

    @property
    def start_ms(self) -> int:
        """The start in milliseconds since 1970 UTC."""
        return self._range_ms[0]

    @property
    def end_ms(self) -> int:
        """The end in milliseconds since 1970 UTC."""
        return self._range_ms[1]

    @property
    def tz(self) -> str:
        """The IANA name of the window's time zone; UTC where it only has an offset."""
        zone = self.start.tzinfo
        return zone.key if isinstance(zone, ZoneInfo) and zone.key else "UTC"

    @property
    def key(self) -> str:
        """The name of the window in its time zone: `2024-03-07` for a whole day, `2024-03-07T05` for a whole hour.

        Any other window is named by ISO times with their offsets: an hour by its start, the rest by `start/end`.
        """
        if _is_day(self):
            return self.start.date().isoformat()
        if self.end_ms - self.start_ms != _HOUR_MS:
            return f"{self.start.isoformat()}/{self.end.isoformat()}"
        on_the_hour = not (self.start.minute or self.start.second or self.start.microsecond)
        if on_the_hour and not _ambiguous(self.start):
            return self.start.strftime("%Y-%m-%dT%H")
        return self.start.isoformat()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Window):
            return NotImplemented
        return self._range_ms == other._range_ms

    def __hash__(self) -> int:
        return hash(self._range_ms)

    def __str__(self) -> str:
        return self.key


def normal(window: Window) -> Window:
    """Return the window in the zone that it will be shown in: its own when that has a name, else UTC."""
    if isinstance(window.start.tzinfo, ZoneInfo):
        return window
    return Window(window.start.astimezone(UTC), window.end.astimezone(UTC))


def _is_day(window: Window) -> bool:
    if window.start.minute or window.start.second or window.end_ms - window.start_ms < _SHORTEST_DAY_MS:
        return False
    midnight = datetime(window.start.year, window.start.month, window.start.day, tzinfo=window.start.tzinfo)
    return to_ms(midnight) == window.start_ms and to_ms(midnight + _DAY) == window.end_ms


def _ambiguous(moment: datetime) -> bool:
    return moment.replace(fold=0).utcoffset() != moment.replace(fold=1).utcoffset()
