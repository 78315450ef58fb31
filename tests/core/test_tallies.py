"""What each move of a work item counts for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mulligan.core.job import Attempt, FailureClass, Item, JobStatus, Outcome, Reason
from mulligan.core.lifecycle import Transition
from mulligan.core.tallies import DAY_MS, Recovery, Tally, set_apart, summed, tallies
from mulligan.testing.factories import an_item

PENDING, STARTED, RETRY = JobStatus.PENDING, JobStatus.STARTED, JobStatus.RETRY
SUCCESS, FAILURE, REVOKED = JobStatus.SUCCESS, JobStatus.FAILURE, JobStatus.REVOKED
TASK, DAY = 7, 19_000
AT = DAY * DAY_MS + 5_000


def ended(outcome: Outcome, failure_class: FailureClass | None = None, took_ms: int = 1_500, at_ms: int = AT) -> Attempt:
    reason = Reason.SUCCEEDED
    return Attempt(1, 0, 1, 1, 1, 1, outcome, reason, at_ms - took_ms - 9, at_ms - took_ms, at_ms, failure_class)


def a_move(before: JobStatus, after: JobStatus, by: Attempt | None = None, **changes: Any) -> Transition:
    return Transition(an_item(before, task=TASK), an_item(after, task=TASK, **changes), by)


def counted(*moves: Transition, workflow: bool = False, recoveries: Sequence[Recovery] = (), now_ms: int = AT) -> set[Tally]:
    def is_workflow(item: Item) -> bool:
        assert item in [move.after for move in moves]
        return workflow

    rows = tallies(*set_apart(moves), now_ms, recoveries, is_workflow)
    assert len(rows) == len({row[:5] for row in rows}), "each is counted in one row"
    return set(rows)


def of(measure: str, kind: str, detail: str, value: int = 1, day: int = DAY) -> Tally:
    return Tally(TASK, day, measure, kind, detail, value)


def test_successes_at_the_first_try_are_counted_together() -> None:
    later = a_move(STARTED, SUCCESS, ended(Outcome.SUCCEEDED, at_ms=AT + DAY_MS))
    first = a_move(STARTED, SUCCESS, ended(Outcome.SUCCEEDED))
    plain, others = set_apart([first, later, first])
    assert (plain, others) == ({(TASK, DAY): 2, (TASK, DAY + 1): 1}, [])
    assert counted(first, later, first) == {
        of("attempts", "SUCCEEDED", "", 2),
        of("items", "SUCCESS", "first_try", 2),
        of("attempts", "SUCCEEDED", "", 1, DAY + 1),
        of("items", "SUCCESS", "first_try", 1, DAY + 1),
    }


@pytest.mark.parametrize(
    ("changes", "tried"),
    [
        ({}, "first_try"),
        ({"attempt": 3, "snoozes": 2}, "first_try"),
        ({"attempt": 2}, "first"),
        ({"attempt": 3, "snoozes": 1}, "first"),
        ({"generation": 2}, "later"),
        ({"generation": 2, "attempt": 2}, "later"),
    ],
)
def test_an_end_says_how_an_item_came_to_it_and_snoozes_are_no_tries(changes: dict[str, int], tried: str) -> None:
    move = a_move(STARTED, SUCCESS, ended(Outcome.SUCCEEDED), **changes)
    assert counted(move) == {of("attempts", "SUCCEEDED", ""), of("items", "SUCCESS", tried)}
    assert set_apart([move])[1] == ([] if tried == "first_try" else [move])


def test_an_attempt_that_will_be_followed_by_another_counts_as_a_retry_with_the_time_that_was_lost() -> None:
    move = a_move(STARTED, RETRY, ended(Outcome.FAILED, FailureClass.TRANSIENT))
    assert counted(move, move) == {
        of("attempts", "FAILED", "TRANSIENT", 2),
        of("retries", "TRANSIENT", "", 2),
        of("lost_ms", "TRANSIENT", "", 3_000),
    }


def test_an_attempt_counts_on_the_day_on_which_it_ended() -> None:
    move = a_move(STARTED, RETRY, ended(Outcome.FAILED, FailureClass.TRANSIENT))
    assert {row.day for row in counted(move, now_ms=AT + DAY_MS)} == {DAY}


def test_what_happens_twice_is_counted_twice() -> None:
    failed = a_move(STARTED, FAILURE, ended(Outcome.LOST, FailureClass.INFRASTRUCTURE))
    assert of("items", "FAILURE", "first_try", 2) in counted(failed, failed)
    again = a_move(FAILURE, PENDING, generation=2, reason=Reason.RESTARTED)
    assert counted(again, again) == {of("again", "restarted", "", 2)}


def test_one_that_ends_its_item_is_no_retry() -> None:
    assert counted(a_move(STARTED, FAILURE, ended(Outcome.LOST, FailureClass.INFRASTRUCTURE))) == {
        of("attempts", "LOST", "INFRASTRUCTURE"),
        of("lost_ms", "INFRASTRUCTURE", "", 1_500),
        of("items", "FAILURE", "first_try"),
    }


def test_the_body_of_a_workflow_loses_no_time() -> None:
    move = a_move(STARTED, RETRY, ended(Outcome.FAILED, FailureClass.UNKNOWN))
    assert counted(move, workflow=True) == {of("attempts", "FAILED", "UNKNOWN"), of("retries", "UNKNOWN", "")}


def test_what_ends_without_an_attempt_counts_on_the_day_of_now() -> None:
    assert counted(a_move(PENDING, REVOKED), now_ms=AT + DAY_MS) == {of("items", "REVOKED", "first_try", day=DAY + 1)}
    assert counted(a_move(PENDING, FAILURE)) == {of("items", "FAILURE", "first_try")}


def test_what_somebody_has_run_again_is_counted_and_what_moves_otherwise_is_not() -> None:
    for reason, said in ((Reason.RECOVERED, "recovered"), (Reason.RESTARTED, "restarted"), (Reason.OVERWRITTEN, "overwritten")):
        assert counted(a_move(FAILURE, PENDING, generation=2, reason=reason)) == {of("again", said, "")}
    assert counted(a_move(PENDING, STARTED)) == set()
    assert counted(a_move(FAILURE, FAILURE, reason=Reason.EXPIRED)) == set(), "it had ended before"
    assert counted(a_move(RETRY, PENDING, reason=Reason.RECOVERED)) == set(), "it had not ended"


def test_a_recovery_counts_on_the_day_of_the_success_with_how_long_it_took() -> None:
    recovered = [
        Recovery(TASK, "automatic", AT - DAY_MS, AT),
        Recovery(TASK, "manual", AT - 1_500, AT),
        Recovery(TASK, "manual", AT - 1_700, AT),
    ]
    assert counted(recoveries=recovered) == {
        of("recoveries", "automatic", "86400"),
        of("recovery_ms", "automatic", "", DAY_MS),
        of("recoveries", "manual", "2", 2),
        of("recovery_ms", "manual", "", 3_200),
    }


def test_a_clock_that_was_set_back_makes_no_time_below_none() -> None:
    assert counted(recoveries=[Recovery(TASK, "manual", AT + 60_000, AT)]) == {
        of("recoveries", "manual", "1"),
        of("recovery_ms", "manual", "", 0),
    }


def test_tasks_days_measures_kinds_and_details_are_summed_up_by_themselves() -> None:
    one = of("items", "SUCCESS", "first")
    others = [one._replace(**change) for change in ({"task": 8}, {"day": 1}, {"measure": "x"}, {"kind": "y"}, {"detail": "z"})]
    assert summed([one, *others, one]) == sorted([*others, one._replace(value=2)])
