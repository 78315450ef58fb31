"""Servers, which look after a store while workers work on it: several of them do nothing twice."""

from __future__ import annotations

import story_tasks
from story_harness import WorkerProcess, World, outcomes, until

from mulligan import JobStatus
from mulligan.core.job import Reason

ITEMS = 200


def details(world: World) -> int:
    """Return how many work items are in the store."""
    database = world.client.services.store.database
    with database.read():
        (row,) = database.text_in_reader("select count(*) from items", {})
        return int(row[0])


def the_one_that_runs(world: World, workers: list[WorkerProcess], name: str) -> WorkerProcess:
    """Return the worker that runs the only item of a job."""
    item = until(lambda: next(iter(world.client.work_items(run_id=name, status="STARTED")), None), f"{name} runs")
    return next(each for each in workers if str(item.worker).endswith(f":{each.pid}"))


def test_two_servers_and_many_workers_run_everything_once_take_back_once_and_remove_what_is_old(world: World) -> None:
    servers = [world.server(retention="1s") for _ in range(2)]
    workers = [world.worker(processes=1, lease=30, wait=False) for _ in range(6 if world.place else 4)]
    for each in workers:
        each.wait_until_started()
    again = story_tasks.until_there_again.options(run_id="again")
    held = world.client.submit(again, world.path("held"), "held", world.path("go"))
    world.wait_for("held", name="held")
    once = story_tasks.once.options(run_id="once")
    job = world.client.map(once, [str(number) for number in range(ITEMS)], args={"file": world.path(), "work_s": 0.01})
    world.client.map(story_tasks.add, range(50), args={"b": 1})
    until(lambda: len(world.lines()) > ITEMS // 4, "a quarter of the items has run")

    killed = the_one_that_runs(world, workers, "again")
    killed.kill()
    until(lambda: world.lines("held").count("held") == 2, "what the killed worker held runs again")
    assert outcomes(held.work_items()[0]) == ["LOST"]
    until(lambda: job.refresh().status is JobStatus.SUCCESS, "all items have run", 30)
    assert job.counts.success == ITEMS
    assert sorted(world.lines()) == sorted(map(str, range(ITEMS)))

    world.touch()
    until(lambda: held.refresh().status is JobStatus.SUCCESS, "the rest has run")
    until(lambda: details(world) == 0, "what is old is removed")
    assert (job.refresh().counts.success, held.refresh().counts.success) == (ITEMS, 1)
    assert world.lines("held") == ["held", "held", "held ended"]
    assert [each.stop() for each in [*servers, *(each for each in workers if each is not killed)]] == [0] * (len(workers) + 1)
    assert not [each.said for each in servers if "failed" in each.said or "Traceback" in each.said]
    world.check()


def test_a_server_takes_back_what_a_killed_worker_held_where_no_other_worker_is(world: World) -> None:
    world.server()
    worker = world.worker()
    job = world.client.submit(story_tasks.until_there, world.path(), "a", world.path("go"))
    world.wait_for("a")
    worker.kill()
    item = job.wait(20).work_items()[0]
    assert (item.status, item.reason) == (JobStatus.FAILURE, Reason.OUTCOME_UNKNOWN)
    world.check()


def test_without_a_server_workers_remove_nothing(world: World) -> None:
    worker = world.worker(retention="1s")
    job = world.client.submit(story_tasks.add, 1, 2)
    assert job.result() == 3
    world.client.submit(story_tasks.add.options(delay=2), 1, 2).wait(20)
    assert job.result() == 3
    assert worker.stop() == 0
