"""Published definitions of tasks: writing them, and a cache of those read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from mulligan.core.definition import Definition, definition_from_json, definition_to_json
from mulligan.core.errors import NameTaken, NotFound, UnknownTask
from mulligan.core.retry import Policy
from mulligan.store.store import Session


class Published(NamedTuple):
    """A task as it is in the store, with the id of the definition it was published with."""

    task: int
    definition: int


class Definitions:
    """Definitions by id, which never change, kept once read; and publishing."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._known: dict[int, Definition] = {}

    def policy(self, session: Session, id: int) -> Policy:
        """Return the policy of a definition."""
        return self.get(session, id).policy

    def get(self, session: Session, id: int) -> Definition:
        """Return a definition."""
        known = self._known.get(id)
        if known is None:
            body = session.tasks.definition(id)
            if body is None:
                raise NotFound(f"definition {id} is not in the store")
            known = self._known[id] = definition_from_json(body)
        return known

    def known(self, ids: Iterable[int]) -> dict[int, Definition] | None:
        """Return definitions by id where all of them have been read before, else None."""
        found = {id: self._known.get(id) for id in ids}  # noqa: A001
        return {id: each for id, each in found.items() if each is not None} if None not in found.values() else None  # noqa: A001

    def publish(self, session: Session, definition: Definition, now_ms: int, *, current: bool) -> Published:
        """Write a definition unless it is there; `current` makes it the one that new generations run under.

        The first definition of a task is current anyway. Raises NameTaken when the name belongs to another module.
        """
        body, digest = _written(definition)
        there = session.tasks.published(self.namespace, definition.name, digest)
        if there is not None:
            _refuse_other_module(definition, there.module)
            if there.definition is not None and there.newest is not None and (not current or there.newest == there.definition):
                return Published(there.task, there.definition)
        row = session.tasks.add(self.namespace, definition.name, definition.module)
        _refuse_other_module(definition, row.module)
        definition_id = session.tasks.add_definition(row.id, digest, body, now_ms)
        if current or row.definition is None:
            session.tasks.set_current(row.id, definition_id)
        return Published(row.id, definition_id)

    def newest(self, session: Session, task: int) -> Definition:
        """Return the definition that a new generation of a task's items runs under."""
        return self.get(session, self.newest_id(session, task))

    def newest_id(self, session: Session, task: int) -> int:
        """Return the id of a task's newest definition."""
        return session.tasks.current(task)

    def current(self, session: Session, name: str) -> tuple[Published, Definition]:
        """Return the newest definition of a task by its name; raises UnknownTask."""
        row = session.tasks.find(self.namespace, name)
        if row is None or row.definition is None:
            known = ", ".join(each.name for each in session.tasks.all(self.namespace)[:20]) or "none yet"
            raise UnknownTask(
                f"no task {name!r} is published in namespace {self.namespace!r} (known: {known}): start a worker that loads it, "
                "or submit it from its own file"
            )
        return Published(row.id, row.definition), self.get(session, row.definition)


def same_module(one: str, other: str) -> bool:
    """Return whether two module names may be one file, loaded by its path or by its dotted name."""
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def _refuse_other_module(definition: Definition, module: str) -> None:
    if not same_module(module, definition.module):
        raise NameTaken(
            f"task {definition.name!r} is published from module {module!r} and cannot come from "
            f"{definition.module!r} too: give it another name (@task(name=…)) or use another namespace"
        )


@lru_cache(maxsize=256)
def _written(definition: Definition) -> tuple[str, str]:
    """Return a definition as JSON, and the digest of that."""
    body = definition_to_json(definition)
    return body, hashlib.sha256(body.encode()).hexdigest()
