"""What a new generation of a work item is begun with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mulligan.core.definition import Definition
from mulligan.core.job import Item, ItemKey
from mulligan.engine.definitions import Definitions
from mulligan.store.store import Session


class Generation(NamedTuple):
    """The definition it runs under, whether it runs at most once, and when its time is over."""

    definition: int
    once: bool
    cutoff_ms: int | None


def next_generations(session: Session, definitions: Definitions, items: Sequence[Item], now_ms: int) -> dict[ItemKey, Generation]:
    """Return how each item is to run again: as its task is now, within the total_timeout of its job, else of its task."""
    newest = {task: definitions.newest_id(session, task) for task in {item.task for item in items}}
    given = session.jobs.limits({item.job for item in items})

    def begun(job: int, task: int) -> Generation:
        definition = definitions.get(session, newest[task])
        limit_ms = given.get(job, _limit_ms(definition))
        return Generation(newest[task], definition.once, None if limit_ms is None else now_ms + limit_ms)

    of = {key: begun(*key) for key in {(item.job, item.task) for item in items}}  # the same for all items of a job and task
    return {item.key: of[item.job, item.task] for item in items}


def _limit_ms(definition: Definition) -> int | None:
    return None if definition.total_timeout_s is None else round(definition.total_timeout_s * 1000)
