"""Clocks that are really set by an hour while workers run: nothing starts twice, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import crash_tasks
import pytest
from crash_story import HERE, TASKS, World, until

from mulligan.core.job import TERMINAL, JobStatus
from mulligan.store.postgres import Place

FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


def asked(world: World, *words: str) -> str:
    """Run a command line as users do, and return what it says; raises CalledProcessError."""
    given = {f"MULLIGAN_{name.upper()}": value for name, value in world.settings.items()}
    command = [sys.executable, "-m", "mulligan.cli.main", *words]
    return subprocess.run(
        command, env={**os.environ, **given}, cwd=world.folder, capture_output=True, text=True, check=True
    ).stdout


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
