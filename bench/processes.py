"""Starting workers, and killing them with everything they have started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench import bodies

ROOT = Path(__file__).parent.parent


def with_bench(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which this folder can be imported, besides what could be before."""
    places = [str(ROOT), environment.get("PYTHONPATH", "")]
    return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, places))}


Started = list[subprocess.Popen[bytes]]


@contextlib.contextmanager
def running(commands: Sequence[Sequence[str]]) -> Iterator[Started]:
    """Have workers run inside; at the end they are gone, and all they have started."""
    environment = with_bench(os.environ)
    started: Started = []
    try:
        with (bodies.folder() / "worker.log").open("ab") as log:
            for command in commands:
                started.append(subprocess.Popen(command, cwd=bodies.folder(), env=environment, stdout=log, stderr=log))
        yield started
    finally:
        kill(started)


def kill(processes: Started) -> None:
    """Kill processes and their descendants with -9; they are held first, so that none can start another meanwhile."""
    living = [each.pid for each in processes if each.returncode is None]
    seen: list[int] = []
    while (found := [pid for each in living for pid in (each, *descendants(each))]) != seen:
        _signal(found, signal.SIGSTOP)
        seen = found
    _signal(seen, signal.SIGKILL)
    for each in processes:
        each.wait()


def descendants(pid: int) -> list[int]:
    """Return the ids of all processes that descend from one, whatever session they lead."""
    parents: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            parents.setdefault(int(_stat(place)[1]), []).append(int(place.name))
    found, todo = [], [pid]
    while todo:
        children = sorted(parents.get(todo.pop(), []))
        found += children
        todo += children
    return found


def cpu_s(pid: int) -> float:
    """Return the processor time in seconds that a process has used, in user and system mode."""
    fields = _stat(Path(f"/proc/{pid}"))
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tree_cpu_s(pid: int) -> float:
    """Return the processor time of a process, of all that descend from it, and of those that it has seen end."""
    spent = 0.0
    for each in (pid, *descendants(pid)):
        with contextlib.suppress(OSError):
            spent += cpu_s(each)
            spent += sum(map(int, _stat(Path(f"/proc/{each}"))[13:15])) / os.sysconf("SC_CLK_TCK")
    return spent


def _stat(place: Path) -> list[str]:
    """The fields of a process after its name, which may hold spaces."""
    return (place / "stat").read_text().rsplit(")", 1)[1].split()


def _signal(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
