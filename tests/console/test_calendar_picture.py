"""The partitions of a pipeline as a calendar."""

from __future__ import annotations

import pytest
from picture_values import check_inside, flat, glyphs_of, html, labels_of, partitions_of, table

from mulligan.api.models import Partition
from mulligan.console.pictures.calendar import MAX_CELLS, calendar
from mulligan.console.pictures.picture import Label, Link, Picture, Rect
from mulligan.core.errors import WindowInvalid
from mulligan.core.job import JobStatus

SUCCESS, FAILURE, PENDING, RETRY = JobStatus.SUCCESS, JobStatus.FAILURE, JobStatus.PENDING, JobStatus.RETRY


def href(partition: Partition) -> str:
    return f"/work-items/{partition.work_item}"


def drawn_of(partitions: list[Partition], tz: str = "UTC") -> Picture:
    drawn = calendar(partitions, tz, href)
    assert drawn is not None
    return drawn


def cells_of(picture: Picture) -> list[Link]:
    return [each for each in picture.shapes if isinstance(each, Link)]


def places_of(picture: Picture) -> list[tuple[float, float]]:
    return [(each.shapes[0].x, each.shapes[0].y) for each in cells_of(picture) if isinstance(each.shapes[0], Rect)]


def test_without_partitions_there_is_no_calendar() -> None:
    assert calendar([], "UTC", href) is None


def test_a_time_zone_that_is_none_is_refused() -> None:
    with pytest.raises(WindowInvalid, match="Mars"):
        calendar(partitions_of("2024-08-12", "2024-08-13", [SUCCESS]), "Mars", href)


def test_each_day_is_a_cell_that_leads_to_its_work_item_and_says_how_it_stands() -> None:
    drawn = drawn_of(partitions_of("2024-08-12", "2024-08-15", [FAILURE, SUCCESS, PENDING]))
    assert [(each.tip, each.href) for each in cells_of(drawn)] == [
        ("12 August 2024: Failed", "/work-items/7-0"),
        ("13 August 2024: Success", "/work-items/7-1"),
        ("14 August 2024: Pending", "/work-items/7-2"),
    ]
    assert table(drawn) == [("12 August 2024", "Failed"), ("13 August 2024", "Success"), ("14 August 2024", "Pending")]


def test_a_cell_knows_the_range_it_stands_for() -> None:
    (day,) = cells_of(drawn_of(partitions_of("2024-03-31", "2024-04-01", [SUCCESS], tz="Europe/Zurich"), "Europe/Zurich"))
    assert (day.start, day.end) == ("2024-03-31T00:00:00+01:00", "2024-04-01T00:00:00+02:00")
    first = cells_of(drawn_of(partitions_of("2023-01-01", "2024-01-01", [SUCCESS], every="1h")))[0]
    assert (first.start, first.end) == ("2023-01-01T00:00:00+00:00", "2023-01-02T00:00:00+00:00")


def test_weeks_are_columns_and_weekdays_rows() -> None:
    drawn = drawn_of(partitions_of("2024-08-12", "2024-08-20", [SUCCESS]))  # a Monday to the Monday after it
    places = places_of(drawn)
    assert len({x for x, _ in places}) == 2
    assert [y for _, y in places[:7]] == sorted({y for _, y in places})
    assert places[7][1] == places[0][1]
    assert {"Mon", "Wed", "Fri", "Sun", "Aug", "2024"} <= set(labels_of(drawn))


def test_a_week_that_is_not_whole_begins_at_its_weekday() -> None:
    drawn = drawn_of(partitions_of("2024-08-14", "2024-08-20", [SUCCESS]))  # a Wednesday to the Monday after it
    wednesday = next(each for each in flat(drawn) if isinstance(each, Label) and each.text == "Wed")
    (first, *_, monday) = places_of(drawn)
    assert first[1] < wednesday.y < first[1] + 20
    assert monday[1] < first[1]


def test_each_year_has_a_block_of_its_own() -> None:
    drawn = drawn_of(partitions_of("2023-12-30", "2024-01-03", [SUCCESS]))
    assert [each for each in labels_of(drawn) if each in ("2023", "2024")] == ["2023", "2024"]


def test_failed_cells_have_a_cross_and_planned_ones_are_another_class() -> None:
    drawn = drawn_of(partitions_of("2024-08-12", "2024-08-15", [FAILURE, SUCCESS, PENDING]))
    crossed = [any(part.css == "on" for part in each.shapes) for each in cells_of(drawn)]
    assert crossed == [True, False, False]
    assert [each.shapes[0].css for each in cells_of(drawn)] == ["cell is-failure", "cell is-success", "cell is-pending"]


def test_days_without_a_partition_between_others_are_empty_places() -> None:
    made = partitions_of("2024-08-12", "2024-08-22", [SUCCESS])
    drawn = drawn_of([made[0], made[9]])
    assert len(cells_of(drawn)) == 2
    assert sum("none" in each.css for each in flat(drawn)) == 8


def test_days_are_those_of_the_time_zone_also_where_the_clock_changes() -> None:
    drawn = drawn_of(partitions_of("2024-03-30", "2024-04-02", [SUCCESS], tz="Europe/Zurich"), "Europe/Zurich")
    assert [each.tip for each in cells_of(drawn)] == ["30 March 2024: Success", "31 March 2024: Success", "1 April 2024: Success"]


def test_hours_are_columns_and_days_rows() -> None:
    drawn = drawn_of(partitions_of("2024-08-12", "2024-08-14", [SUCCESS], every="1h"))
    places = places_of(drawn)
    assert len({x for x, _ in places}) == 24
    assert len({y for _, y in places}) == 2
    assert cells_of(drawn)[25].tip == "13 August 2024 01:00: Success"
    assert {"12 Aug", "13 Aug", "00", "06", "12", "18"} <= set(labels_of(drawn))


def test_an_hour_that_comes_twice_is_one_cell_of_two() -> None:
    drawn = drawn_of(partitions_of("2024-10-27", "2024-10-28", [SUCCESS], every="1h", tz="Europe/Zurich"), "Europe/Zurich")
    assert len(cells_of(drawn)) == 24
    assert "27 October 2024 02:00: 2 Success" in [each.tip for each in cells_of(drawn)]


def test_windows_of_some_hours_have_as_many_columns_as_fit_in_a_day() -> None:
    drawn = drawn_of(partitions_of("2024-08-12", "2024-08-14", [SUCCESS], every="6h"))
    assert len({x for x, _ in places_of(drawn)}) == 4


@pytest.mark.parametrize(("failed", "shade"), [(1, 1), (6, 1), (7, 2), (12, 2), (18, 3), (19, 4), (24, 4)])
def test_where_several_share_a_cell_its_tone_is_the_share_of_failures(failed: int, shade: int) -> None:
    made = partitions_of("2023-01-01", "2024-01-01", [FAILURE] * failed + [SUCCESS] * (24 - failed), every="1h")
    first = cells_of(drawn_of(made))[0]
    assert first.shapes[0].css == f"cell is-failure share-{shade}"
    assert first.tip.startswith(f"1 January 2023: {failed} Failed")


def test_a_cell_of_several_leads_to_the_worst_of_them() -> None:
    made = partitions_of("2023-01-01", "2024-01-01", [SUCCESS] * 20 + [FAILURE] + [PENDING] * 3, every="1h")
    drawn = drawn_of(made)
    assert cells_of(drawn)[0].href == "/work-items/7-20"
    assert table(drawn)[0] == ("1 January 2023", "1 Failed, 3 Pending, 20 Success", "1", "24")


@pytest.mark.parametrize(
    ("start", "end", "every", "cells", "one"),
    [
        ("2024-01-01", "2024-03-01", "1h", 60 * 24, "hour"),
        ("2023-01-01", "2024-01-01", "1h", 365, "day"),
        ("1997-01-01", "2024-05-18", "1d", 27 * 12 + 5, "month"),
        ("2024-08-12", "2024-08-13", "15m", 24, "hour of four"),
        ("2023-01-02", "2024-12-30", "7d", 104, "week"),
        ("1500-01-01", "2499-12-21", "28d", 1_864, "of some, where even months are too many"),
    ],
)
def test_a_calendar_of_any_length_is_drawn_in_the_finest_cells_that_are_not_too_many(
    start: str, end: str, every: str, cells: int, one: str
) -> None:
    drawn = drawn_of(partitions_of(start, end, [SUCCESS], every=every))
    assert len(cells_of(drawn)) == cells <= MAX_CELLS, one
    check_inside(drawn)


def test_ten_thousand_partitions_become_a_small_picture_with_no_failure_lost() -> None:
    made = partitions_of("1997-01-01", "2024-05-19", [SUCCESS] * 997 + [FAILURE])
    assert len(made) == 10_000
    drawn = drawn_of(made)
    failed = [each for each in cells_of(drawn) if "Failed" in each.tip]
    assert len(failed) == len([each for each in made if each.status is FAILURE]) == 10
    assert len(html(drawn)) < 200_000


def test_the_legend_names_what_is_there_and_nothing_else() -> None:
    drawn = drawn_of(partitions_of("2024-08-12", "2024-08-14", [SUCCESS, RETRY]))
    assert [each for each in labels_of(drawn) if each in ("Success", "Failed", "Retrying", "Pending")] == ["Retrying", "Success"]
    assert glyphs_of(drawn, "on") == []


def test_the_title_counts_in_words() -> None:
    drawn = drawn_of(partitions_of("2024-08-12", "2024-08-15", [SUCCESS, FAILURE, SUCCESS], tz="Europe/Zurich"), "Europe/Zurich")
    assert drawn.title == "3 windows from 12 August 2024 to 14 August 2024 (Europe/Zurich): 1 Failed, 2 Success"
