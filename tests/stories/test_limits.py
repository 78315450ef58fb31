"""Time limits hold, whatever the task does."""

from __future__ import annotations

import pytest
import story_tasks
from story_harness import Trace, World, outcomes

from mulligan import JobStatus
from mulligan.core.job import FailureClass, Reason


@pytest.mark.parametrize("ignoring", [False, True])
def test_the_timeout_ends_a_task_that_spins_even_one_that_ignores_signals(shared: World, trace: Trace, ignoring: bool) -> None:
    client = shared.client
    job = client.submit(story_tasks.spins_ignoring, trace.path()) if ignoring else client.submit(story_tasks.spins)
    item = job.wait(20).work_items()[0]
    assert (item.status, item.failure_class) == (JobStatus.FAILURE, FailureClass.TIMEOUT)
    assert outcomes(item) == ["TIMED_OUT"]
    assert client.submit(story_tasks.add, 1, 2).result() == 3


def test_no_attempt_starts_once_the_total_timeout_is_over(shared: World) -> None:
    item = shared.client.submit(story_tasks.fails_until_cutoff).wait(20).work_items()[0]
    assert (item.status, item.reason) == (JobStatus.FAILURE, Reason.CUTOFF)
    assert item.failure_class is FailureClass.TIMEOUT
    attempts = item.attempts()
    assert 1 < len(attempts) < 100, "neither the first failure ended it nor the last of its budget"
    with shared.client.services.store.read() as session:
        cutoff_ms = session.items.read([item.number])[0].cutoff_ms
    assert cutoff_ms is not None
    assert all(each.claimed_at.timestamp() * 1000 < cutoff_ms for each in attempts)
    last = attempts[-1]
    ended = last.failure_class is FailureClass.TIMEOUT  # it began just before, and did not come to raise anything
    assert ended or "not yet" in str(item.error_message)


def test_what_runs_when_the_total_timeout_is_over_is_ended(shared: World, trace: Trace) -> None:
    item = shared.client.submit(story_tasks.runs_into_cutoff, trace.path()).wait(20).work_items()[0]
    assert (item.status, item.reason, item.failure_class) == (JobStatus.FAILURE, Reason.CUTOFF, FailureClass.TIMEOUT)
    assert trace.lines() == ["started"]


def test_an_item_that_nobody_starts_fails_when_its_time_is_over(shared: World) -> None:
    later = story_tasks.add.options(delay=3600, expires=0.2)
    item = shared.client.submit(later, 1, 2).wait(20).work_items()[0]
    assert (item.status, item.reason, item.attempts()) == (JobStatus.FAILURE, Reason.EXPIRED, [])


def test_a_task_that_falls_silent_is_ended_by_its_heartbeat_timeout(shared: World, trace: Trace) -> None:
    item = shared.client.submit(story_tasks.goes_silent, trace.path()).wait(20).work_items()[0]
    assert (item.status, item.failure_class) == (JobStatus.FAILURE, FailureClass.TIMEOUT)
    assert trace.lines() == ["silent from here on"]
