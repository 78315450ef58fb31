"""How much memory an attempt may take, and whether the kernel has killed somebody for want of it."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def limit(allowed: int) -> None:
    """Let this process grow by so many bytes of address space from here on.

    The soft RLIMIT_AS is set on top of what is mapped already, so that the limit means the same in a child that has
    imported much and in one that has not. Address space is the only size that the kernel enforces by a failing
    allocation, which the task sees as MemoryError. macOS does not enforce it.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = _mapped() + allowed
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def lift() -> None:
    """Take the limit back, as far as the hard limit allows."""
    with suppress(OSError, ValueError):
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


class KillCounter:
    """Counts what the kernel killed in this process's cgroup for want of memory."""

    def __init__(self) -> None:
        self._file = _events_file()
        self._seen = self._read()

    def rose(self) -> bool:
        """Return whether there were such kills since the last look."""
        now = self._read()
        risen = now > self._seen
        self._seen = now
        return risen

    def _read(self) -> int:
        if self._file is not None:
            with suppress(OSError, ValueError):
                for line in self._file.read_text().splitlines():
                    name, _, count = line.partition(" ")
                    if name == "oom_kill":
                        return int(count)
        return 0


def _mapped() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0


def _events_file() -> Path | None:
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::"):
                file = _CGROUP / line[3:].lstrip("/") / "memory.events"
                return file if file.exists() else None
    return None
