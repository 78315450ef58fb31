"""The fixtures that pytest finds where Mulligan is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

PIPELINE = """
from mulligan import task

@task(retries=(1, 300))
def add(a: int, b: int = 2) -> int:
    return a + b
"""
TEST = """
from pipeline_of_mine import add

def test_a_pipeline(mulligan_store, mulligan_clock):
    began = mulligan_clock.now_ms()
    job = add.submit(1)
    mulligan_store.fail(add, "503")
    mulligan_store.run_until_quiet(add)
    assert job.result() == 3
    assert mulligan_clock.now_ms() - began == 300_000
"""


def test_a_test_has_a_store_and_a_clock(tmp_path: Path) -> None:
    (tmp_path / "pipeline_of_mine.py").write_text(PIPELINE, "utf-8")
    (tmp_path / "test_mine.py").write_text(TEST, "utf-8")
    (tmp_path / "conftest.py").write_text(
        "def pytest_configure(config):\n"
        "    if not config.pluginmanager.has_plugin('mulligan'):\n"  # where the entry point of this checkout is not installed
        "        config.pluginmanager.import_plugin('mulligan.testing.plugin')\n",
        "utf-8",
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "test_mine.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_plugin_is_an_entry_point_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["entry-points"]["pytest11"] == {"mulligan": "mulligan.testing.plugin"}
