"""A disk that is full, for real: a small file system of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "stories")]

import crash_tasks  # noqa: E402 - found in the folders that were just named
from story_harness import World, until  # noqa: E402

from mulligan.core.errors import StoreFull  # noqa: E402
from mulligan.core.job import JobStatus  # noqa: E402

TASKS = HERE / "crash_tasks.py"
SIZE = 4 * 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", place], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def world(small_disk: Path, tmp_path: Path) -> Iterator[World]:
    """A world whose store is on the small disk, and all else beside it."""
    made = World(tmp_path)
    made.client.close()
    made.store = small_disk / "store.db"
    made.settings["database"] = f"sqlite:///{made.store}"
    made.client = made.connect()
    yield made
    made.close()


@contextlib.contextmanager
def full(disk: Path) -> Iterator[None]:
    """Leave no room on the disk, not a byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)
        assert os.statvfs(disk).f_bavail == 0
    try:
        yield
    finally:
        filler.unlink()


def ask(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mulligan.cli.main", *words],
        env={**os.environ, "MULLIGAN_DATABASE": world.settings["database"]},
        cwd=world.folder,
        capture_output=True,
        text=True,
        check=False,
    )


def fill_the_log(world: World) -> None:
    """Submit until the store's log has no more room in it that it could use again."""

    def submit(number: int) -> None:
        world.client.submit(crash_tasks.again.options(run_id=f"filling-{number}"), world.path(), f"filling{number}")

    with pytest.raises(StoreFull):
        list(map(submit, range(10_000)))


def test_on_a_full_disk_reading_goes_on_submitting_says_so_and_work_resumes_when_there_is_room(
    world: World, small_disk: Path
) -> None:
    worker = world.worker(TASKS, python_path=str(HERE), lease=60)
    job = world.client.submit(crash_tasks.until_told, world.path(), "a", world.path("go"))
    world.wait_for("begin until_told a")
    with full(small_disk):
        fill_the_log(world)
        world.touch()
        world.wait_for("end until_told a")
        until(lambda: "store is away" in worker.said, "the worker notices")
        assert "no room left on the disk" in worker.said

        assert job.refresh().status is JobStatus.STARTED
        assert ask(world, "jobs").returncode == 0
        assert ask(world, "show", job.id).returncode == 0
        assert ask(world, "verify").returncode == 0
        refused = ask(world, "submit", "again", f"file={world.path()}", "key=late", "--run-id", "late")
        assert refused.returncode != 0
        assert "(store_full)" in refused.stderr
        assert str(world.store) in refused.stderr
        assert "make room" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert not world.client.jobs(run_id="late")
        assert worker.process.poll() is None

    assert job.wait(20).status is JobStatus.SUCCESS
    assert world.lines().count("begin until_told a") == 1
    until(lambda: all(each.refresh().status is JobStatus.SUCCESS for each in world.client.jobs()), "all that was accepted ends")
    assert ask(world, "submit", "again", f"file={world.path()}", "key=late", "--run-id", "late").returncode == 0
    (late,) = world.client.jobs(run_id="late")
    assert late.wait(20).status is JobStatus.SUCCESS
    assert worker.stop() == 0
    world.check()


def test_a_worker_that_starts_on_a_full_disk_says_so_and_ends(world: World, small_disk: Path) -> None:
    with full(small_disk):
        fill_the_log(world)
        worker = world.worker(TASKS, python_path=str(HERE), wait=False)
        assert worker.wait(30) != 0
    assert "no room left on the disk" in worker.said
    assert "Traceback" not in worker.said
    worker = world.worker(TASKS, python_path=str(HERE))
    until(lambda: all(each.refresh().status is JobStatus.SUCCESS for each in world.client.jobs()), "all that was accepted ends")
    assert worker.stop() == 0
    world.check()


def test_a_store_that_cannot_be_made_for_want_of_room_says_so_and_is_made_later(small_disk: Path, tmp_path: Path) -> None:
    settings = {"MULLIGAN_DATABASE": f"sqlite:///{small_disk / 'new.db'}"}

    def migrate() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mulligan.cli.main", "migrate"]
        return subprocess.run(command, env={**os.environ, **settings}, cwd=tmp_path, capture_output=True, text=True, check=False)

    with full(small_disk):
        refused = migrate()
    assert refused.returncode != 0
    assert "(store_full)" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert migrate().returncode == 0


def test_on_a_full_disk_a_store_that_nobody_has_open_says_that_it_wants_room(world: World, small_disk: Path) -> None:
    job = world.client.submit(crash_tasks.again, world.path(), "a")
    world.client.close()  # the last one takes the store's log and its index away, without which nobody can read
    assert not Path(f"{world.store}-shm").exists()
    with full(small_disk):
        refused = ask(world, "show", job.id)
    assert refused.returncode != 0
    assert "(store_full)" in refused.stderr
    world.client = world.connect()
    assert world.client.job(job.id).status is JobStatus.PENDING
