"""No item holds the queue for ever, whatever it fails of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mulligan.core.job import FailureClass, JobStatus
from mulligan.core.lifecycle import POISON_CRASHES
from mulligan.core.retry import Policy, Retry
from mulligan.testing.factories import a_definition
from mulligan.testing.harness import Harness

INFRASTRUCTURE = FailureClass.INFRASTRUCTURE
ENDS = st.sampled_from(["INFRASTRUCTURE", "TRANSIENT", "UNKNOWN", "TIMEOUT", "crash", "stop"])


def end(world: Harness, hand: Any, item: Any, how: str) -> None:
    if how == "stop":
        hand.stopped(item)
    else:
        hand.fail(item, INFRASTRUCTURE if how == "crash" else FailureClass(how), crashed=how == "crash")


@given(st.lists(ENDS, min_size=1, max_size=20), st.integers(2, 6), st.integers(1, 4))
def test_an_item_that_fails_for_ever_lets_the_others_run_before_its_attempts_are_used_up(
    ends: list[str], attempts: int, others: int
) -> None:
    """What the machine fails goes first as often as INFRASTRUCTURE has attempts; the first other failure goes behind."""
    own = (FailureClass.TRANSIENT, FailureClass.TIMEOUT, FailureClass.UNKNOWN)
    definition = a_definition(retries=Policy({INFRASTRUCTURE: Retry(attempts), own: Retry(9)}))
    with Harness() as world:
        hand = world.worker(definition)
        world.submit(definition, 1 + others)
        left, turns = others, 0
        while left:
            world.clock.pass_(0.01)
            item = hand.take()
            if item.number == 0:
                end(world, hand, item, ends[turns % len(ends)])
                turns += 1
            else:
                hand.succeed(item)
                left -= 1
        assert turns <= attempts
        assert world.verify() == []


@pytest.mark.parametrize(("how", "turns"), [("crash", POISON_CRASHES), ("INFRASTRUCTURE", 5), ("stop", 5), ("TRANSIENT", 1)])
def test_at_once_means_before_the_backlog_where_the_machine_failed(how: str, turns: int) -> None:
    definition = a_definition(retries=Policy({INFRASTRUCTURE: Retry(5), FailureClass.TRANSIENT: Retry(5)}))
    with Harness() as world:
        hand = world.worker(definition)
        job = world.submit(definition, 50)
        for _ in range(turns):
            world.clock.pass_(1)
            item = hand.take()
            assert item.number == 0
            end(world, hand, item, how)
        assert hand.take().number == 1
        assert (world.item(job).status is JobStatus.FAILURE) is (how != "TRANSIENT")
