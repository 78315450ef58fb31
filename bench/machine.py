"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import apsw

from bench.contender import ENTRIES
from bench.processes import ROOT
from mulligan.testing.postgres import PostgresMissing, find_binaries

PEERS = ROOT / ".venv" / "peers"
"""Where those live that want an environment of their own."""
_PACKAGES = {"bench.with_dbos": "dbos", "bench.with_pgqueuer": "pgqueuer"}


def python_of(who: str) -> Path | None:
    """Return the Python that a contender runs in, or None where it is not installed."""
    package = _PACKAGES.get(ENTRIES[who].module)
    if package is None:
        return Path(sys.executable)
    python = PEERS / "bin" / "python"
    return python if _version_there(package) else None


def machine() -> dict[str, str]:
    """Return what a reader needs to know of the machine and of the parts."""
    facts = {
        "processor": f"{_cores()} cores, {_model()}",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Mulligan": f"{version('mulligan')}, SQLite {apsw.sqlite_lib_version()}",
        "PostgreSQL": _postgres(),
        "huey": f"{version('huey')}, SQLite {sqlite3.sqlite_version}",
    }
    return facts | {name: found for name in sorted(_PACKAGES.values()) if (found := _version_there(name))}


def _version_there(package: str) -> str | None:
    found = sorted(PEERS.glob(f"lib/python*/site-packages/{package}-*.dist-info"))
    return found[0].name.removeprefix(f"{package}-").removesuffix(".dist-info") if found else None


def _postgres() -> str:
    try:
        told = subprocess.run([find_binaries() / "postgres", "--version"], capture_output=True, text=True, check=True)
    except (PostgresMissing, OSError, subprocess.CalledProcessError):
        return "none"
    return f"{told.stdout.split()[2]}, with the settings it comes with"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
