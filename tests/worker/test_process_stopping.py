from __future__ import annotations

import os
import signal
import time

import pytest
from process_harness import INFO, Harness, alive, pid_in

from mulligan.core.failure import Kind
from mulligan.worker.executors.interface import Call, Failed, Progressed, Returned, Stopped, Succeeded


def test_a_task_that_calls_its_context_stops_by_itself(run: Harness) -> None:
    one = run.start("wait", info=INFO)
    run.logged(one, "here")
    run.executor.stop(one, "cancel")
    end = run.end(one)
    assert isinstance(end, Stopped)
    assert (end.cause, end.killed) == ("cancel", False)


def test_a_stop_before_the_start_gives_back(make) -> None:
    run = make()
    one = run.start("add", a=1, b=1)  # the child is still being started
    run.executor.stop(one, "drain")
    assert run.end(one) == Returned(one)


def test_a_stop_before_any_child_could_take_it_gives_back_at_once(make) -> None:
    run = make(processes=1)
    first, second = run.start("wait", info=INFO), run.start("add", a=1, b=1)
    run.executor.stop(second, "cancel")
    assert run.executor.deadline() == 0.0
    run.reports += run.executor.poll()
    assert run.ended(second) == Returned(second)
    assert run.ended(first) is None


def test_callbacks_hear_of_the_stop_and_a_success_stays_a_success(run: Harness) -> None:
    one = run.start("notice_stop", path="", info=INFO)
    run.logged(one, "here")
    run.executor.stop(one, "cancel")
    end = run.end(one)
    assert isinstance(end, Succeeded)
    assert end.result == '"cancel"'


def test_after_its_grace_a_deaf_task_gets_an_exception(run: Harness) -> None:
    one = run.start("grandchild")
    run.logged(one, "pid=")
    began = time.monotonic()
    run.executor.stop(one, "drain")
    end = run.end(one)
    assert isinstance(end, Stopped)
    assert (end.cause, end.killed) == ("drain", False)
    assert 0.3 <= time.monotonic() - began < 2


def test_a_task_that_swallows_the_exception_and_succeeds_has_succeeded(run: Harness) -> None:
    one = run.start("swallow")
    run.logged(one, "here")
    run.executor.stop(one, "cancel")
    assert run.end(one).result == '"done all the same"'


@pytest.mark.parametrize("task", ["stubborn", "hold_the_lock"])
def test_what_ignores_all_signals_is_killed(run: Harness, task: str) -> None:
    one = run.start(task)
    run.logged(one, "deaf" if task == "stubborn" else "holding")
    began = time.monotonic()
    run.executor.stop(one, "cancel")
    end = run.end(one)
    assert isinstance(end, Stopped)
    assert (end.cause, end.killed) == ("cancel", True)
    assert time.monotonic() - began < 2
    assert run.end(run.start("add", a=1, b=1)).result == "2"


@pytest.mark.parametrize("task", ["spin", "stubborn", "hold_the_lock", "swallow"])
def test_a_time_limit_holds_against_everything(run: Harness, task: str) -> None:
    run.end(run.start("add", a=1, b=1))
    began = time.monotonic()
    one = run.start(task, timeout_s=0.2)
    end = run.end(one)
    assert 0.2 <= time.monotonic() - began < 2
    if task == "swallow":
        assert isinstance(end, Succeeded)
    else:
        assert isinstance(end, Failed)
        assert end.failure.kind is Kind.TIMEOUT
        assert "longer than" in end.failure.message
        assert not end.failure.crashed


def test_the_traceback_of_a_timeout_shows_where_it_was(run: Harness) -> None:
    end = run.end(run.start("spin", timeout_s=0.1))
    assert "in spin" in end.failure.traceback


def test_what_is_left_until_the_cutoff_is_told_from_a_timeout(run: Harness) -> None:
    assert run.end(run.start("spin", timeout_s=0.1, cutoff=True)).failure.kind is Kind.CUTOFF


def test_a_task_that_gives_no_sign_of_life_is_stopped(run: Harness) -> None:
    assert run.end(run.start("spin", heartbeat_s=0.2)).failure.kind is Kind.HEARTBEAT


def test_a_task_that_calls_its_context_is_not_taken_for_dead(run: Harness) -> None:
    one = run.start("wait", info=INFO, heartbeat_s=0.2)
    run.until(lambda: len([r for r in run.reports if isinstance(r, Progressed)]) > 8)  # ten come in a second
    assert run.ended(one) is None
    run.executor.stop(one, "cancel")
    assert isinstance(run.end(one), Stopped)


def test_grandchildren_die_with_a_killed_child(run: Harness) -> None:
    one = run.start("grandchild", timeout_s=0.5)
    grandchild = pid_in(run.logged(one, "pid="))
    assert alive(grandchild)
    assert run.end(one).failure.kind is Kind.TIMEOUT
    run.until(lambda: not alive(grandchild))


def test_what_a_crashed_child_left_behind_is_killed(run: Harness) -> None:
    grandchild = int(run.end(run.start("leave_grandchild")).result)
    child = int(run.end(run.start("pid")).result)
    others = {child, int(run.end(run.start("pid")).result)}
    for pid in others | {os.getpgid(grandchild)}:
        os.kill(pid, signal.SIGKILL)
    run.until(lambda: not alive(grandchild))


def test_killing_one_child_leaves_its_neighbour_alone(run: Harness, tmp_path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    ids = [run.start("wait_for_file", path=str(path)) for path in paths]
    pids = [run.started(each).pid for each in ids]
    os.kill(pids[0], signal.SIGKILL)
    end = run.end(ids[0])
    assert (end.failure.kind, end.failure.signal, end.failure.crashed) == (Kind.SIGNAL, signal.SIGKILL, True)
    paths[1].touch()
    assert run.end(ids[1]).pid == pids[1]


def test_a_stop_that_comes_too_late_does_nothing(run: Harness) -> None:
    one = run.start("add", a=1, b=1)
    assert run.end(one).result == "2"
    run.executor.stop(one, "cancel")
    assert run.end(run.start("add", a=1, b=2)).result == "3"


def test_waiting_for_the_worker_is_no_silence(run: Harness) -> None:
    one = run.start("reckon", info=INFO, heartbeat_s=0.1)
    call = run.until(lambda: next((r for r in run.reports if isinstance(r, Call)), None))
    other = run.start("spin", heartbeat_s=0.3)
    assert run.end(other).failure.kind is Kind.HEARTBEAT
    assert run.ended(one) is None
    run.executor.answer(one, call.call, "null", None)
    assert run.end(one).result == "42"
