"""What users see of a job whose details retention has removed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import client_tasks
import pytest

from mulligan import JobStatus
from mulligan.client.client import Client, connect
from mulligan.core.errors import NotFound, RunIdConflict
from mulligan.testing.clock import VirtualClock
from mulligan.testing.harness import KEEP_S, Harness


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Harness]:
    """Somebody else on the same store, who works and removes as told."""
    with Harness(str(tmp_path / "store.db"), VirtualClock(time.time_ns() // 1_000_000)) as made:
        yield made


@pytest.fixture
def mine(beside: Harness, tmp_path: Path) -> Iterator[Client]:
    with connect(f"sqlite:///{tmp_path / 'store.db'}") as made:
        yield made


def test_a_removed_job_whose_run_id_was_given_shows_how_it_ended_and_says_that_its_details_are_gone(
    mine: Client, beside: Harness
) -> None:
    job = mine.map(client_tasks.even_only.options(run_id="evens"), range(2))
    beside.clock.pass_(5)
    worker = beside.worker(client_tasks.even_only.definition())
    one, two = worker.claim(2)
    worker.succeed(one, "0")
    worker.fail(two)
    item = job.refresh().work_items()[0]
    beside.clock.pass_(KEEP_S + 1)
    beside.retention.run_once()

    again = mine.job(job.id)
    assert (again.status, again.counts.total, again.progress) == (JobStatus.FAILURE, 2, 100.0)
    assert mine.jobs(run_id="evens")[0].wait(5).id == job.id
    said = rf"^the details of job {job.id} were removed on \d\d\d\d-\d\d-\d\d by retention$"
    assert again.error_message is not None
    asked = [
        again.results, again.result, again.work_items, item.refresh, item.attempts, item.logs, item.explain, item.retry,
        item.overwrite, again.retry, again.overwrite, lambda: list(mine.work_items(job=job.id)), lambda: mine.retry(job=job.id),
        lambda: mine.work_item(f"{job.id}-1"),
    ]  # fmt: skip
    for ask in asked:
        with pytest.raises(NotFound, match=said):
            ask()

    assert mine.map(client_tasks.even_only.options(run_id="evens"), range(2)).id == job.id
    with pytest.raises(RunIdConflict):
        mine.map(client_tasks.even_only.options(run_id="evens"), range(3))


def test_a_removed_job_with_a_run_id_of_ours_was_never_there(mine: Client, beside: Harness) -> None:
    job = mine.submit(client_tasks.even_only, 2)
    beside.clock.pass_(5)
    worker = beside.worker(client_tasks.even_only.definition())
    worker.succeed(worker.take(), "2")
    assert job.result() == 2
    beside.clock.pass_(KEEP_S + 1)
    beside.retention.run_once()
    for ask in (lambda: mine.job(job.id), job.refresh, job.work_items, job.retry):
        with pytest.raises(NotFound, match=rf"job {job.id}"):
            ask()
    assert mine.jobs() == []
