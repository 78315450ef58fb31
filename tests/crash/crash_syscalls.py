"""Faults in the system calls by which a worker writes its store: it is killed there, or the call fails. SQLite only."""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw
from crash_points_of import a_world
from crash_story import Story

FAULTS = {"killed": "signal=SIGKILL", "EIO": "error=EIO", "ENOSPC": "error=ENOSPC"}
CALLS = {"fdatasync": "fdatasync,fsync", "pwrite64": "pwrite64"}
MISSING = "strace is not installed: apt-get install strace"


def is_there() -> bool:
    """Return whether system calls can be made to fail here."""
    return shutil.which("strace") is not None


def tell(call: str, fault: str, when: int) -> bool:
    """Tell the story in which the worker's n-th call on its store fails; returns whether one did."""
    with a_world("sqlite") as world:
        log = world.folder / "calls"
        files = [str(world.store), f"{world.store}-wal"]
        under = ["strace", "-D", "-f", "-qq", "-o", str(log), *(word for file in files for word in ("-P", file))]
        under += ["-e", "trace=fsync,fdatasync,pwrite64", "-e", f"inject={CALLS[call]}:{FAULTS[fault]}:when={when}"]
        story = Story(world, at=f"{fault} at {call} {when}", under=under)
        story.run()
        _check(world.store)
        return _happened(log)


def _happened(log: Path) -> bool:
    said = log.read_text("utf-8", "replace")
    return "(INJECTED)" in said or "killed by SIGKILL" in said


def _check(store: Path) -> None:
    connection = apsw.Connection(str(store), flags=apsw.SQLITE_OPEN_READONLY)
    found = connection.execute("pragma integrity_check").get
    connection.close()
    assert found == "ok", found
