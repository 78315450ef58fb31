"""Workers beside each other, workers that stand still, and workers that are asked to stop."""

from __future__ import annotations

import signal

import pytest
import story_tasks
from story_harness import World, is_at_rest, outcomes, until

from mulligan import JobStatus
from mulligan.core.job import FailureClass, Reason


def test_a_worker_that_stood_still_past_its_lease_has_its_late_writes_refused_and_starts_anew(world: World) -> None:
    sleeper = world.worker(processes=3, lease=1)
    trace, go = world.path(), world.path("go")
    retried = world.client.submit(story_tasks.until_there_again, trace, "retried", go)
    once = world.client.submit(story_tasks.until_there, trace, "once", go)
    saving = world.client.submit(story_tasks.saves_when_there, trace, "saving", go)
    world.wait_for("retried", "once", "saving 1")

    world.halt(sleeper)
    other = world.worker(processes=3, lease=1)
    once.wait(20)
    world.wait_for("saving 2")
    until(lambda: world.lines().count("retried") == 2, "the other worker runs what was retried")
    world.touch()
    assert (retried.result(), saving.result()) == ("retried", 2)
    # The first worker's children ran on: they have ended as well, and nobody knows of it yet.
    until(lambda: world.lines().count("retried ended") == 2, "the late ones end")
    world.wait_for("once ended", "saving 1 saves")
    until(lambda: all(map(is_at_rest, sleeper.family())), "they have said so")
    assert world.refused() == 0

    sleeper.signal(signal.SIGCONT)
    sleeper.wait_until_started(times=2)
    assert world.refused() == 3, sleeper.said  # two outcomes and a cursor; who asked for the cursor is killed, not answered
    assert "refused" in sleeper.said
    assert world.instances() == 3
    assert outcomes(retried.work_items()[0]) == ["LOST", "SUCCEEDED"]
    assert outcomes(saving.work_items()[0]) == ["LOST", "SUCCEEDED"]
    assert outcomes(once.work_items()[0]) == ["LOST"]
    assert once.refresh().status is JobStatus.FAILURE
    assert other.stop() == 0
    assert world.client.submit(story_tasks.add, 1, 2).result() == 3
    assert sleeper.stop() == 0
    world.check()


def test_a_worker_that_stood_still_while_nobody_else_was_there_goes_on(world: World) -> None:
    worker = world.worker(lease=1)
    job = world.client.submit(story_tasks.until_there, world.path(), "a", world.path("go"))
    world.wait_for("a")
    world.halt(worker)
    world.touch()
    world.wait_for("a ended")
    worker.signal(signal.SIGCONT)
    assert job.result() == "a"
    assert world.instances() == 1


def test_two_workers_share_the_work_of_one_store(world: World) -> None:
    workers = [world.worker(processes=1), world.worker(processes=1)]
    jobs = [world.client.submit(story_tasks.until_there, world.path(), key, world.path("go")) for key in ("a", "b")]
    world.wait_for("a", "b")
    assert len({job.work_items()[0].worker for job in jobs}) == 2
    world.touch()
    assert [job.result() for job in jobs] == ["a", "b"]
    assert [each.stop() for each in workers] == [0, 0]
    world.check()


def test_a_killed_worker_s_work_goes_on_in_the_one_beside_it(world: World) -> None:
    first = world.worker(processes=1, lease=30)
    job = world.client.submit(story_tasks.until_there_again, world.path(), "a", world.path("go"))
    world.wait_for("a")
    world.worker(processes=1, lease=30)
    first.kill()
    until(lambda: world.lines().count("a") == 2, "the other worker runs it", timeout=5)
    world.touch()
    assert job.result() == "a"
    assert outcomes(job.work_items()[0]) == ["LOST", "SUCCEEDED"]


def test_without_retries_a_lost_worker_s_item_fails_and_says_that_the_outcome_is_unknown(world: World) -> None:
    first = world.worker()
    job = world.client.submit(story_tasks.until_there, world.path(), "a", world.path("go"))
    world.wait_for("a")
    first.kill()
    world.worker()
    item = job.wait(20).work_items()[0]
    assert item.status is JobStatus.FAILURE
    assert item.reason is Reason.OUTCOME_UNKNOWN
    assert "unknown" in str(job.error_message)
    assert item.failure_class is FailureClass.INFRASTRUCTURE
    assert world.lines() == ["a"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_lets_what_runs_end_and_starts_nothing_more(world: World, number: signal.Signals) -> None:
    worker = world.worker(processes=1)
    running = world.client.submit(story_tasks.until_there, world.path(), "a", world.path("go"))
    world.wait_for("a")
    waiting = world.client.submit(story_tasks.once, world.path(), "b")
    worker.signal(number)
    until(lambda: "draining" in worker.said, "it drains")
    world.touch()
    assert worker.wait() == 0
    assert running.refresh().status is JobStatus.SUCCESS
    assert waiting.refresh().status is JobStatus.PENDING
    assert world.lines() == ["a", "a ended"]
    assert not world.processes()
    world.check()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_hands_the_work_back(world: World, number: signal.Signals) -> None:
    worker = world.worker()
    once = world.client.submit(story_tasks.until_there, world.path(), "once", world.path("go"))
    again = world.client.submit(story_tasks.until_there_again, world.path(), "again", world.path("go"))
    world.wait_for("once", "again")
    worker.signal(number)
    until(lambda: "draining" in worker.said, "it drains")
    worker.signal(number)
    assert worker.wait() == 0
    assert not world.processes()

    item = again.work_items()[0]
    assert item.status is JobStatus.RETRY
    (attempt,) = item.attempts()
    assert (attempt.outcome, attempt.failure_class, attempt.charged) == ("INTERRUPTED", FailureClass.INFRASTRUCTURE, True)
    failed = once.refresh().work_items()[0]
    assert (failed.status, failed.reason) == (JobStatus.FAILURE, Reason.OUTCOME_UNKNOWN)
    assert "unknown" in str(failed.error_message)

    world.touch()
    world.worker()
    assert again.result() == "again"
    world.check()


def test_what_a_task_submits_is_stored_whole_however_much_it_is(world: World) -> None:
    worker = world.worker(lease=1)
    inner = world.client.job(world.client.submit(story_tasks.submits_many, 12_000).result())
    assert inner.counts.total == 12_000
    assert inner.label == "Waiting (scheduled, due in 60 minutes)", "and not being submitted"
    assert world.instances() == 1, worker.said
    world.check()
