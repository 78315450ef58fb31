"""What becomes of work when PostgreSQL, or the way to it, breaks: the short slice; `make chaos` runs the long one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import story_tasks
from faults import IN_THE_MIDDLE, Faults, is_up
from proxy import Cut, Proxy
from story_harness import World, outcomes, until

from mulligan import JobStatus
from mulligan.core.errors import StoreAway
from mulligan.store.postgres import Place
from mulligan.testing.postgres import PostgresMissing, PostgresServer


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of one's own, to be broken; it flushes to the disk, so that it can be killed."""
    try:
        made = PostgresServer(durable=True)
    except PostgresMissing as missing:
        pytest.skip(f"stories of a broken PostgreSQL: {missing}")
    yield made
    made.close()


@pytest.fixture
def proxy(server: PostgresServer) -> Iterator[Proxy]:
    made = Proxy(server.port)
    yield made
    made.close()


@pytest.fixture
def world(server: PostgresServer, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, Place(server.url, f"story_{time.time_ns()}"))
    yield made
    made.close()


def through(proxy: Proxy, world: World) -> str:
    """Return the world's store by way of a proxy."""
    assert world.place is not None
    return proxy.url(world.place.url)


def test_a_restart_of_the_server_fails_no_at_most_once_item_whose_worker_lives(world: World, server: PostgresServer) -> None:
    worker = world.worker(processes=2, lease=30)
    other = world.worker(processes=1, lease=30)
    once = [world.client.submit(story_tasks.until_there, world.path(), f"once {n}", world.path("go")) for n in range(3)]
    world.wait_for(*(f"once {n}" for n in range(3)))
    for _ in range(3):
        server.restart(away_s=0.5)
        until(lambda: is_up(world), "the store answers again")
    world.touch()
    assert [job.result() for job in once] == [f"once {n}" for n in range(3)]
    assert all(outcomes(job.work_items()[0]) == ["SUCCEEDED"] for job in once)
    assert world.instances() == 2
    assert [worker.stop(), other.stop()] == [0, 0]
    world.check()


def test_after_a_restart_of_the_server_everything_works_again_without_a_restart_of_anything_else(
    world: World, server: PostgresServer
) -> None:
    worker = world.worker(lease=30)
    assert world.client.submit(story_tasks.add, 1, 2).result() == 3
    server.restart(away_s=3.0)
    back = time.monotonic()
    until(lambda: is_up(world), "the store answers again", 30)
    assert world.client.submit(story_tasks.add, 2, 2).result() == 4
    assert time.monotonic() - back <= 30
    # Hints are heard again: an idle worker would take up to a second without them.
    waits = []
    for _ in range(5):
        asked = time.monotonic()
        world.client.submit(story_tasks.add, 1, 1).result()
        waits.append(time.monotonic() - asked)
    assert min(waits) < 0.5, waits
    assert worker.stop() == 0
    world.check()


def test_terminated_backends_lose_and_double_nothing(world: World, server: PostgresServer) -> None:
    world.worker(processes=2, lease=30)
    jobs = [
        world.client.map(
            story_tasks.once, [f"{wave}.{n}" for n in range(40)], key=str, args={"file": world.path(), "work_s": 0.01}
        )
        for wave in range(2)
    ]
    again = world.client.map(
        story_tasks.again, [f"r{n}" for n in range(40)], key=str, args={"file": world.path("r"), "work_s": 0.01}
    )
    killed = _terminate(server, 20)
    assert killed >= 20
    for job in [*jobs, again]:
        job.wait(60)
    assert again.refresh().status is JobStatus.SUCCESS
    lines = world.lines()
    assert len(lines) == len(set(lines)) == 80
    world.check()


def _terminate(server: PostgresServer, wanted: int) -> int:
    killed, until_s = 0, time.monotonic() + 30
    with psycopg.connect(server.url, autocommit=True) as connection:
        while killed < wanted and time.monotonic() < until_s:
            killed += len(connection.execute(IN_THE_MIDDLE).fetchall())
    return killed


@pytest.mark.parametrize("cut", ["before commit", "during commit", "after commit"])
def test_a_submission_whose_commit_was_cut_is_stored_once_or_said_to_be_not(world: World, proxy: Proxy, cut: Cut) -> None:
    from mulligan import connect

    assert world.place is not None
    stored = 0
    with connect(through(proxy, world), schema=world.place.schema) as client:
        client.jobs(limit=1)
        for number in range(10):
            proxy.cut_next(cut)
            try:
                client.submit(story_tasks.add, number, 1)
            except StoreAway:
                continue
            stored += 1
    assert len(proxy.cuts) == 10
    assert stored == len(world.client.jobs())
    if cut == "after commit":
        assert stored == 10
    if cut == "before commit":
        assert stored == 0
    world.check()


def test_a_worker_whose_commits_are_cut_doubles_nothing(world: World, proxy: Proxy) -> None:
    worker = world.worker(processes=2, lease=30, database=through(proxy, world))
    proxy.cut_next("after commit", 8)
    proxy.cut_next("during commit", 8)
    proxy.cut_next("before commit", 8)
    once = world.client.map(story_tasks.once, [f"o{n}" for n in range(40)], key=str, args={"file": world.path(), "work_s": 0.01})
    again = world.client.map(
        story_tasks.again, [f"r{n}" for n in range(40)], key=str, args={"file": world.path("r"), "work_s": 0.01}
    )
    for job in (once, again):
        job.wait(60)
        assert job.refresh().status is JobStatus.SUCCESS, worker.said
    assert len(proxy.cuts) == 24
    assert sorted(world.lines()) == sorted(f"o{n}" for n in range(40))
    assert all(outcomes(item) == ["SUCCEEDED"] for job in (once, again) for item in job.work_items())
    world.check()


def test_a_black_hole_is_noticed_within_fifteen_seconds(world: World, proxy: Proxy) -> None:
    worker = world.worker(processes=1, lease=60, database=through(proxy, world))
    assert world.client.submit(story_tasks.add, 1, 2).result() == 3
    proxy.go_silent()
    silent = time.monotonic()
    until(lambda: "store is away" in worker.said, "the worker notices", 20)
    assert time.monotonic() - silent <= 15
    job = world.client.submit(story_tasks.add, 2, 2)
    proxy.go_on()
    assert job.wait(30).result() == 4
    assert "store is back" in worker.said
    assert world.instances() == 1
    world.check()


def test_a_session_that_hears_nothing_any_more_is_replaced_within_fifteen_seconds_and_work_goes_on(
    world: World, proxy: Proxy
) -> None:
    world.worker(processes=1, lease=60, database=through(proxy, world))
    until(lambda: proxy.listeners() == 1, "the worker listens")
    assert proxy.silence_listeners() == 1
    silent = time.monotonic()
    assert world.client.submit(story_tasks.add, 1, 2).wait(3).result() == 3  # by looking, once a second
    until(lambda: proxy.listeners() == 1, "another session listens", 20)
    assert time.monotonic() - silent <= 15
    assert world.instances() == 1
    world.check()


def test_under_load_with_all_of_these_at_random_nothing_fails_and_nothing_runs_twice(
    world: World, server: PostgresServer
) -> None:
    faults = Faults(world, server, seed=1)
    try:
        report = faults.run(25)
    finally:
        faults.close()
    assert report.kills.total() >= 25
    assert not report.started_twice
