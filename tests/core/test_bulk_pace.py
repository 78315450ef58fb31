"""How fast a bulk operation may go."""

from __future__ import annotations

import pytest

from mulligan.core.bulk import CREDIT_MS, FIRST_PAGE, FITTING, MOST, BulkAction, next_due_ms, next_size
from mulligan.core.job import JobStatus


def sizes(rate: int, count: int) -> list[int]:
    found = [FIRST_PAGE]
    while len(found) < count:
        found.append(next_size(found[-1], rate))
    return found


def test_it_begins_with_a_small_page_and_each_is_twice_as_large_up_to_a_limit() -> None:
    assert sizes(0, 9) == [10, 20, 40, 80, 160, 320, MOST, MOST, MOST]


@pytest.mark.parametrize("rate", [1, 7, 30, 500])
def test_a_page_is_never_more_than_a_second_has_room_for(rate: int) -> None:
    assert max(sizes(rate, 12)[1:]) == min(rate, MOST)


def test_a_page_is_never_more_than_one_transaction_has_room_for_however_fast_it_may_go() -> None:
    assert max(sizes(100 * MOST, 12)) == MOST


def test_a_page_that_was_late_is_made_up_for_within_a_second_and_not_beyond() -> None:
    assert next_due_ms(10_000, 10_000, 500, 1_000) == 10_500
    assert next_due_ms(10_000, 10_400, 500, 1_000) == 10_500
    assert next_due_ms(10_000, 99_000, 500, 1_000) == 99_000 - CREDIT_MS + 500
    assert next_due_ms(10_000, 10_000, 1, 3) == 10_334, "rounded so that it is never too fast"


def test_without_a_rate_the_next_page_is_due_at_once() -> None:
    assert next_due_ms(10_000, 12_345, 1_000, 0) == 12_345


def test_what_has_succeeded_is_never_retried_and_what_has_ended_never_cancelled() -> None:
    assert JobStatus.SUCCESS not in FITTING[BulkAction.RETRY]
    assert not {JobStatus.SUCCESS, JobStatus.FAILURE, JobStatus.REVOKED} & set(FITTING[BulkAction.CANCEL])
    assert FITTING[BulkAction.OVERWRITE] == (JobStatus.SUCCESS,)
