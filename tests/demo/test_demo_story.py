"""The story keeps to its own folder, ends what it started, and adds up what happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mulligan.demo.processes import Paths, Place, Processes, end_leftovers
from mulligan.demo.report import summarize
from mulligan.demo.state import State
from mulligan.demo.story import Plan, run


def told(folder: Path, plan: Plan | None = None, **options: Any) -> tuple[int, str]:
    """Run the story with a console of its own; return its exit code and what it said."""
    output = StringIO()
    code = run(folder, plan, console=Console(file=output, width=500), **options)
    return code, output.getvalue()


def test_a_folder_with_something_else_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    code, said = told(tmp_path, fresh=True)
    assert code == 1
    assert "holds something else" in said
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_second_demo_in_one_folder_is_refused(tmp_path: Path) -> None:
    State(seed=2013).save(tmp_path / "state.json")
    holder = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print(flush=True); input()",
         str(tmp_path / "demo.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None
    holder.stdout.readline()
    code, said = told(tmp_path)
    holder.communicate(b"\n", timeout=10)
    assert code == 1
    assert "another demo is running" in said


def test_going_on_with_another_seed_is_refused(tmp_path: Path) -> None:
    State(seed=1).save(tmp_path / "state.json")
    code, said = told(tmp_path, Plan(seed=2))
    assert code == 1
    assert "has the seed 1, not 2" in said


def test_a_state_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    code, said = told(tmp_path)
    assert code == 1
    assert "start over with --fresh" in said


def test_what_is_remembered_comes_back(tmp_path: Path) -> None:
    state = State(seed=5, troubles=3, asked_before={"flights/2013-02-08.csv": 2}, recovered=True, wall_s=1.5)
    state.save(tmp_path / "state.json")
    assert State.load(tmp_path / "state.json", seed=5) == state


@contextmanager
def sleeper(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()", *arguments], stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        process.communicate(b"\n", timeout=10)


def test_what_a_killed_demo_left_running_is_ended_and_nothing_else(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    with sleeper(str(paths.flow)) as ours, sleeper("something else") as theirs:
        paths.pids.write_text(json.dumps([ours.pid, theirs.pid, 2**22 - 1]))
        end_leftovers(paths)
        assert ours.wait(10) == -signal.SIGKILL
        assert theirs.poll() is None
    assert not paths.pids.exists()


def test_the_object_store_runs_until_it_is_closed(prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "source").symlink_to(prepared)
    processes = Processes(Paths(tmp_path), Place("sqlite:///x.db"), seed=1, children=1)
    url = processes.start_objects()
    assert processes.start_objects() == url
    (pid,) = json.loads(processes.paths.pids.read_text())
    processes.check()
    processes.close()
    processes.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not processes.paths.pids.exists()


@dataclass
class Tried:
    number: int
    claimed_s: int
    ended_s: int
    failure_class: str | None = None
    generation: int = 1

    @property
    def outcome(self) -> str:
        return "FAILED" if self.failure_class else "SUCCEEDED"

    @property
    def began_at(self) -> datetime:
        return datetime.fromtimestamp(self.claimed_s, UTC)

    @property
    def ended_at(self) -> datetime:
        return datetime.fromtimestamp(self.ended_s, UTC)


@dataclass
class Worked:
    id: str
    tries: list[Tried] = field(default_factory=list)

    def attempts(self) -> list[Tried]:
        return self.tries


def test_time_lost_is_what_failed_attempts_ran_and_the_waits_of_the_policy() -> None:
    lucky = Worked("1-0", [Tried(1, 0, 1)])
    unlucky = Worked("1-1", [Tried(1, 0, 2, "TRANSIENT"), Tried(2, 5, 6, "PERMANENT"), Tried(1, 100, 101, generation=2)])
    summary = summarize([lucky, unlucky])
    assert (summary.items, summary.attempts, summary.succeeded, summary.unluckiest) == (2, 4, 2, "1-1")
    transient, permanent = summary.losses["TRANSIENT"], summary.losses["PERMANENT"]
    assert (transient.attempts, transient.ran_s, transient.waited_s) == (1, 2, 3)
    assert (permanent.attempts, permanent.ran_s, permanent.waited_s) == (1, 1, 0)
