"""Faults of the disk at the k-th write or sync of real processes, by strace; and what becomes of the store and the work.

`python -m tests.crash.disk_faults [--points 60]`: for each series so many points, and of the failing ones half as many.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "stories")]

import apsw  # noqa: E402 - after the folders that were just named
import crash_tasks  # noqa: E402
from story_harness import WorkerProcess, World, until, until_gone  # noqa: E402

from mulligan.client.client import connect  # noqa: E402
from mulligan.client.job import Job  # noqa: E402
from mulligan.core.job import TERMINAL, JobStatus  # noqa: E402

SITE = HERE / "site"
TASKS = HERE / "crash_tasks.py"
CALLS = ("pwrite64", "fdatasync")
KILL, EIO, ENOSPC = "signal=SIGKILL", "error=EIO", "error=ENOSPC"
CHECKPOINT_PAGES = "8"
TIMEOUT_S = 60.0


def why_not() -> str | None:
    """Return why faults cannot be injected here; None where they can."""
    if sys.platform != "linux" or shutil.which("strace") is None:
        return "there is no strace here"
    tried = subprocess.run([*_strace("/dev/null", "/dev/null", "fsync", KILL, 1), "true"], capture_output=True, check=False)
    return f"strace may trace nothing here: {tried.stderr.decode()[:200]}" if tried.returncode else None


def _strace(log: str, store: str, call: str, fault: str, at: int, times: int = 1) -> list[str]:
    when = f"{at}..{at + times - 1}" if times > 1 else str(at)
    files = [part for name in (store, f"{store}-wal", f"{store}-journal") for part in ("-P", name)]
    quick = [] if fault == KILL else ["--seccomp-bpf"]  # with which signals come at the first call only
    return [
        "strace",
        "-D",
        "-f",
        *quick,
        "-q",
        "-o",
        log,
        *files,
        "-e",
        f"trace={call}",
        "-e",
        f"inject={call}:{fault}:when={when}",
    ]


@dataclass
class Disk:
    """One store, and the processes on it whose writes fail."""

    folder: Path
    world: World = field(init=False)
    faults: Counter[str] = field(default_factory=Counter)
    """How many there were, by who met them and which."""
    _jobs: list[Job[Any]] = field(default_factory=list)
    _round: int = 0

    def __post_init__(self) -> None:
        self.world = World(self.folder)
        self._log = str(self.folder / "strace.log")
        self._jobs.append(self.world.client.submit(crash_tasks.again, self.world.path(), "first"))  # publishes its task

    def worker(self, call: str, fault: str, at: int) -> bool:
        """Have a worker meet a fault while it runs fresh work; returns whether it came to it."""
        self._round += 1
        client, file = self.world.client, self.world.path()
        names = ("once", "again", "stepped", "submitting")
        jobs = [client.submit(getattr(crash_tasks, name), file, f"{name}{self._round}") for name in names]
        self._jobs += jobs
        worker = self._start(call, fault, at)
        until(lambda: worker.process.poll() is not None or _ended(jobs), f"all ends: {call} {fault} {at}", TIMEOUT_S)
        if worker.process.poll() is None:
            worker.signal(signal.SIGTERM)
            worker.wait(TIMEOUT_S)
        until_gone(worker.family, "nothing of it is left")
        met = self._met(worker.process.returncode == -signal.SIGKILL)
        self._look(f"{call} {fault} {at}")
        if fault != KILL:
            _check_words(worker, jobs, met=met)
        self.faults[f"worker, {call}, {fault}"] += met
        return met

    def _start(self, call: str, fault: str, at: int) -> WorkerProcess:
        Path(self._log).unlink(missing_ok=True)
        os.environ["CRASH_CHECKPOINT"] = CHECKPOINT_PAGES
        under = _strace(self._log, str(self.world.store), call, fault, at, 1 if fault == KILL else 3)
        try:
            return self.world.worker(TASKS, wait=False, python_path=f"{SITE}{os.pathsep}{HERE}", lease=30, under=under)
        finally:
            del os.environ["CRASH_CHECKPOINT"]

    def command(self, call: str, fault: str, at: int) -> bool:
        """Have one who submits meet a fault: the job is accepted, or that it is not is said; returns whether it came to it."""
        self._round += 1
        name = f"told-{self._round}"
        words = ["submit", "again", f"file={self.world.path()}", f"key={name}", "--run-id", name]
        told = self._ask(str(self.world.store), words, call, fault, at)
        met = self._met(told.returncode == -signal.SIGKILL)
        self._look(f"submitter {call} {fault} {at}")
        found = self.world.client.jobs(run_id=name)
        assert told.returncode != 0 or len(found) == 1, (told.stdout, told.stderr)
        assert "Traceback" not in told.stderr, told.stderr
        assert fault == KILL or told.returncode == 0 or "store" in told.stderr, (told.returncode, told.stderr)
        self._jobs += found
        self.faults[f"submitter, {call}, {fault}"] += met
        return met

    def making(self, call: str, fault: str, at: int) -> bool:
        """Have one who makes the file meet a fault: the next one makes it whole; returns whether it came to it."""
        store = self.folder / f"made-{call}-{fault[-3:]}-{at}.db"
        told = self._ask(str(store), ["migrate"], call, fault, at)
        met = self._met(told.returncode == -signal.SIGKILL)
        assert "Traceback" not in told.stderr, told.stderr
        client = connect(f"sqlite:///{store}")
        assert client.verify() == [], at
        client.close()
        assert _integrity(store) == "ok", at
        self.faults[f"who makes the file, {call}, {fault}"] += met
        return met

    def end(self) -> None:
        """Let a worker that meets no faults end all that there is, and look whether anything was lost or started twice."""
        worker = self.world.worker(TASKS, python_path=str(HERE))
        until(lambda: _ended(self._jobs), "all that was accepted ends", TIMEOUT_S)
        lines = Counter(self.world.lines())
        for job in self._jobs:
            if job.task != "once":
                assert job.status is JobStatus.SUCCESS, (job, job.error_message)
        starts = {line: count for line, count in lines.items() if line.startswith("begin once")}
        assert max(starts.values(), default=1) == 1, starts
        worker.stop()
        self._look("the end")
        self.world.close()

    def _ask(self, store: str, words: list[str], call: str, fault: str, at: int) -> subprocess.CompletedProcess[str]:
        Path(self._log).unlink(missing_ok=True)
        return subprocess.run(
            [*_strace(self._log, store, call, fault, at), sys.executable, "-m", "mulligan.cli.main", *words],
            env={**os.environ, "MULLIGAN_DATABASE": f"sqlite:///{store}"},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def _met(self, killed: bool) -> bool:
        return killed or (Path(self._log).exists() and "(INJECTED)" in Path(self._log).read_text("utf-8", "replace"))

    def _look(self, where: str) -> None:
        found = _integrity(self.world.store)
        assert found == "ok", f"{where}: {found}"
        self.world.check()


def _integrity(store: Path) -> str:
    connection = apsw.Connection(str(store))
    try:
        return str(connection.execute("pragma integrity_check").get)
    finally:
        connection.close()


def _ended(jobs: list[Job[Any]]) -> bool:
    return all(job.status in TERMINAL or job.refresh().status in TERMINAL for job in jobs)


def _check_words(worker: WorkerProcess, jobs: list[Job[Any]], *, met: bool) -> None:
    """A worker whose disk failed for a moment goes on and loses nothing, or says what ended it."""
    assert "Traceback" not in worker.said, worker.said
    if worker.process.returncode:
        assert "store" in worker.said, worker.said
        return
    for job in jobs:
        assert job.refresh().status is JobStatus.SUCCESS, (job.task, job.error_message, worker.said)


def series(points: int) -> tuple[Counter[str], list[str]]:
    """Go through all series; returns how many faults there were, and what was found."""
    faults: Counter[str] = Counter()
    found: list[str] = []
    for fault, share in ((KILL, 1.0), (EIO, 0.5), (ENOSPC, 0.5)):
        for who in ("worker", "command", "making"):
            for call in CALLS:
                with tempfile.TemporaryDirectory(prefix="disk-") as folder:
                    disk = Disk(Path(folder))
                    try:
                        for at in range(1, int(points * share) + 1):
                            if not getattr(disk, who)(call, fault, at):
                                break  # it writes no further
                        assert sum(disk.faults.values()), "nothing met this fault"
                        disk.end()
                    except AssertionError as wrong:
                        found.append(f"{who}, {call}, {fault}: {wrong}")
                        disk.world.close()
                    faults += disk.faults
                    print(f"{who}, {call}, {fault}: {sum(disk.faults.values())} faults", file=sys.stderr, flush=True)
    return faults, found


def main() -> int:
    """Go through all series and print what came of it; returns 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.disk_faults", description=__doc__)
    parser.add_argument("--points", type=int, default=60)
    given = parser.parse_args()
    missing = why_not()
    if missing:
        print(f"faults of the disk: skipped, {missing}")
        return 0
    began = time.monotonic()
    faults, found = series(given.points)
    print("| who, call, fault | faults |\n| --- | ---: |")
    for name, count in faults.items():
        print(f"| {name} | {count} |")
    by_kind = {kind: sum(count for name, count in faults.items() if kind in name) for kind in (KILL, EIO, ENOSPC)}
    print(f"\n{by_kind}: {len(found)} findings; {time.monotonic() - began:.0f} s", *found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
