"""Bulk operations as users of Python and of the command line hold them: on a store that nobody looks after, and on a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from client_tasks import add, even_only

from mulligan.client.client import Client, connect
from mulligan.client.operation import Operation
from mulligan.core.bulk import BulkState
from mulligan.core.errors import ArgumentsInvalid, ConfigError, MoreMatch, NotFound, WaitTimeout
from mulligan.core.job import JobStatus
from mulligan.engine.bulk_pages import BulkPlan


@pytest.fixture
def unattended(tmp_path: Path) -> Iterator[Client]:
    with connect(f"sqlite:///{tmp_path / 'runs.db'}", synchronous="NORMAL") as made:
        yield made


def test_an_operation_is_carried_out_wherever_it_was_asked_for(client: Client) -> None:
    job = client.map(even_only, [1, 3, 5]).wait(20)
    plan = client.bulk("retry", job=job.id, dry_run=True)
    assert isinstance(plan, BulkPlan)
    assert (plan.matched, plan.plan.total, plan.statuses, sum(plan.classes.values())) == (3, 3, {"FAILURE": 3}, 3)
    made = client.bulk("retry", type="restart", name="odd ones", reason="again", job=job.id, expected=3)
    assert isinstance(made, Operation)
    assert (made.matched, made.name, made.action) == (3, "odd ones", "retry")
    assert (made.wait(20).state, made.done, dict(made.skipped), made.progress) == (BulkState.DONE, 3, {}, 100)
    facts = client.operation(made.id).refresh().facts
    assert (facts.reason, facts.mode, facts.error) == ("again", "restart", None)
    assert facts.created_ms <= (facts.started_ms or 0) <= (facts.ended_ms or 0)
    assert made.id in [each.id for each in client.operations()]
    assert {each.generation for each in client.work_items(job=job.id)} == {2}


def cancelled(client: Client, count: int = 50) -> str:
    job = client.map(add, range(count), args={"b": 1})
    assert job.cancel() == count
    return job.id


def test_whoever_waits_for_an_operation_does_it_where_nobody_else_does(unattended: Client) -> None:
    job = cancelled(unattended)
    made = unattended.bulk("retry", type="restart", reason="wanted after all", task="add")
    assert isinstance(made, Operation)
    assert (made.state, made.matched, made.done, made.filters) == (BulkState.RUNNING, 50, 0, {"task": "add"})
    assert made.wait("20s") is made
    assert (made.state, made.done, dict(made.skipped), made.progress) == (BulkState.DONE, 50, {}, 100)
    assert {each.status for each in unattended.work_items(job=job)} == {JobStatus.PENDING}
    assert [each.id for each in unattended.operations()] == [made.id]
    assert unattended.operation(made.id).action == "retry"
    assert repr(made) == f"<operation {made.id} restart add: DONE, 50 of 50 done>"


def test_a_plan_says_what_would_be_done_and_does_nothing(alone: Client) -> None:
    cancelled(alone)
    plan = alone.bulk("retry", dry_run=True, task="add")
    assert isinstance(plan, BulkPlan)
    assert (plan.matched, plan.plan.total, plan.statuses) == (50, 50, {"REVOKED": 50})
    assert alone.operations() == []


def test_an_operation_that_is_aborted_does_no_more_and_waiting_for_it_ends(alone: Client) -> None:
    job = cancelled(alone)
    made = alone.bulk("retry", job=job).abort("the wrong ones")
    assert made.wait().state is BulkState.ABORTED
    assert {each.generation for each in alone.work_items(job=job)} == {1}


def test_waiting_ends_after_its_time(tmp_path: Path) -> None:
    with connect(f"sqlite:///{tmp_path / 'slow.db'}", bulk_rate=1) as client:
        cancelled(client)
        with pytest.raises(WaitTimeout, match="has not ended yet: RUNNING"):
            client.bulk("retry", task="add").wait(0)


def test_what_makes_no_sense_is_refused(alone: Client) -> None:
    job = cancelled(alone)
    for action, more, error, says in (
        ("again", {"job": job}, ArgumentsInvalid, "action: expected one of retry, retry-now, cancel, overwrite"),
        ("retry", {"job": job, "type": "repeat"}, ArgumentsInvalid, "type: expected 'recover' or 'restart'"),
        ("retry", {}, ConfigError, "at least one filter"),
        ("retry", {"job": job, "expected": 49}, MoreMatch, "over 49 work items match"),
        ("retry", {"job": job, "expected": -1}, ArgumentsInvalid, "expected: expected a whole number"),
        ("retry", {"job": job, "dry_run": "yes"}, ArgumentsInvalid, "dry_run"),
    ):
        with pytest.raises(error, match=says):
            alone.bulk(action, **more)  # type: ignore[arg-type]
    assert alone.operations() == []
    for id in ("x", "7", -1):  # noqa: A001 - its name everywhere
        with pytest.raises(NotFound, match="there is no operation"):
            alone.operation(id)


def command(capfd: pytest.CaptureFixture[str], client: Client, *arguments: str) -> tuple[int, str]:
    """Run the command line in this process; returns its exit code and what it said."""
    from mulligan.cli.main import main

    code = main([*arguments, "--database", client.services.settings.database])
    said = capfd.readouterr()
    return code, said.out + said.err


def test_the_command_line_plans_begins_follows_shows_and_aborts(unattended: Client, capfd: pytest.CaptureFixture[str]) -> None:
    job = cancelled(unattended)
    code, said = command(capfd, unattended, "bulk", "retry", "--job", job, "--dry-run")
    assert (code, "50 work items match: 50 REVOKED." in said, "50 work items would be retried." in said) == (0, True, True)
    code, said = command(capfd, unattended, "bulk", "retry", "--job", job, "--expect", "3")
    assert (code, "more_match" in said) == (1, True)
    code, said = command(capfd, unattended, "bulk", "retry", "--job", job, "--reason", "after all")
    assert (code, "Operation 2, recover: RUNNING, 0 %." in said) == (0, True)
    code, said = command(capfd, unattended, "operations", "abort", "2")
    assert (code, "ABORTED" in said) == (0, True)
    assert command(capfd, unattended, "operations", "abort", "2")[0] == 1
    code, said = command(capfd, unattended, "bulk", "retry", "--task", "add", "--follow", "--json")
    assert (code, json.loads(said)["state"], json.loads(said)["done"]) == (0, "DONE", 50)
    code, said = command(capfd, unattended, "operations", "show", "3")
    assert (code, "50 of 50 work items retried." in said, "For: task add" in said) == (0, True, True)
    code, said = command(capfd, unattended, "operations", "list")
    assert (code, [line.split()[0] for line in said.splitlines()]) == (0, ["ID", "3", "2"])
    assert command(capfd, unattended, "bulk", "retry", "--task", "add")[0] == 1, "nothing matches any more"
    assert command(capfd, unattended, "bulk", "retry")[0] == 2
