"""The README's first task does what the README says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from story_harness import World, until

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "flow.py"
WORKFLOW = ROOT / "examples" / "report.py"
MULLIGAN = [sys.executable, "-m", "mulligan.cli.main"]


@pytest.mark.parametrize("example", [EXAMPLE, WORKFLOW], ids=["task", "workflow"])
def test_the_readme_shows_the_examples_as_they_are(example: Path) -> None:
    assert example.read_text("utf-8") in (ROOT / "README.md").read_text("utf-8")


def test_the_workflow_of_the_readme_survives_a_kill_and_counts_nothing_twice_that_was_done(file_world: World) -> None:
    first = file_world.worker(WORKFLOW)
    job = file_world.client.submit("report", names=["one", "three", "five", "seven"])

    def counted() -> list[str]:
        return [each.key for each in job.work_items()[0].calls(status="SUCCESS")]

    until(lambda: len(counted()) == 1, "the first is counted")
    first.kill()
    file_world.worker(WORKFLOW)
    assert job.result() == 17
    calls = job.work_items()[0].calls()
    assert [len(each.attempts()) for each in calls if each.key == "0.count-1"] == [1]
    assert len(calls) == 5
    file_world.check()


@pytest.mark.timeout(120)
def test_the_first_task_runs_with_two_commands_and_is_explained_by_a_third(tmp_path: Path) -> None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("MULLIGAN_")}
    worker = subprocess.Popen([*MULLIGAN, "dev", str(EXAMPLE)], cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True)
    try:
        assert worker.stdout is not None
        worker.stdout.readline()  # it has opened the store
        told = subprocess.run(
            [sys.executable, str(EXAMPLE)], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=100, check=False
        )
        assert told.stdout.strip().endswith("[17, 17, 17]"), told.stdout + told.stderr
        explained = subprocess.run(
            [*MULLIGAN, "explain", "1-0"], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )
        assert "of task ingest: Success" in explained.stdout
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=30)
    assert worker.returncode == 0
