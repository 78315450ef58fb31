"""Each move in full: every column that it changes, and every column of the attempt that it records; nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from mulligan.core.events import (
    CancelRequested,
    Claimed,
    DeadlinePassed,
    Event,
    MadeDue,
    OverwriteRequested,
    Released,
    RetryRequested,
    Run,
    Snoozed,
    Stopped,
    Succeeded,
    WorkerLost,
)
from mulligan.core.failure import Kind
from mulligan.core.fingerprint import of_kind, of_reason
from mulligan.core.job import FAR_FUTURE_MS, Attempt, FailureClass, Item, JobStatus, Outcome, Reason, Wait
from mulligan.core.lifecycle import MAX_REPLAYS, MAX_SNOOZES, POISON_CRASHES, Transition, decide
from mulligan.core.retry import NEVER, Policy, Retry
from mulligan.testing.factories import a_failure, an_item

NOW = 1_700_000_900_000
CLAIMED = NOW - 50_000
STARTED, ENDED = NOW - 40_000, NOW - 10_000
POLICY = Policy(
    {
        FailureClass.TRANSIENT: Retry(3, 60, 2, jitter=0.5),
        FailureClass.INFRASTRUCTURE: Retry(4, 0, jitter=None),
        FailureClass.TIMEOUT: Retry(2, 10, jitter=None),
        FailureClass.PERMANENT: NEVER,
    }
)
ONCE = Policy()
CAUSE = a_failure(an_item()).cause
assert CAUSE is not None


def running(**changes: Any) -> Item:
    """An item in the middle of its third attempt."""
    given = {"token": 5, "attempt": 3, "version": 11, "worker": 8, "claimed_ms": CLAIMED, "generation": 2, "keep_from": 1}
    return an_item(**{"status": JobStatus.STARTED, **given, "charges": (1, 0, 0, 0), "due_ms": CLAIMED - 1_000, **changes})


def run(**changes: Any) -> Run:
    return Run(**{"token": 5, "worker": 8, "ended_ms": ENDED, "started_ms": STARTED, "rows": 9, "pid": 77, **changes})


def decided(item: Item, event: Event, policy: Policy = POLICY) -> Transition:
    found = decide(item, event, policy, NOW, 0.5)
    assert found is not None
    assert found.before is item
    return found


def changes(found: Transition) -> dict[str, Any]:
    pairs = zip(found.before._asdict().items(), found.after, strict=True)
    return {name: after for (name, before), after in pairs if before != after}


def record(found: Transition) -> dict[str, Any]:
    assert found.attempt is not None
    assert type(found.attempt) is Attempt
    return {name: value for name, value in found.attempt._asdict().items() if value is not None}


RECORD = {
    "job": 1,
    "number": 0,
    "token": 5,
    "generation": 2,
    "attempt": 3,
    "worker": 8,
    "claimed_ms": CLAIMED,
    "started_ms": STARTED,
    "ended_ms": ENDED,
    "rows": 9,
    "pid": 77,
}
ENDS = {"version": 12, "worker": None, "claimed_ms": None}
FAILS = {
    "rule": "test",
    "error_type": "builtins.OSError",
    "error_message": "it broke",
    "failure": "{}",
}


def test_a_claim_opens_an_attempt() -> None:
    item = an_item(JobStatus.RETRY, token=4, attempt=2, version=9, due_ms=NOW)
    found = decided(item, Claimed(8))
    assert changes(found) == {
        "status": JobStatus.STARTED,
        "wait": None,
        "token": 5,
        "attempt": 3,
        "version": 10,
        "worker": 8,
        "claimed_ms": NOW,
    }
    assert found.attempt is None


@pytest.mark.parametrize(
    "change",
    [{"due_ms": NOW + 1}, {"cancel_ms": NOW}, {"deadline_ms": NOW}, {"status": JobStatus.STARTED}, {"status": JobStatus.SUCCESS}],
)
def test_what_may_not_start_is_not_claimed(change: dict[str, Any]) -> None:
    assert decide(an_item(**{"due_ms": NOW, **change}), Claimed(8), POLICY, NOW, 0.5) is None


def test_a_deadline_that_is_a_moment_away_lets_a_claim_pass() -> None:
    assert decide(an_item(JobStatus.PENDING, due_ms=NOW, deadline_ms=NOW + 1), Claimed(8), POLICY, NOW, 0.5) is not None


def test_a_success_ends_the_item_and_forgets_its_troubles() -> None:
    failed = running(crashes=2, failure_class=FailureClass.TRANSIENT, reason=Reason.WILL_RETRY, cause="0" * 12)
    found = decided(failed, Succeeded(run(), '"x"'))
    assert changes(found) == {
        **ENDS,
        "status": JobStatus.SUCCESS,
        "reason": Reason.SUCCEEDED,
        "crashes": 0,
        "cause": None,
        "failure_class": None,
        "ended_ms": ENDED,
    }
    assert record(found) == {**RECORD, "outcome": Outcome.SUCCEEDED, "reason": Reason.SUCCEEDED, "result": '"x"'}


def test_a_success_after_a_cancel_says_that_it_was_too_late() -> None:
    found = decided(running(cancel_ms=NOW - 1), Succeeded(run(), "1"))
    assert (found.after.status, found.after.reason) == (JobStatus.SUCCESS, Reason.CANCEL_TOO_LATE)
    assert record(found)["reason"] is Reason.CANCEL_TOO_LATE


def test_times_of_an_attempt_are_in_order_whatever_was_said() -> None:
    found = decided(running(), Succeeded(run(started_ms=CLAIMED - 5, ended_ms=NOW + 5), "1"))
    assert found.attempt is not None
    assert (found.attempt.claimed_ms, found.attempt.started_ms, found.attempt.ended_ms) == (CLAIMED, CLAIMED, NOW)
    found = decided(running(), Succeeded(run(started_ms=NOW, ended_ms=CLAIMED - 5), "1"))
    assert found.attempt is not None
    assert (found.attempt.claimed_ms, found.attempt.started_ms, found.attempt.ended_ms) == (CLAIMED, CLAIMED, CLAIMED)
    found = decided(running(), Succeeded(run(started_ms=None), "1"))
    assert found.attempt is not None
    assert found.attempt.started_ms is None


@pytest.mark.parametrize("told", [{"token": 4}, {"token": 6}, {"worker": 7}])
@pytest.mark.parametrize("event", [Succeeded, Snoozed, Stopped, Released, WorkerLost])
def test_an_attempt_that_does_not_own_its_item_changes_nothing(event: Any, told: dict[str, int]) -> None:
    more = {Succeeded: ("1",), Snoozed: (5.0,), WorkerLost: ("w",)}.get(event, ())
    assert decide(running(), event(run(**told), *more), POLICY, NOW, 0.5) is None
    assert decide(running(), a_failure(running(), run=run(**told)), POLICY, NOW, 0.5) is None
    waiting = running(status=JobStatus.RETRY)
    assert decide(waiting, event(run(), *more), POLICY, NOW, 0.5) is None


def test_a_failure_with_budget_left_waits_with_jitter() -> None:
    found = decided(running(), a_failure(running(), run=run(), exit_code=3, signal=9, retry_after_s=7.0))
    assert changes(found) == {
        **ENDS,
        "status": JobStatus.RETRY,
        "reason": Reason.WILL_RETRY,
        "wait": Wait.BACKOFF,
        "due_ms": NOW + 150_000,
        "charges": (2, 0, 0, 0),
        "failure_class": FailureClass.TRANSIENT,
        "cause": CAUSE.cause,
    }
    assert found.cause == CAUSE
    assert record(found) == {
        **RECORD,
        **FAILS,
        "cause": CAUSE.cause,
        "outcome": Outcome.FAILED,
        "reason": Reason.WILL_RETRY,
        "failure_class": FailureClass.TRANSIENT,
        "entry": 0,
        "charged": 2,
        "delay_ms": 150_000,
        "planned_ms": 120_000,
        "retry_after_ms": 7_000,
        "exit_code": 3,
        "signal": 9,
    }


def test_a_failure_without_budget_left_ends_the_item() -> None:
    item = running(charges=(2, 0, 0, 0))
    found = decided(item, a_failure(item, run=run()))
    assert changes(found) == {
        **ENDS,
        "status": JobStatus.FAILURE,
        "reason": Reason.BUDGET_SPENT,
        "charges": (3, 0, 0, 0),
        "ended_ms": ENDED,
        "failure_class": FailureClass.TRANSIENT,
        "cause": CAUSE.cause,
    }
    assert found.cause == CAUSE
    assert record(found) == {
        **RECORD,
        **FAILS,
        "cause": CAUSE.cause,
        "outcome": Outcome.FAILED,
        "reason": Reason.BUDGET_SPENT,
        "failure_class": FailureClass.TRANSIENT,
        "entry": 0,
        "charged": 3,
    }


@pytest.mark.parametrize(
    ("kind", "reason"), [(FailureClass.PERMANENT, Reason.NOT_RETRIED), (FailureClass.UNKNOWN, Reason.NOT_RETRIED)]
)
def test_a_class_that_is_never_retried_ends_the_item(kind: FailureClass, reason: Reason) -> None:
    found = decided(running(), a_failure(running(), kind, run=run()))
    assert (found.after.status, found.after.reason, found.after.failure_class) == (JobStatus.FAILURE, reason, kind)
    assert record(found)["reason"] is reason
    assert "delay_ms" not in record(found)


@pytest.mark.parametrize(
    ("flags", "outcome"),
    [
        ({"timed_out": True}, Outcome.TIMED_OUT),
        ({"interrupted": True}, Outcome.INTERRUPTED),
        ({}, Outcome.FAILED),
        ({"timed_out": True, "interrupted": True}, Outcome.INTERRUPTED),
    ],
)
def test_how_an_attempt_failed_is_its_outcome(flags: dict[str, bool], outcome: Outcome) -> None:
    assert record(decided(running(), a_failure(running(), run=run(), **flags)))["outcome"] is outcome


@pytest.mark.parametrize(
    ("flags", "outcome"),
    [({}, Reason.AT_MOST_ONCE), ({"crashed": True}, Reason.OUTCOME_UNKNOWN), ({"interrupted": True}, Reason.OUTCOME_UNKNOWN)],
)
def test_what_runs_at_most_once_ends_with_its_first_failure(flags: dict[str, bool], outcome: Reason) -> None:
    item = running(charges=())
    found = decided(item, a_failure(item, run=run(), **flags), ONCE)
    assert (found.after.status, found.after.reason, found.after.charges) == (JobStatus.FAILURE, outcome, ())
    assert decided(item, WorkerLost(run(), "w"), ONCE).after.reason is Reason.OUTCOME_UNKNOWN
    assert decided(item, Stopped(run()), ONCE).after.reason is Reason.OUTCOME_UNKNOWN


@pytest.mark.parametrize(("before", "reason"), [(POISON_CRASHES - 2, Reason.WILL_RETRY), (POISON_CRASHES - 1, Reason.POISON)])
def test_deaths_of_the_process_add_up(before: int, reason: Reason) -> None:
    item = running(crashes=before)
    found = decided(item, a_failure(item, run=run(), crashed=True))
    assert (found.after.reason, found.after.crashes) == (reason, before + 1)


def test_the_cutoff_ends_what_would_wait_past_it_or_ran_up_to_it() -> None:
    for offset, reason in ((150_000, Reason.CUTOFF), (150_001, Reason.WILL_RETRY)):
        item = running(cutoff_ms=NOW + offset)
        found = decided(item, a_failure(item, run=run()))
        assert found.after.reason is reason
        assert found.after.deadline_ms == NOW + offset
        assert found.after.failure_class is (FailureClass.TIMEOUT if reason is Reason.CUTOFF else FailureClass.TRANSIENT)
    item = running(cutoff_ms=NOW)
    found = decided(item, a_failure(item, FailureClass.TIMEOUT, run=run(), cutoff=True))
    assert (found.after.status, found.after.reason, found.after.failure_class) == (
        JobStatus.FAILURE,
        Reason.CUTOFF,
        FailureClass.TIMEOUT,
    )


def test_a_lost_worker_is_a_failure_of_the_machine_and_keeps_the_item_s_place() -> None:
    item = running()
    found = decided(item, WorkerLost(run(started_ms=None, rows=None, pid=None), "w1"))
    assert changes(found) == {
        **ENDS,
        "status": JobStatus.RETRY,
        "reason": Reason.WILL_RETRY,
        "wait": Wait.BACKOFF,
        "charges": (1, 1, 0, 0),
        "failure_class": FailureClass.INFRASTRUCTURE,
        "cause": of_kind(Kind.LOST).cause,
    }
    told = record(found)
    assert (told["outcome"], told["rule"], told["error_type"], told["failure"]) == (Outcome.LOST, "lost", "worker lost", "")
    assert told["error_message"] == "worker w1 was lost while this ran; whether it had finished is unknown"
    assert (found.after.due_ms, found.after.charges, found.after.crashes) == (item.due_ms, (1, 1, 0, 0), 0)


def test_an_attempt_that_its_worker_stopped_is_a_failure_of_the_machine() -> None:
    told = record(decided(running(), Stopped(run())))
    assert told == {
        **RECORD,
        "outcome": Outcome.INTERRUPTED,
        "reason": Reason.WILL_RETRY,
        "failure_class": FailureClass.INFRASTRUCTURE,
        "rule": "interrupted",
        "error_type": "interrupted",
        "error_message": "the worker was stopped while this ran",
        "failure": "",
        "cause": of_kind(Kind.STOPPED).cause,
        "entry": 1,
        "charged": 1,
        "delay_ms": 0,
        "planned_ms": 0,
    }


@pytest.mark.parametrize(("event", "outcome"), [(WorkerLost(run(), "w1"), Outcome.LOST), (Stopped(run()), Outcome.INTERRUPTED)])
def test_an_interrupted_body_of_a_workflow_is_replayed_in_its_place_until_it_was_too_often(
    event: Event, outcome: Outcome
) -> None:
    again = decide(running(cutoff_ms=NOW + 1), event, ONCE, NOW, 0.5, workflow=True)
    over = decide(running(attempt=MAX_REPLAYS, cutoff_ms=NOW + 1), event, ONCE, NOW, 0.5, workflow=True)
    assert again is not None
    assert over is not None
    ends = {**ENDS, "deadline_ms": NOW + 1}
    assert changes(again) == {**ends, "status": JobStatus.PENDING, "reason": Reason.REPLAYED, "wait": Wait.READY}
    assert record(again) == {**RECORD, "outcome": outcome, "reason": Reason.REPLAYED}
    kind = FailureClass.INFRASTRUCTURE
    failed = {"status": JobStatus.FAILURE, "reason": Reason.POISON, "failure_class": kind, "ended_ms": ENDED}
    failed["cause"] = of_reason(Reason.POISON).cause
    assert changes(over) == {**ends, **failed}
    assert record(over) == {**RECORD, "attempt": MAX_REPLAYS, "outcome": outcome, "reason": Reason.POISON}


def test_what_the_task_failed_by_itself_goes_behind_what_waits() -> None:
    item = running(charges=())
    now = Policy({FailureClass.TRANSIENT: Retry(3, 0, jitter=None), FailureClass.INFRASTRUCTURE: Retry(3, 0, jitter=None)})
    assert decided(item, a_failure(item, run=run()), now).after.due_ms == NOW
    assert decided(item, a_failure(item, run=run(), crashed=True), now).after.due_ms == item.due_ms
    assert decided(item, a_failure(item, FailureClass.INFRASTRUCTURE, run=run()), now).after.due_ms == item.due_ms
    later = running(charges=(), due_ms=NOW + 5)
    assert decided(later, WorkerLost(run(), "w"), now).after.due_ms == NOW
    ahead = running(charges=(), claimed_ms=NOW + 700)
    assert decided(ahead, WorkerLost(run(), "w"), now).after.due_ms == NOW + 700
    assert decided(ahead, a_failure(ahead, run=run()), now).after.due_ms == NOW + 700


def test_a_snooze_waits_and_counts() -> None:
    found = decided(running(snoozes=4, cutoff_ms=NOW + 60_001), Snoozed(run(), 60))
    assert changes(found) == {
        **ENDS,
        "status": JobStatus.PENDING,
        "reason": Reason.SNOOZED,
        "wait": Wait.SNOOZE,
        "due_ms": NOW + 60_000,
        "snoozes": 5,
        "deadline_ms": NOW + 60_001,
    }
    assert record(found) == {**RECORD, "outcome": Outcome.SNOOZED, "reason": Reason.SNOOZED, "delay_ms": 60_000}


@pytest.mark.parametrize(
    ("item", "reason"),
    [(running(snoozes=MAX_SNOOZES), Reason.SNOOZED_TOO_OFTEN), (running(cutoff_ms=NOW + 60_000), Reason.CUTOFF)],
)
def test_a_snooze_too_many_or_past_the_cutoff_ends_the_item(item: Item, reason: Reason) -> None:
    found = decided(item, Snoozed(run(), 60))
    assert (found.after.status, found.after.reason) == (JobStatus.FAILURE, reason)
    assert (found.after.failure_class, found.after.ended_ms, found.after.snoozes) == (
        FailureClass.TIMEOUT,
        ENDED,
        item.snoozes + 1,
    )
    assert found.cause == of_reason(reason)
    assert found.after.cause == of_reason(reason).cause
    assert record(found) == {**RECORD, "outcome": Outcome.SNOOZED, "reason": reason, "delay_ms": 60_000}


def test_what_was_not_started_goes_back_as_it_was() -> None:
    found = decided(running(reason=Reason.WILL_RETRY), Released(run()))
    assert changes(found) == {**ENDS, "status": JobStatus.RETRY, "wait": Wait.BACKOFF, "attempt": 2}
    assert found.attempt is None
    found = decided(running(reason=Reason.SUBMITTED, due_ms=NOW + 5), Released(run()))
    assert changes(found) == {**ENDS, "status": JobStatus.PENDING, "wait": Wait.READY, "attempt": 2, "due_ms": NOW}
    found = decided(running(cancel_ms=NOW - 1), Released(run()))
    assert changes(found) == {**ENDS, "status": JobStatus.REVOKED, "reason": Reason.CANCELLED, "attempt": 2, "ended_ms": NOW}
    assert found.attempt is None


def test_a_failure_of_which_no_cause_is_known_leaves_none() -> None:
    found = decided(running(cause="c"), a_failure(running(), run=run(), cause=None))
    assert (found.after.cause, found.cause) == (None, None)


def test_the_body_of_a_workflow_is_replayed_from_where_it_stood_in_the_queue_whatever_the_clock_says() -> None:
    for due_ms, claimed_ms, again_ms in ((NOW - 9, CLAIMED, NOW - 9), (NOW + 9, CLAIMED, NOW), (NOW - 9, NOW + 5, NOW + 5)):
        found = decide(running(due_ms=due_ms, claimed_ms=claimed_ms), WorkerLost(run(), "w"), POLICY, NOW, 0.5, workflow=True)
        assert found is not None
        assert (found.after.status, found.after.due_ms) == (JobStatus.PENDING, again_ms)


def test_what_was_cancelled_before_it_was_started_again_has_no_failure_any_more() -> None:
    found = decided(running(cancel_ms=NOW - 1, failure_class=FailureClass.TRANSIENT, cause="c"), Released(run()))
    assert (found.after.status, found.after.failure_class, found.after.cause) == (JobStatus.REVOKED, None, None)


@pytest.mark.parametrize(
    ("event", "facts"),
    [
        (Snoozed(run(), 5), {}),
        (Stopped(run()), {}),
        (WorkerLost(run(), "w"), {}),
        (a_failure(running(), run=run(), exit_code=3), {**FAILS, "failure_class": FailureClass.TRANSIENT}),
    ],
)
def test_however_an_attempt_ends_after_a_cancel_but_by_success_it_is_cancelled(event: Event, facts: dict[str, Any]) -> None:
    found = decided(running(cancel_ms=NOW - 1, failure_class=FailureClass.UNKNOWN, cause="0" * 12), event)
    assert found.cause is None, "what was cancelled is not counted as a failure"
    assert changes(found) == {
        **ENDS,
        "status": JobStatus.REVOKED,
        "reason": Reason.CANCELLED,
        "failure_class": None,
        "cause": None,
        "ended_ms": NOW,
    }
    assert record(found) == {**RECORD, **facts, "outcome": Outcome.CANCELLED, "reason": Reason.CANCELLED}


def test_a_cancel_ends_what_waits_and_marks_what_runs() -> None:
    waiting = an_item(JobStatus.RETRY, version=4, cause="0" * 12)
    found = decided(waiting, CancelRequested())
    assert changes(found) == {
        "cause": None,
        "status": JobStatus.REVOKED,
        "wait": None,
        "reason": Reason.CANCELLED,
        "failure_class": None,
        "ended_ms": NOW,
        "cancel_ms": NOW,
        "version": 5,
    }
    assert found.attempt is None
    assert changes(decided(running(), CancelRequested())) == {"cancel_ms": NOW, "version": 12}
    for item in (running(cancel_ms=1), an_item(JobStatus.SUCCESS), an_item(JobStatus.FAILURE), an_item(JobStatus.REVOKED)):
        assert decide(item, CancelRequested(), POLICY, NOW, 0.5) is None


@pytest.mark.parametrize(("cutoff_ms", "reason"), [(NOW, Reason.CUTOFF), (None, Reason.EXPIRED), (NOW + 1, Reason.EXPIRED)])
def test_a_deadline_ends_what_still_waits(cutoff_ms: int | None, reason: Reason) -> None:
    item = an_item(JobStatus.PENDING, deadline_ms=NOW, cutoff_ms=cutoff_ms, version=4)
    found = decided(item, DeadlinePassed())
    assert changes(found) == {
        "status": JobStatus.FAILURE,
        "wait": None,
        "reason": reason,
        "failure_class": FailureClass.TIMEOUT,
        "cause": of_reason(reason).cause,
        "version": 5,
        "ended_ms": NOW,
    }
    assert found.cause == of_reason(reason)
    for other in (item._replace(deadline_ms=NOW + 1), item._replace(deadline_ms=None), running(deadline_ms=NOW)):
        assert decide(other, DeadlinePassed(), POLICY, NOW, 0.5) is None


SPENT = {
    "token": 5,
    "attempt": 3,
    "version": 11,
    "generation": 2,
    "charges": (3, 0, 0, 0),
    "crashes": 2,
    "snoozes": 4,
    "cancel_ms": 1,
    "deadline_ms": 2,
    "cutoff_ms": 3,
    "keep_from": 2,
    "ended_ms": NOW + 9,
    "failure_class": FailureClass.UNKNOWN,
    "cause": "0" * 12,
}
FRESH = {
    "status": JobStatus.PENDING,
    "wait": Wait.READY,
    "due_ms": NOW + 9,
    "generation": 3,
    "attempt": 0,
    "version": 12,
    "cancel_ms": None,
    "deadline_ms": NOW + 70,
    "cutoff_ms": NOW + 70,
    "charges": (),
    "crashes": 0,
    "snoozes": 0,
    "failure_class": None,
    "cause": None,
    "ended_ms": None,
    "definition": 6,
    "once": True,
}


@pytest.mark.parametrize("status", [JobStatus.FAILURE, JobStatus.REVOKED])
def test_a_retry_begins_a_generation_with_everything_new_but_the_token_and_what_was_saved(status: JobStatus) -> None:
    item = an_item(status, **SPENT)
    assert changes(decided(item, RetryRequested("recover", 6, True, NOW + 70))) == {**FRESH, "reason": Reason.RECOVERED}
    anew = {**FRESH, "reason": Reason.RESTARTED, "keep_from": 3}
    assert changes(decided(item, RetryRequested("restart", 6, True, NOW + 70))) == anew
    behind = changes(decided(item, RetryRequested("recover", 6, True, NOW + 70, held=True)))
    assert behind == {**FRESH, "reason": Reason.RECOVERED, "wait": Wait.PREDECESSOR, "due_ms": FAR_FUTURE_MS}
    earlier = decided(item._replace(ended_ms=NOW - 9), RetryRequested("recover", 6, True, NOW + 70))
    assert earlier.after.due_ms == NOW


def test_an_overwrite_begins_a_generation_of_what_succeeded() -> None:
    item = an_item(JobStatus.SUCCESS, **SPENT)
    expected = {**FRESH, "reason": Reason.OVERWRITTEN, "keep_from": 3}
    assert changes(decided(item, OverwriteRequested(6, True, NOW + 70))) == expected
    behind = {**expected, "wait": Wait.PREDECESSOR, "due_ms": FAR_FUTURE_MS}
    assert changes(decided(item, OverwriteRequested(6, True, NOW + 70, held=True))) == behind


@pytest.mark.parametrize("status", [JobStatus.PENDING, JobStatus.STARTED, JobStatus.RETRY])
def test_what_has_not_ended_is_neither_retried_nor_overwritten(status: JobStatus) -> None:
    for event in (RetryRequested("recover", 6, True, None), OverwriteRequested(6, True, None)):
        assert decide(an_item(status), event, POLICY, NOW, 0.5) is None
    assert decide(an_item(JobStatus.SUCCESS), RetryRequested("recover", 6, True, None), POLICY, NOW, 0.5) is None
    for ended in (JobStatus.FAILURE, JobStatus.REVOKED):
        assert decide(an_item(ended), OverwriteRequested(6, True, None), POLICY, NOW, 0.5) is None


def test_what_waits_can_be_made_due() -> None:
    item = an_item(JobStatus.RETRY, due_ms=NOW + 1, version=4)
    found = decided(item, MadeDue())
    assert changes(found) == {"due_ms": NOW, "wait": Wait.READY, "version": 5}
    for other in (item._replace(due_ms=NOW), item._replace(wait=Wait.SUBMITTING), running(due_ms=NOW + 1)):
        assert decide(other, MadeDue(), POLICY, NOW, 0.5) is None
