"""One story with everything in it, in which one process dies at one point; and what must be so when it is over."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "stories")]

import crash_tasks  # noqa: E402 - found in the folder that was just named
from story_harness import WorkerProcess, World, until  # noqa: E402

from mulligan.client.job import Job  # noqa: E402
from mulligan.core.job import TERMINAL, JobStatus  # noqa: E402

SITE = HERE / "site"
TASKS = HERE / "crash_tasks.py"
TIMEOUT_S = 40.0


class Story:
    """A world with a worker that dies at a point, and another one after it."""

    def __init__(self, world: World, at: str | None = None, record: Path | None = None) -> None:
        self.world = world
        self.at = at
        self.mark = world.folder / "killed"
        self._set = {"CRASH_ROLE": "worker", "CRASH_MARK": str(self.mark)}
        self._set |= {"CRASH_AT": at} if at else {}
        self._set |= {"CRASH_RECORD": str(record)} if record else {}
        self.trace = world.path()

    @property
    def killed(self) -> bool:
        """Whether the point was reached, and something died there."""
        return self.mark.exists()

    def worker(self) -> None:
        """Start a worker in which points are watched."""
        os.environ.update(self._set)
        try:
            self.world.worker(TASKS, wait=False, python_path=f"{SITE}{os.pathsep}{HERE}", lease=3)
        finally:
            for name in self._set:
                del os.environ[name]

    def run(self) -> None:
        """Have everything happen, and see that it ends; where the worker is dead, another one takes over."""
        file, client = self.trace, self.world.client
        jobs: list[Job[Any]] = [
            client.submit(crash_tasks.once, file, "a"),
            client.submit(crash_tasks.once, file, "b"),
            client.submit(crash_tasks.again, file, "c"),
            client.submit(crash_tasks.stepped, file, "d"),
            client.submit(crash_tasks.napping, file, "e"),
            client.submit(crash_tasks.waiting, file, "f"),
            client.submit(crash_tasks.submitting, file, "g"),
        ]
        endless = client.submit(crash_tasks.endless, file, "h")
        self.worker()
        self._until(lambda: "begin endless h" in self.world.lines(), "the endless one begins")
        endless.cancel()
        self._until(lambda: all(each.refresh().status in TERMINAL for each in (*jobs, endless)), "all jobs end")
        inside = client.jobs(run_id="inside-g")
        self._until(lambda: all(each.refresh().status in TERMINAL for each in inside), "what was submitted inside ends")
        self.world.workers[-1].stop()
        self.check([*jobs, *inside], endless)

    def _until(self, come_true: Any, what: str) -> None:
        def look() -> bool:
            if self.world.workers[-1].process.poll() is not None:
                self.world.check()
                self.worker()
            return bool(come_true())

        until(look, f"{what} ({self.at})", TIMEOUT_S)

    def check(self, jobs: list[Job[Any]], endless: Job[Any]) -> None:
        """See that nothing was lost, nothing that runs at most once began twice, and nothing that was saved was done again."""
        self.world.check()
        lines = Counter(self.world.lines())
        assert endless.refresh().status is JobStatus.REVOKED, self.at
        for job in jobs:
            at_most_once = job.task == "once"
            assert job.refresh().status is JobStatus.SUCCESS or at_most_once, (self.at, job, job.error_message)
        for key in "ab":
            assert lines[f"begin once {key} 1"] <= 1, (self.at, lines)
        for place in range(3):
            done, saved = lines[f"step d {place}"], lines[f"saved d {place}"]
            assert done >= 1, (self.at, lines)
            assert saved <= 2, (self.at, lines)
            assert done <= 2, (self.at, lines)
            if saved == 2:  # the second attempt had it from the store
                assert done == 1, (self.at, lines)
        assert len(self.world.client.jobs(run_id="inside-g")) == 1, self.at


class Called:
    """A workflow of twenty calls whose worker dies at a point; another one goes on, and it comes to the same."""

    def __init__(self, world: World, at: str | None = None, record: Path | None = None) -> None:
        self.world = world
        self.at = at
        self.mark = world.folder / "killed"
        self._set = {"CRASH_ROLE": "workflow", "CRASH_MARK": str(self.mark)}
        self._set |= {"CRASH_AT": at} if at else {}
        self._set |= {"CRASH_RECORD": str(record)} if record else {}

    @property
    def killed(self) -> bool:
        """Whether the point was reached, and something died there."""
        return self.mark.exists()

    def run(self) -> None:
        """Run it to its end; where a call that may run once was lost, a person has it go on."""
        job = self.world.client.submit(crash_tasks.twenty, self.world.path())
        self._worker()
        until(lambda: self._goes_on() and job.refresh().status in TERMINAL, f"the workflow ends ({self.at})", TIMEOUT_S)
        if job.status is JobStatus.FAILURE:
            assert "nobody knows whether it did" in str(job.error_message), (self.at, job.error_message)
            assert job.retry() == 1, self.at
            until(lambda: self._goes_on() and job.refresh().status in TERMINAL, f"it ends after all ({self.at})", TIMEOUT_S)
        assert job.result() == [f"call {number}" for number in range(20)], self.at
        self.world.workers[-1].stop()
        self.world.check()
        lines = Counter(self.world.lines())
        for number in range(1, 20, 2):
            assert lines[f"begin once call {number} 1"] <= 1, (self.at, lines)
        assert len(job.work_items()[0].calls()) == 20, self.at

    def _goes_on(self) -> bool:
        if self.world.workers[-1].process.poll() is not None:
            self.world.check()
            self._worker()
        return True

    def _worker(self) -> None:
        os.environ.update(self._set)
        try:
            path = f"{SITE}{os.pathsep}{HERE}"
            self.world.worker(TASKS, wait=False, python_path=path, lease=3, processes=1)
        finally:
            for name in self._set:
                del os.environ[name]


class Asked:
    """A command of an operator that dies at a point; asked again, it is done once."""

    def __init__(self, world: World, at: str | None = None, record: Path | None = None) -> None:
        self.world = world
        self.at = at
        self.mark = world.folder / "killed"
        self._set = {"CRASH_MARK": str(self.mark), "PYTHONPATH": f"{SITE}{os.pathsep}{HERE}"}
        self._set |= {"CRASH_AT": at} if at else {}
        self._set |= {"CRASH_RECORD": str(record)} if record else {}

    @property
    def killed(self) -> bool:
        """Whether the point was reached, and something died there."""
        return self.mark.exists()

    def ask(self, *words: str, **settings: str) -> int:
        """Run a command line as operators do; returns its exit code."""
        given = {f"MULLIGAN_{name.upper()}": value for name, value in (self.world.settings | settings).items()}
        told = subprocess.run(
            [sys.executable, "-m", "mulligan.cli.main", *words],
            env={**os.environ, **given, **self._set, "CRASH_ROLE": f"operator who asks to {words[0]}"},
            cwd=self.world.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if told.returncode > 1:
            raise AssertionError(f"{' '.join(words)}: {told.stderr}")
        return told.returncode

    def run(self) -> None:
        """Submit, cancel, retry, pause, resume, overwrite and migrate, each again where it was killed."""
        client, file = self.world.client, self.world.path()
        worker = self.world.worker(TASKS, python_path=str(HERE))
        past = client.backfill(crash_tasks.daily, "2024-01-01", "2024-01-03", args={"file": file})
        client.submit(crash_tasks.broken, file, "first").cancel()  # so that the task is published
        assert past.wait(TIMEOUT_S).status is JobStatus.SUCCESS, past.error_message
        worker.stop()
        submit = ("submit", "broken", f"file={file}", "key=x", "--run-id", "named")
        if self.ask(*submit) < 0:
            self.world.check()
            assert len(client.jobs(run_id="named")) <= 1, self.at
            self.ask(*submit)
        (job,) = client.jobs(run_id="named")
        self._twice("cancel", job.id)
        assert job.refresh().status is JobStatus.REVOKED, self.at
        self._twice("retry", job.id)
        self._twice("pause", "broken")
        self._twice("resume", "broken")
        assert job.refresh().work_items()[0].generation == 2, self.at
        self._twice("overwrite", past.id, "--accept-risk")
        assert {each.generation for each in past.refresh().work_items()} == {2}, self.at
        self._migrate()
        self.world.check()

    def _migrate(self) -> None:
        place = self.world.place
        settings = {"schema": f"{place.schema}_more"} if place else {"database": f"sqlite:///{self.world.folder / 'more.db'}"}
        if self.ask("migrate", **settings) < 0:
            assert self.ask("migrate", **settings) == 0, self.at
        assert self.ask("verify", **settings) == 0, self.at

    def _twice(self, *words: str) -> None:
        if self.ask(*words) < 0:
            self.world.check()
            self.ask(*words)


class Served:
    """A server that dies at a point, while it takes back what a lost worker held and removes what is old; another goes on."""

    retention_s = 1

    def __init__(self, world: World, at: str | None = None, record: Path | None = None) -> None:
        self.world = world
        self.at = at
        self.mark = world.folder / "killed"
        self._set = {"CRASH_ROLE": "server", "CRASH_MARK": str(self.mark)}
        self._set |= {"CRASH_AT": at} if at else {}
        self._set |= {"CRASH_RECORD": str(record)} if record else {}

    @property
    def killed(self) -> bool:
        """Whether the point was reached, and something died there."""
        return self.mark.exists()

    def server(self) -> None:
        """Start a server in which points are watched."""
        os.environ.update(self._set)
        try:
            self.world.workers.append(
                WorkerProcess(self.world, [], {"retention": self.retention_s, "python_path": str(SITE)}, None, "server")
            )
        finally:
            for name in self._set:
                del os.environ[name]

    def run(self) -> None:
        """Leave a lost worker and an old job; what runs at most once fails, what has retries waits, what is old goes."""
        client, file = self.world.client, self.world.path()
        once = client.submit(crash_tasks.held.options(run_id="once"), file, "once")
        again = client.submit(crash_tasks.endless, file, "again")
        worker = self.world.worker(TASKS, python_path=str(HERE))
        self.world.wait_for("begin held once", "begin endless again")
        old = client.submit(crash_tasks.broken.options(run_id="old"), file, "old")
        old.cancel()
        worker.kill()
        self.server()
        self._until(lambda: again.refresh().status is JobStatus.RETRY, "what has retries waits again")
        self._until(lambda: all(_is_removed(each) for each in (once, old)), "what has ended is removed")
        self.world.workers[-1].stop()
        self.world.check()
        assert again.refresh().status is JobStatus.RETRY, self.at
        assert self.world.lines().count("begin held once") == 1, self.at

    def _until(self, come_true: Callable[[], T], what: str) -> T:
        def look() -> T:
            if self.world.workers[-1].process.poll() is not None:
                self.world.check()
                self.server()
            return come_true()

        return until(look, f"{what} ({self.at})", TIMEOUT_S)


def _is_removed(job: Job[Any]) -> bool:
    return job.refresh().details_removed_at is not None
