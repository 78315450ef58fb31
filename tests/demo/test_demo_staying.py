"""A demo that stays up leaves the days that failed to a person, who does by HTTP what the page has buttons for."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from mulligan.demo.processes import Paths, Place, Processes
from mulligan.demo.state import State

pytestmark = pytest.mark.timeout(240)
DAYS = 39
CHANGED = "2013-02-08"
"""The last of the days, and the only one of them on which a column was renamed."""
DEADLINE_S = 60.0
ENDS = "Ctrl-C ends everything."


def until(condition: Callable[[], Any], what: str) -> Any:
    ends, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while time.monotonic() < ends:
        if found := condition():
            return found
        pause.wait(0.05)
    raise AssertionError(f"not seen in time: {what}")


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


def command(folder: Path, *options: str) -> list[str]:
    size = ["--days", str(DAYS), "--workers", "1", "--processes", "1", "--kill-every", "1000", "--no-retraining"]
    return [sys.executable, "-m", "mulligan.cli.main", "demo", "--folder", str(folder), *size, *options]


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MULLIGAN_")}
    return kept | {"COLUMNS": "500", "NO_COLOR": "1", "MULLIGAN_PORT": "0"}


@dataclass
class Demo:
    """A demo that stays up, and what a person asks of it."""

    process: subprocess.Popen[bytes]
    output: Path

    @property
    def said(self) -> str:
        return self.output.read_text("utf-8", "replace")

    def ask(self, path: str, body: Any = None, method: str = "") -> httpx.Response:
        url, key = (re.search(rf"^{name}: +(\S+)", self.said, re.MULTILINE) for name in ("API", "Key"))
        assert url, self.said
        assert key, self.said
        given = {} if body is None else {"json": body}
        method = method or ("GET" if body is None else "POST")
        return httpx.request(method, url[1] + path, headers={"apikey": key[1]}, timeout=DEADLINE_S, **given)

    def items(self, query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask(f"/api/work-items?{query}").json()["items"]
        return found

    def job(self, task: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ask(f"/api/jobs?task={task}").json()["items"][0]
        return found


@contextmanager
def staying(folder: Path) -> Iterator[Demo]:
    """Have a demo stay up; at the end it is ended by Ctrl-C."""
    output = folder.parent / f"said-{time.monotonic_ns()}.txt"

    with output.open("wb") as file:
        process = subprocess.Popen(command(folder, "--stay"), stdout=file, stderr=file, env=environment())
    made = Demo(process, output)
    try:
        until(lambda: ENDS in made.said or process.poll() is not None, "the demo stays up")
        assert process.poll() is None, made.said
        yield made
    finally:
        # A shell's background jobs are deaf to Ctrl-C, and so is what they start.
        deaf = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        process.send_signal(signal.SIGTERM if deaf else signal.SIGINT)
        process.wait(DEADLINE_S)


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    """A folder in which the year was split before."""
    made = tmp_path / "demo"
    made.mkdir()
    (made / "source").symlink_to(prepared)
    State(2013, DAYS).save(made / "state.json")
    return made


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc, which only Linux has")
def test_a_person_finds_why_a_day_failed_recovers_it_runs_one_again_cancels_a_run_and_no_process_is_left(folder: Path) -> None:
    with staying(folder) as demo:
        assert f"{CHANGED} is left failed for you" in demo.said
        worker = next(pid for pid in running_in(folder) if "scrubbing.py" in Path(f"/proc/{pid}/cmdline").read_text("utf-8"))
        os.kill(worker, signal.SIGKILL)
        until(lambda: "another one starts in its place" in demo.said, "a killed worker is replaced")
        page = re.search(r"^Page: +(\S+)", demo.said, re.MULTILINE)
        assert page, demo.said
        logged_in = httpx.get(page[1], timeout=DEADLINE_S)
        assert (logged_in.status_code, logged_in.headers["location"]) == (303, "/")
        (failed,) = demo.items("status=FAILURE")
        assert (failed["key"], failed["failure_class"]) == (CHANGED, "PERMANENT")
        assert "no column dep_delay among" in failed["error_message"]
        assert demo.ask(f"/api/jobs/{failed['job']}/retry", {"reason": "the fix is deployed"}).json()["total"] == 1
        until(lambda: demo.job("flight_delays")["status"] == "SUCCESS", "the day is recovered")

        day = demo.items("task=flight_delays&status=SUCCESS&limit=1")[0]["id"]
        assert demo.ask(f"/api/work-items/{day}/overwrite", {}).status_code == 409
        assert demo.ask(f"/api/work-items/{day}/overwrite", {"accept_risk": True}).json()["total"] == 1
        until(lambda: demo.items("task=flight_delays&run_id=flights-2013&limit=500&status=SUCCESS")[DAYS - 1 :], "it ran again")

        scrub = demo.job("scrub")
        until(lambda: demo.job("scrub")["status"] == "STARTED", "it runs")
        assert demo.ask(f"/api/jobs/{scrub['id']}/cancel", {}).status_code == 200
        until(lambda: demo.job("scrub")["label"] == "Manually Cancelled", "the run is cancelled")
    assert demo.process.returncode == 130
    assert running_in(folder) == []

    done = subprocess.run(command(folder), capture_output=True, text=True, env=environment(), timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert State.load(folder / "state.json", 2013, DAYS).finished
    assert running_in(folder) == []


def test_a_worker_that_somebody_killed_is_replaced_by_one_with_the_same_sources(tmp_path: Path) -> None:
    source = tmp_path / "nothing.py"
    source.write_text("from mulligan import task\n\n@task\ndef idle() -> None: ...\n", encoding="utf-8")
    processes = Processes(Paths(tmp_path), Place(f"sqlite:///{tmp_path}/store.db"), seed=1, children=1)
    try:
        first = processes.start_worker(source, source)
        assert processes.replace_killed() == []
        first.process.kill()
        first.process.wait()
        assert processes.replace_killed() == [first]
        (second,) = processes.workers
        assert second.sources == (source, source)
    finally:
        processes.stop_workers(first_s=0.1)
