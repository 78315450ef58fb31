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
    begun = {}
    for item in items:
        definition = definitions.get(session, newest[item.task])
        limit_ms = given.get(item.job, _limit_ms(definition))
        cutoff_ms = None if limit_ms is None else now_ms + limit_ms
        begun[item.key] = Generation(newest[item.task], definition.policy.at_most_once, cutoff_ms)
    return begun


def _limit_ms(definition: Definition) -> int | None:
    return None if definition.total_timeout_s is None else round(definition.total_timeout_s * 1000)
