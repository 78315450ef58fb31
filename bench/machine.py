"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path

import apsw


def machine() -> dict[str, str]:
    """Return what a reader needs to know of the machine and of the parts."""
    return {
        "processor": f"{_cores()} cores, {_model()}",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Mulligan": f"{version('mulligan')}, SQLite {apsw.sqlite_lib_version()}",
        "huey": f"{version('huey')}, SQLite {sqlite3.sqlite_version}",
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
