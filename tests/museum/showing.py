"""Brings a bug back in a copy of the source, and sees who finds it."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bug import SIMULATION, Bug

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "mulligan"
LIMIT_S = 60
"""Of processor time, which is what the clock shows on a machine that nobody else uses."""
PATIENCE_S = 900.0
"""By the clock, on a machine that others keep busy."""
LIMITED = (
    f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_CPU, ({LIMIT_S}, {LIMIT_S + 1})); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
"""A finder that goes on for longer is killed."""


class Missing(Exception):
    """What a bug replaces is not in the code, or is there more than once: the exhibit has to be made anew."""


class Found(NamedTuple):
    """Who found a bug, after how long, and what they said."""

    bug: Bug
    found: bool
    after_s: float
    """Of processor time."""
    clock_s: float
    said: str


def broken(bug: Bug) -> str:
    """Return the text of a bug's file with the bug in it; raises Missing."""
    text = (SOURCE / bug.file).read_text("utf-8")
    times = text.count(bug.right)
    if times != 1:
        raise Missing(f"{bug.name}: what it replaces is {times} times in {bug.file}, and must be there once: {bug.right!r}")
    return text.replace(bug.right, bug.wrong)


def show(bug: Bug) -> Found:
    """Have a bug looked for."""
    with tempfile.TemporaryDirectory(prefix="museum-") as folder:
        copy = Path(folder) / "mulligan"
        shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / bug.file).write_text(broken(bug), "utf-8")
        return _look(bug, folder)


def _look(bug: Bug, folder: str) -> Found:
    if bug.finder == SIMULATION:
        command = ["-m", "tests.simulation", "--seeds", "100000", "--as-found"]
    else:
        plain = ["-x", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", "--hypothesis-profile=find"]
        command = ["-m", "pytest", *plain, "--timeout", "600", *bug.finder.split()]
    paths = os.pathsep.join((folder, str(ROOT)))
    began, used_s = time.monotonic(), _used_s()
    try:
        told = subprocess.run(
            [sys.executable, "-c", LIMITED, *command],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": paths, "HYPOTHESIS_STORAGE_DIRECTORY": f"{folder}/hypothesis", "LIVES": "2"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Found(bug, False, _used_s() - used_s, time.monotonic() - began, "it took too long")
    after_s = _used_s() - used_s
    return Found(bug, told.returncode == 1 and after_s <= LIMIT_S, after_s, time.monotonic() - began, _words(told.stdout))


def _used_s() -> float:
    """Return how much processor time finders have used so far, with all that they had started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _words(said: str) -> str:
    """Return the line that names what is wrong."""
    lines = [line for line in said.splitlines() if line.startswith(("BROKEN", "seed", "FAILED", "E  "))]
    return lines[0].removeprefix("BROKEN").removeprefix("E").strip()[:110] if lines else ""
