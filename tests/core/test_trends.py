"""The figures of pipelines, over what was counted."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mulligan.core.tallies import BUCKETS_S, INF, Tally, bucket, summed
from mulligan.core.trends import cumulated, day_of, figures, first_day, next_period, number_of, quantile_s, today, trends

DAY = number_of(date(2026, 11, 26))


def counted(measure: str, kind: str, detail: str, value: int, task: int = 1, day: int = DAY) -> Tally:
    return Tally(task, day, measure, kind, detail, value)


def test_where_nothing_has_ended_there_is_no_rate() -> None:
    found = figures([])
    assert found.success_rate is found.first_try_rate is found.recoveries.mean_s is found.recoveries.p50_s is None
    assert (found.succeeded, found.lost_s, found.recoveries.count) == (0, 0, 0)


def test_what_was_cancelled_is_neither_a_success_nor_a_failure() -> None:
    only = [counted("items", "REVOKED", "first_try", 4)]
    assert figures(only).success_rate is figures(only).first_try_rate is None
    assert (
        figures([*only, counted("items", "SUCCESS", "first_try", 3), counted("items", "FAILURE", "first", 1)]).success_rate
        == 0.75
    )


def test_a_first_try_is_of_first_generations_only() -> None:
    rows = [
        counted("items", "SUCCESS", "first_try", 6),
        counted("items", "SUCCESS", "first", 2),
        counted("items", "FAILURE", "first", 1),
    ]
    rows += [counted("items", "FAILURE", "first_try", 1), counted("items", "SUCCESS", "later", 50)]
    assert figures(rows).first_try_rate == 0.6


def test_failures_are_attempts_with_a_class() -> None:
    rows = [
        counted("attempts", "FAILED", "TRANSIENT", 2),
        counted("attempts", "LOST", "INFRASTRUCTURE", 1),
        counted("attempts", "LOST", "", 7),
        counted("attempts", "SUCCEEDED", "", 5),
    ]
    assert figures(rows).failures == {"INFRASTRUCTURE": 1, "TRANSIENT": 2}
    assert figures(rows).attempts == {"FAILED": 2, "LOST": 8, "SUCCEEDED": 5}


def test_times_to_recovery_are_those_of_both_ways_and_of_each() -> None:
    rows = [
        counted("recoveries", "automatic", bucket(40_000), 3),
        counted("recovery_ms", "automatic", "", 120_000),
        counted("recoveries", "manual", bucket(5_000_000), 1),
        counted("recovery_ms", "manual", "", 5_000_000),
    ]
    found = figures(rows)
    assert (found.recoveries.count, found.automatic.count, found.manual.count) == (4, 3, 1)
    assert (found.automatic.mean_s, found.manual.mean_s, found.recoveries.mean_s) == (40.0, 5000.0, 1280.0)
    assert 30 < (found.automatic.p50_s or 0) <= 60 < 3600 < (found.manual.p50_s or 0) <= 7200


def test_half_and_nine_in_ten_of_recoveries_are_estimated_from_all_that_were_counted() -> None:
    rows = [counted("recoveries", "manual", "10", value, day=day) for value, day in ((4, DAY), (5, DAY + 1))]
    found = figures([*rows, counted("recoveries", "manual", "20", 1)]).manual
    assert found.count == 10
    assert found.p50_s == pytest.approx(5 + 5 * 5 / 9)
    assert found.p90_s == pytest.approx(10)


def test_a_week_begins_on_monday_and_is_named_as_the_calendar_does() -> None:
    monday = date(2024, 12, 30)
    assert first_day(date(2025, 1, 5), "week") == monday
    (one, whole) = trends([counted("items", "SUCCESS", "first_try", 1, day=number_of(date(2025, 1, 1)))], {1: "f"}, "week")
    assert (one.period, one.start, one.end, one.pipeline) == ("2025-W01", monday, date(2025, 1, 6), "f")
    assert (whole.pipeline, whole.figures) == (None, one.figures)


def test_a_day_is_named_by_its_date_and_ends_with_the_next() -> None:
    (one, _) = trends([counted("items", "SUCCESS", "first_try", 1)], {1: "f"}, "day")
    assert (one.period, one.start, one.end) == ("2026-11-26", date(2026, 11, 26), date(2026, 11, 27))
    assert next_period(date(2026, 12, 31), "day") == date(2027, 1, 1)
    assert next_period(date(2026, 12, 28), "week") == date(2027, 1, 4)


@pytest.mark.usefixtures("far_east")
def test_days_are_those_of_utc() -> None:
    assert today(1_000 * 86_400 * DAY) == today(1_000 * (86_400 * DAY + 86_399)) == day_of(DAY) == date(2026, 11, 26)
    assert today(-1) == date(1969, 12, 31)


def test_all_that_was_counted_is_in_its_figure() -> None:
    found = figures(
        [
            counted("items", "REVOKED", "later", 2),
            counted("attempts", "FAILED", "TRANSIENT", 2),
            counted("attempts", "LOST", "TRANSIENT", 1),
            counted("retries", "TRANSIENT", "", 3),
            counted("retries", "RATE_LIMITED", "", 1),
            counted("again", "restarted", "", 4),
            counted("again", "overwritten", "", 5),
            counted("lost_ms", "TRANSIENT", "", 1_200),
            counted("lost_ms", "UNKNOWN", "", 300),
        ]
    )
    assert (found.succeeded, found.failed, found.revoked) == (0, 0, 2)
    assert figures([counted("items", "FAILURE", "later", 3)]).failed == 3
    assert found.failures == {"TRANSIENT": 3}
    assert list(found.retries.items()) == [("RATE_LIMITED", 1), ("TRANSIENT", 3)]
    assert list(found.again.items()) == [("overwritten", 5), ("restarted", 4)]
    assert found.lost_s == 1.5


def test_pipelines_stand_side_by_side_and_together_by_period() -> None:
    rows = [counted("items", "SUCCESS", "first_try", 1, task, day) for task in (2, 1) for day in (DAY, DAY + 1)]
    found = trends(rows, {1: "a", 2: "b"}, "day")
    assert [(each.period, each.pipeline, each.figures.succeeded) for each in found] == [
        ("2026-11-26", "a", 1), ("2026-11-26", "b", 1), ("2026-11-27", "a", 1), ("2026-11-27", "b", 1),
        ("2026-11-26", None, 2), ("2026-11-27", None, 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ms", "bound"), [(0, "1"), (1_000, "1"), (1_001, "2"), (2_592_000_000, "2592000"), (2_592_000_001, INF)]
)
def test_a_bucket_is_named_by_the_longest_time_in_it(ms: int, bound: str) -> None:
    assert bucket(ms) == bound


@given(st.lists(st.integers(0, 2_592_000_000), min_size=1, max_size=50), st.sampled_from([0.01, 0.5, 0.9, 1.0]))
def test_a_quantile_is_in_the_bucket_of_the_time_that_it_estimates(times: list[int], share: float) -> None:
    buckets: dict[str, int] = {}
    for each in times:
        buckets[bucket(each)] = buckets.get(bucket(each), 0) + 1
    exact = sorted(times)[max(0, -(-round(share * len(times) * 1000) // 1000) - 1)]
    found = quantile_s(buckets, share)
    bounds = [0, *BUCKETS_S]
    place = bounds.index(int(bucket(exact)))
    assert found is not None
    assert bounds[place - 1] < found <= bounds[place]


def test_the_first_bucket_begins_with_no_time() -> None:
    assert quantile_s({"1": 2}, 0.5) == 0.5


def test_what_took_longer_than_all_buckets_is_said_to_have_taken_as_long_as_the_last() -> None:
    assert quantile_s({INF: 3}, 0.5) == BUCKETS_S[-1]
    assert cumulated({"1": 2, INF: 3})[0] == ("1", 2)
    assert cumulated({"1": 2, INF: 3})[-1] == (INF, 5)


def test_sums_are_the_same_in_whichever_order_things_were_counted() -> None:
    rows = [counted("items", "SUCCESS", "first_try", value) for value in (1, 2, 3)]
    assert summed(rows) == summed(reversed(rows)) == [counted("items", "SUCCESS", "first_try", 6)]
