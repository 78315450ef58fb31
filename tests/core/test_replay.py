"""What a call of a workflow comes to when its body is replayed: every state of the call before, and whether it still matches."""

from __future__ import annotations

from typing import Any

import pytest

from mulligan.core.job import FailureClass, JobStatus, Reason
from mulligan.core.replay import MANY, Past, Step, call_key, path_of, resolve, round_of
from mulligan.testing.factories import an_item

ROUND = 2 * MANY + 1


def past(status: JobStatus, reason: Reason = Reason.BUDGET_SPENT, **changes: Any) -> Past:
    return Past("3", "9-1", "load", "digest", ROUND, status, reason, FailureClass.UNKNOWN)._replace(**changes)


def same(before: Past | None, round: int = ROUND) -> Step:
    return resolve(before, "load", "digest", round)


def test_a_place_where_nothing_was_called_yet_starts_a_call() -> None:
    assert same(None) is Step.START


@pytest.mark.parametrize("status", [JobStatus.PENDING, JobStatus.STARTED, JobStatus.RETRY])
def test_a_call_that_has_not_ended_is_waited_for_in_any_round(status: JobStatus) -> None:
    assert same(past(status)) is Step.WAIT
    assert same(past(status), ROUND + 1) is Step.WAIT


def test_a_success_is_the_answer_in_every_round() -> None:
    assert same(past(JobStatus.SUCCESS)) is Step.ANSWER
    assert same(past(JobStatus.SUCCESS), ROUND + MANY) is Step.ANSWER


@pytest.mark.parametrize("status", [JobStatus.FAILURE, JobStatus.REVOKED])
def test_a_failure_is_the_answer_in_its_own_round_and_runs_again_in_the_next(status: JobStatus) -> None:
    assert same(past(status)) is Step.ANSWER
    assert same(past(status), ROUND + 1) is Step.RUN_AGAIN
    assert same(past(status), ROUND + MANY) is Step.RUN_AGAIN


def test_whether_something_ran_that_may_run_once_only_a_person_can_say() -> None:
    unknown = past(JobStatus.FAILURE, Reason.OUTCOME_UNKNOWN)
    assert same(unknown, ROUND + 1) is Step.UNKNOWN
    assert same(unknown, ROUND + MANY) is Step.RUN_AGAIN


@pytest.mark.parametrize("changed", [("load", "other"), ("store", "digest")])
def test_only_what_has_succeeded_or_still_may_binds_the_body(changed: tuple[str, str]) -> None:
    for status in JobStatus:
        failed = status in (JobStatus.FAILURE, JobStatus.REVOKED)
        assert resolve(past(status), *changed, ROUND + 1) is (Step.START if failed else Step.MISMATCH), status


def test_a_round_is_one_more_for_each_retry_by_policy_or_by_a_person() -> None:
    given = [(1, ()), (1, (1, 2)), (2, ()), (2, (1,))]
    rounds = [round_of(an_item(generation=generation, charges=charges)) for generation, charges in given]
    assert rounds == sorted(set(rounds))


def test_the_path_of_a_call_is_the_same_however_often_it_is_made_again() -> None:
    keys = [call_key("0", 1, "load", "3", None), call_key("0", 1, "load", "3", "9-1"), call_key("0", 4, "load", "3", "9-1")]
    assert len(set(keys)) == 3
    assert keys[:2] == ["0.load-3", "0.load-3~9-1"], "of the first epoch nothing is said where nothing could be mistaken for it"
    assert [path_of(key) for key in keys] == [("0.load-3", 1), ("0.load-3", 1), ("0.load-3", 4)]


@pytest.mark.parametrize("place", ["=eu@2", "=a~1-2", "=x@", "3.a@7~1-1"])
def test_a_key_that_somebody_gave_is_not_taken_for_what_tells_calls_apart(place: str) -> None:
    for epoch, replaced in ((1, None), (1, "9-1"), (2, None), (2, "9-1")):
        assert path_of(call_key("0", epoch, "load", place, replaced)) == (f"0.load-{place}", epoch)
