"""Strips of runs, bars of figures over time, shares of counts."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from picture_values import NOW, check_inside, counts_of, flat, glyphs_of, labels_of, shapes_of, table

from mulligan.console.pictures.bars import bars
from mulligan.console.pictures.counts import LEAST, WIDTH, counts_bar
from mulligan.console.pictures.picture import Link, Picture, Rect
from mulligan.console.pictures.run_strip import run_strip
from mulligan.core.job import JobStatus

SUCCESS, FAILURE = JobStatus.SUCCESS, JobStatus.FAILURE


def ticks(picture: Picture) -> list[Link]:
    return [each for each in picture.shapes if isinstance(each, Link)]


def rects(picture: Picture, css: str) -> list[Rect]:
    return [each for each in shapes_of(picture, css) if isinstance(each, Rect) and each.tip]


class TestRunStrip:
    def test_the_newest_thirty_stand_in_order_with_the_newest_at_the_right(self) -> None:
        drawn = run_strip([(str(place), SUCCESS, NOW + timedelta(hours=place)) for place in reversed(range(40))])
        assert [each.href for each in ticks(drawn)] == [f"/jobs/{place}" for place in range(10, 40)]
        left = [each.shapes[0].x for each in ticks(drawn) if isinstance(each.shapes[0], Rect)]
        assert left == sorted(left)

    def test_few_runs_stand_at_the_right(self) -> None:
        drawn = run_strip([("1", SUCCESS, NOW)])
        (tick,) = ticks(drawn)
        assert isinstance(tick.shapes[1], Rect)
        assert tick.shapes[1].x > drawn.width - 10

    def test_success_and_failure_differ_in_height_and_shape(self) -> None:
        good, bad = ticks(run_strip([("1", SUCCESS, NOW), ("2", FAILURE, NOW + timedelta(hours=1))]))
        assert isinstance(good.shapes[1], Rect)
        assert isinstance(bad.shapes[1], Rect)
        assert bad.shapes[1].height > good.shapes[1].height
        assert len(bad.shapes) > len(good.shapes)

    def test_each_tick_says_which_run_it_is_and_how_it_ended(self) -> None:
        drawn = run_strip([("7", FAILURE, NOW)])
        assert ticks(drawn)[0].tip == "Job 7: Failed, 2024-08-12 10:00:00 UTC"
        assert table(drawn) == [("7", "Failed", "2024-08-12 10:00:00")]

    def test_it_says_in_words_how_the_runs_went(self) -> None:
        runs = [("1", SUCCESS, NOW), ("2", SUCCESS, NOW + timedelta(hours=1)), ("3", FAILURE, NOW + timedelta(hours=2))]
        assert run_strip(runs).title == "Last 3 runs: 1 Failed, 2 Success; newest: Failed"
        assert run_strip(runs[:1]).title == "The only run: 1 Success; newest: Success"
        assert run_strip([]).title == "No runs yet"

    def test_an_id_cannot_leave_the_path(self) -> None:
        assert ticks(run_strip([("../x?y#z", SUCCESS, NOW)]))[0].href == "/jobs/..%2Fx%3Fy%23z"


class TestCounts:
    def test_shares_fill_the_bar_in_proportion(self) -> None:
        drawn = counts_bar(counts_of(success=75, failure=25))
        good, bad = rects(drawn, "cell")
        assert good.x == 0
        assert bad.x == pytest.approx(WIDTH * 0.75)
        assert table(drawn) == [("Success", "75", "75.0 %"), ("Failed", "25", "25.0 %")]

    def test_one_of_a_million_can_be_seen_and_is_not_rounded_away(self) -> None:
        drawn = counts_bar(counts_of(success=999_999, failure=1))
        assert rects(drawn, "is-failure")[0].width >= LEAST - 3
        assert table(drawn) == [("Success", "999,999", "> 99.9 %"), ("Failed", "1", "< 0.1 %")]
        check_inside(drawn)

    def test_words_say_how_many(self) -> None:
        drawn = counts_bar(counts_of(success=1_200, failure=3, retry=1))
        assert {"1,200 Success", "3 Failed", "1 Retrying"} <= set(labels_of(drawn))
        assert drawn.title == "1,204 work items: 1,200 Success, 3 Failed, 1 Retrying"
        assert glyphs_of(drawn, "on") == ["cross"]

    def test_none_at_all_is_an_empty_bar(self) -> None:
        drawn = counts_bar(counts_of())
        assert drawn.title == "0 work items"
        assert len(flat(drawn)) == 1
        assert drawn.rows == ()


class TestBars:
    def test_no_value_is_a_gap_and_zero_is_a_bar(self) -> None:
        drawn = bars([("a", 50.0), ("b", None), ("c", 0.0)], "%", "Success rate")
        assert [each.tip for each in rects(drawn, "column")] == ["a: 50 %", "c: 0 %"]
        assert [each.tip for each in rects(drawn, "gap")] == ["b: no value"]
        assert table(drawn) == [("a", "50 %"), ("b", "no value"), ("c", "0 %")]

    @pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
    def test_what_is_no_number_is_no_value(self, wrong: float) -> None:
        assert table(bars([("a", wrong)], "", "Retries")) == [("a", "no value")]

    def test_per_cent_go_to_a_hundred(self) -> None:
        (bar,) = rects(bars([("a", 50.0)], "%", "Success rate"), "column")
        (full,) = rects(bars([("a", 100.0)], "%", "Success rate"), "column")
        assert full.height == pytest.approx(2 * bar.height)
        assert "100 %" in labels_of(bars([("a", 3.0)], "%", "Success rate"))

    @pytest.mark.parametrize(
        ("values", "unit", "expected"),
        [
            ([7], "", ["0", "5", "10"]),
            ([0], "", ["0", "0.5", "1"]),
            ([3700], "s", ["0 s", "1 h", "2 h"]),
            ([90], "s", ["0 s", "1 min", "2 min"]),
            ([1_234_567], "", ["0", "500,000", "1 M", "1.5 M"]),
            ([-5, 5], "", ["-5", "0", "5"]),
        ],
    )
    def test_lines_stand_at_round_values(self, values: list[float], unit: str, expected: list[str]) -> None:
        drawn = bars([("", value) for value in values], unit, "Figure")
        assert [each for each in labels_of(drawn) if each] == expected

    def test_names_below_do_not_stand_on_one_another_and_the_newest_is_there(self) -> None:
        drawn = bars([(f"week {place}", 1.0) for place in range(52)], "", "Retries")
        named = [each for each in labels_of(drawn) if each.startswith("week")]
        assert named[0] == "week 51"
        assert 5 < len(named) < 15

    def test_very_many_points_are_the_newest_of_them_and_it_says_so(self) -> None:
        drawn = bars([(str(place), 1.0) for place in range(1_000)], "", "Retries")
        assert len(drawn.rows) == 400
        assert drawn.title == "Retries; the newest 400, 600 earlier ones are left out"
        check_inside(drawn)

    def test_without_points_it_says_so(self) -> None:
        assert "No values yet." in labels_of(bars([], "", "Retries"))
