"""Workflows and what they call, for tests of what the store makes of them."""

from __future__ import annotations

from typing import Any

from mulligan.core.job import Item, ItemKey
from mulligan.core.submission import NewCall, NewItem, Options
from mulligan.testing.factories import a_definition
from mulligan.testing.harness import Harness

FLOW = a_definition("flow", executor="workflow")
LOAD = a_definition("load", retries=(1, 0))
ONCE = a_definition("once", retries=None)


def a_call(place: str, definition: Any = LOAD, again: str | None = None, digest: str = "d", **options: Any) -> NewCall:
    return NewCall(place, digest, NewItem(f"{definition.name}-{place}", "{}"), definition, Options(**options), again)


def called(world: Harness, item: Item | ItemKey) -> dict[str, Item]:
    """Return what a workflow has called, by place."""
    with world.store.read() as session:
        jobs = session.calls.jobs([world.item(item if isinstance(item, ItemKey) else item.key)])
        found = session.calls.read(jobs.values())
        keys = {each.place: ItemKey.of(each.item) for calls in found.values() for each in calls}
        there = {each.key: each for each in session.items.read(keys.values())}
    return {place: there[key] for place, key in keys.items()}
