"""What the stories are told with: a store of their own, real worker processes, and waiting for what shall come true."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import apsw
import psycopg

from mulligan.client.client import Client, connect
from mulligan.store.postgres import Place

T = TypeVar("T")

HERE = Path(__file__).parent
TASKS = HERE / "story_tasks.py"
SETTINGS = {"processes": "2", "lease": "1.5", "grace": "0.3", "kill": "0.3", "port": "0"}
DEADLINE_S = 20.0
MARK = "STORY"
"""The variable by which the processes of a story are found."""
_BUSY = """
select 1 from pg_stat_activity
where backend_type = 'client backend' and state in ('active', 'idle in transaction') and pid <> pg_backend_pid() limit 1"""
_LOOK_S = 0.02
"""Looking costs, since most conditions ask the store or all of /proc: a hundredth of a second later is soon enough."""


def until(come_true: Callable[[], T], what: str, timeout: float = DEADLINE_S) -> T:
    """Return the first true value of a condition; fail when it does not come true in time."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not (value := come_true()):
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen in {timeout:g} s: {what}")
        pause.wait(_LOOK_S)
    return value


def until_gone(find: Callable[[], list[int]], what: str) -> None:
    """Wait until no process is found any more; fail with what is left, and in which state."""
    try:
        until(lambda: not find(), what)
    except AssertionError as late:
        raise AssertionError(f"{late}; left: {'; '.join(map(_described, find()))}") from None


class Trace:
    """Files that tasks and stories leave for one another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str = "trace") -> str:
        """Return the path of a file, for a task's arguments."""
        return str(self.folder / name)

    def touch(self, name: str = "go") -> None:
        """Make a file that somebody waits for."""
        (self.folder / name).touch()

    def remove(self, name: str) -> None:
        """Take a file away again."""
        (self.folder / name).unlink()

    def lines(self, name: str = "trace") -> list[str]:
        """Return the lines that tasks have left in a file."""
        try:
            return (self.folder / name).read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []

    def wait_for(self, *lines: str, name: str = "trace", timeout: float = DEADLINE_S) -> None:
        """Wait until tasks have left these lines, or any line when none is given."""
        until(lambda: (found := self.lines(name)) and set(lines) <= set(found), f"{lines or 'a line'} in {name}", timeout)


class World(Trace):
    """A folder with a store, and the workers that were started on it."""

    def __init__(self, folder: Path, place: Place | None = None) -> None:
        super().__init__(folder)
        self.store = folder / "store.db"
        self.place = place
        self.settings = {"database": place.url, "schema": place.schema} if place else {"database": f"sqlite:///{self.store}"}
        if place and place.transaction_pooler:
            self.settings["pooler"] = "transaction"
        self.client: Client = self.connect()
        self.workers: list[WorkerProcess] = []

    def connect(self) -> Client:
        """Return a client of its own."""
        return connect(self.settings["database"], schema=self.settings.get("schema"), pooler=self.settings.get("pooler"))

    def worker(self, *sources: str | Path, wait: bool = True, output: str | None = None, **settings: object) -> WorkerProcess:
        """Start a worker, and wait until it is there."""
        worker = WorkerProcess(self, [str(each) for each in sources or (TASKS,)], settings, output)
        self.workers.append(worker)
        return worker.wait_until_started() if wait else worker

    def server(self, **settings: object) -> WorkerProcess:
        """Start a server, and wait until it is there."""
        server = WorkerProcess(self, [], settings, None, "server")
        self.workers.append(server)
        return server.wait_until_started()

    def check(self) -> None:
        """See that every invariant holds that the store itself can show."""
        found = self.client.verify()
        assert not found, "\n".join(map(str, found))

    def processes(self) -> list[int]:
        """Return all processes that were started for this store, whoever their parent is now."""
        return processes_with(f"{MARK}={self.folder}\0")

    def halt(self, worker: WorkerProcess) -> None:
        """Have a worker stand still where it holds no transaction, on which others would wait and which a server would end."""
        until(lambda: self._halted(worker), "it stands still between two transactions")

    def _halted(self, worker: WorkerProcess) -> bool:
        worker.signal(signal.SIGSTOP)
        until(lambda: is_stopped(worker.pid), "it stands still")
        if self._is_quiet():
            return True
        worker.signal(signal.SIGCONT)
        return False

    def _is_quiet(self) -> bool:
        """Return whether nobody is in the middle of a transaction."""
        if self.place is None:
            store = apsw.Connection(str(self.store))
            try:
                store.execute("begin immediate; rollback")
            except apsw.BusyError:
                return False
            finally:
                store.close()
            return True
        with psycopg.connect(self.place.url, autocommit=True) as connection:
            return connection.execute(_BUSY).fetchone() is None

    def refused(self) -> int:
        """Return how many late writes of any worker were refused."""
        with self.client.services.store.read() as session:
            return sum(row[8] for row in session.workers.all())

    def instances(self) -> int:
        """Return how many worker instances there have been."""
        with self.client.services.store.read() as session:
            return len(session.workers.all())

    def close(self) -> None:
        """Leave nothing behind."""
        for each in self.workers:
            each.kill()
        self.client.close()
        for pid in self.processes():
            kill(pid)
        until_gone(self.processes, "all processes of the story are gone")


class WorkerProcess:
    """A worker, or a server, as users start it, in a session of its own; what it says is kept."""

    def __init__(
        self, world: World, sources: Sequence[str], settings: dict[str, object], output: str | None, command: str = "worker"
    ) -> None:
        path = os.pathsep.join([str(settings.pop("python_path", HERE)), str(HERE)])
        under = cast("Sequence[str]", settings.pop("under", ()))  # a command that runs it
        given = {**SETTINGS, **world.settings, **{name: str(value) for name, value in settings.items()}}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MULLIGAN_")}
        environment |= {f"MULLIGAN_{name.upper()}": value for name, value in given.items()}
        self._mark = f"STORY_WORKER={world.folder}/{len(world.workers)}."
        # A file that is written twice within a second, at the same length, would be taken for its first version.
        environment |= {"PYTHONDONTWRITEBYTECODE": "1"}
        environment |= {"PYTHONPATH": path, MARK: str(world.folder), **dict([self._mark.split("=")])}
        self._command = command
        self._said = world.folder / f"{command}-{len(world.workers)}.log"
        with Path(output or self._said).open("wb") as log:
            self.process = subprocess.Popen(
                [*under, sys.executable, "-m", "mulligan.cli.main", command, *sources],
                env=environment,
                cwd=world.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.pid = self.process.pid

    def family(self) -> list[int]:
        """Return this worker and all processes that it has started, whoever their parent is now."""
        return processes_with(self._mark)

    @property
    def said(self) -> str:
        """All that it has written so far."""
        return self._said.read_text("utf-8", "replace")

    def wait_until_started(self, times: int = 1) -> WorkerProcess:
        """Wait until it has begun to work, or has begun anew so many times."""
        word = f"{self._command} started"
        until(lambda: self.said.count(word) >= times or self.process.poll() is not None, f"a {self._command} starts")
        assert self.process.poll() is None, self.said
        return self

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self, timeout: float = DEADLINE_S) -> int:
        """Wait until it has ended, and return its exit code."""
        return self.process.wait(timeout)

    def stop(self) -> int:
        """Have it drain and end; return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Kill it, without a word of warning; nothing happens when it has ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def processes_with(text: str) -> list[int]:
    """Return the living processes whose environment holds a text: what was started inherits it, whoever adopts it."""
    found = []
    for each in Path("/proc").iterdir():
        if not each.name.isdigit() or int(each.name) == os.getpid():
            continue
        try:
            if text.encode() in (each / "environ").read_bytes() and not _is_zombie(each):
                found.append(int(each.name))
        except OSError:  # it has ended, or is somebody else's
            continue
    return found


def kill(pid: int) -> None:
    """Kill a process if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def is_alive(pid: int) -> bool:
    """Return whether a process still runs; one that nobody has reaped yet does not."""
    folder = Path(f"/proc/{pid}")
    return folder.exists() and not _is_zombie(folder)


def is_at_rest(pid: int) -> bool:
    """Return whether a process waits for something, or is stopped, with all of its threads."""
    return _states(pid) <= {"S", "T"}


def is_stopped(pid: int) -> bool:
    """Return whether a process has been stopped, with all of its threads."""
    return _states(pid) == {"T"}


def _states(pid: int) -> set[str]:
    return {stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")}


def _described(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        state, parent, group = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:3]
    except (OSError, ValueError):
        return f"{pid} ended just now"
    return f"{pid} `{command.strip()}` (state {state}, parent {parent}, group {group})"


def _is_zombie(folder: Path) -> bool:
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (OSError, IndexError):
        return True


def outcomes(item: Any) -> list[str]:
    """Return how the attempts of an item ended, in words, oldest first."""
    return [str(each.outcome) for each in item.attempts()]
