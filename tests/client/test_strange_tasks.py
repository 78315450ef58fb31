"""A strange task is its own failure, and nobody else's: the worker goes on."""

from __future__ import annotations

from pathlib import Path

import client_tasks
import pytest

from mulligan import JobStatus
from mulligan.client import Client
from mulligan.core.errors import ConfigError
from mulligan.core.job import Reason


def goes_on(client: Client) -> bool:
    return client.submit(client_tasks.add, 1, 2).wait(30).result() == 3


def test_more_rows_than_a_database_can_count_are_refused(client: Client) -> None:
    job = client.submit(client_tasks.claims_rows, 63).wait(30)
    assert job.status is JobStatus.FAILURE
    assert "rows must be a whole number" in (job.error_message or "")
    assert client.submit(client_tasks.claims_rows, 62).wait(30).status is JobStatus.SUCCESS
    assert goes_on(client)


def test_a_step_may_be_called_anything(client: Client) -> None:
    assert client.submit(client_tasks.steps_oddly).wait(30).result() == 1
    assert goes_on(client)


NO_FRAMES = ["1", "[]", "{}", "nonsense", '["x"]', "[null]", "[true]", "[99]"]
NEARLY_FRAMES = ["[0]", "[0, [], 1, 2]", "[9, {}]", "[7, 10]", "[9, {}, 1]"]


@pytest.mark.parametrize("line", NO_FRAMES + NEARLY_FRAMES)
def test_a_task_that_writes_to_its_workers_socket_fails_alone(client: Client, line: str) -> None:
    job = client.submit(client_tasks.writes_where_it_should_not, f"{line}\n").wait(60)
    assert job.status is JobStatus.FAILURE
    item = job.work_items()[0]
    assert [str(each.outcome) for each in item.attempts()] == ["FAILED"] * 3
    assert item.reason is Reason.POISON
    assert "wrote to the socket of the process" in (item.error_message or "")
    assert goes_on(client)


def test_concurrency_holds_for_all_items_of_a_task_together(client: Client, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    client.map(client_tasks.alone_at_a_time, range(6), args={"trace": str(trace)}).wait(60)
    lines = [line.split()[0] for line in trace.read_text().splitlines()]
    assert lines == ["start", "end"] * 6


@pytest.mark.parametrize("filters", [{}, {"job": None}, {"error": ""}, {"status": []}])
def test_an_empty_filter_never_means_everything(client: Client, filters: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="everything"):
        client.cancel(**filters)  # type: ignore[arg-type]
