"""The thread that does chores: each in its time, whatever one of them does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from mulligan.core.errors import StoreBusy
from mulligan.supervisor.chore import Chore
from mulligan.supervisor.supervisor import Supervisor

DEADLINE_S = 20.0


class Told:
    """What was told, for tests."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Any]] = []

    def __call__(self, event: str, **facts: Any) -> None:
        self.lines.append((event, facts.get("error")))


def counting(upto: int, enough: threading.Event, act: Callable[[int], int] = lambda _: 0) -> Callable[[], int]:
    """Make a chore's `run_once` that tells when it has run so many times."""
    times = 0

    def run_once() -> int:
        nonlocal times
        times += 1
        if times == upto:
            enough.set()
        return act(times)

    return run_once


def test_a_chore_that_fails_is_told_of_once_and_again_when_it_works_and_the_others_go_on() -> None:
    told, enough, others = Told(), threading.Event(), threading.Event()

    def act(times: int) -> int:
        if times == 1:
            raise StoreBusy("locked")
        if times < 5:
            raise ValueError("a strange row")
        return 0

    chores = [Chore("bad", 0.001, counting(6, enough, act)), Chore("good", 0.001, counting(6, others))]
    supervisor = Supervisor(chores, told)
    supervisor.start()
    assert enough.wait(DEADLINE_S)
    assert others.wait(DEADLINE_S)
    supervisor.stop()
    assert told.lines == [("chore failed", "locked"), ("chore failed", "ValueError: a strange row"), ("chore works again", None)]


def test_a_chore_that_has_more_to_do_comes_again_at_once_and_else_in_its_time() -> None:
    enough, never = threading.Event(), threading.Event()
    chores = [Chore("much", 3600, counting(5, enough, lambda times: times < 5)), Chore("rare", 3600, counting(2, never))]
    supervisor = Supervisor(chores, Told())
    supervisor.start()
    assert enough.wait(DEADLINE_S)
    supervisor.stop()
    assert not never.is_set()


def test_it_stops_in_the_middle_of_a_long_wait_and_may_be_started_and_stopped_twice() -> None:
    once = threading.Event()
    supervisor = Supervisor([Chore("rare", 3600, counting(1, once))], Told())
    supervisor.start()
    supervisor.start()
    assert once.wait(DEADLINE_S)
    supervisor.stop()
    supervisor.stop()
    assert "mulligan supervisor" not in {each.name for each in threading.enumerate()}
