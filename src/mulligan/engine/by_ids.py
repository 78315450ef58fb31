"""Retrying work items of a list of ids, of which some may not be there, run, or need no retry."""

from __future__ import annotations

from collections.abc import Iterable

from mulligan.core.errors import NotFound
from mulligan.core.events import RetryMode
from mulligan.core.job import ItemKey
from mulligan.engine.asking import Asker, Plan, Target
from mulligan.engine.calling import root_of
from mulligan.engine.commands import Commands
from mulligan.engine.ids import parse_item_id
from mulligan.store.store import Session, Store


def known_keys(ids: Iterable[str]) -> list[ItemKey]:
    """Return the keys of those of some texts that are ids of work items, each once."""
    found: dict[ItemKey, None] = {}
    for each in ids:
        try:
            found[parse_item_id(each)] = None
        except NotFound:
            continue
    return list(found)


def retry_those_that_can(store: Store, commands: Commands, keys: Iterable[ItemKey], mode: RetryMode, asker: Asker) -> Plan:
    """Retry what failed or was cancelled among some work items; whatever else is among them is left alone.

    For a call of a workflow the workflow at its top is recovered, as `Commands.retry` does; where that has succeeded, or to
    restart a call alone, nothing is done.
    """
    with store.read() as session:
        wanted = _startable(session, list(keys), mode)
    return commands.retry(Target(items=tuple(wanted)), mode, asker) if wanted else Plan()


def _startable(session: Session, keys: list[ItemKey], mode: RetryMode) -> list[ItemKey]:
    calls = session.calls.which({key.job for key in keys}) if keys else set()
    roots = {key: root_of(session, key) if key.job in calls else key for key in keys}
    there = {item.key for item in session.items.read({*keys, *roots.values()})} if keys else set()
    wanted = [root for key, root in roots.items() if {key, root} <= there and (root == key or mode == "recover")]
    return list(dict.fromkeys(wanted))
