"""A job as its submitter holds it."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path

import client_tasks
import pytest

from mulligan import JobStatus
from mulligan.client.client import Client
from mulligan.core.errors import NotFound, RunIdConflict, TaskFailed, WaitTimeout
from mulligan.core.job import Counts, FailureClass


def test_a_result_comes_back_as_what_the_task_returns(client: Client) -> None:
    job = client.submit(client_tasks.report, date(2024, 3, 7), 5)
    assert job.result() == client_tasks.Report(date(2024, 3, 7), 5)
    assert client.job(job.id).result() == {"day": "2024-03-07", "rows": 5}, "without the task at hand it is plain JSON"


def test_results_are_in_the_order_of_the_items(client: Client) -> None:
    assert client.map(client_tasks.add, range(30), args={"b": 100}).results() == list(range(100, 130))


def test_a_job_of_no_items_has_succeeded(client: Client) -> None:
    job = client.map(client_tasks.add, [], args={"b": 1})
    assert (job.wait(5).status, job.results(), job.progress) == (JobStatus.SUCCESS, [], 100.0)


def test_waiting_for_a_failed_job_returns_it_and_asking_for_its_result_raises(client: Client) -> None:
    job = client.submit(client_tasks.even_only, 3)
    assert job.wait(20) is job
    assert (job.status, job.label, job.error_message) == (JobStatus.FAILURE, "Failed", "3 is odd")
    with pytest.raises(TaskFailed, match="3 is odd") as raised:
        job.result()
    assert raised.value.item_id == f"{job.id}-0"
    assert raised.value.failure_class == FailureClass.PERMANENT
    assert str(raised.value.error_type).endswith("PermanentError")


def test_results_can_hold_the_failures_in_their_places(client: Client) -> None:
    job = client.map(client_tasks.even_only, range(4))
    first, second, third, fourth = job.results(return_exceptions=True)
    assert (first, third) == (0, 2)
    assert isinstance(second, TaskFailed)
    assert isinstance(fourth, TaskFailed)
    with pytest.raises(TaskFailed, match="1 is odd"):
        job.results()
    assert job.counts == Counts(success=2, failure=2)
    assert job.progress == 100.0
    assert job.error_message == "1 is odd"


def test_a_job_shows_what_it_was_when_it_was_last_read(client: Client) -> None:
    job = client.submit(client_tasks.add.options(delay=3600), 1, 2)
    client.job(job.id).cancel()
    assert job.status is JobStatus.PENDING
    assert job.refresh().status is JobStatus.REVOKED


def test_waiting_ends_when_the_time_is_over(client: Client) -> None:
    job = client.submit(client_tasks.add.options(delay=3600), 1, 2)
    for timeout in (0, 0.05):
        with pytest.raises(WaitTimeout, match=f"job {job.id} has not ended yet"):
            job.wait(timeout)
    assert job.status is JobStatus.PENDING
    assert job.work_items()[0].label == job.label == "Waiting (scheduled, due in 60 minutes)"
    job.cancel()


def test_whoever_waits_is_warned_when_no_worker_knows_the_task(alone: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mulligan.client.job.NO_WORKER_S", 0.0)
    job = alone.submit(client_tasks.add, 1, 2)
    assert job.label == "Waiting (no capable worker)"
    with pytest.warns(UserWarning, match=r"no worker knows task 'add': start one") as caught, pytest.raises(WaitTimeout):
        job.wait(0.1)
    assert len(caught) == 1, "once is enough"
    assert caught[0].filename == __file__, "it points at the line that waits"


def test_nobody_is_warned_while_a_worker_is_there(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mulligan.client.job.NO_WORKER_S", 0.0)
    job = client.submit(client_tasks.add.options(delay=3600), 1, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(WaitTimeout):
            job.wait(0.1)
    job.cancel()


def test_what_will_be_tried_again_says_when(client: Client) -> None:
    job = client.submit(client_tasks.fails_for_minutes, "the lake is dry")
    item = _until_retry(client, job.id)
    assert item.label == "Retrying (in 5 minutes)"
    assert job.refresh().status is JobStatus.RETRY
    assert job.label == "Retrying (in 5 minutes)"
    assert item.error_message == "the lake is dry"
    assert item.due_at is not None
    (attempt,) = item.attempts()
    assert 299 <= (item.due_at - attempt.ended_at).total_seconds() <= 301
    assert (attempt.decision, attempt.charged) == ("will_retry", True)
    job.cancel()


def _until(so: Callable[[], bool]) -> None:
    pause = threading.Event()
    assert any(so() or pause.wait(0.01) for _ in range(2000))


def test_the_progress_of_a_single_item_is_what_it_tells(client: Client, tmp_path: Path) -> None:
    job = client.submit(client_tasks.half_way, str(tmp_path / "go"))
    _until((tmp_path / "go.started").exists)
    assert client.submit(client_tasks.add, 1, 2).result() == 3, "what else ends in the same worker takes nothing away of it"
    try:
        _until(lambda: job.refresh().progress == 50.0)
        assert job.status is JobStatus.STARTED
    finally:
        (tmp_path / "go").touch()
    assert job.wait(20).progress == 100.0


def test_a_progress_bar_can_be_drawn_while_waiting(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    job = client.map(client_tasks.add, range(5), args={"b": 1}).wait(20, progress="always")
    drawn = capsys.readouterr()
    assert f"job {job.id} Success" in drawn.err
    assert drawn.out == ""


def test_no_bar_is_drawn_where_there_is_no_terminal(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert client.submit(client_tasks.add, 1, 2).wait(20, progress=True).status is JobStatus.SUCCESS
    assert capsys.readouterr() == ("", "")


def test_one_result_of_many_cannot_be_asked_for(client: Client) -> None:
    with pytest.raises(NotFound, match="2 work items, not one: use results"):
        client.map(client_tasks.add, range(2), args={"b": 1}).result()


def test_one_run_id_and_one_input_are_one_job(client: Client) -> None:
    first = client.submit(client_tasks.add.options(run_id="nightly"), 1, 2)
    assert first.result() == 3
    again = client.submit(client_tasks.add.options(run_id="nightly"), 1, 2)
    assert (again.id, again.run_id, again.status) == (first.id, "nightly", JobStatus.SUCCESS)
    with pytest.raises(RunIdConflict, match="given other input"):
        client.submit(client_tasks.add.options(run_id="nightly"), 1, 3)


def test_a_client_may_be_used_by_many_threads(client: Client) -> None:
    results = {}

    def work(number: int) -> None:
        results[number] = client.submit(client_tasks.add, number, 1).result()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert results == {number: number + 1 for number in range(8)}


def _until_retry(client: Client, job: str):  # type: ignore[no-untyped-def]  # a WorkItem
    pause = threading.Event()
    for _ in range(2000):
        item = client.work_item(f"{job}-0")
        if item.status is JobStatus.RETRY:
            return item
        pause.wait(0.01)
    raise AssertionError(f"it was never to be retried: {item.explain()}")
