"""A task, a worker and a job with items in a store, in one line each."""

from __future__ import annotations

from collections.abc import Sequence

from mulligan.core.definition import definition_to_json
from mulligan.core.job import Item, ItemKey, Wait
from mulligan.core.submission import NewItem
from mulligan.store.store import Session
from mulligan.store.verbs.jobs import ItemDefaults, NewJob
from mulligan.testing.clock import START_MS
from mulligan.testing.factories import a_definition


def a_task(session: Session, name: str = "features", retries: object = 2) -> tuple[int, int]:
    """Publish a task; returns its id and its definition's."""
    task = session.tasks.add("default", name, "flow").id
    definition = session.tasks.add_definition(task, name, definition_to_json(a_definition(name, retries)), START_MS)
    session.tasks.set_current(task, definition)
    return task, definition


def a_worker(session: Session, task: int, definition: int, instance: str = "one") -> int:
    return session.workers.add(instance, f"host:{instance}", 1, f"lock-{instance}", 30_000, {task: definition}, START_MS)


def a_job(
    session: Session,
    task: tuple[int, int],
    items: int | Sequence[NewItem] = 3,
    run_id: str = "run",
    *,
    seal: bool = True,
    **defaults: object,
) -> int:
    given = [NewItem(str(n), f'{{"x":{n}}}') for n in range(items)] if isinstance(items, int) else items
    job = session.jobs.add(NewJob(task[0], run_id, "map", "", "UTC", {"team": "a"}, False), START_MS)
    shared = ItemDefaults(*task, False, 3, START_MS, Wait.READY, None, None)._replace(**defaults)  # type: ignore[arg-type]
    session.jobs.add_items(job, 0, given, shared, START_MS)
    if seal:
        session.jobs.seal(job, "digest", None, START_MS)
    return job


def read(session: Session, job: int, number: int = 0) -> Item:
    return session.items.read([ItemKey(job, number)])[0]
