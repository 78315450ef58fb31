"""Running the command line as users do, on the tasks of cli_tasks.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TASKS = Path(__file__).parent / "cli_tasks.py"
DEADLINE_S = 30.0

ADDED, FEATURES, FLAKY, LOUD, TWICE = "1", "2", "3", "4", "5"
"""The jobs of the store, in the order in which they were submitted."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run of the command line left."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


def environment(store: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MULLIGAN_", "COV_", "FORCE_COLOR"))}
    return kept | {"MULLIGAN_DATABASE": f"sqlite:///{store}", "MULLIGAN_PORT": "0", "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"}


def cli(store: Path, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line as users do, in a process of its own."""
    command = [sys.executable, "-m", "mulligan.cli.main", *arguments]
    settings = {"capture_output": True, "text": True, "timeout": DEADLINE_S, "cwd": store.parent, "env": environment(store)}
    return subprocess.run(command, check=False, **{**settings, **more})


def until(condition: Callable[[], Any], what: str) -> Any:
    """Look again and again until there is an answer; fail after the deadline."""
    ends, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while time.monotonic() < ends:
        found = condition()
        if found:
            return found
        pause.wait(0.02)
    raise AssertionError(f"in {DEADLINE_S:.0f} s not seen: {what}")


@contextmanager
def working(store: Path, *, ends: int = 0) -> Iterator[subprocess.Popen[str]]:
    """Have a worker run on a store; it has started when this begins, and drained when it ends."""
    command = [sys.executable, "-m", "mulligan.cli.main", "worker", str(TASKS), "--processes", "2"]
    worker = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(store), cwd=store.parent)
    assert worker.stderr is not None
    try:
        assert "worker started" in worker.stderr.readline()
        yield worker
    finally:
        worker.terminate()
        try:
            worker.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.communicate()
            raise
    assert worker.returncode == ends


def checked(store: Path, *arguments: str, code: int = 0) -> str:
    done = cli(store, *arguments)
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout


@contextmanager
def serving(store: Path, role: str = "operator") -> Iterator[tuple[str, str]]:
    """Have a server run on a store, in a thread of this process; gives its URL and a key of that role."""
    from mulligan.app import Services
    from mulligan.config.settings import load_settings
    from mulligan.core.access import Role
    from mulligan.engine.keys import random_key
    from mulligan.telemetry import silent

    services = Services(load_settings(database=f"sqlite:///{store}", port=0))
    own = random_key("tester", Role(role))
    supervisor = services.make_supervisor()
    api = services.make_api(silent, supervisor, own)
    api.start()
    try:
        yield api.url, own.text
    finally:
        api.stop()
        supervisor.stop()
        services.close()
