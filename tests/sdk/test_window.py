"""Windows and their names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from mulligan.core.errors import WindowInvalid
from mulligan.core.schedule import windows
from mulligan.sdk.window import Window

NEW_YORK = ZoneInfo("America/New_York")


def keys(start: str, end: str, every: str, tz: str) -> list[str]:
    return [Window.of_ms(first, last, tz).key for first, last in windows(start, end, every, tz)]


def test_a_whole_local_day_is_named_by_its_date_whatever_its_length() -> None:
    assert keys("2024-03-09", "2024-03-12", "1d", "America/New_York") == ["2024-03-09", "2024-03-10", "2024-03-11"]
    assert keys("2018-11-04", "2018-11-05", "1d", "America/Sao_Paulo") == ["2018-11-04"]


def test_a_whole_hour_is_named_by_date_and_hour() -> None:
    assert keys("2024-03-07T05:00", "2024-03-07T07:00", "1h", "UTC") == ["2024-03-07T05", "2024-03-07T06"]


def test_the_hour_that_comes_twice_has_two_names() -> None:
    assert keys("2024-11-03", "2024-11-03T03:00", "1h", "America/New_York") == [
        "2024-11-03T00",
        "2024-11-03T01:00:00-04:00",
        "2024-11-03T01:00:00-05:00",
        "2024-11-03T02",
    ]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
@pytest.mark.parametrize("every", ["1h", "30m", "15m"])
def test_names_are_unique_over_both_changes_of_the_clock(zone: str, every: str) -> None:
    for start, end in (("2024-03-01T00Z", "2024-04-20T00Z"), ("2024-10-01T00Z", "2024-11-20T00Z")):
        names = keys(start, end, every, zone)
        assert len(set(names)) == len(names)


def test_a_window_of_another_length_is_named_by_both_ends() -> None:
    assert keys("2024-03-07", "2024-03-07T00:15", "15m", "UTC") == ["2024-03-07T00:00:00+00:00/2024-03-07T00:15:00+00:00"]
    assert keys("2024-03-07T00:30", "2024-03-07T01:30", "1h", "UTC") == ["2024-03-07T00:30:00+00:00"]


def test_a_window_needs_time_zones_and_an_end_after_its_start() -> None:
    noon = datetime(2024, 3, 7, 12, tzinfo=UTC)
    with pytest.raises(WindowInvalid, match="time zone"):
        Window(datetime(2024, 3, 7), noon)  # noqa: DTZ001
    with pytest.raises(WindowInvalid, match="after it starts"):
        Window(noon, noon)
    with pytest.raises(WindowInvalid, match="after it starts"):
        Window(noon, noon - timedelta(hours=1))
    with pytest.raises(WindowInvalid, match="millisecond"):
        Window(noon, noon + timedelta(microseconds=1))


def test_windows_are_compared_as_instants_where_the_wall_clock_runs_back() -> None:
    first = datetime(2024, 11, 3, 1, 30, tzinfo=NEW_YORK)
    again = first.replace(fold=1)
    window = Window(first, again)
    assert (window.end_ms - window.start_ms) == 3_600_000
    half_an_hour = timedelta(minutes=30)
    assert Window(again, again + half_an_hour) != Window(first, first + half_an_hour)


def test_milliseconds_make_the_same_window_again() -> None:
    window = Window(datetime(2024, 3, 7, tzinfo=NEW_YORK), datetime(2024, 3, 8, tzinfo=NEW_YORK))
    again = Window.of_ms(window.start_ms, window.end_ms, window.tz)
    assert again == window
    assert again.start.isoformat() == "2024-03-07T00:00:00-05:00"
    assert {window: 1}[again] == 1


def test_a_window_is_equal_in_whatever_zone_it_is_shown() -> None:
    start = datetime(2024, 3, 7, 5, tzinfo=UTC)
    other = start.astimezone(timezone(timedelta(hours=2)))
    assert Window(start, start + timedelta(hours=1)) == Window(other, other + timedelta(hours=1))
