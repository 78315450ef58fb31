"""A sample of what `make crashes` does in full: a process is killed at a point, and nothing comes of it that must not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "stories")]

from crash_points_of import tell  # noqa: E402 - found in the folders that were just named
from disk_faults import CALLS, EIO, ENOSPC, KILL, Disk, why_not  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the stories find processes that were left behind in /proc")

ON_BOTH = (
    "1 worker: after commit of a claim",
    "2 worker: before commit of a checkpoint",
    "9 workflow: after commit of a call",
    "8 workflow: before commit of the end of an attempt",
)
SAMPLE = (
    *ON_BOTH,
    "1 child: before sending succeeded",
    "1 server: after commit of a removal",
    "1 REST server: before commit of a page of a bulk operation",
)


@pytest.mark.parametrize("at", SAMPLE)
def test_a_process_that_dies_at_this_point_loses_and_doubles_nothing(at: str) -> None:
    assert tell("sqlite", at), "nothing came to this point"


@pytest.mark.parametrize("at", ON_BOTH)
def test_the_same_on_postgresql(at: str, postgres_url: str) -> None:
    assert tell("postgres", at, postgres_url), "nothing came to this point"


def test_a_disk_that_fails_for_a_moment_or_a_process_that_dies_writing_harms_nothing(tmp_path: Path) -> None:
    missing = why_not()
    if missing:
        pytest.skip(missing)
    disk = Disk(tmp_path)
    for fault, at in ((KILL, 40), (EIO, 12), (ENOSPC, 25)):
        for call in CALLS if fault == KILL else CALLS[:1]:
            assert disk.worker(call, fault, at if call == "pwrite64" else at // 4), (call, fault, at)
    assert disk.command("pwrite64", KILL, 5)
    assert disk.making("pwrite64", ENOSPC, 5)
    disk.end()
