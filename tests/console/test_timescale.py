"""The scale of time below the attempts."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mulligan.console.pictures.timescale import IDLE, Scale, scale_of, ticks
from mulligan.core.job import FAR_FUTURE_MS

DAY = int(datetime(2024, 8, 12, tzinfo=UTC).timestamp()) * 1000
MOMENTS = st.one_of(st.integers(0, 100_000), st.integers(0, FAR_FUTURE_MS))
BUSY = st.lists(st.tuples(MOMENTS, MOMENTS), max_size=30)


def texts(scale: Scale, apart: float = 90) -> list[str]:
    return [f"{each.day} {each.text}".strip() for each in ticks(scale, apart)]


def test_a_plain_scale_is_in_proportion() -> None:
    scale = scale_of([(0, 100)], 0, 100, 50, 200)
    assert [scale.x(each) for each in (-5, 0, 25, 100, 900)] == [50, 50, 100, 250, 250]


def test_long_waits_are_cut_to_one_length_and_short_ones_are_not() -> None:
    busy = [(0, 10), (20, 30), (10_030, 10_040), (90_040, 90_050)]
    scale = scale_of(busy, 0, 90_050, 0, 100)
    idle = [each for each in scale.pieces if (each.start_ms, each.end_ms) not in busy]
    assert [each.broken for each in idle] == [False, True, True]
    assert idle[1].width == pytest.approx(idle[2].width)
    assert sum(each.width for each in idle) == pytest.approx(100 * IDLE / (1 + IDLE))


@pytest.mark.parametrize(
    ("length_s", "expected"),
    [
        (8, ["12 Aug 2024 00:00:00", "00:00:02", "00:00:04", "00:00:06", "00:00:08"]),
        (420, ["12 Aug 2024 00:00", "00:02", "00:04", "00:06"]),
        (0.02, ["12 Aug 2024 00:00:00.000", "00:00:00.005", "00:00:00.010", "00:00:00.015", "00:00:00.020"]),
        (2 * 86_400, ["12 Aug 2024 00:00", "12:00", "13 Aug 2024 00:00", "12:00", "14 Aug 2024 00:00"]),
        (20 * 86_400, ["2024 15 Aug", "22 Aug", "29 Aug"]),
    ],
)
def test_a_scale_has_a_few_round_marks(length_s: float, expected: list[str]) -> None:
    assert texts(scale_of([], DAY, DAY + round(length_s * 1000), 0, 500)) == expected


def test_a_broken_scale_is_marked_where_its_parts_begin() -> None:
    scale = scale_of([(DAY, DAY + 7000), (DAY + 36_123_000, DAY + 36_130_000)], DAY, DAY + 36_130_000, 0, 500)
    assert texts(scale) == ["12 Aug 2024 00:00:00", "10:02:03", "10:02:10"]


@settings(max_examples=50)
@given(BUSY, MOMENTS, MOMENTS)
def test_time_goes_to_the_right_and_stays_inside(busy: list[tuple[int, int]], start: int, end: int) -> None:
    scale = scale_of(busy, min(start, end), max(start, end), 10, 300)
    places = [scale.x(each) for pair in sorted(busy) for each in pair]
    assert all(10 - 1e-6 <= each <= 310 + 1e-6 for each in places)
    moments = sorted({each for pair in busy for each in pair})
    drawn = [scale.x(each) for each in moments]
    assert all(a <= b + 1e-6 for a, b in itertools.pairwise(drawn))
    assert sum(each.width for each in scale.pieces) == pytest.approx(300)


@settings(max_examples=50)
@given(BUSY, MOMENTS, MOMENTS)
def test_marks_are_few_and_apart(busy: list[tuple[int, int]], start: int, end: int) -> None:
    scale = scale_of(busy, min(start, end), min(max(start, end), FAR_FUTURE_MS), 0, 500)
    places = [each.x for each in ticks(scale, 90)]
    assert len(places) <= 6
    assert all(b - a >= 90 for a, b in itertools.pairwise(places))
