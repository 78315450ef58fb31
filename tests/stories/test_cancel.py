"""Cancelling: seen at once, done soon, never undone by a retry of the policy, and open to a person's retry."""

from __future__ import annotations

import pytest
import story_tasks
from story_harness import Trace, World, outcomes, until

from mulligan import JobStatus
from mulligan.core.job import Reason

ASKED, DONE = "Manual Cancellation Requested", "Manually Cancelled"


@pytest.mark.parametrize(
    "task",
    [
        story_tasks.until_there,
        story_tasks.until_there_again,
        story_tasks.until_there_async,
        story_tasks.ignores_cancellation,
    ],
    ids=["sync", "sync with retries", "async", "async that ignores it"],
)
def test_cancelling_what_runs_shows_at_once_and_is_done_soon(shared: World, trace: Trace, task: object) -> None:
    job = shared.client.submit(task, trace.path(), "a", trace.path("never"))  # type: ignore[arg-type]
    trace.wait_for("a")
    assert job.cancel() == 1
    assert job.refresh().label in (ASKED, DONE)
    assert job.wait(20).status is JobStatus.REVOKED
    assert job.label == DONE
    item = job.work_items()[0]
    assert item.label == DONE
    assert outcomes(item) == ["CANCELLED"]
    assert "a ended" not in trace.lines()


def test_while_a_task_ignores_the_request_the_label_says_that_it_was_made(shared: World, trace: Trace) -> None:
    job = shared.client.submit(story_tasks.ignores_all, trace.path(), "a")
    trace.wait_for("a")
    job.cancel()
    labels = [job.refresh().label, job.work_items()[0].label]
    assert labels == [ASKED, ASKED]
    assert job.wait(20).label == DONE


def test_a_task_that_looks_can_clean_up_before_it_ends(shared: World, trace: Trace) -> None:
    job = shared.client.submit(story_tasks.looks_for_stop, trace.path(), "a")
    trace.wait_for("a")
    job.cancel()
    assert job.wait(20).status is JobStatus.REVOKED
    assert trace.lines() == ["a", "a cleaned up after cancel"]


def test_what_waits_is_revoked_at_once_and_never_starts(shared: World, trace: Trace) -> None:
    job = shared.client.submit(story_tasks.once.options(delay=3600), trace.path(), "a")
    assert job.cancel() == 1
    assert job.refresh().label == DONE
    assert job.cancel() == 0, "a second request finds nothing to do"
    assert trace.lines() == []


def test_a_success_that_came_first_stays_a_success(world: World) -> None:
    """The worker is stopped while its child ends, so that the request is stored before the outcome is."""
    import signal

    worker = world.worker(lease=30)
    job = world.client.submit(story_tasks.until_there, world.path(), "a", world.path("go"))
    world.wait_for("a")
    world.halt(worker)
    world.touch()
    world.wait_for("a ended")
    until(lambda: world.lines() == ["a", "a ended"], "the task has returned")
    assert job.cancel() == 1
    assert job.refresh().label == ASKED
    worker.signal(signal.SIGCONT)
    item = job.wait(20).work_items()[0]
    assert (item.status, item.reason) == (JobStatus.SUCCESS, Reason.CANCEL_TOO_LATE)
    assert job.result() == "a"


def test_a_failure_after_the_request_is_a_cancellation_and_not_retried(shared: World, trace: Trace) -> None:
    job = shared.client.submit(story_tasks.until_there_again, trace.path(), "a", trace.path("never"))
    trace.wait_for("a")
    job.cancel()
    assert job.wait(20).status is JobStatus.REVOKED
    assert trace.lines() == ["a"]


def test_cancelled_work_can_be_retried(shared: World, trace: Trace) -> None:
    job = shared.client.submit(story_tasks.until_there, trace.path(), "a", trace.path("go"))
    trace.wait_for("a")
    job.cancel()
    assert job.wait(20).status is JobStatus.REVOKED
    trace.touch()
    assert job.retry() == 1
    assert job.result() == "a"
    item = job.work_items()[0]
    assert item.generation == 2
    assert outcomes(item) == ["CANCELLED", "SUCCEEDED"]


def test_cancelling_one_item_leaves_the_others_of_its_job_alone(shared: World, trace: Trace) -> None:
    args = {"file": trace.path(), "awaited": trace.path("go")}
    job = shared.client.map(story_tasks.until_there, ["a", "b"], key=str, args=args)
    trace.wait_for("a", "b")
    first, second = job.work_items()
    assert first.cancel() == 1
    until(lambda: first.refresh().status is JobStatus.REVOKED, "the first is cancelled")
    trace.touch()
    until(lambda: second.refresh().status is JobStatus.SUCCESS, "the second succeeds")
    assert job.wait(20).status is JobStatus.REVOKED
