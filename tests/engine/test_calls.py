"""The calls of workflows in the store: who may make them, who hears of their ends, what becomes of them with their workflow."""

from __future__ import annotations

import pytest
from flows import FLOW, LOAD, ONCE, a_call, called

from mulligan.core.errors import NotFound, Refused
from mulligan.core.job import Item, JobStatus, Reason
from mulligan.core.replay import Past
from mulligan.engine.asking import Target
from mulligan.engine.finding import find_job
from mulligan.engine.verify import verify
from mulligan.testing.factories import a_definition
from mulligan.testing.harness import ASKER, KEEP_S, Hand, Harness

RETRIED = a_definition("flow", retries=2, executor="workflow")
PENDING, STARTED, SUCCESS, FAILURE, REVOKED = (
    JobStatus.PENDING, JobStatus.STARTED, JobStatus.SUCCESS, JobStatus.FAILURE, JobStatus.REVOKED,
)  # fmt: skip


@pytest.fixture
def body(world: Harness) -> tuple[Hand, Item]:
    """A worker that runs a workflow."""
    world.submit(FLOW)
    hand = world.worker(FLOW, LOAD, ONCE)
    return hand, hand.take()


def history(world: Harness, hand: Hand, item: Item) -> tuple[Past, ...]:
    return world.engine.calling.histories([hand.held[item.key]]).get(item.key, ())


def test_a_call_is_a_work_item_that_does_not_count_for_the_job_of_its_workflow(world: Harness, body: tuple[Hand, Item]) -> None:
    hand, item = body
    hand.call(item, a_call("1"), a_call("2", ONCE))
    calls = called(world, item)
    assert {place: (each.status, each.once) for place, each in calls.items()} == {"1": (PENDING, False), "2": (PENDING, True)}
    assert world.job(item.job).counts.total == 1
    assert [each.id for each in world.store.listing.jobs({})] == [item.job]
    assert world.job(calls["1"].job).parent == item.key
    assert world.job(calls["1"].job).run_id == world.job(item.job).run_id


def test_the_worker_that_runs_the_body_hears_of_each_end_once(world: Harness, body: tuple[Hand, Item]) -> None:
    hand, item = body
    other = world.worker(LOAD)
    hand.call(item, a_call("1"), a_call("2"))
    one, two = other.claim(2)
    before = world.bell.workers
    other.succeed(one, "7")
    assert world.bell.workers > before, "somebody waits elsewhere"
    assert world.engine.has_arrived(hand.id)
    arrived = hand.arrived()
    assert {place: (call.status, call.result) for place, call in arrived.items()} == {"1": (SUCCESS, "7")}
    assert not world.engine.has_arrived(hand.id)
    other.fail(two)
    assert hand.arrived() == {}, "it is tried again"


def test_a_body_that_is_replayed_is_given_all_that_it_called(world: Harness, body: tuple[Hand, Item]) -> None:
    hand, item = body
    other = world.worker(FLOW, LOAD)
    hand.call(item, a_call("1"), a_call("2"))
    hand.succeed(next(each for each in hand.claim(5) if each.key == called(world, item)["1"].key), "7")
    hand.die()
    world.watch.run_once()
    again = next(each for each in other.claim(5) if each.key == item.key)
    assert (again.attempt, again.reason, again.charges) == (2, Reason.REPLAYED, ())
    found = {each.place: (each.status, each.result) for each in history(world, other, again)}
    assert found["1"] == (SUCCESS, "7")


def test_calls_whose_commit_was_not_answered_are_made_once(world: Harness, body: tuple[Hand, Item]) -> None:
    hand, item = body
    for _ in range(2):
        hand.call(item, a_call("1"), a_call("2"))
    assert len(called(world, item)) == 2
    assert world.job(called(world, item)["1"].job).counts.total == 2


def test_another_task_with_the_same_arguments_in_place_of_a_call_that_failed_is_another_call(
    world: Harness, body: tuple[Hand, Item]
) -> None:
    hand, item = body
    hand.call(item, a_call("1", ONCE))
    hand.fail(hand.take())
    for _ in range(2):
        hand.call(item, a_call("1", LOAD))
    made = called(world, item)["1"]
    assert (made.status, made.once, made.key.number) == (PENDING, False, 1)
    assert world.job(made.job).counts.total == 2


def test_an_attempt_that_lost_its_workflow_calls_nothing(world: Harness, body: tuple[Hand, Item]) -> None:
    hand, item = body
    hand.stopped(item)
    assert hand.take().token == item.token + 1
    hand.call(item, a_call("1"))
    assert called(world, item) == {}


def test_a_workflow_that_somebody_wants_cancelled_calls_nothing_more_and_all_that_it_called_is_cancelled(
    world: Harness, body: tuple[Hand, Item]
) -> None:
    hand, item = body
    inner_flow = a_definition("inner", executor="workflow")
    other = world.worker(inner_flow, LOAD)
    hand.call(item, a_call("1"), a_call("2", inner_flow), a_call("3"))
    inner = next(each for each in other.claim(5) if each.key == called(world, item)["2"].key)
    other.call(inner, a_call("1"))
    running = [each for each in other.held if each != inner.key]
    world.commands.cancel(Target(job=item.job), ASKER)
    hand.call(item, a_call("4"))
    assert "4" not in called(world, item)
    for call in (*called(world, item).values(), *called(world, inner).values()):
        now = world.item(call.key)
        assert now.status is REVOKED or (now.cancel_ms is not None and now.key in {*running, inner.key}), now
    for key in list(other.held):
        other.stopped(world.item(key))
    hand.stopped(world.item(item.key))
    assert world.job(item.job).ended_ms is not None
    assert world.job(called(world, inner)["1"].job).ended_ms is not None


def test_the_next_round_runs_what_failed_again_and_no_more(world: Harness) -> None:
    world.submit(RETRIED)
    hand = world.worker(RETRIED, ONCE, LOAD)
    item = hand.take()
    hand.call(item, a_call("1", ONCE), a_call("2", ONCE))
    one, two = hand.claim(2)
    hand.succeed(one)
    hand.fail(two)
    hand.fail(item)
    again = hand.take()
    failed = next(each for each in history(world, hand, again) if each.status is FAILURE)
    hand.call(again, a_call("2", ONCE, again=failed.item))
    calls = called(world, again)
    assert (calls["1"].generation, calls["1"].status) == (1, SUCCESS)
    assert (calls["2"].generation, calls["2"].status) == (2, PENDING)


def test_a_restart_begins_with_no_calls_and_a_recover_with_all_of_them(world: Harness, body: tuple[Hand, Item]) -> None:
    hand, item = body
    hand.call(item, a_call("1"))
    hand.succeed(hand.take())
    hand.fail(item)
    world.commands.retry(Target(job=item.job), "recover", ASKER)
    item = hand.take()
    assert [each.place for each in history(world, hand, item)] == ["1"]
    hand.fail(item)
    world.commands.retry(Target(job=item.job), "restart", ASKER)
    item = hand.take()
    assert history(world, hand, item) == ()


def test_a_call_is_retried_by_way_of_its_workflow(world: Harness, body: tuple[Hand, Item]) -> None:
    hand, item = body
    hand.call(item, a_call("1", ONCE))
    hand.fail(hand.take())
    call = called(world, item)["1"]
    assert world.commands.retry(Target(items=(call.key,)), "recover", ASKER).total == 0, "its workflow runs"
    hand.fail(item)
    with pytest.raises(Refused, match=f"restart {item.key}"):
        world.commands.retry(Target(items=(call.key,)), "restart", ASKER)
    assert world.commands.retry(Target(items=(call.key,), generations=(1,)), "recover", ASKER).total == 1
    item = hand.take()
    assert (item.generation, called(world, item)["1"].generation) == (2, 1)
    hand.succeed(item)
    for refused in (lambda: world.commands.retry(Target(items=(call.key,)), "recover", ASKER),
                    lambda: world.commands.overwrite(Target(items=(call.key,)), ASKER)):  # fmt: skip
        with pytest.raises(Refused, match=f"overwrite {item.key}"):
            refused()


def test_a_call_takes_the_hurry_and_the_time_of_its_workflow(world: Harness) -> None:
    flow = a_definition("flow", executor="workflow", priority=1, total_timeout_s=100.0)
    world.submit(flow)
    hand = world.worker(flow, LOAD)
    item = hand.take()
    hand.call(item, a_call("1"), a_call("2", total_timeout_s=10.0), a_call("3", priority=5))
    calls = called(world, item)
    assert [calls[place].priority for place in "123"] == [1, 1, 5]
    assert [(calls[place].cutoff_ms or 0) - world.clock.now_ms() for place in "12"] == [100_000, 10_000]


def test_the_calls_of_a_workflow_go_when_it_has_gone_and_not_before(world: Harness, body: tuple[Hand, Item]) -> None:
    hand, item = body
    hand.call(item, a_call("1"))
    hand.succeed(hand.take())
    job = called(world, item)["1"].job
    world.clock.pass_(KEEP_S + 1)
    while world.retention.run_once():
        assert verify(world.store) == []
    assert world.job(job).counts.success == 1, "the workflow still runs"
    hand.succeed(item)
    world.clock.pass_(KEEP_S + 1)
    while world.retention.run_once():
        assert verify(world.store) == []
    with world.store.read() as session, pytest.raises(NotFound):
        find_job(session, job)
