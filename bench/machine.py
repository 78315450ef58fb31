"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

import apsw

from bench import stores
from bench.contender import versions


def machine(server: str | None = None) -> dict[str, str]:
    """Return what a reader needs to know of the machine and of Mulligan's parts."""
    facts = {
        "processor": f"{_cores()} cores, {_model()}",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "SQLite of Mulligan": apsw.sqlite_lib_version(),
    }
    return {**facts, "PostgreSQL": stores.version(server)} if server else facts


def packages() -> dict[str, str]:
    """Return the versions of all contenders."""
    return {"versions": ", ".join(f"{name} {version}" for name, version in sorted(versions().items()))}


def as_lines(facts: Mapping[str, str], command: str, more: str = "") -> list[str]:
    """Return the machine and the command as a list in Markdown."""
    return [*(f"- {name}: {value}" for name, value in facts.items()), f"- command: `{command}`{more}", ""]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
