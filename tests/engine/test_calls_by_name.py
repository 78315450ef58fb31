"""Calls of workflows as commands and workers find them: a call stands for its workflow, and what it comes to is not lost."""

from __future__ import annotations

import pytest

from mulligan.core.errors import Refused
from mulligan.core.job import Item, ItemKey, JobStatus
from mulligan.core.submission import NewCall, NewItem, Options
from mulligan.engine.asking import Target
from mulligan.engine.exchanging import Notes, Wanted
from mulligan.testing.factories import a_definition
from mulligan.testing.harness import ASKER, Hand, Harness

FLOW = a_definition("flow", executor="workflow")
LOAD = a_definition("load")


def call(hand: Hand, flow: Item, place: str = "1", again: str | None = None, options: Options | None = None) -> None:
    """Have the body of a workflow make a call."""
    new = NewCall(place, "digest", NewItem(f"load-{place}", "{}"), LOAD, options or Options(), again)
    hand.exchange(notes=Notes(calls=[Wanted(flow, new)]))


def a_call_has_failed(world: Harness) -> tuple[ItemKey, ItemKey]:
    """Have a workflow fail as its call did; returns both."""
    hand = world.worker(FLOW, LOAD)
    world.submit(FLOW)
    flow = hand.take()
    call(hand, flow)
    made = hand.take()
    hand.fail(made)
    hand.fail(flow)
    return flow.key, made.key


@pytest.mark.parametrize("by", ["item", "job", "parent", "ids"])
def test_retrying_a_call_recovers_its_workflow_however_the_call_is_named(world: Harness, by: str) -> None:
    flow, made = a_call_has_failed(world)
    targets = {
        "item": Target(items=(made,)),
        "job": Target(filters={"job": made.job}),
        "parent": Target(filters={"parent": flow}),
        "ids": Target(filters={"ids": [made]}),
    }
    assert world.commands.retry(targets[by], "recover", ASKER).total == 1
    assert world.item(flow).status is JobStatus.PENDING
    assert world.item(made).status is JobStatus.FAILURE, "its workflow calls it again"
    with pytest.raises(Refused, match=f"restart {flow}"):
        world.commands.retry(targets[by], "restart", ASKER)
    with pytest.raises(Refused, match=f"overwrite {flow}"):
        world.commands.overwrite(targets[by], ASKER, accept_risk=True)


def test_a_call_that_is_made_again_has_the_time_that_it_was_given_anew(world: Harness) -> None:
    hand = world.worker(FLOW, LOAD)
    world.submit(FLOW)
    flow, options = hand.take(), Options(total_timeout_s=30)
    call(hand, flow, options=options)
    made = hand.take()
    hand.fail(made)
    hand.fail(flow)
    world.clock.pass_(100)
    world.commands.retry(Target(items=(flow.key,)), "recover", ASKER)
    call(hand, hand.take(), again=str(made.key), options=options)
    again = hand.take()
    assert (again.key, again.generation) == (made.key, 2)
    assert again.cutoff_ms == world.clock.now_ms() + 30_000
    hand.succeed(again)


def test_a_workflow_is_not_restarted_while_a_call_of_it_still_runs(world: Harness) -> None:
    hand = world.worker(FLOW, LOAD)
    world.submit(FLOW)
    flow = hand.take()
    call(hand, flow)
    made = hand.take()
    world.commands.cancel(Target(items=(flow.key,)), ASKER)
    hand.stopped(flow)
    plan = world.commands.retry(Target(items=(flow.key,)), "restart", ASKER)
    assert (plan.total, plan.skipped) == (0, {"its calls have not ended yet": 1})
    hand.stopped(made)
    assert world.commands.retry(Target(items=(flow.key,)), "restart", ASKER).total == 1
