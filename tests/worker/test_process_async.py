from __future__ import annotations

import time

from process_harness import Harness

from mulligan.core.failure import Kind
from mulligan.worker.executors.interface import Failed, Returned, Stopped, Succeeded


def test_a_hundred_coroutines_run_at_once_in_one_child(run: Harness) -> None:
    ends = run.ends(run.batch("a_meet", [{"count": 100}] * 100))
    assert len({end.pid for end in ends}) == 1
    assert run.executor.room(asynchronous=True) == 100


def test_no_more_run_at_once_than_there_are_slots(make) -> None:
    run = make(async_slots=3)
    ids = run.batch("a_sleep", [{"s": 0.05}] * 10)
    assert run.executor.room(asynchronous=True) == 0
    assert all(isinstance(end, Succeeded) for end in run.ends(ids))


def test_a_coroutine_is_cancelled_without_harm_to_its_neighbour(run: Harness) -> None:
    neighbour, one = run.batch("a_sleep", [{"s": 0.5}, {"s": 600}])
    run.started(one)
    run.executor.stop(one, "cancel")
    end = run.end(one)
    assert isinstance(end, Stopped)
    assert (end.cause, end.killed) == ("cancel", False)
    assert isinstance(run.end(neighbour), Succeeded)


def test_a_coroutine_stopped_before_its_first_step_ends_too(run: Harness) -> None:
    one = run.start("a_sleep", s=600)
    run.executor.stop(one, "drain")
    assert isinstance(run.end(one), (Stopped, Returned))


def test_a_coroutine_has_its_time_limit(run: Harness) -> None:
    end = run.end(run.start("a_sleep", s=600, timeout_s=0.1))
    assert end.failure.kind is Kind.TIMEOUT


def test_failures_of_coroutines_leave_the_child_alive(run: Harness) -> None:
    pid = run.end(run.start("a_pid")).result
    ends = run.ends([run.start("a_fail"), run.start("a_exit")])
    assert [end.failure.kind for end in ends] == [Kind.EXCEPTION, Kind.EXIT]
    assert run.end(run.start("a_pid")).result == pid


def test_output_of_coroutines_that_take_turns_is_told_apart(run: Harness) -> None:
    words = ["one", "two", "three"]
    ids = run.batch("a_speak", [{"word": word} for word in words])
    run.ends(ids)
    for word, each in zip(words, ids, strict=True):
        assert run.log(each) == "".join(f"{word} {n}\n" for n in range(20)) + f"{word} thread\n"


def test_a_coroutine_that_blocks_the_loop_is_killed_and_its_neighbours_say_why(run: Harness) -> None:
    neighbour = run.start("a_sleep", s=600)
    run.started(neighbour)
    one = run.start("a_block", timeout_s=0.2)
    began = time.monotonic()
    end = run.end(one)
    assert end.failure.kind is Kind.TIMEOUT
    assert time.monotonic() - began < 3
    other = run.end(neighbour)
    assert isinstance(other, Failed)
    assert other.failure.kind is Kind.STOPPED
    assert "another attempt" in other.failure.message
    assert run.end(run.start("a_sleep", s=0)).result == '"slept"'


def test_a_coroutine_alone_has_a_process_of_its_own_and_can_be_stopped_there(run: Harness) -> None:
    shared = run.end(run.start("a_pid")).result
    assert run.end(run.start("a_pid", alone=True)).result != shared
    one = run.start("a_sleep", s=600, alone=True)
    pid = run.started(one).pid
    run.executor.stop(one, "cancel")
    assert isinstance(run.end(one), Stopped)
    assert run.end(run.start("a_sleep", s=600, alone=True, timeout_s=0.1)).failure.kind is Kind.TIMEOUT
    assert str(pid) != shared


def test_an_import_that_kills_the_asynchronous_child_fails_the_attempt(make, tmp_path) -> None:
    (tmp_path / "deadly_async.py").write_text("import os\nos._exit(9)\n")
    run = make(sources=[str(tmp_path / "deadly_async.py")], processes=1)
    end = run.end(run.start("a_any"))
    assert (end.failure.kind, end.failure.crashed) == (Kind.EXIT, True)
