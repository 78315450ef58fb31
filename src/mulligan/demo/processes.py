"""The processes of the demo: its object store and its workers; starts them, kills them, and never leaves one behind."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from mulligan.core.errors import MulliganError, UnknownTask

_PROC = Path("/proc")
_HAS_PROC = (_PROC / "self" / "stat").exists()

START_S = 20.0
STOP_S = 10.0


class DemoFailed(MulliganError):
    """The demo could not go on."""

    code = "demo_failed"


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the demo keeps what: all of it in one folder."""

    folder: Path

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def flow(self) -> Path:
        return self.folder / "flow.py"

    @property
    def retraining(self) -> Path:
        return self.folder / "retraining.py"

    @property
    def scrubbing(self) -> Path:
        return self.folder / "scrubbing.py"

    @property
    def registry(self) -> Path:
        return self.folder / "models.sqlite"

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def requests(self) -> Path:
        return self.logs / "objects.log"

    @property
    def store(self) -> Path:
        return self.folder / "store.db"

    @property
    def state(self) -> Path:
        return self.folder / "state.json"

    @property
    def pids(self) -> Path:
        return self.folder / "processes.json"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run's store is: the settings of its workers and of its client."""

    database: str
    schema: str = "mulligan"
    namespace: str = "default"

    @property
    def is_file(self) -> bool:
        """Whether it is the SQLite file in the demo's folder."""
        return self.database.startswith("sqlite:")

    def settings(self) -> dict[str, str]:
        """Return it as arguments of `connect`."""
        return {"schema": self.schema, "namespace": self.namespace}

    def environ(self) -> dict[str, str]:
        """Return it as variables: a password on a command line could be read by everybody."""
        return {"MULLIGAN_DATABASE": self.database} | {f"MULLIGAN_{name.upper()}": text for name, text in self.settings().items()}


@dataclass(slots=True)
class Worker:
    """A worker of the demo, by its number and its process; `sources` are the files whose tasks it runs."""

    number: int
    process: subprocess.Popen[bytes]
    log: Path
    sources: tuple[Path, ...]


class Processes:
    """Starts and ends the demo's processes; what an earlier demo in this folder left behind is ended first."""

    def __init__(self, paths: Paths, place: Place, seed: int, children: int) -> None:
        self.paths = paths
        self.place = place
        self.seed = seed
        self.children = children
        self.chance = Random(seed)  # noqa: S311 - repeatable on purpose
        self.workers: list[Worker] = []
        self.url = ""
        self._objects: subprocess.Popen[bytes] | None = None
        self._started = 0
        paths.logs.mkdir(parents=True, exist_ok=True)
        end_leftovers(paths)

    def start_objects(self) -> str:
        """Start the object store, unless it runs, and return its address; raises DemoFailed when it does not come up."""
        if self._objects is not None:
            return self.url
        arguments = ["--folder", str(self.paths.source), "--log", str(self.paths.requests), "--seed", str(self.seed)]
        with (self.paths.logs / "objects.err").open("ab") as errors:
            self._objects = subprocess.Popen(
                [sys.executable, "-m", "mulligan.demo.objects", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self._remember()
        self.url = _ready_url(self._objects, self.paths.logs / "objects.err")
        return self.url

    def start_worker(self, *sources: Path) -> Worker:
        """Start one more worker, on the demo's flow file unless others are named; it logs to a file."""
        self._started += 1
        sources = sources or (self.paths.flow,)
        log = self.paths.logs / f"worker-{self._started}.log"
        environment = {"FLIGHTS_URL": self.url, "FLIGHTS_FOLDER": str(self.paths.folder), **self.place.environ()}
        environment["MULLIGAN_ARTIFACTS"] = str(self.paths.artifacts)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "mulligan.cli.main",
                    "worker",
                    *map(str, sources),
                    "--processes",
                    str(self.children),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
                start_new_session=True,  # Ctrl-C in the terminal is for the demo, which then ends its workers in order
            )
        worker = Worker(self._started, process, log, sources)
        self.workers.append(worker)
        self._remember()
        return worker

    def check(self) -> None:
        """Raise DemoFailed when a worker or the object store ended by itself, with the last it said."""
        for worker in self.workers:
            if worker.process.poll() is not None:
                raise DemoFailed(f"worker {worker.number} ended by itself ({_how(worker.process)}):\n{_tail(worker.log)}")
        if self._objects is not None and self._objects.poll() is not None:
            raise DemoFailed(f"the object store ended by itself:\n{_tail(self.paths.logs / 'objects.err')}")

    def kill_child(self, random: Random) -> int | None:
        """Kill -9 one process that runs tasks, and return its pid; None where there is none at the moment."""
        parents = _parents()
        children = [pid for worker in self.workers for pid in _task_children(worker.process.pid, parents)]
        if not children:
            return None
        pid = random.choice(sorted(children))
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return None
        return pid

    def kill_worker(self, random: Random) -> Worker:
        """Kill -9 one whole worker, start another in its place, and return the one that is gone."""
        worker = random.choice(self.workers)
        worker.process.kill()
        worker.process.wait()
        self._replace(worker)
        return worker

    def replace_killed(self) -> list[Worker]:
        """Start another worker for each that somebody killed or stopped, and return those; raises DemoFailed as `check` does."""
        gone = [worker for worker in self.workers if (worker.process.poll() or 0) < 0 or worker.process.returncode == 0]
        for worker in gone:
            self._replace(worker)
        self.check()
        return gone

    def submitted(self, submit: Callable[[], Any]) -> Any:
        """Submit as soon as a worker has told of the task; raises DemoFailed when none does."""
        until = time.monotonic() + START_S
        while True:
            try:
                return submit()
            except UnknownTask as error:
                self.check()
                if time.monotonic() > until:
                    raise DemoFailed(f"no worker told of its task ({error}); see {self.paths.logs}") from None
                time.sleep(0.05)

    def stop_workers(self, first_s: float = STOP_S) -> None:
        """Ask all workers to stop, in order: to end what runs, after `first_s` to hand it back; kill those that do neither."""
        for each, wait_s in ((signal.SIGTERM, first_s), (signal.SIGTERM, STOP_S), (signal.SIGKILL, STOP_S)):
            running = [worker.process for worker in self.workers if worker.process.poll() is None]
            for process in running:
                process.send_signal(each)
            _wait_for(running, wait_s)
        self.workers.clear()
        self._remember()

    def close(self) -> None:
        """End everything that was started; safe to call twice."""
        self.stop_workers()
        objects, self._objects = self._objects, None
        if objects is not None:
            _end_objects(objects)
        self.paths.pids.unlink(missing_ok=True)

    def kill(self) -> None:
        """End everything at once, whatever it was doing."""
        running = [worker.process for worker in self.workers] + ([self._objects] if self._objects else [])
        for process in running:
            process.kill()
            process.wait()

    def _replace(self, gone: Worker) -> None:
        self.workers.remove(gone)
        self.start_worker(*gone.sources)

    def _remember(self) -> None:
        running = [worker.process.pid for worker in self.workers]
        running += [self._objects.pid] if self._objects else []
        self.paths.pids.write_text(json.dumps(running), encoding="utf-8")


def end_leftovers(paths: Paths) -> None:
    """Kill what a demo that was itself killed left behind; a pid that meanwhile names something else is left alone."""
    try:
        left = [int(pid) for pid in json.loads(paths.pids.read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        return
    for pid in left:
        if str(paths.folder) in _command(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    paths.pids.unlink(missing_ok=True)


def _ready_url(process: subprocess.Popen[bytes], errors: Path) -> str:
    if process.stdout is None:
        raise DemoFailed("the object store was started without a pipe to hear from it")
    readable, _, _ = select.select([process.stdout], [], [], START_S)
    line = process.stdout.readline() if readable else b""
    if not line:
        raise DemoFailed(f"the object store did not start:\n{_tail(errors)}")
    return str(json.loads(line)["url"])


def _end_objects(process: subprocess.Popen[bytes]) -> None:
    """End the object store the polite way, by the end of its input, and by force after a while."""
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
    _wait_for([process])
    process.kill()
    process.wait()


def _wait_for(processes: Iterable[subprocess.Popen[bytes]], wait_s: float = STOP_S) -> None:
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)


def _command(pid: int) -> str:
    return _read(_PROC / str(pid) / "cmdline") if _HAS_PROC else _ps("-o", "command=", "-p", str(pid))


def _read(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def _ps(*arguments: str) -> str:
    return subprocess.run(["ps", *arguments], capture_output=True, text=True, check=False).stdout


def _parents() -> dict[int, int]:
    """Return the parent of every process: from /proc where there is one, else from ps."""
    if not _HAS_PROC:
        pairs = (line.split() for line in _ps("-A", "-o", "pid=,ppid=").splitlines())
        return {int(pid): int(parent) for pid, parent in pairs}
    found = {}
    for entry in _PROC.iterdir():
        fields = _read(entry / "stat").rpartition(") ")[2].split() if entry.name.isdigit() else []
        if fields and fields[0] != "Z":
            found[int(entry.name)] = int(fields[1])
    return found


def _task_children(worker: int, parents: dict[int, int]) -> list[int]:
    """A worker's child makes the processes that run tasks: they are its grandchildren."""
    makers = {pid for pid, parent in parents.items() if parent == worker}
    return [pid for pid, parent in parents.items() if parent in makers]


def _how(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(_read(log).splitlines()[-lines:]) or f"(nothing in {log})"
