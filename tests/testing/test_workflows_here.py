"""Workflows without a worker: on a store in memory under a clock that nobody waits for, and called here and now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from kit_tasks import asynchronous, calls_missing, did, outermost, part, whole, whole_async

from mulligan import JobStatus, TaskFailed
from mulligan.testing import MemoryStore, store


@pytest.fixture
def kept() -> Iterator[MemoryStore]:
    with store() as made:
        yield made
        assert made.verify() == []


def test_the_calls_of_a_workflow_are_retried_to_the_second_while_it_waits(kept: MemoryStore) -> None:
    job = whole.submit(1)
    kept.fail(part, "503*5")
    kept.run_until_quiet(whole, part)
    assert job.result() == 100
    call = job.work_items()[0].calls()[0]
    began = [each.claimed_at for each in call.attempts()]
    assert [(each - began[0]).total_seconds() for each in began] == [0, 300, 675, 1125, 1650, 2250]


def test_a_workflow_whose_call_failed_for_good_is_retried_with_that_call_alone(kept: MemoryStore) -> None:
    job = whole.submit(1)
    kept.fail(part, "ok,503*6,ok")
    kept.run_until_quiet(whole, part)
    assert job.wait(1).result() == 100
    assert len(job.work_items()[0].attempts()) == 2
    assert did == ["part 0", "part 100"]


def test_calls_that_failed_beside_each_other_are_all_retried_with_their_workflow(kept: MemoryStore) -> None:
    job = whole.submit(2)
    kept.fail(part, "permanent,permanent,ok")
    kept.run_until_quiet(whole, part)
    assert job.wait(1).status is JobStatus.FAILURE
    assert job.retry() == 1
    kept.run_until_quiet(whole, part)
    assert job.wait(1).result() == 101
    assert sorted(did) == ["part 0", "part 1", "part 100"]


def test_a_workflow_that_another_one_calls_is_retried_by_its_own_policy(kept: MemoryStore) -> None:
    job = outermost.submit(1)
    kept.fail(part, "503*6,ok")
    kept.run_until_quiet(outermost, whole, part)
    assert job.result() == 101
    inner = job.work_items()[0].calls()[0]
    assert [str(each.outcome) for each in inner.attempts()] == ["FAILED", "SUCCEEDED"]


def test_an_async_workflow_runs_in_memory_too(kept: MemoryStore) -> None:
    job = whole_async.submit(3)
    kept.run_until_quiet(whole_async, asynchronous)
    assert job.result() == ["0", "1", "2"]


def test_what_waits_for_a_task_that_nobody_runs_is_handed_back(kept: MemoryStore) -> None:
    job = whole.submit(1)
    kept.run_until_quiet(whole)
    assert job.refresh().status is JobStatus.PENDING
    kept.run_until_quiet(whole, part)
    assert job.result() == 100


def test_a_workflow_that_is_called_runs_here_with_all_that_it_calls() -> None:
    assert whole(3) == 103
    assert sorted(did) == ["part 0", "part 1", "part 100", "part 2"]
    assert asyncio.run(whole_async(2)) == ["0", "1"]


def test_a_call_that_fails_here_raises_in_the_body_as_it_would_in_a_job() -> None:
    with pytest.raises(TaskFailed, match="not written yet"):
        calls_missing()
