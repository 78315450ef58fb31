"""The store goes away while a worker runs: outcomes are kept and delivered, and nothing runs twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest
import story_tasks
from story_harness import World, outcomes, until

from mulligan import JobStatus
from mulligan.core.job import Reason


@contextmanager
def locked(world: World) -> Iterator[None]:
    """Hold the write lock of the store, as another process would that does not let go."""
    connection = apsw.Connection(str(world.store))
    connection.set_busy_timeout(20_000)
    try:
        connection.execute("begin immediate")
        yield
    finally:
        connection.close()


def test_outcomes_wait_while_another_process_holds_the_store_and_are_delivered_after(file_world: World) -> None:
    world = file_world
    worker = world.worker(lease=60)
    jobs = [
        world.client.submit(story_tasks.until_there, world.path(), "once", world.path("go")),
        world.client.submit(story_tasks.until_there_again, world.path(), "again", world.path("go")),
    ]
    world.wait_for("once", "again")
    with locked(world):
        world.touch()
        world.wait_for("once ended", "again ended")
        until(lambda: "store is away" in worker.said, "the worker notices", timeout=30)
    assert [job.result() for job in jobs] == ["once", "again"]
    until(lambda: "store is back" in worker.said, "the worker says so")
    assert sorted(world.lines()) == ["again", "again ended", "once", "once ended"]
    assert all(outcomes(job.work_items()[0]) == ["SUCCEEDED"] for job in jobs)
    assert world.instances() == 1
    world.check()


def test_when_the_store_is_away_for_longer_than_the_lease_what_runs_is_ended_and_what_ended_is_delivered(
    file_world: World,
) -> None:
    world = file_world
    worker = world.worker(processes=3, lease=1)
    client, trace = world.client, world.path()
    ended = client.submit(story_tasks.until_there, trace, "ended", world.path("go"))
    once = client.submit(story_tasks.until_there, trace, "once", world.path("later"))
    again = client.submit(story_tasks.until_there_again, trace, "again", world.path("later"))
    world.wait_for("ended", "once", "again")
    with locked(world):
        world.touch()
        until(lambda: "killing all" in worker.said, "the worker ends what runs", timeout=30)
    assert ended.result() == "ended"
    until(lambda: world.lines().count("again") == 2, "what has retries runs again")
    world.touch("later")
    assert again.result() == "again"
    item = once.wait(20).work_items()[0]
    assert (item.status, item.reason) == (JobStatus.FAILURE, Reason.OUTCOME_UNKNOWN)
    assert world.lines().count("once") == 1
    assert world.lines().count("ended") == 1
    assert world.instances() == 2
    assert worker.stop() == 0
    world.check()


def test_a_worker_that_ran_nothing_while_the_store_was_away_keeps_its_warm_processes(file_world: World) -> None:
    world = file_world
    worker = world.worker(lease=1)
    until(lambda: len(worker.family()) == 4, "it has its forkserver and two children")
    family = set(worker.family())
    with locked(world):
        until(lambda: "lease is over" in worker.said, "its lease is over", timeout=30)
    worker.wait_until_started(times=2)
    assert world.client.submit(story_tasks.add, 1, 2).result() == 3
    assert set(worker.family()) == family
    assert "killing all" not in worker.said


def test_a_worker_that_had_run_something_gets_fresh_processes_once(file_world: World) -> None:
    world = file_world
    worker = world.worker(lease=1)
    assert world.client.submit(story_tasks.add, 1, 2).result() == 3
    family = set(worker.family()) - {worker.pid}
    with locked(world):
        until(lambda: "killing all" in worker.said, "it ends what may run", timeout=30)
    worker.wait_until_started(times=2)
    assert world.client.submit(story_tasks.add, 1, 2).result() == 3
    assert not family & set(worker.family())
    assert worker.said.count("killing all") == 1


def test_a_worker_that_starts_while_the_store_is_locked_waits_for_it(file_world: World) -> None:
    world = file_world
    tried: set[str] = set()

    def has_tried_twice() -> bool:
        tried.update(each.name for each in Path(f"{world.store}.d").glob("worker-*.lock"))
        return len(tried) >= 2

    with locked(world):
        worker = world.worker(wait=False)
        until(has_tried_twice, "the worker has tried twice")
    worker.wait_until_started()
    assert world.client.submit(story_tasks.add, 1, 2).result() == 3


def test_a_full_disk_stops_nothing_for_good(file_world: World) -> None:
    """The size limit of the worker's files stands for a full disk: SQLite is refused the room in the same way."""
    world = file_world
    import resource

    worker = world.worker(lease=60)
    job = world.client.submit(story_tasks.until_there, world.path(), "a", world.path("go"))
    world.wait_for("a")
    before = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
    wal = Path(f"{world.store}-wal")
    room = 20_000  # for what the worker says, and not for anything in the store's log
    assert wal.stat().st_size > room
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (room, before[1]))
    world.touch()
    world.wait_for("a ended")
    until(lambda: "store is away" in worker.said, "the worker notices")
    assert job.refresh().status is JobStatus.STARTED
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, before)
    assert job.result() == "a"
    assert world.lines() == ["a", "a ended"]
    world.check()


def test_a_worker_works_on_where_nothing_that_it_says_can_be_written(world: World) -> None:
    world.worker(wait=False, output="/dev/full")
    until(lambda: world.instances() == 1, "the worker is there")
    assert world.client.submit(story_tasks.add, 1, 2).wait(20).result() == 3


def test_a_worker_whose_store_does_not_come_back_can_still_be_stopped(file_world: World) -> None:
    world = file_world
    import signal

    worker = world.worker(lease=60)
    job = world.client.submit(story_tasks.until_there, world.path(), "a", world.path("go"))
    world.wait_for("a")
    with locked(world):
        world.touch()
        until(lambda: "store is away" in worker.said, "the worker notices", timeout=30)
        for said in ("draining", "handing back"):
            worker.signal(signal.SIGTERM)
            until(lambda said=said: said in worker.said, said, timeout=30)  # type: ignore[misc]
        assert worker.process.poll() is None
        worker.signal(signal.SIGTERM)
        worker.wait(40)
    assert not world.processes()
    world.worker()
    assert job.wait(20).work_items()[0].reason is Reason.OUTCOME_UNKNOWN
    assert world.lines() == ["a", "a ended"]


@pytest.mark.parametrize("threads", [8])
def test_many_who_submit_one_run_id_at_once_get_one_job_that_runs_once(world: World, threads: int) -> None:
    world.worker()
    task = story_tasks.once.options(run_id="the one")
    jobs = []

    def submit() -> None:
        jobs.append(world.client.submit(task, world.path(), "a"))

    running = [threading.Thread(target=submit) for _ in range(threads)]
    for each in running:
        each.start()
    for each in running:
        each.join()
    assert len({job.id for job in jobs}) == 1
    assert jobs[0].result() == "a"
    assert world.lines() == ["a"]
