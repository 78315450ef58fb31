"""Periods of the calendar and their names."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from mulligan.core.errors import WindowInvalid
from mulligan.core.periods import UNITS, finer, period_at, period_named
from mulligan.core.schedule import FIRST_MS, LAST_MS, from_ms, instant_ms
from mulligan.core.shown import shown

ZURICH = "Europe/Zurich"
DST_STARTS = instant_ms("2024-03-31T12:30", ZURICH)


@pytest.mark.parametrize(
    ("unit", "name"), [("year", "2024"), ("month", "2024-03"), ("day", "2024-03-31"), ("hour", "2024-03-31T12")]
)
def test_a_moment_lies_in_the_period_that_its_name_stands_for(unit: str, name: str) -> None:
    found = period_at(DST_STARTS, unit, ZURICH)
    assert found.name == name
    assert found == period_named(name, ZURICH)
    assert found.start_ms <= DST_STARTS < found.end_ms


def test_a_day_on_which_the_clock_changes_has_as_many_hours_as_it_has() -> None:
    spring, autumn = period_named("2024-03-31", ZURICH), period_named("2024-10-27", ZURICH)
    assert [(each.end_ms - each.start_ms) // 3_600_000 for each in (spring, autumn)] == [23, 25]


def test_an_hour_that_comes_twice_is_one_so_that_no_moment_of_a_day_is_in_none() -> None:
    day = period_named("2024-10-27", ZURICH)
    hours = {period_at(at, "hour", ZURICH) for at in range(day.start_ms, day.end_ms, 1_800_000)}
    ordered = sorted(hours, key=lambda each: each.start_ms)
    assert (ordered[0].start_ms, ordered[-1].end_ms) == (day.start_ms, day.end_ms)
    assert all(before.end_ms == after.start_ms for before, after in pairwise(ordered))
    assert max(each.end_ms - each.start_ms for each in ordered) == 2 * 3_600_000


def test_the_months_of_a_year_follow_one_another() -> None:
    months = [period_named(f"2024-{month:02}", "UTC") for month in range(1, 13)]
    year = period_named("2024", "UTC")
    assert (months[0].start_ms, months[-1].end_ms) == (year.start_ms, year.end_ms)
    assert all(before.end_ms == after.start_ms for before, after in pairwise(months))


def test_the_ends_of_the_calendar_are_periods_too() -> None:
    assert period_named("9999", "UTC").end_ms == LAST_MS
    assert period_at(LAST_MS - 1, "year", ZURICH).name == "9999"
    assert from_ms(period_named("0001", "UTC").start_ms).year == 1
    assert period_at(period_named("0042-05", "UTC").start_ms, "month", "UTC").name == "0042-05"


def test_a_period_says_what_it_is() -> None:
    assert [period_named(name, "UTC").unit for name in ("2024", "2024-03", "2024-03-07", "2024-03-07T06")] == list(UNITS)


def test_the_last_two_days_of_the_calendar_end_with_it_and_those_before_as_ever() -> None:
    assert period_named("9999-12-29", "UTC").end_ms == period_named("9999-12-30", "UTC").start_ms == LAST_MS
    assert period_named("9999-12-30", "Pacific/Kiritimati").start_ms == LAST_MS, "though it begins there fourteen hours earlier"
    assert period_named("9999-12-29", "UTC").start_ms == instant_ms("9999-12-29")
    assert period_named("9998-12-31", "UTC").start_ms == instant_ms("9998-12-31")
    assert period_named("9999-11-30", "UTC").start_ms == instant_ms("9999-11-30")
    assert period_named("0002", "UTC").start_ms == instant_ms("0002-01-01") > FIRST_MS


@pytest.mark.parametrize("name", ["", "24", "2024-13", "2024-02-30", "2024-3", "2024-03-07T24", "now", "2024-03-07 06", "٢٠٢٤x"])
def test_what_names_none_is_refused_with_how_it_is_written(name: str) -> None:
    with pytest.raises(WindowInvalid, match=r"at: .* write it as 2024, 2024-03"):
        period_named(name, "UTC")
    with pytest.raises(WindowInvalid, match=re.escape(shown(name))):
        period_named(name, "UTC")


def test_each_unit_is_finer_than_the_one_before_and_an_hour_the_finest() -> None:
    assert [finer(each) for each in UNITS] == ["month", "day", "hour", None]
