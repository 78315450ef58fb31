"""The server that tests, benchmarks and demos start for themselves."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mulligan.testing.postgres import PostgresMissing, find_binaries, sweep

LEFT = """
import os, signal
from mulligan.testing.postgres import PostgresServer
server = PostgresServer()
print(server.folder, server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_of_its_server_is_swept_away_by_the_next_one() -> None:
    try:
        find_binaries()
    except PostgresMissing as missing:
        pytest.skip(str(missing))
    left = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True, check=False)
    folder, postmaster = left.stdout.split()
    assert Path(folder).exists()
    sweep()
    assert not Path(folder).exists()
    until_s = time.monotonic() + 20
    while _runs(int(postmaster)):
        assert time.monotonic() < until_s, "the server of the killed process still runs"
        threading.Event().wait(0.01)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
