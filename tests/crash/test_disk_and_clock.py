"""A disk that is really full, and clocks that are really set: reading goes on, nothing is lost, and nothing starts twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import crash_tasks
import pytest
from crash_story import HERE, TASKS, World, until

from mulligan.core.errors import StoreFull
from mulligan.core.job import TERMINAL, JobStatus
from mulligan.store.postgres import Place

DISK_MB = 6
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    told = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", place], capture_output=True, check=False)
    if told.returncode:
        pytest.skip("only root may mount a disk for this test")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill(disk: Path) -> Path:
    """Leave no room on a disk."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
    return ballast


def asked(world: World, *words: str) -> str:
    """Run a command line as users do, and return what it says; raises CalledProcessError."""
    given = {f"MULLIGAN_{name.upper()}": value for name, value in world.settings.items()}
    command = [sys.executable, "-m", "mulligan.cli.main", *words]
    return subprocess.run(
        command, env={**os.environ, **given}, cwd=world.folder, capture_output=True, text=True, check=True
    ).stdout


def submit_many(world: World, trace: str) -> None:
    """Submit more than what still goes into the last page of the store's log."""
    for number in range(400):
        world.client.submit(crash_tasks.once, trace, f"more {number}")


def test_on_a_full_disk_reading_goes_on_submitting_is_refused_in_words_and_work_resumes(disk: Path, tmp_path: Path) -> None:
    world = World(disk)
    try:
        worker = world.worker(TASKS, python_path=str(HERE), lease=60)
        trace = str(tmp_path / "trace")
        job = world.client.submit(crash_tasks.finishing, trace, "a")
        until(lambda: crash_tasks.told(trace, "begin finishing a"), "it begins")
        ballast = fill(disk)
        with pytest.raises(StoreFull, match=rf"no room left on the disk of {world.store}: nothing was changed; make room"):
            submit_many(world, trace)
        crash_tasks.leave(trace, "finish a")
        until(lambda: crash_tasks.told(trace, "end finishing a"), "it ends")
        assert "finishing" in asked(world, "jobs")
        assert job.refresh().status is JobStatus.STARTED
        assert job.id in asked(world, "show", job.id)
        ballast.unlink()
        assert job.result() == "a"
        assert world.client.submit(crash_tasks.once, trace, "after").result() == "after"
        assert worker.process.poll() is None
        until(lambda: all(each.refresh().status in TERMINAL for each in world.client.jobs(limit=500)), "all is done")
        lines = Path(trace).read_text("utf-8").splitlines()
        assert len(lines) == len(set(lines))
        world.check()
    finally:
        world.close()


@pytest.mark.skipif(not FAKETIME, reason="libfaketime is not installed: apt-get install faketime")
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_when_clocks_are_set_by_an_hour_nothing_starts_twice_and_all_is_done(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    offset = tmp_path / "offset"
    offset.write_text("+0")
    place: Place | None = request.getfixturevalue("a_place")() if store == "postgres" else None
    world = World(tmp_path, place)
    monkeypatch.setenv("LD_PRELOAD", str(FAKETIME[0]))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(offset))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    try:
        worker = world.worker(TASKS, python_path=str(HERE), lease=60)
        trace = world.path()
        for hours, keys in (("+0", "a"), ("+3600", "b"), ("-3600", "c")):
            running = f"long {hours}"
            asked(world, "submit", "finishing", f"file={trace}", f"key={running}", "--run-id", running)
            world.wait_for(f"begin finishing {running}")
            offset.write_text(hours)
            for key in keys:
                asked(world, "submit", "once", f"file={trace}", f"key={key}", "--run-id", f"once-{key}")
                asked(world, "submit", "again", f"file={trace}", f"key={key}", "--run-id", f"again-{key}")
            crash_tasks.leave(trace, f"finish {running}")
            jobs = world.client.jobs(limit=100)
            until(lambda jobs=jobs: all(each.refresh().status in TERMINAL for each in jobs), f"all is done at {hours}")  # type: ignore[misc]
            assert {each.status for each in jobs} == {JobStatus.SUCCESS}, hours
        assert worker.said.count("worker started") == 1
        lines = world.lines()
        assert [line for line in lines if line.startswith("begin once")] == [f"begin once {key} 1" for key in "abc"]
        assert all(lines.count(f"begin again {key}") == 2 for key in "abc")
        world.check()
    finally:
        world.close()
