from __future__ import annotations

import os
import signal
import time

import pytest
from process_harness import INFO, Harness

from mulligan.worker.executors.interface import Failed, Logged, Returned, Stopped, Succeeded


def measured(run: Harness, task: str, **options) -> None:
    """Have a task measured until a batch of it is sent to one child."""
    run.until(lambda: run.end(run.start(task, **options)) and run.executor.room_for(task) > 20 * run.executor.room())


def test_a_batch_is_shared_out_and_each_attempt_ends_once(run: Harness) -> None:
    measured(run, "add", a=1, b=1)
    ends = run.ends(run.batch("add", [{"a": n, "b": 1} for n in range(2000)]))
    assert [end.result for end in ends] == [str(n + 1) for n in range(2000)]
    assert len({end.pid for end in ends}) == 2


def test_what_waits_behind_a_slow_attempt_moves_to_an_idle_child(run: Harness, tmp_path) -> None:
    (tmp_path / "there").touch()
    measured(run, "wait_for_file", path=str(tmp_path / "there"))
    missing = str(tmp_path / "missing")
    ids = run.batch("wait_for_file", [{"path": missing}] + [{"path": str(tmp_path / "there")}] * 20)
    ends = run.ends(ids[1:])
    assert all(isinstance(end, Succeeded) for end in ends)
    assert run.ended(ids[0]) is None
    (tmp_path / "missing").touch()
    assert isinstance(run.end(ids[0]), Succeeded)


def test_what_waits_in_a_child_that_dies_was_never_started(make, tmp_path) -> None:
    run = make(processes=1)
    (tmp_path / "there").touch()
    measured(run, "wait_for_file", path=str(tmp_path / "there"))
    ids = run.batch("wait_for_file", [{"path": str(tmp_path / "missing")}] + [{"path": str(tmp_path / "there")}] * 9)
    os.kill(run.started(ids[0]).pid, signal.SIGKILL)
    ends = run.ends(ids)
    assert isinstance(ends[0], Failed)
    assert ends[0].failure.crashed
    assert ends[1:] == [Returned(each) for each in ids[1:]]


@pytest.mark.parametrize("behind", [0, 1, 5])
def test_what_had_run_when_its_child_died_before_it_said_so_has_been_started(make, behind: int) -> None:
    run = make(processes=1)
    measured(run, "die_untold", really=False)
    first, *others = run.ends(run.batch("die_untold", [{}] * (1 + behind)))
    assert isinstance(first, Failed), first
    assert first.failure.crashed
    assert all(isinstance(each, Returned) for each in others[1:])


def test_stopping_the_running_one_of_a_batch_harms_none_of_the_others(make, tmp_path) -> None:
    run = make(processes=1)
    (tmp_path / "there").touch()
    measured(run, "wait_for_file", path=str(tmp_path / "there"))
    ids = run.batch("wait_for_file", [{"path": str(tmp_path / "missing")}] + [{"path": str(tmp_path / "there")}] * 9)
    run.started(ids[0])
    run.executor.stop(ids[0], "cancel")
    run.executor.stop(ids[4], "cancel")
    ends = run.ends(ids)
    assert isinstance(ends[0], Stopped)
    assert ends[4] == Returned(ids[4])
    assert all(isinstance(end, (Succeeded, Returned)) for end in ends[1:])


def test_an_attempt_that_wants_to_be_alone_has_no_neighbours(make, tmp_path) -> None:
    run = make(processes=2)
    measured(run, "add", a=1, b=1)
    lone = run.start("wait_for_file", path=str(tmp_path / "go"), alone=True)
    pid = run.started(lone).pid
    ends = run.ends(run.batch("add", [{"a": n, "b": 1} for n in range(50)]))
    assert pid not in {end.pid for end in ends}
    (tmp_path / "go").touch()
    assert isinstance(run.end(lone), Succeeded)


def test_output_belongs_to_the_attempt_that_wrote_it_however_it_wrote(make) -> None:
    run = make(processes=1)
    ids = run.batch("speak", [{"word": f"w{n}"} for n in range(8)])
    run.ends(ids)
    for n, each in enumerate(ids):
        lines = run.log(each).splitlines()
        assert sorted(lines) == sorted(
            [f"raw w{n}", f"subprocess w{n}", f"print w{n}", f"error w{n}", f"INFO tasks: logged w{n}"]
        ) or sorted("".join(lines)) == sorted(f"print w{n}raw w{n}subprocess w{n}error w{n}INFO tasks: logged w{n}")


def test_output_within_one_batch_of_one_child_is_told_apart(make) -> None:
    run = make(processes=1)
    measured(run, "raw", text="x")
    ids = run.batch("raw", [{"text": f"\xc3\xbc{n}\x00"} for n in range(300)])
    run.ends(ids)
    assert [run.log(each) for each in ids] == [f"ü{n}\ufffd" for n in range(300)]


def test_output_is_reported_while_the_attempt_runs_and_before_its_end(run: Harness, tmp_path) -> None:
    one = run.start("wait_for_file", path=str(tmp_path / "go"))
    assert run.logged(one, "here") == "here\n"
    assert run.ended(one) is None
    (tmp_path / "go").touch()
    run.end(one)
    kinds = [type(report) for report in run.reports if report.id == one]
    assert kinds.index(Logged) < kinds.index(Succeeded)


def test_bytes_that_are_no_utf8_are_replaced(run: Harness) -> None:
    one = run.start("raw", text="a\xffb")
    run.end(one)
    assert run.log(one) == "a\ufffdb"


def test_a_flood_is_cut_in_the_middle_and_others_go_on(make) -> None:
    run = make(log_limit=1000)
    flood = run.start("flood", megabytes=100)
    while run.ended(flood) is None:
        run.end(run.start("add", a=1, b=1))
    text = run.log(flood)
    assert text.startswith("x" * 500 + "\n[… ")
    assert text.endswith("x" * 493 + "the end")
    assert f"{100 * (1 << 20) + 7 - 1000:,} bytes left out" in text


@pytest.mark.timeout(60)
def test_a_burst_of_large_arguments_does_not_block_the_worker(run: Harness) -> None:
    began = time.monotonic()
    ids = run.batch("echo", [{"text": "x" * 200_000} for _ in range(60)])
    assert time.monotonic() - began < 1
    assert len({len(end.result) for end in run.ends(ids)}) == 1


def test_a_drain_gives_back_what_has_not_started(make) -> None:
    run = make(processes=1)
    first = run.start("wait", info=INFO)
    others = [run.start("add", a=1, b=1) for _ in range(5)]
    run.started(first)
    for each in [*others, first]:
        run.executor.stop(each, "drain")
    assert [type(end) for end in run.ends([first, *others])] == [Stopped] + [Returned] * 5
