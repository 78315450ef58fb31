"""What is counted of work that moves, on both stores: once, whatever is retried, removed or summed up later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from flows import FLOW, LOAD, a_call

from mulligan.core.errors import ArgumentsInvalid, StoreAway, UnknownTask
from mulligan.core.events import Succeeded
from mulligan.core.job import FailureClass, ItemKey
from mulligan.core.submission import NewItem
from mulligan.core.trends import Figures
from mulligan.engine.asking import Target
from mulligan.engine.trending import Trending
from mulligan.testing.factories import a_definition, a_run
from mulligan.testing.harness import ASKER, KEEP_S, Harness

TASK = a_definition(retries=3)
WINDOWED = a_definition("windowed", retries=(1, 0), window="window", offline=True)
DAY_MS = 86_400_000
FIRST_DAY = [NewItem("first", "{}", (0, DAY_MS))]


def figures(world: Harness, task: str | None = None, **more: Any) -> Figures:
    """Return the figures since ever, which must be the same before and after they are summed up."""
    trending = Trending(world.engine)
    found = [each.figures for each in trending.read("week", task, since="1970-01-01", **more) if each.pipeline is None]
    assert len(found) == 1
    return found[0]


def test_an_item_that_succeeds_at_once_counts_as_that(world: Harness) -> None:
    world.submit(TASK, 3)
    worker = world.worker(TASK)
    for item in worker.claim(3):
        worker.succeed(item)
    found = figures(world)
    assert (found.succeeded, found.failed, found.success_rate, found.first_try_rate) == (3, 0, 1.0, 1.0)
    assert (found.attempts, found.retries, found.lost_s, found.recoveries.count) == ({"SUCCEEDED": 3}, {}, 0.0, 0)


def test_a_retry_counts_by_its_class_with_the_time_that_was_lost_and_how_long_recovery_took(world: Harness) -> None:
    world.submit(TASK)
    worker = world.worker(TASK)
    for kind in (FailureClass.TRANSIENT, FailureClass.RATE_LIMITED):
        item = worker.take()
        world.clock.pass_(4)
        worker.fail(item, kind)
        world.clock.pass_(10)
    worker.succeed(worker.take())
    found = figures(world)
    assert (found.success_rate, found.first_try_rate) == (1.0, 0.0)
    assert found.retries == found.failures == {"RATE_LIMITED": 1, "TRANSIENT": 1}
    assert found.lost_s == 8.0
    assert (found.automatic.count, found.automatic.mean_s, found.manual.count) == (1, 24.0, 0)


def test_a_retry_by_hand_recovers_from_the_first_failure_on(world: Harness) -> None:
    job = world.submit(TASK)
    worker = world.worker(TASK)
    for _ in range(4):
        worker.fail(worker.take())
        world.clock.pass_(60)
    world.clock.pass_(760)
    assert world.commands.retry(Target(job=job), "recover", ASKER).total == 1
    worker.fail(worker.take())
    worker.succeed(worker.take())
    found = figures(world)
    assert (found.succeeded, found.failed, found.success_rate, found.first_try_rate) == (1, 1, 0.5, 0.0)
    assert (found.again, sum(found.retries.values())) == ({"recovered": 1}, 4)
    assert (found.manual.count, found.manual.mean_s, found.automatic.count) == (1, 1000.0, 0)


def test_a_window_recovers_by_another_job_and_only_once(world: Harness) -> None:
    worker = world.worker(WINDOWED)
    broken = world.submit(WINDOWED, FIRST_DAY)
    worker.fail(worker.take(), FailureClass.PERMANENT)
    world.clock.pass_(100)
    world.submit(WINDOWED, [NewItem("second", "{}", (DAY_MS, 2 * DAY_MS))])
    worker.succeed(worker.take())
    assert figures(world).recoveries.count == 0
    world.submit(WINDOWED, FIRST_DAY)
    worker.succeed(worker.take())
    assert (figures(world).manual.count, figures(world).manual.mean_s) == (1, 100.0)
    assert world.commands.retry(Target(job=broken), "restart", ASKER).total == 1
    worker.succeed(worker.take())
    assert figures(world).recoveries.count == 1


def test_a_window_that_two_jobs_mend_in_one_moment_recovers_once(world: Harness) -> None:
    worker = world.worker(WINDOWED)
    world.submit(WINDOWED, FIRST_DAY)
    worker.fail(worker.take(), FailureClass.PERMANENT)
    world.clock.pass_(100)
    for _ in range(2):
        world.submit(WINDOWED, FIRST_DAY)
    worker.exchange(*((item, Succeeded(a_run(item), "1")) for item in worker.claim(2)))
    assert (figures(world).succeeded, figures(world).recoveries.count) == (2, 1)


def test_a_window_whose_failed_job_was_removed_recovers_all_the_same(world: Harness) -> None:
    worker = world.worker(WINDOWED)
    world.submit(WINDOWED, FIRST_DAY)
    worker.fail(worker.take(), FailureClass.PERMANENT)
    before = figures(world)
    world.clock.pass_(KEEP_S + 1)
    while world.retention.run_once():
        pass
    assert figures(world) == before
    world.submit(WINDOWED, FIRST_DAY)
    worker.succeed(worker.take())
    assert (figures(world).manual.count, figures(world).failed) == (1, 1)


def test_what_is_removed_has_been_counted_and_is_not_known_as_broken_any_more(world: Harness) -> None:
    world.submit(TASK, 2)
    worker = world.worker(TASK)
    one, two = worker.claim(2)
    worker.fail(one, FailureClass.PERMANENT)
    worker.succeed(two)
    before = figures(world)
    world.clock.pass_(KEEP_S + 1)
    while world.retention.run_once():
        pass
    assert figures(world) == before
    with world.store.read():
        assert [row[0] for row in world.database.text_in_reader("select count(*) from outages", {})] == [0]


def test_cancelled_and_snoozed_and_given_back_work_is_no_failure(world: Harness) -> None:
    job = world.submit(TASK, 3)
    worker = world.worker(TASK)
    one, two, three = worker.claim(3)
    worker.snooze(one, 5)
    worker.release(two)
    world.clock.pass_(6)
    again = {item.number: item for item in worker.claim(2)}
    worker.succeed(again[0])
    world.commands.cancel(Target(job=job), ASKER)
    worker.stopped(again[1])
    worker.stopped(three)
    found = figures(world)
    assert (found.succeeded, found.failed, found.revoked, found.success_rate, found.first_try_rate) == (1, 0, 2, 1.0, 1.0)
    assert (found.failures, found.lost_s, found.recoveries.count) == ({}, 0.0, 0)
    assert found.attempts == {"CANCELLED": 2, "SNOOZED": 1, "SUCCEEDED": 1}


def test_calls_count_for_the_task_that_is_called_and_a_body_that_waits_loses_no_time(world: Harness) -> None:
    world.submit(FLOW)
    bodies, worker = world.worker(FLOW), world.worker(LOAD)
    body = bodies.take()
    bodies.call(body, a_call("0"))
    worker.succeed(worker.take())
    world.clock.pass_(3600)
    bodies.fail(body, FailureClass.PERMANENT)
    assert (figures(world, "load").succeeded, figures(world, "flow").failed) == (1, 1)
    assert figures(world, "flow").lost_s == 0.0


def test_figures_are_the_same_before_while_and_after_they_are_summed_up(world: Harness) -> None:
    worker = world.worker(TASK)
    world.submit(TASK, 6)
    for number, item in enumerate(worker.claim(6)):
        worker.succeed(item) if number % 2 else worker.fail(item, FailureClass.PERMANENT)
    before = figures(world)
    world.trends.run_once()
    with world.store.read() as session:
        assert not session.tallies.any()
    assert figures(world) == before
    world.submit(TASK)
    worker.succeed(worker.take())
    assert figures(world).succeeded == before.succeeded + 1
    with world.store.read() as session:
        ever = session.tallies.since_ever([worker.tasks[0]])
    assert Counter({row.kind: row.value for row in ever if row.measure == "attempts"}) == {"SUCCEEDED": 4, "FAILED": 3}


def test_two_that_sum_up_at_once_count_nothing_twice(join: Callable[[], Harness]) -> None:
    one, other = join(), join()
    worker = one.worker(TASK)
    one.submit(TASK, 4)
    for item in worker.claim(4):
        worker.succeed(item)
    with one.failing(StoreAway("gone"), "before commit"), pytest.raises(StoreAway):
        one.trends.run_once()
    other.trends.run_once()
    one.trends.run_once()
    assert figures(one).succeeded == figures(other).succeeded == 4


def test_a_settled_attempt_whose_commit_failed_is_not_counted(world: Harness) -> None:
    world.submit(TASK)
    worker = world.worker(TASK)
    item = worker.take()
    with world.failing(StoreAway("gone"), "before commit"), pytest.raises(StoreAway):
        worker.succeed(item)
    worker.succeed(item)
    worker.succeed(item)
    assert figures(world).attempts == {"SUCCEEDED": 1}


class TestReading:
    @pytest.fixture
    def trending(self) -> Any:
        with Harness() as world:
            world.publish(TASK)
            yield Trending(world.engine)

    @pytest.mark.parametrize(
        "given",
        [
            {"every": "month"},
            {"since": "yesterday"},
            {"since": "2024-02-30"},
            {"until": 7},
            {"since": "2024-03-02", "until": "2024-03-02"},
            {"since": "1969-12-31"},
            {"until": "9999-12-31"},
            {"task": "\0"},
            {"every": "day", "since": "1970-01-01", "until": "9998-01-01"},
        ],
        ids=ascii,
    )
    def test_what_makes_no_sense_is_refused_in_words(self, trending: Trending, given: dict[str, Any]) -> None:
        with pytest.raises(ArgumentsInvalid):
            trending.read(**given)

    def test_a_task_that_nobody_published_is_unknown(self, trending: Trending) -> None:
        with pytest.raises(UnknownTask):
            trending.read(task="nothing")
        assert trending.read() == []


def test_days_and_weeks_add_up_and_until_is_left_out(world: Harness) -> None:
    worker = world.worker(TASK)
    keys: list[ItemKey] = []
    for _ in range(9):
        job = world.submit(TASK)
        worker.succeed(worker.take())
        keys.append(ItemKey(job, 0))
        world.clock.pass_(86_400)
    trending = Trending(world.engine)
    days = [each for each in trending.read("day", TASK.name) if each.pipeline]
    assert [each.figures.succeeded for each in days] == [1] * 9
    weeks = [each for each in trending.read("week", TASK.name) if each.pipeline]
    assert sum(each.figures.succeeded for each in weeks) == 9
    some = trending.read("day", since=days[2].start, until=days[5].start)
    assert [each.period for each in some if each.pipeline] == [each.period for each in days[2:5]]
