"""The demo as a user runs it: killed in the middle it goes on, to its end, and then says that it is done."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mulligan import connect

pytestmark = pytest.mark.timeout(240)


def demo(folder: Path) -> list[str]:
    return [sys.executable, "-m", "mulligan.cli.main", "demo", "--folder", str(folder)]


def running_in(folder: Path) -> list[int]:
    """Return the processes that have the demo's folder on their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        if str(folder) in line and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc, which only Linux has")
def test_the_demo_goes_on_after_a_kill_checks_its_result_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    environ = {**os.environ, "COLUMNS": "500", "NO_COLOR": "1"}
    first = subprocess.Popen(demo(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ)
    assert first.stdout is not None
    for line in first.stdout:
        if "kill -9" in line:  # the backfill is under way
            break
    first.send_signal(signal.SIGKILL)
    first.communicate()

    second = subprocess.run(demo(folder), capture_output=True, text=True, env=environ, timeout=180, check=False)
    assert second.returncode == 0, second.stdout + second.stderr
    assert re.search(r"check: all [\d,]+ values equal what the source gives in one go", second.stdout)
    assert "retraining: one model, registered once as version 1;" in second.stdout
    assert "the worker, with the workflow and the training in it" in second.stdout
    assert re.search(r"recover of 2 days: 4 of 4 downloads not repeated", second.stdout)

    third = subprocess.run(demo(folder), capture_output=True, text=True, env=environ, timeout=60, check=False)
    assert third.returncode == 0
    assert "has run to its end already" in third.stdout

    with connect(f"sqlite:///{folder}/store.db") as client:
        assert client.verify() == []
        counts = client.jobs(task="flight_delays")[0].counts
        assert (counts.success, counts.total) == (365, 365)
    assert running_in(folder) == []
