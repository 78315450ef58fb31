"""Bulk operations as users of Python and of the command line hold them, on a store that no worker or server looks after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from client_tasks import add

from mulligan.client.client import Client, connect
from mulligan.client.operation import Operation
from mulligan.core.bulk import BulkState
from mulligan.core.errors import ArgumentsInvalid, ConfigError, MoreMatch, NotFound, WaitTimeout
from mulligan.core.job import JobStatus
from mulligan.engine.bulk_pages import BulkPlan


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with connect(f"sqlite:///{tmp_path / 'runs.db'}", synchronous="NORMAL") as made:
        yield made


def cancelled(client: Client, count: int = 50) -> str:
    job = client.map(add, range(count), args={"b": 1})
    assert job.cancel() == count
    return job.id


def test_whoever_waits_for_an_operation_does_it_where_nobody_else_does(client: Client) -> None:
    job = cancelled(client)
    made = client.bulk("retry", type="restart", reason="wanted after all", task="add")
    assert isinstance(made, Operation)
    assert (made.state, made.matched, made.done, made.filters) == (BulkState.RUNNING, 50, 0, {"task": "add"})
    assert made.wait("20s") is made
    assert (made.state, made.done, dict(made.skipped), made.progress) == (BulkState.DONE, 50, {}, 100)
    assert {each.status for each in client.work_items(job=job)} == {JobStatus.PENDING}
    assert [each.id for each in client.operations()] == [made.id]
    assert client.operation(made.id).action == "retry"
    assert repr(made) == f"<operation {made.id} restart add: DONE, 50 of 50 done>"


def test_a_plan_says_what_would_be_done_and_does_nothing(client: Client) -> None:
    cancelled(client)
    plan = client.bulk("retry", dry_run=True, task="add")
    assert isinstance(plan, BulkPlan)
    assert (plan.matched, plan.plan.total, plan.statuses) == (50, 50, {"REVOKED": 50})
    assert client.operations() == []


def test_an_operation_that_is_aborted_does_no_more_and_waiting_for_it_ends(client: Client) -> None:
    job = cancelled(client)
    made = client.bulk("retry", job=job).abort("the wrong ones")
    assert made.wait().state is BulkState.ABORTED
    assert {each.generation for each in client.work_items(job=job)} == {1}


def test_waiting_ends_after_its_time(tmp_path: Path) -> None:
    with connect(f"sqlite:///{tmp_path / 'slow.db'}", bulk_rate=1) as client:
        cancelled(client)
        with pytest.raises(WaitTimeout, match="has not ended yet: RUNNING"):
            client.bulk("retry", task="add").wait(0)


def test_what_makes_no_sense_is_refused(client: Client) -> None:
    job = cancelled(client)
    for action, more, error, says in (
        ("again", {"job": job}, ArgumentsInvalid, "action: expected one of retry, retry-now, cancel, overwrite"),
        ("retry", {"job": job, "type": "repeat"}, ArgumentsInvalid, "type: expected 'recover' or 'restart'"),
        ("retry", {}, ConfigError, "at least one filter"),
        ("retry", {"job": job, "expected": 49}, MoreMatch, "over 49 work items match"),
        ("retry", {"job": job, "expected": -1}, ArgumentsInvalid, "expected: expected a whole number"),
        ("retry", {"job": job, "dry_run": "yes"}, ArgumentsInvalid, "dry_run"),
    ):
        with pytest.raises(error, match=says):
            client.bulk(action, **more)  # type: ignore[arg-type]
    assert client.operations() == []
    for id in ("x", "7", -1):  # noqa: A001 - its name everywhere
        with pytest.raises(NotFound, match="there is no operation"):
            client.operation(id)


def command(capfd: pytest.CaptureFixture[str], client: Client, *arguments: str) -> tuple[int, str]:
    """Run the command line in this process; returns its exit code and what it said."""
    from mulligan.cli.main import main

    code = main([*arguments, "--database", client.services.settings.database])
    said = capfd.readouterr()
    return code, said.out + said.err


def test_the_command_line_plans_begins_follows_shows_and_aborts(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    job = cancelled(client)
    code, said = command(capfd, client, "bulk", "retry", "--job", job, "--dry-run")
    assert (code, "50 work items match: 50 REVOKED." in said, "50 work items would be retried." in said) == (0, True, True)
    code, said = command(capfd, client, "bulk", "retry", "--job", job, "--expect", "3")
    assert (code, "more_match" in said) == (1, True)
    code, said = command(capfd, client, "bulk", "retry", "--job", job, "--reason", "after all")
    assert (code, "Operation 2, recover: RUNNING, 0 %." in said) == (0, True)
    code, said = command(capfd, client, "operations", "abort", "2")
    assert (code, "ABORTED" in said) == (0, True)
    assert command(capfd, client, "operations", "abort", "2")[0] == 1
    code, said = command(capfd, client, "bulk", "retry", "--task", "add", "--follow", "--json")
    assert (code, json.loads(said)["state"], json.loads(said)["done"]) == (0, "DONE", 50)
    code, said = command(capfd, client, "operations", "show", "3")
    assert (code, "50 of 50 work items retried." in said, "For: task add" in said) == (0, True, True)
    code, said = command(capfd, client, "operations", "list")
    assert (code, [line.split()[0] for line in said.splitlines()]) == (0, ["ID", "3", "2"])
    assert command(capfd, client, "bulk", "retry", "--task", "add")[0] == 1, "nothing matches any more"
    assert command(capfd, client, "bulk", "retry")[0] == 2
