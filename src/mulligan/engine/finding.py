"""Finds jobs and work items that somebody names, or says why they are not there: never, or removed by retention."""

from __future__ import annotations

from mulligan.core.errors import NotFound
from mulligan.core.job import ItemKey, Job
from mulligan.core.labels import removed
from mulligan.store.store import Session


def find_job(session: Session, job: int) -> Job:
    """Return a job, whether or not its details were removed; raises NotFound."""
    row = session.jobs.read(job)
    if row is None:
        raise NotFound(f"there is no job {job}")
    return row


def find_listed_job(session: Session, job: int) -> Job:
    """Return a job that somebody submitted; raises NotFound also for one that holds the calls of a workflow."""
    row = find_job(session, job)
    if row.parent is not None:
        raise NotFound(f"job {row.id} holds the calls of work item {row.parent}: look at that, or at work_items(parent=…)")
    return row


def check_details(session: Session, job: int) -> None:
    """Raise NotFound where there is no such job, or its work items were removed."""
    row = find_job(session, job)
    if row.pruned_ms is not None:
        raise NotFound(removed(job, row.pruned_ms))


def missing_item(session: Session, key: ItemKey) -> NotFound:
    """Return the error that says why a work item is not there."""
    row = session.jobs.read(key.job)
    if row is not None and row.pruned_ms is not None:
        return NotFound(removed(key.job, row.pruned_ms))
    return NotFound(f"there is no work item {key}")
