from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from process_harness import TASKS, Harness, alive, pid_in
from process_tasks import FOREVER

from mulligan.core.failure import Kind
from mulligan.worker.executors.interface import Returned, Succeeded
from mulligan.worker.executors.process import nursery
from mulligan.worker.executors.process.children import Child
from mulligan.worker.executors.process.executor import ProcessExecutor

WORKER = f"""
import select, sys
from mulligan.worker.executors.interface import Assignment, Logged, Started
from mulligan.worker.executors.process import nursery
from mulligan.worker.executors.process.children import Child
from mulligan.worker.executors.process.executor import ProcessExecutor
executor = ProcessExecutor([{TASKS!r}], asynchronous=lambda name: name.startswith("a_"))
tasks = sys.argv[1:]
executor.start([Assignment(n, task, "{{}}") for n, task in enumerate(tasks, 1)])
print("worker", executor._brood.forkserver, flush=True)
while True:
    select.select(executor.files(), [], [], 0.1)
    for report in executor.poll():
        if isinstance(report, Logged):
            print(report.text.strip(), flush=True)
        elif isinstance(report, Started):
            print("started", report.pid, flush=True)
"""


def processes_below(pid: int) -> set[int]:
    found, layer = set(), {pid}
    while layer:
        below = set()
        for each in layer:
            for path in Path(f"/proc/{each}/task").glob("*/children"):
                below |= {int(child) for child in path.read_text().split()}
        found |= below
        layer = below
    return found


def open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def gone(pids: set[int], within_s: float) -> set[int]:
    """Wait until none of these runs; return those that still do."""
    end = time.monotonic() + within_s
    left = pids
    while left and time.monotonic() < end:
        left = {pid for pid in left if alive(pid)}
    return left


@pytest.fixture
def worker():
    started = []

    def start(*tasks: str) -> subprocess.Popen[str]:
        started.append(subprocess.Popen([sys.executable, "-c", WORKER, *tasks], stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def read_until(process: subprocess.Popen[str], *words: str) -> list[str]:
    lines: list[str] = []
    while not all(any(word in line for line in lines) for word in words):
        line = process.stdout.readline()
        assert line, f"the worker ended after {lines}"
        lines.append(line)
    return lines


@pytest.mark.parametrize("victims", ["worker", "worker and forkserver"])
@pytest.mark.parametrize("task", ["grandchild", "hold_the_lock"])
def test_when_the_worker_is_killed_nothing_of_it_is_left(worker, task: str, victims: str) -> None:
    process = worker("grandchild", task)
    lines = read_until(process, "pid=", "pid=" if task == "grandchild" else "holding", "worker")
    family = processes_below(process.pid)
    grandchild = pid_in(next(line for line in lines if "pid=" in line))
    assert grandchild in family
    if victims != "worker":
        os.kill(int(lines[0].split()[1]), signal.SIGKILL)
    process.kill()
    assert gone(family, within_s=1.0) == set()


def test_an_interrupt_of_the_terminal_reaches_the_worker_alone(worker) -> None:
    process = worker("grandchild")
    read_until(process, "pid=")
    groups = {os.getpgid(pid) for pid in processes_below(process.pid)}
    assert os.getpgid(process.pid) not in groups


def test_when_the_forkserver_dies_attempts_are_lost_and_a_new_one_takes_over(run: Harness) -> None:
    one = run.start("grandchild")
    grandchild = pid_in(run.logged(one, "pid="))
    os.kill(run.executor._brood.forkserver, signal.SIGKILL)
    end = run.end(one)
    assert (end.failure.kind, end.failure.crashed) == (Kind.LOST, False)
    run.until(lambda: not alive(grandchild))
    second = run.end(run.start("add", a=1, b=1))
    assert isinstance(second, (Succeeded, Returned))
    assert run.end(run.start("add", a=1, b=1)).result == "2"


@pytest.mark.parametrize("noticed", [True, False])
def test_what_a_dead_child_has_started_ends_also_where_the_forkserver_dies_before_it_saw_to_that(run: Harness, noticed) -> None:
    one = run.start("grandchild")
    grandchild, child = pid_in(run.logged(one, "pid=")), run.started(one).pid
    forkserver = run.executor._brood.forkserver
    os.kill(forkserver, signal.SIGSTOP)
    os.kill(child, signal.SIGKILL)
    assert gone({child}, within_s=1.0) == set()
    os.kill(forkserver, signal.SIGKILL)
    if noticed:
        run.end(one)
    else:
        run.executor.close()
    assert gone({grandchild}, within_s=1.0) == set()


def test_a_child_of_which_its_forkserver_could_not_tell_the_worker_runs_nothing(monkeypatch, tmp_path) -> None:
    die = "Forkserver._reply = lambda *_: os.kill(os.getpid(), 9)"
    start = f"import os; from mulligan.worker.executors.process.forkserver import Forkserver; {die}; {nursery._START}"
    monkeypatch.setattr("mulligan.worker.executors.process.nursery._START", start)
    (tmp_path / "traced.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w')\nimport time; time.sleep({FOREVER})\n")
    child, server = Child(1, asynchronous=False), nursery.Nursery()
    try:
        server.fork(1, False, *child.hand_over())
        child.handed_over()
        child.hello("mulligan.sdk.loading:load", [str(tmp_path / "traced.py")], {}, "")
        # Nobody reads what the nursery says, and its socket stays open: the child itself must see that it is alone.
        assert select.select([child.log], [], [], 10)[0], "it lives on"
        assert (child.read_log(), child.log_gone) == ([], True)
        assert not (tmp_path / "trace").exists()
    finally:
        server.close()
        child.close()


def test_close_leaves_no_process_and_no_file_behind(make) -> None:
    make().close()  # whatever is opened once and kept
    files, family = open_files(), processes_below(os.getpid())
    run = make(kill_s=0.1)
    ids = [run.start("grandchild"), run.start("stubborn"), run.start("a_sleep", s=600)]
    run.logged(ids[0], "pid=")
    run.logged(ids[1], "deaf")
    run.started(ids[2])
    mine = processes_below(os.getpid()) - family
    assert len(mine) >= 5
    run.executor.close()
    run.executor.close()
    assert gone(mine, within_s=1.0) == set()
    assert processes_below(os.getpid()) - family == set(), "zombies"
    assert open_files() == files
    assert run.executor.poll() == []


def test_the_process_that_forks_has_one_thread(run: Harness) -> None:
    run.end(run.start("add", a=1, b=1))
    assert "Threads:\t1\n" in Path(f"/proc/{run.executor._brood.forkserver}/status").read_text()


def test_many_deaths_leave_no_files_behind(make) -> None:
    run = make(processes=1)
    run.end(run.start("vanish", code=1))
    run.end(run.start("add", a=1, b=1))
    files = len(open_files())
    for _ in range(5):
        run.end(run.start("vanish", code=1))
    run.end(run.start("add", a=1, b=1))
    assert len(open_files()) == files
    below = processes_below(os.getpid())
    assert all(alive(pid) for pid in below), "zombies"


def test_the_first_attempt_runs_soon_after_the_start() -> None:
    began = time.monotonic()
    executor = ProcessExecutor([TASKS])
    made = time.monotonic() - began
    try:
        run = Harness(executor)
        assert run.end(run.start("add", a=1, b=1)).result == "2"
        assert made < (time.monotonic() - began) / 2, "the start waits for nothing"
    finally:
        executor.close()


def test_children_inherit_no_file_of_the_worker(run: Harness, tmp_path) -> None:
    with (tmp_path / "store").open("w") as store:
        os.set_inheritable(store.fileno(), True)
        fresh = Harness(ProcessExecutor([TASKS]))
        try:
            pid = json.loads(fresh.end(fresh.start("pid")).result)
            links = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
        finally:
            fresh.close()
    assert str(tmp_path / "store") not in links


def test_a_forkserver_that_cannot_start_at_first_is_tried_again(make, monkeypatch) -> None:
    monkeypatch.setattr("mulligan.worker.executors.process.nursery._START", "raise SystemExit(1)")
    told: list[str] = []
    run = make(processes=1, tell=lambda event, **facts: told.append(f"{event} {facts}"))
    run.until(lambda: told)  # and the second one is on its way
    assert told[0] == "forkserver died {'ended': 'ended with exit code 1'}"
    monkeypatch.undo()
    assert isinstance(run.end(run.start("add", a=1, b=1)), Returned | Succeeded)
    assert run.end(run.start("add", a=1, b=1)).result == "2"
    assert run.executor.trouble is None


def test_a_forkserver_that_never_starts_is_given_up_and_what_waits_is_handed_back(make, monkeypatch) -> None:
    monkeypatch.setattr("mulligan.worker.executors.process.nursery._START", "raise SystemExit(1)")
    run = make(processes=1)
    waiting = run.start("add", a=1, b=1)
    run.until(lambda: run.executor.trouble)
    assert isinstance(run.end(waiting), Returned)
    assert "3 times in a row" in run.executor.trouble


def test_a_forkserver_that_is_killed_again_and_again_later_on_is_replaced(run: Harness) -> None:
    run.end(run.start("add", a=1, b=1))
    for _ in range(4):
        forkserver = run.executor._brood.forkserver
        os.kill(forkserver, signal.SIGKILL)
        run.until(lambda old=forkserver: run.executor._brood.forkserver not in (old, None))
    run.until(lambda: isinstance(run.end(run.start("add", a=1, b=1)), Succeeded))
    assert run.executor.trouble is None
