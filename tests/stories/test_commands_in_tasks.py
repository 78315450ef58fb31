"""Programs that tasks run: what their exit codes mean, where their output goes, and how they are stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import command_tasks
import pytest
from story_harness import World, is_alive, processes_with, until

from mulligan import Job, JobStatus

TASKS = Path(command_tasks.__file__)


@pytest.fixture
def world(file_world: World) -> World:
    file_world.worker(TASKS)
    return file_world


def rules(job: Job[Any]) -> list[tuple[str | None, str | None]]:
    return [(each.failure_class, each.rule) for each in job.wait(20).work_items()[0].attempts()]


def sleepers(world: World) -> list[int]:
    """Return the programs that tasks run just now."""
    marked = processes_with(f"STORY={world.folder}\0")
    return [pid for pid in marked if is_alive(pid) and b"time.sleep(600)" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_an_exit_code_is_classified_by_the_call_then_the_task_then_the_rules(world: World) -> None:
    codes = (0, 75, 9, 44, 2, 69)
    jobs = [world.client.submit(command_tasks.ends_with, code) for code in codes]
    found = {code: rules(job) for code, job in zip(codes, jobs, strict=True)}
    assert found[0] == [(None, None)]
    assert found[75] == [("PERMANENT", "ctx.run:75")]
    assert found[9] == [("TRANSIENT", "ctx.run:9")] * 3
    assert found[44] == [("RATE_LIMITED", "task.classify:exit:44")] * 3
    assert found[2] == [("PERMANENT", "exit.permanent")]
    assert found[69] == [("TRANSIENT", "exit.transient")] * 3
    assert "ended with exit code 75:\nto stderr" in str(jobs[1].error_message)
    assert "class PERMANENT by rule ctx.run:75" in world.client.explain(f"{jobs[1].id}-0")


def test_its_output_is_its_result_and_in_the_log_of_the_attempt(world: World) -> None:
    job = world.client.submit(command_tasks.ends_with, 0)
    assert job.result() == "to stdout\n"
    assert sorted(job.work_items()[0].logs().split("\n")) == ["", "to stderr", "to stdout"]


def test_a_cancelled_attempt_ends_its_program_at_once_and_what_that_started_elsewhere(file_world: World) -> None:
    world = file_world
    world.worker(TASKS, grace=600)
    for task in (command_tasks.submits_elsewhere, command_tasks.awaits_long):
        job = world.client.submit(task, world.path(task.name))
        until(lambda job=job: "submitted" in job.work_items()[0].logs(), "the program runs")
        job.cancel()
        assert job.wait(20).status is JobStatus.REVOKED
        assert "job-77" in (world.folder / task.name).read_text()
        assert not sleepers(world)


def test_the_timeout_of_an_attempt_ends_its_program_too(world: World) -> None:
    job = world.client.submit(command_tasks.too_long, world.path("cancelled"))
    assert rules(job) == [("TIMEOUT", "kind.timeout")]
    until((world.folder / "cancelled").exists, "what was started elsewhere is cancelled")
    until(lambda: not sleepers(world), "the program has ended")


def test_a_program_that_does_not_listen_is_killed_with_its_attempt(world: World) -> None:
    job = world.client.submit(command_tasks.stubborn)
    until(lambda: "deaf" in job.work_items()[0].logs(), "the program runs")
    job.cancel()
    assert job.wait(20).status is JobStatus.REVOKED
    until(lambda: not sleepers(world), "the program was killed")


def test_coroutines_await_it_and_each_has_its_own_output(world: World) -> None:
    job = world.client.map(command_tasks.awaits, ["one", "two", "three"])
    assert job.results() == ["hello one\n", "hello two\n", "hello three\n"]
    assert [item.logs() for item in job.work_items()] == job.results()


def test_a_failure_can_be_caught(world: World) -> None:
    assert world.client.submit(command_tasks.catches).result() == 1
