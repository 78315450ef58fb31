"""Cutting ranges into windows."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mulligan.core.errors import WindowInvalid
from mulligan.core.schedule import FIRST_MS, LAST_MS, from_ms, instant_ms, is_a_day, to_ms, windows, zone
from mulligan.core.shown import shown

HOUR = 3_600_000
NEW_YORK = "America/New_York"


def lengths_h(*args: object, **kwargs: object) -> list[float]:
    return [(end - start) / HOUR for start, end in windows(*args, **kwargs)]


def test_a_day_has_24_hours_or_one_less_or_more_where_the_clock_changes() -> None:
    lengths = (23 * HOUR - 1, 23 * HOUR, 24 * HOUR, 25 * HOUR, 25 * HOUR + 1, HOUR, 48 * HOUR)
    assert [is_a_day(each) for each in lengths] == [False, True, True, True, False, False, False]


def test_a_year_of_days_is_365_windows_that_touch() -> None:
    cut = list(windows("2013-01-01", "2014-01-01", "1d", NEW_YORK))
    assert len(cut) == 365
    assert all(one[1] == other[0] for one, other in pairwise(cut))
    assert from_ms(cut[0][0], NEW_YORK).isoformat() == "2013-01-01T00:00:00-05:00"
    assert from_ms(cut[-1][1], NEW_YORK).isoformat() == "2014-01-01T00:00:00-05:00"


def test_days_follow_the_calendar_over_changes_of_the_clock() -> None:
    assert lengths_h("2024-03-09", "2024-03-12", "1d", NEW_YORK) == [24, 23, 24]
    assert lengths_h("2024-11-02", "2024-11-05", "1d", NEW_YORK) == [24, 25, 24]
    assert lengths_h("2024-03-04", "2024-03-18", "1w", NEW_YORK) == [7 * 24 - 1, 7 * 24]


def test_steps_below_a_day_are_time_that_has_passed() -> None:
    assert lengths_h("2024-03-10", "2024-03-11", "1h", NEW_YORK) == [1] * 23
    assert lengths_h("2024-11-03", "2024-11-04", 3600, NEW_YORK) == [1] * 25


@pytest.mark.parametrize("every", ["1d", "24h", 86400, timedelta(days=1)])
def test_a_day_is_a_day_however_it_is_written(every: object) -> None:
    assert lengths_h("2024-03-10", "2024-03-11", every, NEW_YORK) == [23]


def test_a_day_whose_midnight_does_not_exist_begins_when_it_begins() -> None:
    cut = list(windows("2018-11-03", "2018-11-06", "1d", "America/Sao_Paulo"))
    assert [from_ms(start, "America/Sao_Paulo").isoformat() for start, _ in cut] == [
        "2018-11-03T00:00:00-03:00",
        "2018-11-04T01:00:00-02:00",
        "2018-11-05T00:00:00-02:00",
    ]


def test_a_day_that_a_zone_left_out_has_no_window() -> None:
    arguments = ("2011-12-28", "2012-01-02", "1d", "Pacific/Apia")
    cut = list(windows(*arguments))
    assert [from_ms(start, "Pacific/Apia").day for start, _ in cut] == [28, 29, 31, 1]
    assert list(windows(*arguments, newest_first=True)) == cut[::-1]


def test_a_range_that_begins_or_ends_in_the_repeated_hour_keeps_its_ends() -> None:
    first, again = "2024-11-03T01:30-04:00", "2024-11-03T01:30-05:00"
    assert [start for start, _ in windows(again, "2024-11-04T01:30", "1d", NEW_YORK)] == [instant_ms(again)]
    assert [end for _, end in windows("2024-11-02T01:30", again, "1d", NEW_YORK)] == [instant_ms(again)]
    assert lengths_h(first, "2024-11-04T01:30", "1d", NEW_YORK) == [25]


def test_the_newest_window_comes_first_when_asked() -> None:
    arguments = ("2024-03-09", "2024-03-12", "6h", NEW_YORK)
    with pytest.raises(WindowInvalid):  # 71 hours
        windows(*arguments)
    arguments = ("2024-03-01", "2024-03-09", "6h", NEW_YORK)
    assert list(windows(*arguments, newest_first=True)) == list(windows(*arguments))[::-1]


@pytest.mark.parametrize(
    "start",
    [
        "2024-03-07",
        date(2024, 3, 7),
        datetime(2024, 3, 7),  # noqa: DTZ001
        "2024-03-07T00:00",
        "2024-03-07T05:00Z",
        datetime(2024, 3, 7, 5, tzinfo=UTC),
    ],
)
def test_a_start_may_be_a_date_a_time_or_text_and_is_taken_in_the_zone(start: object) -> None:
    assert instant_ms(start, NEW_YORK) == to_ms(datetime(2024, 3, 7, 5, tzinfo=UTC))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("2024-01-02", "2024-01-01"), "ends"),
        (("2024-01-01", "2024-01-01"), "ends"),
        (("2024-01-01", "2024-01-02", 0), "every"),
        (("2024-01-01", "2024-01-02", -60), "every"),
        (("2024-01-01", "2024-01-02", timedelta(days=-1)), "every"),
        (("2024-01-01", "2024-01-02", "soon"), "every"),
        (("2024-01-01", "2024-01-02", 0.0001), "every"),
        (("2024-01-01", "2024-01-02", "1d", "Mars/Olympus"), "Mars/Olympus"),
        (("2024-01-01", "2024-01-02", "1d", "../etc/passwd"), "tz"),
        (("2024-01-01", "2024-01-02", "1d", "America"), "tz"),
        (("2024-01-01", "2024-01-02", "1d", ""), "tz"),
        (("yesterday", "2024-01-02"), "yesterday"),
        ((20240101, "2024-01-02"), "20240101"),
        (("2024-01-01", "2024-01-02", "50ms"), "1,728,000"),
        ((datetime(2024, 1, 1, microsecond=5, tzinfo=UTC), "2024-01-02"), "millisecond"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_window(arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(WindowInvalid, match=words):
        windows(*arguments)


def test_a_step_that_does_not_divide_says_by_how_much_and_which_end_fits() -> None:
    with pytest.raises(WindowInvalid, match=r"2:00:00 are left over after 4 windows") as caught:
        windows("2024-01-01", "2024-01-02T02:00", "6h")
    assert "2024-01-02T00:00:00+00:00" in str(caught.value)
    assert "2024-01-02T06:00:00+00:00" in str(caught.value)
    with pytest.raises(WindowInvalid, match="does not divide"):
        windows("2024-01-01", "2024-01-12", "1w")


def test_a_step_is_a_day_unless_said_otherwise() -> None:
    assert lengths_h("2024-01-01", "2024-01-04") == [24, 24, 24]


def test_a_step_that_is_no_whole_number_of_days_is_time_that_has_passed_too() -> None:
    assert lengths_h("2024-03-09", "2024-03-12T01:00", "36h", NEW_YORK) == [36, 36]


def test_a_millisecond_is_the_shortest_step_and_half_of_one_is_none() -> None:
    assert list(windows("2024-01-01T00:00:00.000", "2024-01-01T00:00:00.002", "1ms")) == [
        (instant_ms("2024-01-01") + n, instant_ms("2024-01-01") + n + 1) for n in (0, 1)
    ]
    with pytest.raises(WindowInvalid, match=r"^every: 0\.0015 is not a step of whole milliseconds above zero"):
        windows("2024-01-01", "2024-01-02", 0.0015)


def test_a_local_time_that_comes_twice_means_the_first_however_it_was_made() -> None:
    first = instant_ms("2024-11-03T01:30-04:00")
    assert instant_ms("2024-11-03T01:30", NEW_YORK) == first
    assert instant_ms(datetime(2024, 11, 3, 1, 30, fold=1), NEW_YORK) == first  # noqa: DTZ001


def test_moments_two_days_from_the_ends_of_the_calendar_are_told_and_nearer_ones_refused() -> None:
    for edge_ms, beyond_ms in ((FIRST_MS, FIRST_MS - 1), (LAST_MS, LAST_MS + 1)):
        assert to_ms(from_ms(edge_ms)) == edge_ms
        assert isinstance(to_ms(from_ms(edge_ms)), int)
        moment = from_ms(beyond_ms)
        said = (
            f"time: {moment.isoformat()} is too close to the ends of the calendar, the years 1 and 9999, "
            "to be told in every time zone; keep two days away from them"
        )
        with pytest.raises(WindowInvalid, match=f"^{re.escape(said)}$"):
            to_ms(moment)
    outside = datetime.max.replace(tzinfo=UTC)
    said = f"time: {shown(outside)} lies outside the years 1 to 9999 in this time zone"
    with pytest.raises(WindowInvalid, match=f"^{re.escape(said)}$"):
        instant_ms(outside, "Asia/Tokyo")


FINE = datetime(2024, 1, 1, microsecond=1, tzinfo=UTC)


@pytest.mark.parametrize("wrong", ["soon", 7, FINE, datetime.max.replace(tzinfo=UTC)])
def test_of_the_two_ends_of_a_range_the_wrong_one_is_named(wrong: object) -> None:
    with pytest.raises(WindowInvalid, match=r"^start: "):
        windows(wrong, "2024-01-02", tz="Asia/Tokyo")  # type: ignore[arg-type]
    with pytest.raises(WindowInvalid, match=r"^end: "):
        windows("2024-01-01", wrong, tz="Asia/Tokyo")  # type: ignore[arg-type]
    with pytest.raises(WindowInvalid, match=r"^start_at: "):
        instant_ms(wrong, "Asia/Tokyo", "start_at")  # type: ignore[arg-type]


def test_what_is_wrong_is_shown_as_it_was_given() -> None:
    with pytest.raises(WindowInvalid, match=r"^tz: expected the name of a time zone such as .*, not 5$"):
        zone(5)  # type: ignore[arg-type]
    with pytest.raises(WindowInvalid, match=r"^every: 'soon' is not a duration"):
        windows("2024-01-01", "2024-01-02", "soon")
    with pytest.raises(WindowInvalid, match=r"^every '50ms' cuts the range into 1,728,000 windows; at most 1,000,000 make"):
        windows("2024-01-01", "2024-01-02", "50ms")


def test_an_end_that_would_fit_is_told_in_the_zone_of_the_range() -> None:
    with pytest.raises(WindowInvalid, match=r"end at 2024-03-11T19:00:00-04:00 or 2024-03-12T01:00:00-04:00 instead$"):
        windows("2024-03-09", "2024-03-12", "6h", NEW_YORK)


@pytest.mark.parametrize("every", ["1w", "100h"])
def test_where_the_calendar_has_no_end_that_fits_a_shorter_step_is_advised(every: str) -> None:
    said = f"every '{every}' does not divide the range: 2 days, 0:00:00 are left over after 0 windows; take a shorter step"
    with pytest.raises(WindowInvalid, match=f"^{re.escape(said)}$"):
        windows("9999-12-28", "9999-12-30", every)


MILLION = """
import tracemalloc
from datetime import UTC, datetime, timedelta
from mulligan.core.schedule import windows
start = datetime(2000, 1, 1, tzinfo=UTC)
tracemalloc.start()
assert sum(1 for _ in windows(start, start + timedelta(minutes=1_000_000), "1m")) == 1_000_000
print(tracemalloc.get_traced_memory()[1])
"""


def test_a_million_windows_are_never_held() -> None:
    start, end = datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC) + timedelta(minutes=1_000_000)
    # In a process of its own, where no other thread takes memory meanwhile.
    told = subprocess.run([sys.executable, "-c", MILLION], capture_output=True, text=True, check=True).stdout
    assert int(told) < 200_000
    with pytest.raises(WindowInvalid, match="1,000,001"):
        windows(start, end + timedelta(minutes=1), "1m")


@given(
    zone=st.sampled_from(["UTC", NEW_YORK, "Pacific/Apia", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Cairo"]),
    first=st.dates(date(1975, 1, 1), date(2035, 1, 1)),
    days=st.integers(1, 60),
)
def test_windows_cover_the_range_without_gap_or_overlap(zone: str, first: date, days: int) -> None:
    last = first + timedelta(days=days)
    if instant_ms(first, zone) == instant_ms(last, zone):
        return  # the one day that the zone left out
    cut = list(windows(first, last, "1d", zone))
    assert cut[0][0] == instant_ms(first, zone)
    assert cut[-1][1] == instant_ms(last, zone)
    assert all(start < end for start, end in cut)
    assert all(one[1] == other[0] for one, other in pairwise(cut))
