"""The measured tasks of huey; its consumer loads this module."""

# mypy: disable-error-code="untyped-decorator"
# huey has no types.

from __future__ import annotations

import os

from huey import SqliteHuey

from bench import bodies

DURABILITY = "BENCH_DURABILITY"

huey = SqliteHuey(filename=str(bodies.folder() / "huey.db"), fsync=os.environ[DURABILITY] == "FULL")


@huey.task(retries=2)
def plain(number: int) -> bool:  # noqa: ARG001 - what a call is for
    bodies.nothing()
    return True  # None would not be stored, and so not be seen


@huey.task(retries=2)
def flaky(number: int) -> bool:
    bodies.fail_at_first(number)
    return True


@huey.task(retries=2)
def nap(number: int) -> int:
    return bodies.nap(number)
