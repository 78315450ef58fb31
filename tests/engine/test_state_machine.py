"""Anything that may happen, in any order, against the real store: the model agrees and every invariant holds after each step."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from choices import LIVES, OUTCOMES, PICK, TASKS, VERSIONS
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from model import CHANCE, ENDED, POLICIES, WAITS, ModelItem, Tried, Version, expected, seen

from mulligan.core.events import Failed, Released, Snoozed, Stopped, Succeeded
from mulligan.core.job import FailureClass, ItemKey
from mulligan.engine.asking import Target
from mulligan.store.postgres import PostgresDatabase
from mulligan.testing.factories import a_failure, daily, items_of
from mulligan.testing.harness import ASKER, Hand, Harness

LEASE_MS = 2_000


class Boom(Exception):
    """The store fails."""


class Life(RuleBasedStateMachine):
    """Workers, operators, time and bad luck."""

    def __init__(self) -> None:
        super().__init__()
        self.world = self.open()
        self.items: dict[ItemKey, ModelItem] = {}
        self.jobs: dict[int, list[ItemKey]] = {}
        self.flagged: set[int] = set()
        self.current: dict[str, Version] = {}
        self.paused: set[str] = set()
        self.hands: list[Hand] = []
        self.tried: list[Tried] = []
        self.told: list[Tried] = []
        self.next: dict[ItemKey, ItemKey] = {}
        self.refused = 0
        self.run_ids = 0
        self.small = pytest.MonkeyPatch()
        self.small.setattr("mulligan.engine.commands.CANCEL_AT_ONCE", 1)
        self.small.setattr("mulligan.engine.matching.PAGE", 2)
        self.small.setattr("mulligan.engine.submitting.CHUNK", 2)

    def open(self) -> Harness:
        return Harness(chance=lambda: CHANCE)

    def teardown(self) -> None:
        self.world.store.close()
        self.small.undo()

    @property
    def now(self) -> int:
        return self.world.clock.now_ms()

    # what is submitted and by whom it is run

    @initialize(one=st.sampled_from(sorted(POLICIES)), other=st.sampled_from(sorted(POLICIES)))
    def begin(self, one: str, other: str) -> None:
        self.enlist(Version("a", one, None), Version("b", other, None))

    def enlist(self, *versions: Version) -> None:
        self.hands.append(self.world.worker(*(each.definition() for each in versions), lease_ms=LEASE_MS))
        self.current.update({each.task: each for each in versions})

    @rule(one=VERSIONS)
    def another_worker(self, one: Version) -> None:
        if len(self.hands) < 3:
            other = self.current["b" if one.task == "a" else "a"]
            self.enlist(one, other)

    @rule(version=VERSIONS)
    def republish(self, version: Version) -> None:
        self.world.publish(version.definition())
        self.current[version.task] = version

    @rule(
        version=VERSIONS,
        count=st.integers(1, 3),
        windows=st.booleans(),
        priority=st.integers(1, 5),
        delay_s=st.sampled_from([None, None, 90]),
        expires_s=st.sampled_from([None, None, None, 100, 500]),
        total_s=st.sampled_from([None, None, 400]),
    )
    def submit(
        self,
        version: Version,
        count: int,
        windows: bool,
        priority: int,
        delay_s: int | None,
        expires_s: int | None,
        total_s: int | None,
    ) -> None:
        if len(self.items) > 12:
            return
        self.run_ids += 1
        job = self.world.submit(
            version.definition(),
            daily(count) if windows else items_of(range(count)),
            kind="backfill" if windows else "map",
            run_id=f"run-{self.run_ids}",
            priority=priority,
            delay_s=delay_s,
            expires_ms=None if expires_s is None else self.now + expires_s * 1000,
            total_timeout_s=total_s,
        )
        limit_s = version.limit_s if total_s is None else total_s
        cutoff = None if limit_s is None else self.now + limit_s * 1000
        ends = [each for each in (cutoff, None if expires_s is None else self.now + expires_s * 1000) if each is not None]
        due = self.now + (delay_s or 0) * 1000
        self.jobs[job] = [ItemKey(job, number) for number in range(count)]
        for key in self.jobs[job]:
            window = key.number if windows else None
            self.items[key] = ModelItem(key, version, due, min(ends, default=None), cutoff, priority, window, total_s)

    @rule(task=st.sampled_from(TASKS), count=st.integers(2, 4))
    def a_backfill_succeeds(self, task: str, count: int) -> None:
        if len(self.items) > 12 or task in self.paused:
            return
        self.submit(self.current[task], count, True, 1, None, None, None)
        hand = self.some_hand(0)
        mine = self.jobs[max(self.jobs)]
        while any(self.items[key].status == "PENDING" for key in mine):
            self._claim(hand, 1)
            self.succeed(len(self.tried) - 1)

    # what workers do

    def eligible(self) -> list[ModelItem]:
        return [
            each
            for each in self.items.values()
            if each.claimable(self.now) and each.version.task not in self.paused and each.key.job not in self.flagged
        ]

    @rule(pick=PICK, limit=st.integers(1, 4))
    def claim(self, pick: int, limit: int) -> None:
        self._claim(self.some_hand(pick), limit)

    def some_hand(self, pick: int) -> Hand:
        if not self.hands:
            self.enlist(*self.current.values())
        return self.hands[pick % len(self.hands)]

    def _claim(self, hand: Hand, limit: int) -> None:
        eligible = self.eligible()
        claims = hand.exchange(limit=limit).claims
        assert len(claims) == min(limit, len(eligible)), (claims, eligible)
        urgent = sorted(each.priority for each in eligible)[: len(claims)]
        assert sorted(each.item.priority for each in claims) == urgent
        for claim in claims:
            item = self.items[claim.item.key]
            assert item in eligible
            item.claim(hand.id)
            assert (claim.item.token, claim.item.attempt) == (item.token, item.attempt)
            assert dict(claim.saved.steps if claim.saved else {}) == item.steps()
            self.tried.append(Tried(hand, claim.item))

    @precondition(lambda self: self.hands)
    @rule(pick=PICK)
    def claim_while_the_store_fails(self, pick: int) -> None:
        hand = self.hands[pick % len(self.hands)]
        with self.world.failing(Boom()), pytest.raises(Boom):
            hand.exchange(limit=3)

    def pick_tried(self, pick: int) -> tuple[Tried, ModelItem | None]:
        """Take an attempt, and the item if the attempt still owns it."""
        tried = self.tried.pop(pick % len(self.tried))
        self.told.append(tried)
        return tried, self.owned(tried)

    def owned(self, tried: Tried) -> ModelItem | None:
        item = self.items[tried.item.key]
        is_his = (item.status, item.token, item.worker) == ("STARTED", tried.item.token, tried.hand.id)
        return item if is_his else None

    def settle(self, tried: Tried, item: ModelItem | None, event: Any) -> None:
        result = tried.hand.exchange((tried.item, event))
        assert result.refused == (item is None)
        self.refused += item is None

    @rule(pick=PICK, outcomes=st.lists(OUTCOMES, min_size=1, max_size=6))
    def work(self, pick: int, outcomes: list[tuple[str, FailureClass]]) -> None:
        """Let time pass until something is due, take it, and say how it ended; several times over."""
        for outcome, failure_class in outcomes:
            waiting = [each.due_ms for each in self.items.values() if each.status in WAITS and not each.held]
            if waiting:
                self.world.clock.pass_(max(0, min(waiting) - self.now) / 1000)
            self._claim(self.some_hand(pick), 1)
            self.tell(len(self.tried) - 1, outcome, failure_class)

    @rule(pick=PICK, outcome=OUTCOMES)
    def an_attempt_ends(self, pick: int, outcome: tuple[str, FailureClass]) -> None:
        self.tell(pick, *outcome)

    def tell(self, pick: int, outcome: str, failure_class: FailureClass) -> None:
        if not self.tried:
            return
        match outcome:
            case "succeed":
                self.succeed(pick)
            case "snooze":
                self.snooze(pick, 30)
            case "release":
                self.release(pick)
            case "stop":
                self.stopped_by_its_worker(pick)
            case _:
                self.fail(pick, failure_class, outcome == "crash", outcome == "cutoff")

    def succeed(self, pick: int) -> None:
        tried, item = self.pick_tried(pick)
        self.settle(tried, item, Succeeded(tried.run(self.now), "1"))
        if item is not None:
            item.succeed(self.now)
            following = self.leave_order(item.key)
            if following is not None and following.held:
                following.due_ms, following.held = self.now, False

    def before(self, key: ItemKey) -> ItemKey | None:
        return next((first for first, then in self.next.items() if then == key), None)

    def leave_order(self, key: ItemKey) -> ModelItem | None:
        before, after = self.before(key), self.next.pop(key, None)
        if before is not None:
            self.next.pop(before)
            if after is not None:
                self.next[before] = after
        return None if after is None else self.items[after]

    def end_what_is_held(self) -> None:
        """Where a window did not succeed, those that are held one behind the other after it end too."""
        for first in [key for key in self.next if self.items[key].status in ("FAILURE", "REVOKED")]:
            key = self.next[first]
            while key is not None and self.items[key].held:
                self.items[key].cancel(self.now)
                key = self.next.get(key)

    def fail(self, pick: int, failure_class: FailureClass, crashed: bool, cutoff: bool) -> None:
        tried, item = self.pick_tried(pick)
        event = a_failure(tried.item, failure_class, run=tried.run(self.now), crashed=crashed, cutoff=cutoff)
        self.settle(tried, item, event)
        if item is not None:
            item.fail(failure_class, self.now, crashed=crashed, cutoff=cutoff)
            self.end_what_is_held()

    def stopped_by_its_worker(self, pick: int) -> None:
        tried, item = self.pick_tried(pick)
        self.settle(tried, item, Stopped(tried.run(self.now)))
        if item is not None:
            item.interrupt(self.now)
            self.end_what_is_held()

    def snooze(self, pick: int, delay_s: int) -> None:
        tried, item = self.pick_tried(pick)
        self.settle(tried, item, Snoozed(tried.run(self.now), delay_s))
        if item is not None:
            item.snooze(delay_s * 1000, self.now)
            self.end_what_is_held()

    def release(self, pick: int) -> None:
        tried, item = self.pick_tried(pick)
        self.settle(tried, item, Released(tried.run(self.now)))
        if item is not None:
            item.release(self.now)
            self.end_what_is_held()

    @precondition(lambda self: self.told)
    @rule(pick=PICK, succeeded=st.booleans())
    def say_again_what_was_said(self, pick: int, succeeded: bool) -> None:
        tried = self.told[pick % len(self.told)]
        run = tried.run(self.now)
        event: Succeeded | Failed = Succeeded(run, "2") if succeeded else a_failure(tried.item, run=run)
        self.settle(tried, None, event)

    def ghosts(self) -> list[Tried]:
        """Attempts that are over, of items that run again."""
        return [each for each in self.told if self.items[each.item.key].status == "STARTED"]

    @precondition(lambda self: self.ghosts())
    @rule(pick=PICK, outcome=OUTCOMES)
    def a_ghost_speaks(self, pick: int, outcome: tuple[str, FailureClass]) -> None:
        ghosts = self.ghosts()
        self.tried.append(ghosts[pick % len(ghosts)])
        self.tell(len(self.tried) - 1, *outcome)

    @rule(pick=PICK, last_words=OUTCOMES, outcome=OUTCOMES)
    def a_ghost_speaks_to_its_own_worker(
        self, pick: int, last_words: tuple[str, FailureClass], outcome: tuple[str, FailureClass]
    ) -> None:
        hand = self.some_hand(pick)
        self._claim(hand, 1)
        self.tell(len(self.tried) - 1, *last_words)
        ghost = self.told[-1] if self.told else None
        item = self.items[ghost.item.key] if ghost else None
        if ghost and item and item.status in WAITS and not item.held:
            self.world.clock.pass_(max(0, item.due_ms - self.now) / 1000)
            self._claim(hand, 9)
            self.tried.append(ghost)
            self.tell(len(self.tried) - 1, *outcome)

    @precondition(lambda self: self.tried or self.told)
    @rule(pick=PICK, key=st.sampled_from(["one", "two"]), value=st.sampled_from(["1", "2"]))
    def save_a_step(self, pick: int, key: str, value: str) -> None:
        known = self.tried + self.told
        tried = known[pick % len(known)]
        item = self.owned(tried)
        assert tried.hand.save(tried.item, "step", key, value) == (item is not None)
        if item is None:
            self.refused += 1
        else:
            item.saved[key, item.generation] = value
            item.crashes = 0

    # how workers end

    def lose(self, hand: Hand) -> None:
        for item in self.items.values():
            if item.worker == hand.id:
                item.interrupt(self.now)
        self.end_what_is_held()

    @precondition(lambda self: self.hands)
    @rule(pick=PICK, how=st.integers(0, 3))
    def a_worker_ends(self, pick: int, how: int) -> None:
        ends = (
            self.a_worker_is_killed_and_found,
            self.a_worker_is_killed_and_its_finder_too,
            self.a_worker_stands_still_past_its_lease,
            self.a_worker_leaves_in_order,
        )
        ends[how](pick)

    def a_worker_is_killed_and_found(self, pick: int) -> None:
        hand = self.hands.pop(pick % len(self.hands))
        hand.die()
        self.world.watch.run_once()
        self.lose(hand)

    def a_worker_is_killed_and_its_finder_too(self, pick: int) -> None:
        hand = self.hands.pop(pick % len(self.hands))
        with self.world.store.write() as session:
            (beat,) = (each.beat for each in session.workers.open() if each.id == hand.id)
            assert session.workers.lose(hand.id, beat, self.now)
        assert hand.exchange(limit=4).claims == []
        self.world.watch.run_once()
        self.lose(hand)

    def a_worker_stands_still_past_its_lease(self, pick: int) -> None:
        hand = self.hands.pop(pick % len(self.hands))
        for _ in range(7):
            self.world.clock.pass_(0.5)
            assert all(each.beat() for each in self.hands)
            self.world.watch.run_once()
            if not self.is_open(hand):
                break
        self.lose(hand)
        assert not hand.beat()

    def is_open(self, hand: Hand) -> bool:
        with self.world.store.read() as session:
            return hand.id in {each.id for each in session.workers.open()}

    def a_worker_leaves_in_order(self, pick: int) -> None:
        hand = self.hands.pop(pick % len(self.hands))
        self.world.engine.dismiss(hand.id, hand.name)
        self.lose(hand)

    @precondition(lambda self: self.hands and self.tried)
    @rule(pick=PICK)
    def a_claim_is_committed_but_not_answered(self, pick: int) -> None:
        hand = self.hands[pick % len(self.hands)]
        eligible = self.eligible()
        claims = hand.exchange(limit=2).claims
        for claim in claims:
            self.items[claim.item.key].claim(hand.id)
        known = {(each.item.key, each.item.token) for each in self.tried if each.hand is hand}
        assert self.world.engine.give_back(hand.id, known) == len(claims) == min(2, len(eligible))
        for claim in claims:
            self.items[claim.item.key].release(self.now)
        self.end_what_is_held()

    # what people ask for

    def busy(self, job: int) -> bool:
        return job in self.flagged and any(self.items[key].status not in ENDED for key in self.jobs[job])

    def would_run_twice(self, item: ModelItem, chosen: list[ItemKey]) -> bool:
        beside = [each for each in self.items.values() if each.is_beside(item)]
        return any(each.status not in ENDED or (each.key in chosen and each.age() > item.age()) for each in beside)

    def reopen(self, keys: list[ItemKey]) -> list[ItemKey]:
        free = [key for key in keys if not self.busy(key.job)]
        wanted = [key for key in free if not self.would_run_twice(self.items[key], free)]
        self.flagged -= {key.job for key in wanted}
        return wanted

    @precondition(lambda self: self.items)
    @rule(pick=PICK)
    def cancel_an_item(self, pick: int) -> None:
        key = sorted(self.items)[pick % len(self.items)]
        total = self.world.commands.cancel(Target(items=(key,)), ASKER).total
        assert total == self.items[key].cancel(self.now)
        self.end_what_is_held()

    @precondition(lambda self: self.tried)
    @rule(pick=PICK, outcome=OUTCOMES)
    def cancel_what_runs_and_hear_how_it_ended(self, pick: int, outcome: tuple[str, FailureClass]) -> None:
        key = self.tried[pick % len(self.tried)].item.key
        self.cancel_an_item(sorted(self.items).index(key))
        self.tell(pick, *outcome)

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK)
    def cancel_a_job(self, pick: int) -> None:
        job = sorted(self.jobs)[pick % len(self.jobs)]
        items = [self.items[key] for key in self.jobs[job]]
        self.world.commands.cancel(Target(job=job), ASKER)
        if any(each.status not in ENDED for each in items):
            self.flagged.add(job)
            for each in items:
                each.cancel(self.now)
            self.end_what_is_held()

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK)
    def cancel_a_job_and_die(self, pick: int) -> None:
        """The flag and the first chunk are committed; the rest is left to others."""
        job = sorted(self.jobs)[pick % len(self.jobs)]
        items = [self.items[key] for key in self.jobs[job]]
        if job in self.flagged or all(each.status in ENDED for each in items):
            return
        with self.world.failing(Boom(), at="after commit"), pytest.raises(Boom):
            self.world.commands.cancel(Target(job=job), ASKER)
        self.flagged.add(job)
        for each in items:
            if each.status == "STARTED":
                each.cancel(self.now)
        self.revoke_the_first_that_waits(job)

    def revoke_the_first_that_waits(self, job: int) -> None:
        waiting = [self.items[key] for key in self.jobs[job] if self.items[key].status in WAITS]
        if waiting:
            waiting[0].cancel(self.now)
        self.end_what_is_held()

    @precondition(lambda self: self.items)
    @rule(pick=PICK, whole=st.booleans(), mode=st.sampled_from(["recover", "restart"]))
    def retry(self, pick: int, whole: bool, mode: Any) -> None:
        key = sorted(self.items)[pick % len(self.items)]
        keys = self.jobs[key.job] if whole else [key]
        target = Target(job=key.job) if whole else Target(items=(key,))
        total = self.world.commands.retry(target, mode, ASKER).total
        wanted = self.reopen([each for each in keys if self.items[each].status in ("FAILURE", "REVOKED")])
        assert total == len(wanted)
        awaited = {*wanted, *(each for each, item in self.items.items() if item.status not in ENDED)}
        for each in wanted:
            item = self.items[each]
            item.begin(self.current[item.version.task], self.now, anew=mode == "restart", held=self.before(each) in awaited)

    @precondition(lambda self: self.items)
    @rule(pick=PICK)
    def retry_now(self, pick: int) -> None:
        key = sorted(self.items)[pick % len(self.items)]
        item = self.items[key]
        waits = item.status in WAITS and item.due_ms > self.now and not item.held
        assert self.world.commands.retry_now(Target(items=(key,)), ASKER).total == waits
        if waits:
            item.due_ms = self.now

    @precondition(lambda self: self.items)
    @rule(pick=PICK)
    def overwrite(self, pick: int) -> None:
        key = sorted(self.items)[pick % len(self.items)]
        total = self.world.commands.overwrite(Target(items=(key,)), ASKER, accept_risk=True).total
        wanted = self.reopen([key] if self.items[key].status == "SUCCESS" else [])
        assert total == len(wanted)
        for each in wanted:
            self.items[each].begin(self.current[self.items[each].version.task], self.now, anew=True)

    @precondition(lambda self: any(each.window is not None and each.status == "SUCCESS" for each in self.items.values()))
    @rule(pick=PICK, run=st.booleans())
    def overwrite_forward(self, pick: int, run: bool) -> None:
        there = sorted(key for key, each in self.items.items() if each.window is not None and each.status == "SUCCESS")
        first = self.items[there[pick % len(there)]]
        total = self.world.commands.overwrite(Target(items=(first.key,)), ASKER, accept_risk=True, forward=True).total
        later = [self.items[key] for key in there if self.items[key].is_later_than(first)]
        ordered = sorted([first, *later], key=lambda each: (each.window, each.key))
        wanted = self.reopen([each.key for each in ordered])
        assert total == len(wanted)
        for place, each in enumerate(wanted):
            self.items[each].begin(self.current[first.version.task], self.now, anew=True, held=place > 0)
        self.next.update(pairwise(wanted))
        for _ in wanted if run else ():
            self._claim(self.some_hand(pick), 1)
            self.tell(len(self.tried) - 1, "succeed", FailureClass.UNKNOWN)

    @precondition(lambda self: any(each.window is not None and each.status == "SUCCESS" for each in self.items.values()))
    @rule(pick=PICK, others=st.lists(OUTCOMES, max_size=3), mode=st.sampled_from(["recover", "restart"]))
    def overwrite_forward_and_retry_what_failed(self, pick: int, others: list[tuple[str, FailureClass]], mode: Any) -> None:
        self.overwrite_forward(pick, False)
        for outcome in (*others, ("fail", FailureClass.PERMANENT)):
            self._claim(self.some_hand(pick), 1)
            self.tell(len(self.tried) - 1, *outcome)
        for job in sorted(self.jobs):
            self.retry(sorted(self.items).index(self.jobs[job][0]), True, mode)

    @rule(task=st.sampled_from(TASKS), paused=st.sampled_from([True, False, False]))
    def pause_or_resume(self, task: str, paused: bool) -> None:
        assert self.world.commands.pause(task, ASKER, paused=paused) == (paused is not (task in self.paused))
        self.paused = self.paused | {task} if paused else self.paused - {task}

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK, verb=st.sampled_from(["cancel", "retry", "retry_now", "overwrite"]))
    def ask_what_would_be_done(self, pick: int, verb: str) -> None:
        target = Target(job=sorted(self.jobs)[pick % len(self.jobs)])
        args = ("recover", ASKER) if verb == "retry" else (ASKER,)
        getattr(self.world.commands, verb)(target, *args, dry_run=True)

    # time

    @rule(seconds=st.sampled_from([1, 60, 75, 150, 300, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.world.clock.pass_(seconds)

    @rule()
    def deadlines_are_looked_at(self) -> None:
        self.world.do_chores()
        for item in self.items.values():
            item.expire(self.now)
        self.end_what_is_held()
        for job in sorted(self.flagged):
            self.revoke_the_first_that_waits(job)

    # what must be so

    @invariant()
    def the_store_is_sound(self) -> None:
        assert self.world.verify() == []

    @invariant()
    def the_model_agrees(self) -> None:
        with self.world.store.read() as session:
            rows = {each.key: each for each in session.items.read(self.items)}
            found = self.world.store.database.text_in_reader(
                "select job, number, count(*) from attempts group by job, number", {}
            )
            recorded = {ItemKey(job, number): count for job, number, count in found}
            steps = self.world.store.database.text_in_reader("select job, number, key, generation, value from checkpoints", {})
            saved = {(ItemKey(job, number), key, generation): value for job, number, key, generation, value in steps}
        assert saved == {(each.key, *place): value for each in self.items.values() for place, value in each.saved.items()}
        for key, item in self.items.items():
            row = rows[key]
            assert seen(row) == expected(item), key
            assert recorded.get(key, 0) == item.recorded
            assert not (item.version.once and item.runs > 1)
        assert self.world.refused() == self.refused


@pytest.mark.timeout(600)  # where it finds something, it takes its time to find the shortest way there
class TestLife(Life.TestCase):  # type: ignore[name-defined]  # made by hypothesis
    """Three hundred lives of up to sixty steps; `make fuzz` has many more."""

    settings = settings(
        max_examples=300 * LIVES, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
    )


def test_lives_on_postgres(emptied: Callable[[], PostgresDatabase]) -> None:
    class OnPostgres(Life):
        def open(self) -> Harness:
            return Harness(chance=lambda: CHANCE, database=emptied())

        def teardown(self) -> None:
            self.small.undo()

    some = settings(
        max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
    )
    run_state_machine_as_test(OnPostgres, settings=some)
