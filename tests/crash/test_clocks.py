"""Clocks that are set while work goes on, by an hour to either side, and what may not come of it."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "stories")]

import crash_tasks  # noqa: E402 - found in the folders that were just named
from story_harness import WorkerProcess, World, until  # noqa: E402

from mulligan.core.job import TERMINAL, JobStatus  # noqa: E402

TASKS = HERE / "crash_tasks.py"
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

    def worker(self, **settings: object) -> WorkerProcess:
        """Start a worker there."""
        faked = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        before = dict(os.environ)
        os.environ.update(faked)
        try:
            return self._world.worker(TASKS, wait=False, python_path=str(HERE), **settings).wait_until_started()
        finally:
            for name in faked:
                del os.environ[name]
            os.environ.update(before)


JUMPS = [("+1h",), ("-1h",), ("+1h", "-1h", "+0"), ("-1h", "+1h", "+0")]


@pytest.mark.parametrize("jumps", JUMPS, ids="then".join)
def test_a_clock_that_is_set_starts_nothing_twice_and_keeps_nothing_waiting(world: World, jumps: tuple[str, ...]) -> None:
    machine = Machine(world, "both")
    workers = [machine.worker(lease=2, processes=3), machine.worker(lease=2, processes=3)]
    client, file = world.client, world.path()
    running = [client.submit(crash_tasks.until_told, file, key, world.path("go")) for key in "abcd"]
    world.wait_for(*(f"begin until_told {key}" for key in "abcd"))
    waiting = [client.submit(crash_tasks.failing_once.options(expires="20m"), file, key) for key in "xyz"]
    world.wait_for(*(f"begin failing_once {key}" for key in "xyz"))
    for offset in jumps:
        machine.set(offset)
        key = f"after {offset}"
        assert client.submit(crash_tasks.again, file, key).wait(20).status is JobStatus.SUCCESS
    until(lambda: all(each.refresh().status in TERMINAL for each in waiting), "what waits for its next attempt has it", 30)
    world.touch()
    for job in (*running, *waiting):
        assert job.wait(20).status is JobStatus.SUCCESS, job.error_message
    starts = Counter(line for line in world.lines() if line.startswith("begin until_told"))
    assert set(starts.values()) == {1}
    assert world.instances() == 2, [each.said for each in workers]
    assert [each.stop() for each in workers] == [0, 0]
    world.check()


@pytest.mark.parametrize("offset", ["+1h", "-1h"])
def test_one_machine_whose_clock_is_wrong_takes_nothing_from_the_others(world: World, offset: str) -> None:
    right, wrong = Machine(world, "right"), Machine(world, "wrong")
    first = right.worker(lease=2, processes=2)
    client, file = world.client, world.path()
    running = [client.submit(crash_tasks.until_told, file, key, world.path("go")) for key in "ab"]
    world.wait_for("begin until_told a", "begin until_told b")
    wrong.set(offset)
    second = wrong.worker(lease=2, processes=2)
    later = client.submit(crash_tasks.again, file, "later")
    assert later.wait(20).status is JobStatus.SUCCESS, second.said
    world.touch()
    for job in running:
        assert job.wait(20).status is JobStatus.SUCCESS, job.error_message
    assert world.instances() == 2
    assert [first.stop(), second.stop()] == [0, 0]
    world.check()
