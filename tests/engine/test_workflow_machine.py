"""Anything that may happen to workflows and their calls, against the real store, beside an account of what must be so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from choices import LIVES, PICK
from flows import FLOW, LOAD, ONCE, a_call, called
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from mulligan.core.job import TERMINAL, Item, ItemKey, JobStatus, Reason
from mulligan.core.replay import Step, resolve, round_of
from mulligan.engine.asking import Target
from mulligan.engine.exchanging import Claim
from mulligan.store.postgres import PostgresDatabase
from mulligan.testing.factories import a_definition
from mulligan.testing.harness import ASKER, Hand, Harness

AGAIN = a_definition("again", retries=(2, 60), executor="workflow")
TASKS = {each.name: each for each in (LOAD, ONCE)}
PENDING, SUCCESS, REVOKED = JobStatus.PENDING, JobStatus.SUCCESS, JobStatus.REVOKED
Known = tuple[str, ItemKey, int]
"""A place, the call that is there, and its generation."""


class Flows(RuleBasedStateMachine):
    """Bodies that make calls and are replayed, workers that die, people who cancel and retry."""

    def __init__(self) -> None:
        super().__init__()
        self.world = self.open()
        self.hands: list[Hand] = []
        self.flows: dict[ItemKey, dict[str, ItemKey]] = {}
        """What each workflow has called, by place."""
        self.heard: dict[ItemKey, set[Known]] = {}
        """The ends of calls that the body which runs was told of."""
        self.begun: Counter[tuple[ItemKey, int]] = Counter()
        self.done: dict[ItemKey, Item] = {}
        """Calls that have succeeded, as they were then."""
        self.ghosts: list[tuple[Hand, Item]] = []

    def open(self) -> Harness:
        return Harness(chance=lambda: 0.5)

    def teardown(self) -> None:
        self.everything_ends()
        self.world.store.close()

    def row(self, key: ItemKey) -> Item:
        return self.world.item(key)

    def has_ended(self, key: ItemKey) -> bool:
        return self.row(key).status in TERMINAL

    def hand(self, pick: int) -> Hand:
        if len(self.hands) < 2:
            self.hands.append(self.world.worker(FLOW, AGAIN, LOAD, ONCE))
        return self.hands[pick % len(self.hands)]

    def running(self, *, bodies: bool) -> list[tuple[Hand, Item]]:
        held = [(hand, claim.item) for hand in self.hands for claim in hand.held.values()]
        return sorted(((hand, item) for hand, item in held if (item.key in self.flows) is bodies), key=lambda each: each[1].key)

    # workers

    @initialize(definitions=st.lists(st.sampled_from([FLOW, AGAIN]), min_size=1, max_size=2), calls=st.integers(0, 3))
    def begin(self, definitions: list[Any], calls: int) -> None:
        for each in definitions:
            self.submit(each)
        self.claim(0, len(definitions))
        for place in range(calls):
            self.call(place, "1234"[place], sorted(TASKS)[place % 2], 1)

    @rule(definition=st.sampled_from([FLOW, AGAIN]))
    def submit(self, definition: Any) -> None:
        if len(self.flows) < 3:
            self.flows[ItemKey(self.world.submit(definition, run_id=f"run-{len(self.flows)}"), 0)] = {}

    @rule(pick=PICK, limit=st.integers(1, 4))
    def claim(self, pick: int, limit: int) -> None:
        hand = self.hand(pick)
        for claim in hand.exchange(limit=limit).claims:
            item = claim.item
            self.begun[item.key, item.generation] += 1
            assert not item.once or claim.definition.workflow or self.begun[item.key, item.generation] == 1, "it may run once"
            assert item.key not in self.done, "it had succeeded"
            if item.key in self.flows:
                self.replay(claim)

    def replay(self, claim: Claim) -> None:
        """See that a body is given all that was called."""
        key = claim.item.key
        given = self.world.engine.calling.histories([claim]).get(key, ())
        assert {each.place: ItemKey.of(each.item) for each in given} == self.flows[key]
        rows = {each.place: self.row(ItemKey.of(each.item)) for each in given}
        assert [each.status for each in given] == [rows[each.place].status for each in given]
        self.heard[key] = {(place, row.key, row.generation) for place, row in rows.items() if row.status in TERMINAL}

    @rule(pick=PICK)
    def hear(self, pick: int) -> None:
        hand = self.hand(pick)
        for flow, call in hand.exchange(replays=True).arrived:
            row = self.row(ItemKey.of(call.item))
            if flow not in hand.held:
                continue  # its body has ended before it heard of that
            assert call.status is row.status
            assert row.status in TERMINAL
            self.heard[flow].add((call.place, row.key, row.generation))
        for flow in hand.held.keys() & self.flows.keys():
            rows = {place: self.row(key) for place, key in self.flows[flow].items()}
            over = {(place, row.key, row.generation) for place, row in rows.items() if row.status in TERMINAL}
            assert over <= self.heard[flow], "its body would wait in vain"

    @precondition(lambda self: self.running(bodies=True))
    @rule(pick=PICK, place=st.sampled_from("1234"), task=st.sampled_from(sorted(TASKS)), times=st.integers(1, 2))
    def call(self, pick: int, place: str, task: str, times: int) -> None:
        bodies = self.running(bodies=True)
        hand, item = bodies[pick % len(bodies)]
        past = {each.place: each for each in self.world.engine.calling.histories([hand.held[item.key]]).get(item.key, ())}
        step = resolve(past.get(place), task, "d", round_of(item))
        if step not in (Step.START, Step.RUN_AGAIN):
            return
        there = past[place].item if place in past else None
        new = a_call(place, TASKS[task], there if step is Step.RUN_AGAIN else None)
        new = new._replace(item=new.item._replace(key=f"{new.item.key}~{there}"))
        before = called(self.world, item)
        for _ in range(times):
            hand.call(item, new)
        after = called(self.world, item)
        if self.row(item.key).cancel_ms is not None:
            assert after == before
            return
        made = after.pop(place)
        old = before.pop(place, None)
        assert after == before
        assert made.status in (PENDING, JobStatus.RETRY)
        if step is Step.RUN_AGAIN:
            assert old is not None
            assert (made.key, made.generation) == (old.key, old.generation + 1)
        else:
            assert made.generation == 1
            assert made.key not in {key for calls in self.flows.values() for key in calls.values()}
        self.flows[item.key][place] = made.key

    @precondition(lambda self: self.ghosts)
    @rule(pick=PICK, place=st.sampled_from("1234"))
    def a_body_that_is_over_calls(self, pick: int, place: str) -> None:
        hand, item = self.ghosts[pick % len(self.ghosts)]
        if hand in self.hands:
            hand.call(item, a_call(place))

    @precondition(lambda self: self.running(bodies=False))
    @rule(pick=PICK, how=st.sampled_from(["succeed", "succeed", "fail", "stopped"]))
    def a_call_ends(self, pick: int, how: str) -> None:
        calls = self.running(bodies=False)
        hand, item = calls[pick % len(calls)]
        getattr(hand, how)(item)
        if (row := self.row(item.key)).status is SUCCESS:
            assert how == "succeed"
            self.done[item.key] = row

    @precondition(lambda self: self.running(bodies=True))
    @rule(pick=PICK, how=st.sampled_from(["succeed", "fail", "fail", "stopped"]))
    def a_body_ends(self, pick: int, how: str) -> None:
        bodies = self.running(bodies=True)
        hand, item = bodies[pick % len(bodies)]
        if how != "stopped" and not all(map(self.has_ended, self.flows[item.key].values())):
            return  # a real one waits
        before = self.row(item.key)
        getattr(hand, how)(item)
        self.ghosts.append((hand, item))
        if how == "stopped":
            self.is_replayed(before)

    def is_replayed(self, before: Item) -> None:
        after = self.row(before.key)
        wanted = (PENDING, Reason.REPLAYED) if before.cancel_ms is None else (REVOKED, Reason.CANCELLED)
        assert (after.status, after.reason) == wanted
        assert after.charges == before.charges

    @precondition(lambda self: self.hands)
    @rule(pick=PICK)
    def a_worker_dies(self, pick: int) -> None:
        hand = self.hands.pop(pick % len(self.hands))
        bodies = [self.row(key) for key in hand.held if key in self.flows]
        hand.die()
        for each in self.hands:
            assert each.beat()
        self.world.watch.run_once()
        for before in bodies:
            self.is_replayed(before)

    # people and time

    @precondition(lambda self: self.flows)
    @rule(pick=PICK, alone=st.booleans())
    def cancel(self, pick: int, alone: bool) -> None:
        keys = sorted(key for calls in self.flows.values() for key in calls.values()) if alone else sorted(self.flows)
        if keys:
            key = keys[pick % len(keys)]
            self.world.commands.cancel(Target(items=(key,)), ASKER)
            row = self.row(key)
            assert row.status in TERMINAL or row.cancel_ms is not None

    @precondition(lambda self: self.flows)
    @rule(pick=PICK, mode=st.sampled_from(["recover", "recover", "restart"]))
    def retry(self, pick: int, mode: Any) -> None:
        key = sorted(self.flows)[pick % len(self.flows)]
        before, calls = self.row(key), called(self.world, key)
        unended = [each for each in calls.values() if each.status not in TERMINAL]
        wanted = before.status in TERMINAL - {SUCCESS} and not (mode == "restart" and unended)
        total = self.world.commands.retry(Target(items=(key,)), mode, ASKER).total
        after = self.row(key)
        assert (total, after.generation) == (int(wanted), before.generation + wanted)
        if wanted and mode == "restart":
            self.flows[key] = {}

    @rule(seconds=st.sampled_from([1, 60, 600]))
    def time_passes(self, seconds: int) -> None:
        self.world.clock.pass_(seconds)
        for each in self.hands:
            assert each.beat()

    # what must be so

    @invariant()
    def the_store_is_sound(self) -> None:
        assert self.world.verify() == []

    @invariant()
    def the_account_agrees(self) -> None:
        for flow, calls in self.flows.items():
            rows, body = called(self.world, flow), self.row(flow)
            assert {place: row.key for place, row in rows.items()} == calls
            assert all(self.done.get(row.key, row) == row for row in rows.values()), "what succeeded changes no more"
            job = self.world.job(flow.job)
            assert (job.counts.total, job.ended_ms is not None) == (1, body.status in TERMINAL)
            if body.cancel_ms is not None:
                waiting = [row for row in rows.values() if row.status not in TERMINAL and row.cancel_ms is None]
                assert not waiting, "they would go on although their workflow is cancelled"

    def everything_ends(self) -> None:
        """Let everything go well from here on: nothing is left behind."""
        for _ in range(60):
            hand = self.hand(0)
            for each in [*self.running(bodies=False)]:
                each[0].succeed(each[1])
            for owner, item in self.running(bodies=True):
                if all(map(self.has_ended, self.flows[item.key].values())):
                    owner.succeed(item)
            if all(map(self.has_ended, [*self.flows, *(key for calls in self.flows.values() for key in calls.values())])):
                return
            self.time_passes(600)
            hand.claim(20)
        raise AssertionError("something never ends")


@pytest.mark.timeout(600)  # where it finds something, it takes its time to find the shortest way there
class TestFlows(Flows.TestCase):  # type: ignore[name-defined]  # made by hypothesis
    """Lives of workflows, of up to fifty steps; `make fuzz` has many more."""

    settings = settings(
        max_examples=140 * LIVES, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
    )


def test_flows_on_postgres(emptied: Callable[[], PostgresDatabase]) -> None:
    class OnPostgres(Flows):
        def open(self) -> Harness:
            return Harness(chance=lambda: 0.5, database=emptied())

        def teardown(self) -> None:
            self.everything_ends()

    some = settings(
        max_examples=15, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
    )
    run_state_machine_as_test(OnPostgres, settings=some)
