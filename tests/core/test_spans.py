"""What a work item did with its time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mulligan.core.job import FAR_FUTURE_MS, JobStatus
from mulligan.core.spans import Span, Standing, Tried, spans_of_attempts, spans_under_way

RETRY, STARTED, PENDING = JobStatus.RETRY, JobStatus.STARTED, JobStatus.PENDING
TIMES = st.integers(0, 10_000)


def test_the_first_attempt_was_queued_since_the_item_was_made() -> None:
    found = list(spans_of_attempts(Standing(JobStatus.SUCCESS, 1, 100), [Tried(1, 150, 170)]))
    assert found == [(Span(100, 150, "queued"), Span(150, 170, "running"))]


def test_between_attempts_is_the_wait_that_was_decided_and_then_the_queue() -> None:
    found = list(spans_of_attempts(Standing(RETRY, 1, 0), [Tried(1, 0, 10, 50), Tried(1, 75, 80)]))
    assert found[1] == (Span(10, 60, "waiting"), Span(60, 75, "queued"), Span(75, 80, "running"))


def test_where_no_wait_was_decided_nobody_waited() -> None:
    found = list(spans_of_attempts(Standing(RETRY, 1, 0), [Tried(1, 0, 10), Tried(1, 75, 80)]))
    assert found[1][:2] == (Span(10, 10, "waiting"), Span(10, 75, "queued"))


def test_an_attempt_that_was_made_due_early_did_not_wait_longer_than_it_did() -> None:
    found = list(spans_of_attempts(Standing(RETRY, 1, 0), [Tried(1, 0, 10, 5_000), Tried(1, 75, 80)]))
    assert found[1][:2] == (Span(10, 75, "waiting"), Span(75, 75, "queued"))


def test_nobody_waited_between_generations() -> None:
    found = list(spans_of_attempts(Standing(RETRY, 2, 0), [Tried(1, 0, 10), Tried(2, 9_000, 9_001)]))
    assert found[1] == (Span(9_000, 9_001, "running"),)


@pytest.mark.parametrize(
    ("standing", "last", "now", "expected"),
    [
        (Standing(STARTED, 1, 0, claimed_ms=40), None, 90, (Span(0, 40, "queued"), Span(40, 90, "running"))),
        (Standing(STARTED, 1, 0), None, 90, (Span(0, 90, "queued"), Span(90, 90, "running"))),
        (Standing(STARTED, 1, 0, claimed_ms=40), None, 30, (Span(0, 40, "queued"), Span(40, 40, "running"))),
        (
            Standing(STARTED, 1, 0, claimed_ms=40),
            Tried(1, 0, 10, 20),
            90,
            (Span(10, 30, "waiting"), Span(30, 40, "queued"), Span(40, 90, "running")),
        ),
        (Standing(STARTED, 2, 0, claimed_ms=40), Tried(1, 0, 10, 20), 90, (Span(40, 90, "running"),)),
        (Standing(RETRY, 1, 0, due_ms=90), Tried(1, 0, 10), 90, (Span(10, 90, "waiting"),)),
        (Standing(PENDING, 1, 0, due_ms=0), None, 90, (Span(0, 90, "queued"),)),
        (Standing(PENDING, 1, 0, due_ms=200), None, 90, (Span(0, 200, "queued"),)),
        (Standing(RETRY, 1, 0, due_ms=200), Tried(1, 0, 10), 90, (Span(10, 200, "waiting"),)),
        (Standing(RETRY, 1, 0, due_ms=50), Tried(1, 0, 10), 90, (Span(10, 50, "waiting"), Span(50, 90, "queued"))),
        (Standing(RETRY, 2, 0, due_ms=200), Tried(1, 0, 10), 90, (Span(90, 200, "waiting"),)),
        (Standing(PENDING, 1, 0, due_ms=FAR_FUTURE_MS), None, 90, ()),
        (Standing(JobStatus.FAILURE, 1, 0, due_ms=50), Tried(1, 0, 10), 90, ()),
    ],
)
def test_what_goes_on_now(standing: Standing, last: Tried | None, now: int, expected: tuple[Span, ...]) -> None:
    assert spans_under_way(standing, last, now) == expected


@given(
    st.lists(st.builds(Tried, st.integers(1, 3), TIMES, TIMES, st.none() | TIMES), max_size=6),
    st.builds(Standing, st.sampled_from(JobStatus), st.integers(1, 3), TIMES, st.none() | TIMES, st.none() | TIMES),
    TIMES,
)
def test_no_span_ends_before_it_starts_whatever_the_clocks_said(attempts: list[Tried], standing: Standing, now: int) -> None:
    found = [*spans_of_attempts(standing, attempts), spans_under_way(standing, attempts[-1] if attempts else None, now)]
    assert all(each.start_ms <= each.end_ms for spans in found for each in spans)
    assert all(spans[-1].kind == "running" for spans in found[:-1])
