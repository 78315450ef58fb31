"""Some of the crash points and failing calls; `make crashes` goes through all of them."""

from __future__ import annotations

import crash_points_of
import crash_syscalls
import pytest

POINTS = [
    "2 worker: before commit",
    "3 worker: after commit",
    "1 child: before sending succeeded",
    "1 child: after sending call",
    "2 worker: on hearing call",
    "1 forkserver: after telling F",
    "1 operator who asks to retry: after commit",
]
CALLS = [("fdatasync", "killed", 7), ("pwrite64", "EIO", 25), ("pwrite64", "ENOSPC", 31)]


@pytest.mark.parametrize("at", POINTS)
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_whatever_dies_at_a_point_the_work_is_done_as_promised(store: str, at: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_url") if store == "postgres" else None
    assert crash_points_of.tell(store, at, url), f"nothing came to the point {at}"


@pytest.mark.skipif(not crash_syscalls.is_there(), reason=crash_syscalls.MISSING)
@pytest.mark.parametrize(
    ("call", "fault", "when"), [("fdatasync", "killed", 7), ("pwrite64", "EIO", 25), ("pwrite64", "ENOSPC", 31)]
)
def test_whatever_call_on_the_store_fails_the_work_is_done_as_promised(call: str, fault: str, when: int) -> None:
    assert crash_syscalls.tell(call, fault, when), f"there was no {call} number {when}"
