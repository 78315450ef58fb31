"""What a new generation of a work item is begun with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mulligan.core.definition import Definition
from mulligan.core.job import Item
from mulligan.engine.definitions import Definitions
from mulligan.store.store import Session


class Generation(NamedTuple):
    """The definition it runs under, whether it runs at most once, and when its time is over."""

    definition: int
    once: bool
    cutoff_ms: int | None


Begun = Mapping[tuple[int, int], Generation]
"""Generations by job and task."""


def next_generations(session: Session, definitions: Definitions, items: Sequence[Item], now_ms: int) -> Begun:
    """Return how items are to run again: as their task is now, within the total_timeout of their job, else of their task."""
    newest = {task: definitions.newest_id(session, task) for task in {item.task for item in items}}
    given = session.jobs.limits({item.job for item in items})

    def begun(job: int, task: int) -> Generation:
        definition = definitions.get(session, newest[task])
        limit_ms = given.get(job, _limit_ms(definition))
        return Generation(newest[task], definition.once, None if limit_ms is None else now_ms + limit_ms)

    return {key: begun(*key) for key in {(item.job, item.task) for item in items}}


def _limit_ms(definition: Definition) -> int | None:
    return None if definition.total_timeout_s is None else round(definition.total_timeout_s * 1000)
