"""Jobs whose work items have ended in one way or another."""

from __future__ import annotations

from typing import Any

from mulligan.core.job import FailureClass, ItemKey, JobStatus
from mulligan.testing.factories import a_definition, daily
from mulligan.testing.harness import Hand, Harness

PATIENT = a_definition(retries=(9, 300))


def settled(world: Harness, definition: Any, *ends: str, windows: bool = False, rows: int | None = None) -> tuple[int, Hand]:
    """A job whose items ended as told; the worker is returned to go on with."""
    worker = world.worker(definition)
    job = world.submit(definition, daily(len(ends)) if windows else len(ends), kind="backfill" if windows else "map")
    for end in ends:
        if end == "waits":
            continue
        item = worker.take()
        if end == "ok":
            worker.succeed(item, rows=rows)
        elif end != "runs":
            worker.fail(item, FailureClass(end))
        world.clock.pass_(1)
    return job, worker


def statuses(world: Harness, job: int) -> list[JobStatus]:
    return [each.status for each in world.items(job)]


def run_in_order(world: Harness, worker: Hand, *keys: ItemKey) -> None:
    """Run work items to their success, of which no two may be due at once."""
    for key in keys:
        assert [each.key for each in worker.claim(9)] == [key]
        world.clock.pass_(1)
        worker.succeed(world.item(key))
    assert worker.claim(9) == []
