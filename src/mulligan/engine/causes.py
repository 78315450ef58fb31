"""Causes of failures as people and programs see them: over all pipelines, with why failures are counted together and a sample."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mulligan.core.errors import NotFound
from mulligan.core.job import Attempt, FailureClass, ItemKey
from mulligan.engine.engine import Engine
from mulligan.store.store import Session
from mulligan.store.verbs.causes import CausePlace, CauseRow


class CauseView(NamedTuple):
    """A cause, with what is counted of it for each pipeline, the one that it was seen in last first."""

    cause: str
    rows: tuple[CauseRow, ...]

    @property
    def newest(self) -> CauseRow:
        return self.rows[0]

    @property
    def failure_class(self) -> FailureClass:
        """As its last failure was judged."""
        return self.newest.failure_class

    @property
    def first(self) -> CauseRow:
        return min(self.rows, key=lambda row: row.first_ms)

    @property
    def failures(self) -> int:
        return sum(row.failures for row in self.rows)

    @property
    def failed_now(self) -> int:
        return sum(row.failed_now for row in self.rows)

    @property
    def place(self) -> CausePlace:
        """Where it stands in the list of causes."""
        return CausePlace(self.first.first_ms, self.cause)

    @property
    def parts(self) -> list[tuple[str, str]]:
        """What failures have in common that are counted as it: what it is, and its value."""
        return [(what, value) for what, value in json.loads(self.first.parts)]


class Sample(NamedTuple):
    """The work item that failed of a cause last, and the attempt that did, if one had been started."""

    item: ItemKey
    place: int | None
    """Counts the attempts of the work item, from 1."""
    attempt: Attempt | None

    @property
    def traceback(self) -> str | None:
        """As it was stored with the attempt."""
        facts = json.loads(self.attempt.failure) if self.attempt is not None and self.attempt.failure else {}
        return facts.get("traceback") or None


class CauseReading:
    """Reads causes of the engine's namespace."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(self, filters: Mapping[str, Any], limit: int, after: CausePlace | None = None) -> list[CauseView]:
        """Return causes, those that were seen first last; filters as `filters.cause_filters` returns them, and `tasks`."""
        namespace = self._engine.definitions.namespace
        with self._engine.store.read() as session:
            found = [each.cause for each in session.causes.page(namespace, limit, after=after, **filters)]
            return self._views(session, found, filters) if found else []

    def cause(self, cause: str, tasks: Sequence[str] | None = None) -> CauseView:
        """Return a cause, as far as it is about some tasks if they are given; raises NotFound."""
        with self._engine.store.read() as session:
            found = self._views(session, [cause], {"tasks": tasks})
        if not found:
            raise NotFound(f"there is no cause {cause!r}: take an id of the list of causes, or of a work item that failed")
        return found[0]

    def sample(self, view: CauseView) -> Sample | None:
        """Return the newest failure of a cause whose details have not been removed; None where none is left."""
        with self._engine.store.read() as session:
            for row in view.rows:
                if not session.items.read([row.sample]):
                    continue
                attempts = session.items.attempts(row.sample)
                places = [
                    place for place, each in enumerate(attempts) if each.token == row.sample_token and each.cause == view.cause
                ]
                return Sample(row.sample, places[0] + 1 if places else None, attempts[places[0]] if places else None)
        return None

    def _views(self, session: Session, causes: Sequence[str], filters: Mapping[str, Any]) -> list[CauseView]:
        whose = {name: filters.get(name) for name in ("task", "tasks")}
        rows: dict[str, list[CauseRow]] = {}
        for row in session.causes.read(self._engine.definitions.namespace, causes, **whose):
            rows.setdefault(row.cause, []).append(row)
        return [CauseView(cause, tuple(rows[cause])) for cause in causes if cause in rows]
