"""What tasks write, and the strangest things that they can return or raise: all of it ends in something clear."""

from __future__ import annotations

import pytest
import story_tasks
from story_harness import Trace, World, until

from mulligan import JobStatus
from mulligan.core.errors import ArgumentsInvalid, ValueTooLarge


def test_what_a_running_task_writes_can_be_read_while_it_runs(shared: World, trace: Trace) -> None:
    job = shared.client.submit(story_tasks.talks, trace.path(), trace.path("go"))
    trace.wait_for("said")
    item = job.work_items()[0]
    wanted = ("on standard output", "on standard error", "below Python", "from a program")
    until(lambda: all(each in item.logs() for each in wanted), "all four lines are in the store")
    assert item.refresh().status is JobStatus.STARTED
    trace.touch()
    assert job.wait(20).status is JobStatus.SUCCESS


def test_of_too_much_output_the_beginning_and_the_end_are_kept(shared: World) -> None:
    item = shared.client.submit(story_tasks.talks_much).wait(30).work_items()[0]
    log = item.logs()
    assert log.startswith("line 0\nline 1\n")
    assert log.endswith("line 99999\n")
    assert len(log.encode()) < 1_100_000
    assert len(log) < sum(len(f"line {number}\n") for number in range(100_000))
    assert "bytes left out" in log


def test_bytes_that_are_no_text_are_replaced(shared: World) -> None:
    log = shared.client.submit(story_tasks.talks_strangely).wait(20).work_items()[0].logs()
    assert "nul \ufffd and \ufffd\ufffd and then\n" in log
    assert "half \\ud800 a pair\n" in log


@pytest.mark.parametrize(
    ("how", "error_type", "said"),
    [
        ("unspeakable", "Unspeakable", "could not be read"),
        ("nul", "ValueError", "before\ufffdafter"),
        ("surrogate", "ValueError", "half \ufffd a pair"),
        ("huge", "ValueError", "50,000,000 characters"),
        ("exit", "exit 5", "5"),
        ("object", "ResultInvalid", "JSON"),
        ("nan", "ResultInvalid", "nan"),
        ("infinite", "ResultInvalid", "inf"),
        ("surrogate result", "ResultInvalid", "surrogate"),
        ("large", "ValueTooLarge", "256 KiB"),
    ],
)
def test_whatever_a_task_does_it_ends_in_a_clear_failure(shared: World, how: str, error_type: str, said: str) -> None:
    item = shared.client.submit(story_tasks.fails_strangely, how).wait(30).work_items()[0]
    assert item.status is JobStatus.FAILURE
    attempt = item.attempts()[0]
    assert error_type in str(attempt.error_type)
    assert said.lower() in str(attempt.error_message).lower()
    with shared.client.services.store.read() as session:
        (row,) = session.items.attempts(item.number)
    assert len(str(row.failure)) < 200_000
    assert item.explain()


@pytest.mark.parametrize("argument", ["nul \0", "half \ud800 a pair", "x" * 300_000], ids=["nul", "surrogate", "large"])
def test_arguments_that_cannot_travel_are_refused_before_anything_is_stored(shared: World, argument: str) -> None:
    before = len(shared.client.jobs())
    expected = ValueTooLarge if len(argument) > 1000 else ArgumentsInvalid
    try:
        job = shared.client.submit(story_tasks.fails_strangely, argument)
    except expected:
        assert len(shared.client.jobs()) == before
    else:  # JSON can hold a NUL, and so may an argument
        assert argument == "nul \0"
        assert job.result() == argument


def test_a_paused_task_starts_nothing_until_it_is_resumed(shared: World, trace: Trace) -> None:
    client = shared.client
    assert client.pause("once") is True
    try:
        assert client.pause("once") is False
        job = client.submit(story_tasks.once, trace.path(), "a")
        assert client.submit(story_tasks.add, 1, 2).result() == 3
        assert (job.refresh().status, job.label) == (JobStatus.PENDING, "Waiting (task once is paused)")
        assert trace.lines() == []
    finally:
        assert client.resume("once") is True
    assert job.result() == "a"
    assert client.resume("once") is False


def test_a_task_that_submits_does_so_once_however_often_it_is_retried(shared: World, trace: Trace) -> None:
    job = shared.client.submit(story_tasks.submits, trace.path())
    inner = shared.client.job(job.result())
    assert trace.lines() == ["attempt 1", "attempt 2", "attempt 3"]
    assert inner.result() == 5
    assert inner.run_id.startswith(job.work_items()[0].id)
    assert [each.id for each in shared.client.jobs(run_id=inner.run_id)] == [inner.id]
