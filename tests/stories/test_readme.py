"""The README's first task does what the README says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "flow.py"
MULLIGAN = [sys.executable, "-m", "mulligan.cli.main"]


def test_the_readme_shows_the_example_as_it_is() -> None:
    assert EXAMPLE.read_text("utf-8") in (ROOT / "README.md").read_text("utf-8")


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
