"""Clocks that are set while work goes on, by an hour to either side, and what may not come of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "stories")]

import crash_tasks  # noqa: E402 - found in the folders that were just named
from story_harness import WorkerProcess, World, until  # noqa: E402

from mulligan.client.job import Job  # noqa: E402
from mulligan.core.job import TERMINAL, JobStatus  # noqa: E402

TASKS = HERE / "crash_tasks.py"
PATH = f"{HERE / 'site'}{os.pathsep}{HERE}"
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
pytestmark = pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed here")


@pytest.fixture(params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, request.getfixturevalue("a_place")() if request.param == "postgres" else None)
    yield made
    made.close()


class Machine:
    """A machine whose clock can be set: the workers on it see the time that a file says."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._file = world.folder / f"clock-{name}"
        self.set("+0")

    def set(self, offset: str) -> None:
        """Set the clock to so much beside the real time."""
        new = self._file.with_suffix(".new")
        new.write_text(offset + "\n")
        new.replace(self._file)

    @property
    def _faked(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def worker(self, **settings: object) -> WorkerProcess:
        """Start a worker there."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self._faked.items():
                patch.setenv(name, value)
            worker = self._world.worker(TASKS, wait=False, python_path=PATH, **settings)
        return worker.wait_until_started()

    def ask(self, *words: str) -> str:
        """Have somebody there ask for something; returns what was answered."""
        given = {f"MULLIGAN_{name.upper()}": value for name, value in self._world.settings.items()}
        command = [sys.executable, "-m", "mulligan.cli.main", *words]
        environment = {**os.environ, **given, **self._faked, "PYTHONPATH": PATH}
        told = subprocess.run(command, env=environment, cwd=self._world.folder, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        return told.stdout

    def submit(self, name: str, key: str, *more: str) -> Job[Any]:
        """Have somebody there submit a task."""
        self.ask("submit", name, f"file={self._world.path()}", f"key={key}", *more, "--run-id", f"{name} {key}")
        (job,) = self._world.client.jobs(run_id=f"{name} {key}")
        return job


ALL = bool(os.environ.get("CRASHES"))
"""Whether this is `make crashes`, or the suite with a sample of it."""


@pytest.mark.parametrize("jumps", [("-1h", "+0"), *([("+1h", "+0")] * ALL)], ids="then".join)
def test_a_clock_that_is_set_starts_nothing_twice_and_keeps_nothing_waiting(world: World, jumps: tuple[str, ...]) -> None:
    """All of them are on one machine: on SQLite they must be, and on PostgreSQL its clock must not count."""
    machine = Machine(world, "of all")
    workers = [machine.worker(lease=2, processes=3), machine.worker(lease=2, processes=3)]
    running = [machine.submit("until_told", key, f"go={world.path('go')}") for key in "ab"]
    ended = []
    world.wait_for(*(f"begin until_told {key}" for key in "ab"))
    for offset in jumps:
        before = machine.submit("failing_once", f"before {offset}")
        world.wait_for(f"begin failing_once before {offset}")
        machine.set(offset)
        after = machine.submit("failing_once", f"after {offset}")
        back = offset == ("-1h" if jumps[0] == "-1h" else "+0")
        if world.place is None and back:  # what waits there goes by the clock on the wall, as people do
            until(lambda before=before: before.refresh().status is JobStatus.RETRY, "it waits for its time")
            machine.ask("retry", "--now", before.id)
        for job in (before, after):
            until(lambda job=job: job.refresh().status in TERMINAL, f"{job.run_id}, by its clock", 30)
        ended += [before, after]
    world.touch()
    for job in (*running, *ended):
        assert job.wait(20).status is JobStatus.SUCCESS, job.error_message
    starts = Counter(line for line in world.lines() if line.startswith("begin until_told"))
    assert set(starts.values()) == {1}
    assert world.instances() == 2, [each.said for each in workers]
    assert [each.stop() for each in workers] == [0, 0]
    world.check()


@pytest.mark.parametrize("offset", ["+1h", *(["-1h"] * ALL)])
def test_one_machine_whose_clock_is_wrong_takes_nothing_from_the_others(a_place: Any, tmp_path: Path, offset: str) -> None:
    world = World(tmp_path, a_place())
    right, wrong = Machine(world, "right"), Machine(world, "wrong")
    first = right.worker(lease=2, processes=2)
    client, file = world.client, world.path()
    running = [client.submit(crash_tasks.until_told, file, key, world.path("go")) for key in "ab"]
    world.wait_for("begin until_told a", "begin until_told b")
    wrong.set(offset)
    second = wrong.worker(lease=2, processes=2)
    later = client.submit(crash_tasks.failing_once, file, "later")
    assert later.wait(20).status is JobStatus.SUCCESS, second.said
    world.touch()
    for job in running:
        assert job.wait(20).status is JobStatus.SUCCESS, job.error_message
    assert world.instances() == 2
    assert [first.stop(), second.stop()] == [0, 0]
    world.check()
    world.close()
