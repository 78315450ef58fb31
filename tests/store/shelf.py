"""Rows in a store, a line each."""

from __future__ import annotations

from typing import Any

from mulligan.core.definition import definition_to_json
from mulligan.core.events import (
    Event,
)
from mulligan.core.job import Item, ItemKey, Wait
from mulligan.core.lifecycle import Transition, decide
from mulligan.core.retry import Policy
from mulligan.store.store import Session, Store
from mulligan.store.verbs.jobs import ItemDefaults, NewJob
from mulligan.testing.clock import START_MS as NOW
from mulligan.testing.factories import a_definition, daily, items_of
from mulligan.testing.harness import Harness

POLICY = Policy.of((5, 60))


def a_task(session: Session, name: str = "features", retries: Any = (5, 60)) -> tuple[int, int]:
    task = session.tasks.add("default", name, "flow").id
    definition = a_definition(name, retries)
    made = session.tasks.add_definition(task, f"digest of {retries}", definition_to_json(definition), NOW)
    session.tasks.set_current(task, made)
    return task, made


def a_job(session: Session, items: Any = 1, name: str = "features", run_id: str = "r", **defaults: Any) -> int:
    task, definition = a_task(session, name)
    job = session.jobs.add(NewJob(task, run_id, "map", "", "UTC", defaults.pop("labels", {}), False, named=True), NOW)
    given_defaults = {
        "task": task,
        "definition": definition,
        "once": False,
        "priority": 3,
        "due_ms": NOW,
        "wait": Wait.READY,
        "deadline_ms": None,
        "cutoff_ms": None,
        **defaults,
    }
    new = list(items_of(range(items)) if isinstance(items, int) else items)
    session.jobs.add_items(job, 0, new, ItemDefaults(**given_defaults), NOW)
    session.jobs.seal(job, "digest", None, NOW)
    return job


def a_worker(session: Session, name: str = "w", *tasks: int) -> int:
    return session.workers.add(f"instance-{name}", name, 1, f"lock-{name}", 30_000, dict.fromkeys(tasks, 1), NOW)


def item(session: Session, job: int, number: int = 0) -> Item:
    return session.items.read([ItemKey(job, number)])[0]


def moved(row: Item, event: Event, now_ms: int = NOW) -> Transition:
    found = decide(row, event, POLICY, now_ms, 0.5)
    assert found is not None
    return found


def start(session: Session, job: int, limit: int = 1, worker: int = 1) -> list[Item]:
    row = item(session, job)
    return [each.item for each in session.items.claim(worker, row.task, row.once, row.priority, limit, NOW)()]


def run_raw(store: Store, text: str) -> None:
    """Run a statement that is none of ours, past all checks but those of the database itself."""
    database: Any = store.database
    if database.dialect == "sqlite":
        database._writer.execute(text)
    else:
        with database.connect() as connection:
            connection.execute(text)


def work_in_every_state(world: Harness) -> None:
    """Have a few hundred items submitted, of which some have succeeded, failed or run."""
    worker = world.worker(a_definition(retries=3))
    world.submit(a_definition(retries=3), 300)
    world.submit(a_definition(retries=3), daily(300), kind="backfill", only="missing")
    for number, item in enumerate(worker.claim(200)):
        if number % 3 == 0:
            worker.succeed(item)
        elif number % 3 == 1:
            worker.fail(item)


class Undo(Exception):
    """Takes back what a test did."""
