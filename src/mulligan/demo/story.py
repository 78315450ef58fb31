"""The demo as a story: a year of windows through a store that fails, kills, a bad release, its fix, recover, and the check."""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from random import Random
from textwrap import shorten
from types import FrameType
from typing import TYPE_CHECKING, Any

from mulligan.core.job import TERMINAL, JobStatus
from mulligan.demo.data import CHANGED_DAYS, DAYS, FIRST_DAY, NEW_NAME, OLD_NAME, TIME_ZONE, Source, find, prepare
from mulligan.demo.model import retrain
from mulligan.demo.processes import DemoFailed, Paths, Place, Processes, end_leftovers
from mulligan.demo.report import repeated, show, show_next, summarize
from mulligan.demo.state import State
from mulligan.demo.staying import stay_up
from mulligan.sdk.ports import JobHandle

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

RUN_ID = "flights-2013"
TASK = "flight_delays"
SCHEMA = "mulligan_demo"
"""On PostgreSQL the demo keeps to a schema of its own."""
LIMIT_S = 600.0
"""The demo gives up when the job has not ended by then; it takes a tenth of that."""

TROUBLES = ((0.08, "child"), (0.2, "child"), (0.33, "child"), (0.45, "child"), (0.55, "worker"), (0.68, "child"), (0.82, "child"))
"""When, as a share of the items that have ended, which kind of process is killed."""

BUG = f'DELAY_NAMES = ("{OLD_NAME}",)'
FIX = f'DELAY_NAMES = ("{OLD_NAME}", "{NEW_NAME}")'


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen: `database` is the URL of a PostgreSQL database, empty for a SQLite file in the demo's folder.

    `processes` is how many processes each worker runs tasks in. `kill_every_s` kills one whole worker at that interval; without
    it, processes are killed at certain points of the story. `retraining` has a model retrained at the end.
    """

    database: str = ""
    days: int = len(DAYS)
    workers: int = 2
    processes: int = 2
    kill_every_s: float | None = None
    seed: int = 2013
    retraining: bool = True

    @property
    def changed(self) -> tuple[str, ...]:
        """The days among them on which a column was renamed."""
        return tuple(day for day in CHANGED_DAYS if day in DAYS[: self.days])

    @property
    def end(self) -> str:
        """The day after the last."""
        return (FIRST_DAY + timedelta(days=self.days)).isoformat()

    def store(self) -> str:
        """Where the store is, in words; empty: in the folder."""
        if not self.database:
            return ""
        from mulligan.store.postgres import Place as Server
        from mulligan.store.postgres import shown

        return shown(Server(self.database, SCHEMA))

    def place(self, paths: Paths, namespace: str) -> Place:
        """Return the store's place."""
        return Place(self.database, SCHEMA, namespace) if self.database else Place(f"sqlite:///{paths.store}")


def run(
    folder: Path, plan: Plan | None = None, *, stay: bool = False, fresh: bool = False, console: Console | None = None
) -> int:
    """Run the demo in a folder, or resume it there, and return its exit code: 0 when all that it says is so.

    `stay` leaves the days that failed to whoever looks, and keeps everything up, with a server, until Ctrl-C; a run without it on
    the same folder recovers them by itself. `fresh` starts over. Raises ConfigError, StoreError.
    """
    from rich.console import Console
    from rich.text import Text

    out, plan = console or Console(), plan or Plan()
    paths = Paths(folder.resolve())
    started = time.monotonic()
    try:
        source = find()
        with _alone(paths, fresh), _ended_by_signals():
            state = State.load(paths.state, plan.seed, plan.days, plan.store())
            state.save(paths.state)
            return _Story(paths, source, plan, state, out, started).tell(stay)
    except DemoFailed as error:
        out.print(Text.assemble(("The demo failed: ", "red"), str(error)), highlight=False)
        return 1
    except KeyboardInterrupt:
        out.print("Stopped, and all processes ended. Run it again to go on from here.")
        return 130


class _Story:
    def __init__(self, paths: Paths, source: Source, plan: Plan, state: State, console: Console, started: float) -> None:
        self.paths = paths
        self.place = plan.place(paths, state.namespace)
        self.source = source
        self.plan = plan
        self.state = state
        self.console = console
        self.random = Random(state.seed + state.troubles)  # noqa: S311 - repeatable on purpose
        self.processes = Processes(paths, self.place, state.seed, plan.processes)
        self._started = started - state.wall_s
        self._next_kill = 0.0

    def tell(self, stay: bool) -> int:
        try:
            return self._tell(stay)
        finally:
            try:
                self.processes.close()
            except KeyboardInterrupt:
                self.processes.kill()

    def _tell(self, stay: bool) -> int:
        import mulligan

        done = self.state.finished
        if done and self.place.is_file and not self.paths.store.exists():
            raise DemoFailed(f"{self.paths.store} is gone: start over with --fresh")
        with mulligan.connect(self.place.database, **self.place.settings()) as client:
            if done and not client.jobs(run_id=RUN_ID):
                raise DemoFailed(f"{client.services.shown} no longer has the run of {self.paths.folder}: start over with --fresh")
            if done:
                self._say("This demo has run to its end already: here is what it found. --fresh starts over.")
            if not done or stay:
                self._open(client.services.shown)
            job = self._submit(client)
            if not done:
                self._run(job, stay)
            if self.plan.retraining and not self.state.retrained:
                self.state.retrained = retrain(client, self.processes, self.state, self._say, self._save)
                self._save()
            code = self._end(job, stay)
            if stay:
                stay_up(client, self.processes, self.plan.workers, _failed_days(job), self._say)
            return code

    def _open(self, store: str) -> None:
        with self.console.status("Preparing a year of flights"):
            prepare(self.source, self.paths.source)
        if not self.paths.flow.exists():
            self.paths.flow.write_text(files("mulligan.demo").joinpath("flow.py").read_text("utf-8"), encoding="utf-8")
        url = self.processes.start_objects()
        self._start_workers()
        self._say(f"Object store at {url}, failing by plan (seed {self.state.seed})")
        self._say(f"{self.plan.workers} workers on {self.paths.flow} and {store}")

    def _start_workers(self) -> None:
        for _ in range(self.plan.workers):
            self.processes.start_worker()

    def _submit(self, client: Any) -> JobHandle[int]:
        """Submit the year; the same run id gives the same job, so this is also how a second run finds it."""
        job: JobHandle[int] = self.processes.submitted(
            lambda: client.backfill(TASK, DAYS[0], self.plan.end, every="1d", tz=TIME_ZONE, run_id=RUN_ID)
        )
        return job

    def _run(self, job: JobHandle[int], stay: bool) -> None:
        told = self.state.recovered or self.state.left
        self._wait(job, f"{self.plan.days} days", self.plan.days, spoil=not told)
        if job.status is not JobStatus.SUCCESS and not told:
            self._expect_failed(job)
            self._deploy()
            self.state.left = stay
            self._save()
        if job.status is not JobStatus.SUCCESS and not self.state.recovered and not stay:
            self._recover(job)
        if job.status is not JobStatus.SUCCESS and not self.state.left:
            raise DemoFailed(f"the job ended as {job.status}:\n{_failures(job)}")
        if job.status is JobStatus.SUCCESS:
            self.state.left = False
        stats = self._stats()
        self.state.requests, self.state.served = sum(stats["asked"].values()), sum(stats["served"].values())
        self.state.asked_after = {name: stats["asked"].get(name, 0) for name in self.state.asked_before}

    def _wait(self, job: JobHandle[int], title: str, days: int, spoil: bool) -> None:
        until = time.monotonic() + LIMIT_S
        self._next_kill = time.monotonic() + (self.plan.kill_every_s or 0.0)
        with _bar(self.console) as bar:
            row = bar.add_task(title, total=days, counts="")
            while True:
                counts = job.refresh().counts
                words = f"{counts.success} done, {counts.started} running, {counts.retry} retrying, {counts.failure} failed"
                bar.update(row, completed=counts.ended - (counts.total - days), counts=words)
                if job.status in TERMINAL:
                    return
                self.processes.check()
                if spoil:
                    self._spoil(counts.ended / max(counts.total, 1))
                if time.monotonic() > until:
                    raise DemoFailed(f"the job has not ended after {LIMIT_S:.0f} s; see {self.paths.logs}")
                time.sleep(0.05)

    def _spoil(self, share: float) -> None:
        """Kill what is to be killed by now."""
        if self.plan.kill_every_s is not None:
            if time.monotonic() >= self._next_kill:
                self._next_kill += self.plan.kill_every_s
                self._kill_worker()
            return
        if self.state.troubles >= len(TROUBLES) or share < TROUBLES[self.state.troubles][0]:
            return
        if TROUBLES[self.state.troubles][1] == "worker":
            self._kill_worker()
        else:
            pid = self.processes.kill_child(self.random)
            if pid is None:
                return
            self.state.children_killed += 1
            self._say(f"  kill -9 {pid}: a process that runs tasks")
        self.state.troubles += 1
        self._save()

    def _kill_worker(self) -> None:
        gone = self.processes.kill_worker(self.random)
        self.state.workers_killed += 1
        self._say(f"  kill -9 {gone.process.pid}: the whole of worker {gone.number}; another one starts")
        self._save()

    def _expect_failed(self, job: JobHandle[int]) -> None:
        failed = _failed_days(job)
        if failed != list(self.plan.changed):
            raise DemoFailed(f"only {', '.join(self.plan.changed) or 'none'} should have failed:\n{_failures(job)}")
        self._say(f"{' and '.join(failed)} failed: a column was renamed, so trying again could not help:")
        self._say(_failures(job))

    def _deploy(self) -> None:
        text = self.paths.flow.read_text(encoding="utf-8")
        if text.count(BUG) == 1:
            unfinished = self.paths.flow.with_suffix(".tmp")
            unfinished.write_text(text.replace(BUG, FIX), encoding="utf-8")
            unfinished.replace(self.paths.flow)
        elif FIX not in text:
            raise DemoFailed(f"{self.paths.flow} was changed by hand: put back {BUG!r}, or start over with --fresh")
        self._say(f"Deploying the fix, one line of {self.paths.flow.name}:")
        self._say(f"  [red]- {BUG}[/]\n  [green]+ {FIX}[/]", markup=True)
        self.processes.stop_workers()
        self._start_workers()

    def _recover(self, job: JobHandle[int]) -> None:
        days = _failed_days(job)
        asked = self._stats()["asked"]
        self.state.asked_before = {
            name: asked.get(name, 0) for day in days for name in (f"flights/{day}.csv", f"weather/{day}.csv")
        }
        self._save()
        job.retry(type="recover", reason="the flow knows the new column name")
        self.state.recovered, self.state.left = True, False
        self._save()
        self._wait(job, f"{len(days)} days again", len(days), spoil=False)

    def _end(self, job: JobHandle[int], stay: bool) -> int:
        with self.console.status("Adding up attempts, and computing all of it once more from the source"):
            from mulligan.demo.check import differences, expected

            summary = summarize(job.work_items())
            truth = expected(self.source, self.plan.days)
            found, compared = differences(truth.drop(_failed_days(job), level="day"), self.paths.folder)
        if not self.state.finished and not self.state.left:
            self.state.finished = True
            self._save()
        show(self.console, summary, self.state)
        again = repeated(self.state)
        for line in [*found[:20], *([f"… and {len(found) - 20:,} more"] if len(found) > 20 else [])]:
            self._say(f"  differs: {line}")
        for name in again:
            self._say(f"  recover fetched {name} again")
        if not found:
            self._say(f"[green]check:[/] all {compared:,} values equal what the source gives in one go", markup=True)
        show_next(self.console, self.paths, self.place, job, summary, stay)
        return 1 if found or again else 0

    def _stats(self) -> dict[str, dict[str, int]]:
        with urllib.request.urlopen(f"{self.processes.url}/stats", timeout=5) as response:  # noqa: S310 - our own server
            stats: dict[str, dict[str, int]] = json.load(response)
        return stats

    def _say(self, text: str, markup: bool = False) -> None:
        self.console.print(text, markup=markup, highlight=False)

    def _save(self) -> None:
        self.state.wall_s = time.monotonic() - self._started
        self.state.save(self.paths.state)


def _failed_days(job: JobHandle[int]) -> list[str]:
    return sorted(item.key for item in job.work_items(status=JobStatus.FAILURE))


def _failures(job: JobHandle[int]) -> str:
    failed = list(job.work_items(status=JobStatus.FAILURE))
    lines = [f"  {item.key}: {item.failure_class}: {shorten(item.error_message or '', 150)}" for item in failed[:10]]
    return "\n".join([*lines, *([f"  … and {len(failed) - 10} more"] if len(failed) > 10 else [])])


def _bar(console: Console) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TextColumn("{task.fields[counts]}"), console=console)


@contextmanager
def _alone(paths: Paths, fresh: bool) -> Iterator[None]:
    """Hold the folder: one demo at a time, and only in a folder that is a demo's."""
    if paths.folder.exists() and not paths.state.exists() and any(paths.folder.iterdir()):
        raise DemoFailed(f"{paths.folder} holds something else: give an empty folder, or one that does not exist yet")
    paths.folder.mkdir(parents=True, exist_ok=True)
    with (paths.folder / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoFailed(f"another demo is running in {paths.folder}") from None
        end_leftovers(paths)
        if fresh:
            _clear(paths)
        yield


def _clear(paths: Paths) -> None:
    """Remove what a run made; the prepared data stays."""
    for folder in ("logs", "raw", "offline", "artifacts"):
        shutil.rmtree(paths.folder / folder, ignore_errors=True)
    made = [
        paths.flow,
        paths.retraining,
        paths.scrubbing,
        *paths.folder.glob("store.db*"),
        *paths.folder.glob("*.sqlite*"),
        paths.state,
    ]
    for path in made:
        path.unlink(missing_ok=True)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a polite request to end do what Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
