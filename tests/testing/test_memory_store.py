"""A store in memory and a worker in this process, until nothing is left to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kit_tasks import asynchronous, calling_in_threads, did, ingest, nightly, once, parent, snoozing, windowed, wrong

from mulligan import JobStatus
from mulligan.core.errors import ConfigError, MulliganError, TaskError
from mulligan.sdk.ports import AMBIENT
from mulligan.testing import MemoryStore, store


@pytest.fixture
def kept() -> Iterator[MemoryStore]:
    with store() as made:
        yield made
        assert made.verify() == []


def test_jobs_run_to_their_end_on_the_schedule_of_their_policy(kept: MemoryStore) -> None:
    job = ingest.submit("a.csv")
    kept.fail(ingest, "503*2,timeout")
    assert kept.run_until_quiet(ingest) == 4
    item = job.work_items()[0]
    began = [each.claimed_at for each in item.attempts()]
    assert [(each - began[0]).total_seconds() for each in began] == [0, 300, 675, 1125]
    assert job.refresh().result() == 3
    assert did.count("download a.csv") == 1


def test_work_items_and_windows_and_coroutines_run_too(kept: MemoryStore) -> None:
    days = windowed.backfill("2024-01-01", "2024-01-04")
    names = asynchronous.map(["a", "b"])
    kept.run_until_quiet(windowed, asynchronous)
    assert days.results() == [f"2024-01-0{n} 2024-01-0{n}" for n in (1, 2, 3)]
    assert names.results() == ["A", "B"]


def test_what_a_task_submits_is_run_as_well(kept: MemoryStore) -> None:
    job = parent.submit(3)
    assert kept.run_until_quiet(parent, once) == 4
    children = kept.client.jobs(task="once")
    assert [each.status for each in children] == [JobStatus.SUCCESS]
    assert job.result() == children[0].run_id
    assert did == ["once 0", "once 1", "once 2"]


def test_failures_retries_and_recoveries_are_those_of_a_real_store(kept: MemoryStore) -> None:
    job = ingest.submit("a.csv")
    kept.fail(ingest, [None, "permanent"][1:])
    kept.run_until_quiet(ingest)
    assert job.refresh().status is JobStatus.FAILURE
    assert job.retry() == 1
    kept.run_until_quiet(ingest)
    assert job.refresh().status is JobStatus.SUCCESS
    failed = wrong.submit()
    kept.run_until_quiet(wrong)
    assert failed.refresh().error_message == "bad value"


def test_snoozes_and_timeouts_pass_their_time(kept: MemoryStore) -> None:
    before = kept.clock.now_ms()
    snoozing.submit()
    kept.run_until_quiet(snoozing)
    assert kept.clock.now_ms() - before == 1_200_000
    late = nightly.submit()
    kept.fail(nightly, "timeout")
    kept.run_until_quiet(nightly)
    first = late.work_items()[0].attempts()[0]
    assert ((first.ended_at - first.claimed_at).total_seconds(), first.failure_class) == (900.0, "TIMEOUT")


def test_what_is_not_named_or_paused_stays_where_it_is(kept: MemoryStore) -> None:
    job, other = once.submit(), nightly.submit()
    kept.run_until_quiet(nightly)
    kept.client.pause("nightly")
    held = nightly.submit()
    kept.run_until_quiet(nightly)
    assert [each.refresh().status for each in (job, other, held)] == [
        JobStatus.PENDING,
        JobStatus.SUCCESS,
        JobStatus.PENDING,
    ]


def test_a_cancelled_job_is_not_run(kept: MemoryStore) -> None:
    job = once.map([1, 2])
    job.cancel()
    assert kept.run_until_quiet(once) == 0
    assert job.refresh().status is JobStatus.REVOKED


def test_what_is_retried_for_ever_is_told_of(kept: MemoryStore) -> None:
    job = once.map(range(5))
    with pytest.raises(MulliganError, match="still something to do"):
        kept.run_until_quiet(once, most=3)
    with pytest.raises(ConfigError, match="name the tasks"):
        kept.run_until_quiet()
    with pytest.raises(TaskError):
        kept.run_until_quiet(print)  # type: ignore[arg-type]
    assert kept.run_until_quiet(once) == 2
    assert job.refresh().status is JobStatus.SUCCESS
    assert len(did) == 5


def test_a_call_in_a_thread_of_an_attempt_is_plain_as_in_a_worker(kept: MemoryStore, tmp_path: Path) -> None:
    counted = tmp_path / "counted"
    job = calling_in_threads.submit(str(counted))
    kept.run_until_quiet(calling_in_threads)
    assert job.result() == "ConnectionResetError"
    assert counted.read_text("utf-8") == "called\n"


def test_submissions_go_where_they_went_before_once_it_is_closed() -> None:
    before, rules = AMBIENT.factory, AMBIENT.rules
    with store() as made:
        assert AMBIENT.factory is not before
        once.submit()
        made.run_until_quiet(once)
    assert (AMBIENT.factory, AMBIENT.rules) == (before, rules)
