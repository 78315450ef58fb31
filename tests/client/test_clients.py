"""A client: where it connects to, what it finds, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import client_tasks
import pytest

from mulligan import JobStatus
from mulligan.client.client import Client, connect
from mulligan.core.errors import (
    ArgumentsInvalid,
    ConfigError,
    NotFound,
    StoreError,
    StoreForeign,
    UnknownTask,
)

SCRIPT = """
from mulligan import connect, task
from mulligan.sdk.loading import load
import threading

@task
def double(number: int) -> int:
    return 2 * number

if __name__ == "__main__":
    job = double.submit(21)
    client = connect()
    worker = client.services.make_worker(load([__file__]), [__file__])
    running = threading.Thread(target=worker.run)
    running.start()
    print(job.result())
    worker.stop()
    running.join()
"""


@pytest.mark.parametrize("id", ["999999", 999999, "none", "", "1-0", "-1", "1e3", "\u00b2", "9" * 30])
def test_a_job_that_does_not_exist_is_not_found_and_never_pending(client: Client, id: str | int) -> None:
    with pytest.raises(NotFound, match="there is no job"):
        client.job(id)


@pytest.mark.parametrize("id", ["999999-0", "1", "1-", "-1-0", "1-0-0", "x-y", "1-999999", "1-" + "9" * 30])
def test_a_work_item_that_does_not_exist_is_not_found(client: Client, id: str) -> None:
    for ask in (client.work_item, client.explain):
        with pytest.raises(NotFound, match="there is no work item"):
            ask(id)


def test_a_job_that_does_not_exist_is_not_found_by_a_filter_either(client: Client) -> None:
    for ask in (client.cancel, client.retry, client.retry_now, client.overwrite):
        with pytest.raises(NotFound, match="there is no job 999999"):
            ask(job=999999)
    with pytest.raises(NotFound):
        list(client.work_items(job=999999))


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="missing does not exist: make it"):
        connect(f"sqlite:///{tmp_path / 'missing' / 'store.db'}")
    assert not (tmp_path / "missing").exists()


def test_a_file_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.db"
    file.write_text("these are notes " * 100)
    with pytest.raises(StoreForeign):
        connect(f"sqlite:///{file}")
    assert file.read_text() == "these are notes " * 100


@pytest.mark.parametrize("url", ["mysql://host/db", "store.db", "ftp://localhost:7878", "sqlite://"])
def test_what_is_no_store_is_refused_with_what_would_be(url: str) -> None:
    with pytest.raises(ConfigError, match="sqlite:///"):
        connect(url)


def test_a_task_can_be_submitted_by_its_published_name(client: Client) -> None:
    assert client.submit("add", a=1, b=2).result() == 3


def test_a_submit_is_in_the_audit_with_who_made_it(client: Client) -> None:
    single, many = client.submit(client_tasks.add, 1, 2), client.map(client_tasks.same, range(7))
    client.map(client_tasks.same.options(run_id="audited once"), [1])
    again = client.map(client_tasks.same.options(run_id="audited once"), [1])
    for job, found, count in ((single, "submit of add", 1), (many, "map of same", 7), (again, "map of same", 1)):
        (line,) = client.audit(f"job {job.id}")
        assert (line.action, line.found, line.changed) == ("submit", found, count)
        assert line.source in ("python", "rest")
        assert line.actor != "unknown"


def test_arguments_by_name_are_checked_without_the_task_s_code(client: Client) -> None:
    with pytest.raises(ArgumentsInvalid, match="by name"):
        client.submit("add", 1, 2)
    for wrong in ({"a": 1}, {"a": 1, "b": "two"}, {"a": 1, "b": 2, "c": 3}):
        with pytest.raises(ArgumentsInvalid, match="add"):
            client.submit("add", **wrong)


def test_an_unknown_name_is_refused_with_those_that_are_known(client: Client) -> None:
    with pytest.raises(UnknownTask, match=r"no task 'sub' is published .*known: add, ") as raised:
        client.submit("sub", a=1)
    assert "start a worker" in str(raised.value)


def test_arguments_of_the_wrong_type_are_refused_before_anything_is_stored(client: Client) -> None:
    before = client.jobs(limit=1)[0].id if client.jobs() else None
    with pytest.raises(ArgumentsInvalid):
        client.submit(client_tasks.add, 1, "two")  # type: ignore[arg-type]
    with pytest.raises(ArgumentsInvalid):
        client.map(client_tasks.add, [1, 2, "three"], args={"b": 1})
    assert (client.jobs(limit=1)[0].id if client.jobs() else None) == before


def test_jobs_are_found_by_what_they_are(client: Client) -> None:
    task = client_tasks.add.options(labels={"team": "ads"}, run_id="labelled")
    job = client.submit(task, 1, 2)
    job.wait(20)
    for filters in (
        {"run_id": "labelled"},
        {"label": ("team", "ads")},
        {"task": "add", "status": "SUCCESS", "run_id": "labelled"},
    ):
        assert [each.id for each in client.jobs(limit=1, **filters)] == [job.id]
    assert client.jobs(label=("team", "none")) == []
    assert job.labels == {"team": "ads"}


def test_work_items_are_found_by_what_happened_to_them(client: Client) -> None:
    job = client.map(client_tasks.even_only, range(5), key=lambda number: f"number {number}")
    job.wait(20)
    found = list(client.work_items(job=job.id, status="FAILURE"))
    assert [each.key for each in found] == ["number 1", "number 3"]
    assert [each.key for each in client.work_items(job=job.id, error="3 is odd")] == ["number 3"]
    assert [each.result for each in client.work_items(job=job.id, key="number 4")] == [4]
    assert len(list(client.work_items(job=job.id, status=["SUCCESS", "FAILURE"], failure_class="PERMANENT"))) == 2
    assert [each.args for each in job.work_items(key="number 2")] == [{"number": 2}]


def test_windows_are_found_by_time(client: Client) -> None:
    job = client.backfill(client_tasks.offline, "2031-01-01", "2031-01-06")
    assert job.results() == [f"2031-01-0{day}" for day in range(1, 6)]
    some = client.work_items(
        job=job.id, window_start=datetime(2031, 1, 2, tzinfo=UTC), window_end=datetime(2031, 1, 4, tzinfo=UTC)
    )
    assert [each.key for each in some] == ["2031-01-02", "2031-01-03"]
    window = job.work_items()[0].window
    assert window is not None
    assert window.start == datetime(2031, 1, 1, tzinfo=UTC)


def test_a_backfill_leaves_out_what_is_there(client: Client) -> None:
    client.backfill(client_tasks.offline, "2032-01-01", "2032-01-04").wait(20)
    more = client.backfill("offline", "2032-01-01", "2032-01-06")
    assert [each.key for each in more.work_items()] == ["2032-01-04", "2032-01-05"]
    assert more.wait(20).status is JobStatus.SUCCESS


def test_the_plan_of_a_backfill_says_what_is_missing_and_submits_nothing(client: Client) -> None:
    client.backfill(client_tasks.offline, "2035-01-01", "2035-01-03").wait(20)
    newest = client.jobs(limit=1)[0].id
    for task in (client_tasks.offline, "offline"):
        planned = client.plan_backfill(task, "2035-01-01", "2035-01-05")
        assert (planned, planned.skipped) == (2, {"succeeded before": 2})
        assert planned.examples == ["2035-01-03 (never submitted)", "2035-01-04 (never submitted)"]
    assert client.plan_backfill("offline", "2035-01-01", "2035-01-03", only="all") == 2
    assert client.jobs(limit=1)[0].id == newest


def test_of_a_window_only_the_newest_work_item_may_be_asked_for(client: Client) -> None:
    old = client.backfill(client_tasks.offline, "2036-01-01", "2036-01-03").wait(20)
    new = client.backfill(client_tasks.offline, "2036-01-01", "2036-01-02", only="all", accept_risk=True).wait(20)
    where = {"task": "offline", "window_start": "2036-01-01", "window_end": "2036-01-03"}
    assert [each.id for each in client.work_items(latest=True, **where)] == [f"{old.id}-1", f"{new.id}-0"]
    assert client.retry(latest=True, dry_run=True, **where) == 0
    assert len(list(client.work_items(latest=False, **where))) == 3


def test_a_filter_that_there_is_not_is_refused_with_those_that_there_are(client: Client) -> None:
    with pytest.raises(ArgumentsInvalid, match=r"there is no filter 'colour': use .*status"):
        list(client.work_items(colour="red"))
    with pytest.raises(ArgumentsInvalid, match="there is no filter"):
        client.jobs(colour="red")


@pytest.mark.parametrize("verb", ["cancel", "retry", "retry_now", "overwrite"])
def test_an_action_without_a_filter_is_refused_since_it_would_hit_everything(client: Client, verb: str) -> None:
    with pytest.raises(ConfigError, match="at least one filter"):
        getattr(client, verb)()


def test_text_that_no_database_can_hold_is_refused_in_our_words(client: Client) -> None:
    job = client.submit(client_tasks.even_only, 1)
    job.wait(20)
    for ask in (lambda text: job.retry(reason=text), lambda text: client.cancel(key=text), lambda text: client.retry(error=text)):
        with pytest.raises(ArgumentsInvalid, match="surrogate"):
            ask("half \ud800 a pair")
    assert job.refresh().status is JobStatus.FAILURE


def test_a_closed_client_says_so(tmp_path: Path) -> None:
    with connect(f"sqlite:///{tmp_path / 'store.db'}") as client:
        client.close()
    with pytest.raises(StoreError):
        client.jobs()


def test_a_script_can_submit_its_own_tasks(tmp_path: Path) -> None:
    file = tmp_path / "doubling.py"
    file.write_text(SCRIPT)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MULLIGAN_")}
    command = [sys.executable, str(file)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("42\n", 0), done.stderr
    assert (tmp_path / ".mulligan").is_dir()
