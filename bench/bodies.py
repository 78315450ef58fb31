"""What the measured tasks do, the same for every contender, and the files by which they are judged."""

from __future__ import annotations

import functools
import mmap
import os
import time
from pathlib import Path
from typing import NamedTuple

FOLDER = "BENCH_FOLDER"
"""The variable that names the folder of one run: store, journal, marks and the workers' output."""
MOST = 1_000_000
"""So many items may be marked in one run."""
NAP_S = 0.2
SLEEP_S = 0.02


def folder() -> Path:
    """Return the folder of this run."""
    return Path(os.environ[FOLDER])


class Line(NamedTuple):
    """A line of the journal that long tasks keep."""

    what: str
    number: int
    at: float


def nothing() -> None:
    """Do nothing."""


def fail_at_first(number: int) -> None:
    """Raise when called for the first time with a number, in whichever process."""
    marks = _marks()
    if not marks[number]:
        marks[number] = 1
        raise ValueError("the first attempt fails")


def nap(number: int) -> int:
    """Take a while, and write down when that begins and ends."""
    _write(f"begin {number} {time.time()}\n")
    time.sleep(NAP_S)
    _write(f"end {number} {time.time()}\n")
    return number


def journal() -> list[Line]:
    """Return what naps have written down so far."""
    try:
        text = (folder() / "journal").read_text("utf-8")
    except FileNotFoundError:
        return []
    whole = text[: text.rfind("\n") + 1]
    return [Line(what, int(number), float(at)) for what, number, at in map(str.split, whole.splitlines())]


def attempted() -> bool:
    """Return whether `fail_at_first` was called yet."""
    return _marks_file().exists()


def _marks_file() -> Path:
    return folder() / "marks"


@functools.cache
def _marks() -> mmap.mmap:
    """A byte for each item, shared by all processes: dearer marks would be measured along."""
    fd = os.open(_marks_file(), os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(fd, MOST)
    return mmap.mmap(fd, MOST)


def _write(line: str) -> None:
    fd = os.open(folder() / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, line.encode())
    os.close(fd)
