"""What people read."""

from __future__ import annotations

import pytest

from mulligan.core.job import FAR_FUTURE_MS, Counts, FailureClass, JobStatus, Outcome, Reason, Wait, job_status
from mulligan.core.labels import CLASS_LETTERS, REASONS, end_letter, in_minutes, item_label, job_label, removed
from mulligan.testing.clock import START_MS
from mulligan.testing.factories import an_item

NOW = START_MS
MINUTE = 60_000
PENDING, STARTED, RETRY = JobStatus.PENDING, JobStatus.STARTED, JobStatus.RETRY
SUCCESS, FAILURE, REVOKED = JobStatus.SUCCESS, JobStatus.FAILURE, JobStatus.REVOKED


@pytest.mark.parametrize(
    ("status", "label"),
    [
        (PENDING, "Pending"),
        (STARTED, "Running"),
        (SUCCESS, "Success"),
        (FAILURE, "Failed"),
        (REVOKED, "Manually Cancelled"),
    ],
)
def test_statuses_read_to_the_letter(status: JobStatus, label: str) -> None:
    assert item_label(an_item(status), NOW) == label
    assert job_label(status, False, None, NOW) == label


def test_a_retry_says_in_how_many_minutes_rounded_up() -> None:
    for wait_ms, said in ((5 * MINUTE, "5 minutes"), (4 * MINUTE + 1, "5 minutes"), (MINUTE, "1 minute"), (0, "0 minutes")):
        assert item_label(an_item(RETRY, due_ms=NOW + wait_ms), NOW) == f"Retrying (in {said})"
        assert job_label(RETRY, False, NOW + wait_ms, NOW) == f"Retrying (in {said})"
    assert in_minutes(NOW - 1, NOW) == "in 0 minutes"


def test_a_running_item_that_shall_be_cancelled_says_so_at_once() -> None:
    assert item_label(an_item(STARTED, cancel_ms=NOW), NOW) == "Manual Cancellation Requested"
    for status in (PENDING, STARTED, RETRY):
        assert job_label(status, True, NOW, NOW) == "Manual Cancellation Requested"
    for status in (SUCCESS, FAILURE, REVOKED):
        assert job_label(status, True, None, NOW) == job_label(status, False, None, NOW)


def test_what_waits_says_why() -> None:
    later = NOW + 7 * MINUTE
    assert item_label(an_item(wait=Wait.SCHEDULE, due_ms=later), NOW) == "Waiting (scheduled, due in 7 minutes)"
    assert item_label(an_item(wait=Wait.SNOOZE, due_ms=later), NOW) == "Waiting (snoozed, due in 7 minutes)"
    assert item_label(an_item(wait=Wait.SUBMITTING, due_ms=FAR_FUTURE_MS), NOW) == "Waiting (being submitted)"
    assert item_label(an_item(wait=Wait.PREDECESSOR, due_ms=FAR_FUTURE_MS), NOW) == "Waiting (the window before it)"
    assert item_label(an_item(), NOW, "task features is paused") == "Waiting (task features is paused)"
    assert item_label(an_item(RETRY, due_ms=NOW), NOW, "no capable worker") == "Waiting (no capable worker)"


def test_a_job_whose_items_all_wait_says_for_what_the_first_of_them_does() -> None:
    later = NOW + 7 * MINUTE
    assert job_label(PENDING, False, later, NOW, "no capable worker", Wait.SCHEDULE) == "Waiting (scheduled, due in 7 minutes)"
    assert job_label(PENDING, False, later, NOW, None, Wait.SNOOZE) == "Waiting (snoozed, due in 7 minutes)"
    assert job_label(PENDING, False, FAR_FUTURE_MS, NOW, None, Wait.PREDECESSOR) == "Waiting (the window before it)"
    assert job_label(PENDING, False, None, NOW, "no capable worker") == "Waiting (no capable worker)"
    assert job_label(PENDING, True, later, NOW, None, Wait.SCHEDULE) == "Manual Cancellation Requested"


def test_every_reason_has_words() -> None:
    assert set(REASONS) == set(Reason)


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        (Counts(), SUCCESS),
        (Counts(pending=2), PENDING),
        (Counts(pending=2, success=1), STARTED),
        (Counts(pending=2, started=1, retry=1), STARTED),
        (Counts(pending=2, retry=1), RETRY),
        (Counts(retry=1, success=5, failure=1), RETRY),
        (Counts(success=3), SUCCESS),
        (Counts(success=3, revoked=1), REVOKED),
        (Counts(success=3, revoked=1, failure=1), FAILURE),
    ],
)
def test_a_jobs_status_follows_from_its_counts(counts: Counts, status: JobStatus) -> None:
    assert job_status(counts) is status
    assert counts.total == sum((counts.pending, counts.started, counts.retry, counts.success, counts.failure, counts.revoked))


def test_an_attempt_has_a_letter_for_its_class_or_for_what_else_came_of_it() -> None:
    for failure_class in FailureClass:
        assert end_letter(Outcome.FAILED, failure_class) == CLASS_LETTERS[failure_class]
        assert end_letter(Outcome.SUCCEEDED, failure_class) == end_letter(Outcome.SUCCEEDED, None)
    letters = {outcome: end_letter(outcome, None) for outcome in Outcome}
    assert {outcome: letter for outcome, letter in letters.items() if letter != "I"} == {
        Outcome.SUCCEEDED: "S",
        Outcome.CANCELLED: "C",
        Outcome.SNOOZED: "Z",
    }, "of others without a class it is known that they were interrupted"


@pytest.mark.usefixtures("far_east")
def test_what_retention_removed_is_said_with_the_day_in_utc() -> None:
    last_moment_ms = 1_000 * 86_400 * 20_783 - 1
    assert removed(7, last_moment_ms) == "the details of job 7 were removed on 2026-11-25 by retention"
