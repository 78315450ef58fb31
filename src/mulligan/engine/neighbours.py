"""What is to be known of other work items before one is run again: those of its window, and the one it comes after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from mulligan.core.job import TERMINAL, Item, ItemKey, JobStatus
from mulligan.store.store import Session

IN_FLIGHT = "another work item of its window is in flight"
NEWER = "a newer work item of its window is started instead"
Together = Callable[[Session, set[ItemKey]], set[ItemKey]]
"""Tells which of some items shall run again too, a little earlier or later."""


class Beside(NamedTuple):
    """What other work items for the same windows mean for some that shall run again."""

    unwanted: dict[ItemKey, str]
    """Those that must not run, since their window would run twice at once; and why."""
    written_since: dict[ItemKey, ItemKey]
    """Those whose window another one has written since, and which."""


def alone(session: Session, keys: set[ItemKey]) -> set[ItemKey]:  # noqa: ARG001 - a Together
    """Tell that no others shall run again."""
    return set()


def beside(session: Session, items: Sequence[Item], together: Together = alone) -> Beside:
    """Look at other work items of the same windows, with the same arguments; of several that shall run the newest does."""
    ended = {(key := item.key): (item.ended_ms or 0, key) for item in items}
    found = Beside({}, {})
    rivals = session.windows.rivals(ended)
    others = {other.key for _, other in rivals} - set(ended)
    wanted = set(ended) | (together(session, others) if others else others)
    for key, other in rivals:
        is_newer = (other.ended_ms or 0, other.key) > ended[key]
        if other.status not in TERMINAL:
            # One of a page before, which is in flight since, or has been started by somebody else.
            found.unwanted[key] = NEWER if other.key in wanted else IN_FLIGHT
        elif is_newer and other.key in wanted:
            found.unwanted.setdefault(key, NEWER)
        elif is_newer and other.status is JobStatus.SUCCESS:
            found.written_since[key] = other.key
    return found


def warning(beside: Beside) -> str | None:
    """Say whose windows were written since by others, if any were."""
    written = {key: other for key, other in beside.written_since.items() if key not in beside.unwanted}
    if not written:
        return None
    key, other = next(iter(written.items()))
    return f"windows that other work items have written since are written again: {len(written)}, such as {key} (since: {other})"


def held_back(session: Session, keys: Iterable[ItemKey]) -> set[ItemKey]:
    """Return which items that shall run again wait for the one before them, of those that were put in order once.

    That is so where the one before is started with them, or is in flight.
    """
    if not session.records.any_successor():
        return set()
    given = list(keys)
    started = set(given)
    before = session.records.predecessors(given)  # which are locked in this order
    others = session.items.read(key for key in before.values() if key not in started)
    awaited = started | {item.key for item in others if item.status not in TERMINAL}
    return {key for key, first in before.items() if first in awaited}
