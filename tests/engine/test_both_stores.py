"""The same commands to both stores: the same answers, and the same rows in every table when all is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mulligan.core.errors import MulliganError
from mulligan.core.events import Snoozed, Stopped, Succeeded
from mulligan.core.job import FailureClass, Item
from mulligan.engine.asking import Target
from mulligan.store.postgres import PostgresDatabase
from mulligan.testing.factories import a_definition, a_failure, a_run, daily, items_of
from mulligan.testing.harness import ASKER, Hand, Harness

DEFINITIONS = (
    a_definition("one", (3, 60), online=True),
    a_definition("two", None, offline=True, online=False),
    a_definition("three", 5, total_timeout_s=900),
)
TABLES = {
    "tasks": "*",
    "definitions": "*",
    "workers": "*",
    "worker_tasks": "*",
    "jobs": "*",
    "items": "*",
    "inputs": "*",
    "attempts": "*",
    "checkpoints": "*",
    "logs": "*",
    "progress": "*",
    "successors": "*",
    "events": "id, at_ms, kind, job, number, generation, reason",
    "audit": "*",
}
PICK = st.integers(0, 50)
HOW = st.sampled_from(["ok", "ok", "fail", "fail", "crash", "snooze", "stop"])
WORK = st.tuples(
    st.just("work"),
    st.integers(0, 1),
    st.lists(
        st.tuples(HOW, st.sampled_from([FailureClass.TRANSIENT, FailureClass.INFRASTRUCTURE, *FailureClass])),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([0, 61, 61]),
)
COMMANDS = st.one_of(
    st.tuples(
        st.just("submit"), st.integers(0, 2), st.integers(1, 4), st.booleans(), st.integers(1, 5), st.sampled_from([None, 90])
    ),
    st.tuples(st.just("claim"), st.integers(0, 1), st.integers(1, 5)),
    st.tuples(
        st.just("settle"), PICK, st.sampled_from(["ok", "ok", "fail", "crash", "snooze", "stop"]), st.sampled_from(FailureClass)
    ),
    st.tuples(st.just("save"), PICK, st.sampled_from(["step", "cursor"]), st.text(max_size=3)),
    st.tuples(st.just("note"), PICK, st.text(max_size=5), st.floats(0, 1)),
    st.tuples(st.just("pass"), st.sampled_from([1, 61, 1000])),
    st.tuples(st.just("cancel"), PICK),
    st.tuples(st.just("retry"), PICK, st.sampled_from(["recover", "restart"])),
    st.tuples(st.just("retry now"), PICK),
    st.tuples(st.just("overwrite"), PICK, st.booleans(), st.booleans()),
    st.tuples(st.just("pause"), st.integers(0, 2), st.booleans()),
    st.tuples(st.just("lose"), st.integers(0, 1)),
    st.tuples(st.just("chores")),
    st.tuples(st.just("list"), st.sampled_from(["status", "task", "failure_class", "error", "key", "label", "window_start"])),
)


STORIES = st.lists(st.tuples(st.lists(WORK, min_size=1, max_size=4), COMMANDS), min_size=3, max_size=15).map(
    lambda parts: [each for works, command in parts for each in (*works, command)]
)
"""Work that goes on, and every now and then something else."""


class Player:
    """Plays commands on one store; whatever is chosen is chosen by what it has seen, so equal stores play alike."""

    def __init__(self, world: Harness) -> None:
        self.world = world
        self.hands = [self._hand(), self._hand()]
        self.held: list[tuple[Hand, Item]] = []
        self.jobs: list[int] = []

    def _hand(self) -> Hand:
        return self.world.worker(*DEFINITIONS)

    def play(self, name: str, *arguments: Any) -> Any:
        """Return what a command answered, errors included."""
        try:
            return getattr(self, name.replace(" ", "_") + "_")(*arguments)
        except MulliganError as error:
            return type(error).__name__, str(error)

    def submit_(self, task: int, count: int, windows: bool, priority: int, delay_s: int | None) -> int:
        items = daily(count) if windows else items_of(range(count))
        more = {"kind": "backfill", "only": "missing"} if windows else {}
        job = self.world.submit(
            DEFINITIONS[task],
            items,
            run_id=f"run {len(self.jobs)}",
            priority=priority,
            delay_s=delay_s,
            labels={"n": str(count)},
            **more,
        )
        self.jobs.append(job)
        return job

    def claim_(self, hand: int, limit: int) -> Any:
        items = self.hands[hand].claim(limit)
        self.held += [(self.hands[hand], item) for item in items]
        return [tuple(item) for item in items]

    def settle_(self, pick: int, how: str, failure_class: FailureClass) -> Any:
        if not self.held:
            return None
        hand, item = self.held.pop(pick % len(self.held))
        run = a_run(item, self.world.clock.now_ms(), rows=pick)
        event = {
            "ok": Succeeded(run, f'"{pick}"'),
            "fail": a_failure(item, failure_class)._replace(run=run),
            "crash": a_failure(item, failure_class, crashed=True, signal=9)._replace(run=run),
            "snooze": Snoozed(run, 30.0),
            "stop": Stopped(run),
        }[how]
        return _told(hand.exchange((item, event)))

    def work_(self, hand: int, ends: list[tuple[str, FailureClass]], seconds: int) -> Any:
        """Claim so many and settle them all, then let time pass."""
        claimed = self.claim_(hand, len(ends))
        answers = [self.settle_(len(self.held) - 1, *each) for each in ends[: len(claimed)]]
        self.pass_(seconds)
        return claimed, answers

    def save_(self, pick: int, kind: str, key: str) -> Any:
        if not self.held:
            return None
        hand, item = self.held[pick % len(self.held)]
        return hand.save(item, kind, key.replace("\0", "") if kind == "step" else "", "1")

    def note_(self, pick: int, text: str, done: float) -> None:
        from mulligan.engine.exchanging import Notes

        if self.held:
            hand, item = self.held[pick % len(self.held)]
            log = (item.job, item.number, item.token, pick, text)
            hand.exchange(notes=Notes(logs=[log], progress=[(item.job, item.number, item.token, done, 1.0)]))

    def pass_(self, seconds: int) -> None:
        self.world.clock.pass_(seconds)

    def _target(self, pick: int) -> Target:
        return Target(job=self.jobs[pick % len(self.jobs)]) if self.jobs else Target(filters={"status": ["FAILURE"]})

    def cancel_(self, pick: int) -> Any:
        return _plan(self.world.commands.cancel(self._target(pick), ASKER))

    def retry_(self, pick: int, mode: Any) -> Any:
        return _plan(self.world.commands.retry(self._target(pick), mode, ASKER))

    def retry_now_(self, pick: int) -> Any:
        return _plan(self.world.commands.retry_now(self._target(pick), ASKER))

    def overwrite_(self, pick: int, accept_risk: bool, forward: bool) -> Any:
        return _plan(self.world.commands.overwrite(self._target(pick), ASKER, accept_risk=accept_risk, forward=forward))

    def pause_(self, task: int, paused: bool) -> bool:
        return self.world.commands.pause(DEFINITIONS[task].name, ASKER, paused=paused)

    def lose_(self, hand: int) -> int:
        self.hands[hand].die()
        self.hands[hand] = self._hand()
        return self.world.watch.run_once()

    def chores_(self) -> None:
        self.world.do_chores()

    def list_(self, name: str) -> Any:
        value = {
            "status": ["RETRY", "FAILURE"],
            "task": "one",
            "failure_class": "TIMEOUT",
            "error": "broke",
            "key": "1",
            "window_start": 0,
        }
        if name == "label":
            return [
                job.id
                for job in self.world.store.listing.jobs({"label": ("n", "2"), "status": ["PENDING", "SUCCESS", "FAILURE"]})
            ]
        return [tuple(map(str, each)) for each in self.world.store.listing.items({name: value[name]})]

    def dump(self) -> dict[str, list[str]]:
        """Return all rows of all tables, as text."""
        with self.world.store.read():
            run = self.world.store.database.text_in_reader
            texts = {name: f"select {what} from {name}" for name, what in TABLES.items()}  # noqa: S608 - constants of this file
            return {name: sorted(str(tuple(row)) for row in run(text, {})) for name, text in texts.items()}


def _told(exchange: Any) -> Any:
    return exchange.saved, exchange.refused, exchange.next_due_ms, exchange.alive


def _plan(plan: Any) -> Any:
    return astuple(plan)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(commands=STORIES)
def test_both_stores_answer_alike_and_hold_the_same_in_the_end(
    emptied: Callable[[], PostgresDatabase], commands: list[Any]
) -> None:
    with Harness(chance=lambda: 0.5) as one:
        other = Harness(chance=lambda: 0.5, database=emptied())
        players = (Player(one), Player(other))
        for name, *arguments in [("submit", 0, 4, False, 3, None), *commands]:
            answers = [each.play(name, *arguments) for each in players]
            assert answers[0] == answers[1], name
        dumps = [each.dump() for each in players]
        for table in TABLES:
            assert dumps[0][table] == dumps[1][table], table
        assert one.verify() == other.verify() == []
