"""Tasks that take their process down: they end, and take neither the worker nor other work along."""

from __future__ import annotations

import pytest
import story_tasks
from story_harness import Trace, World, outcomes

from mulligan import JobStatus
from mulligan.core.job import FailureClass, Reason


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (story_tasks.kills_its_process, "SIGKILL"),
        (story_tasks.leaves_at_once, "exit code 7"),
        (story_tasks.reads_address_zero, "SIGSEGV"),
    ],
    ids=["SIGKILL", "exit", "segfault"],
)
def test_an_item_whose_process_dies_three_times_ends_as_poison(shared: World, trace: Trace, task: object, said: str) -> None:
    others = shared.client.map(story_tasks.again, [str(number) for number in range(20)], args={"file": trace.path("others")})
    job = shared.client.submit(task, trace.path())  # type: ignore[arg-type]  # any of them takes a file
    item = job.wait(20).work_items()[0]
    assert (item.status, item.reason) == (JobStatus.FAILURE, Reason.POISON)
    assert trace.lines() == ["started"] * 3
    assert outcomes(item) == ["FAILED"] * 3
    assert said in str(item.attempts()[0].error_message)
    assert others.results() == [str(number) for number in range(20)]
    assert shared.workers[0].said.count("worker started") == 1


def test_a_checkpoint_between_the_deaths_begins_the_count_anew(shared: World, trace: Trace) -> None:
    job = shared.client.submit(story_tasks.dies_after_each_checkpoint, trace.path())
    assert job.result() == 6
    assert trace.lines() == [f"attempt {number}" for number in range(1, 7)]


def test_without_retries_the_first_death_is_the_end_and_the_outcome_unknown(shared: World, trace: Trace) -> None:
    item = shared.client.submit(story_tasks.dies_once_for_all, trace.path()).wait(20).work_items()[0]
    assert (item.status, item.reason) == (JobStatus.FAILURE, Reason.OUTCOME_UNKNOWN)
    assert trace.lines() == ["started"]


def test_a_task_that_wants_more_memory_than_it_may_have_fails_alone(shared: World) -> None:
    item = shared.client.submit(story_tasks.wants_too_much).wait(20).work_items()[0]
    assert item.status is JobStatus.FAILURE
    assert item.attempts()[0].error_type == "out of memory"
    assert shared.client.submit(story_tasks.add, 1, 2).result() == 3


def test_neighbours_of_a_coroutine_that_had_to_be_killed_are_interrupted_and_run_again(shared: World, trace: Trace) -> None:
    neighbour = shared.client.submit(story_tasks.until_there_async, trace.path(), "neighbour", trace.path("go"))
    blocker = shared.client.submit(story_tasks.blocks_the_loop, trace.path(), "blocker")
    trace.wait_for("neighbour", "blocker")
    blocker.cancel()
    assert blocker.wait(20).status is JobStatus.REVOKED
    trace.touch()
    assert neighbour.result() == "neighbour"
    first = neighbour.work_items()[0].attempts()[0]
    assert (first.outcome, first.failure_class) == ("INTERRUPTED", FailureClass.INFRASTRUCTURE)
