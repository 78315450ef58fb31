"""Those who change items of several jobs at once never wait for each other in a ring; on SQLite one writes at a time anyway."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from mulligan.core.job import FailureClass, ItemKey
from mulligan.engine.asking import Target
from mulligan.store.postgres import Place, PostgresDatabase
from mulligan.testing.factories import a_definition, daily
from mulligan.testing.harness import ASKER, Hand, Harness

ORDERED = a_definition(online=True, retries=(3, 300))
LATER, EARLIER = ItemKey(1, 0), ItemKey(2, 0)
WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'mulligan'"


class Ordered:
    """A store with a window of job 2 that runs again, and a later one of job 1 that waits for it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.world = Harness(database=PostgresDatabase(place))
        self.worker: Hand = self.world.worker(ORDERED)
        one, two = daily(2)
        for window in (two, one):
            self.world.submit(ORDERED, [window], kind="backfill")
        for item in sorted(self.worker.claim(2), key=lambda each: -each.job):
            self.worker.succeed(self.world.item(item.key))
            self.world.clock.pass_(1)
        self.world.commands.overwrite(Target(items=(EARLIER,)), ASKER, accept_risk=True, forward=True)

    def while_another_holds_job_1_and_then_wants_job_2(self, do: Callable[[], Any]) -> None:
        """Do something beside another process that locks both jobs in the order of their ids."""
        with Harness(database=PostgresDatabase(self.place)) as other, ThreadPoolExecutor(1) as pool:
            with other.store.write() as session:
                session.jobs.lock([LATER.job])
                assert session.jobs.read(LATER.job), "so that the lock is held by now"
                done = pool.submit(do)
                self._until_it_waits()
                session.jobs.lock([EARLIER.job])
                assert session.jobs.read(EARLIER.job)
            done.result(30)

    def _until_it_waits(self) -> None:
        until, pause = time.monotonic() + 30, threading.Event()
        with psycopg.connect(self.place.url, autocommit=True) as connection:
            while not (connection.execute(WAITING).fetchone() or [0])[0]:
                assert time.monotonic() < until, "it never waited for job 1"
                pause.wait(0.01)


@pytest.fixture
def ordered(an_empty_place: Callable[[], Place]) -> Iterator[Ordered]:
    found = Ordered(an_empty_place())
    with found.world:
        yield found
        assert found.world.verify() == []


def test_who_ends_a_window_waits_for_the_job_of_the_one_after_it_before_it_holds_its_own(ordered: Ordered) -> None:
    item = ordered.worker.take()
    assert item.key == EARLIER
    ordered.while_another_holds_job_1_and_then_wants_job_2(lambda: ordered.worker.succeed(item))
    assert [each.key for each in ordered.worker.claim(9)] == [LATER]


def test_so_does_who_fails_one(ordered: Ordered) -> None:
    item = ordered.worker.take()
    ordered.while_another_holds_job_1_and_then_wants_job_2(lambda: ordered.worker.fail(item, FailureClass.PERMANENT))
    assert ordered.world.item(LATER).status == "REVOKED"


@pytest.mark.parametrize("target", [Target(job=EARLIER.job), Target(items=(EARLIER,))], ids=["job", "item"])
def test_so_does_who_cancels_one(ordered: Ordered, target: Target) -> None:
    ordered.while_another_holds_job_1_and_then_wants_job_2(lambda: ordered.world.commands.cancel(target, ASKER))
    assert ordered.world.item(LATER).status == "REVOKED"
