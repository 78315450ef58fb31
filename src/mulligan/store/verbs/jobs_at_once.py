"""The verb that adds a whole job where each statement is a journey to a server: one statement does all of it."""

from __future__ import annotations

from collections.abc import Sequence

from mulligan.core.submission import NewItem
from mulligan.store.interface import one
from mulligan.store.verbs.jobs import ItemDefaults, Jobs, NewJob


class JobsAtOnce(Jobs):
    """The same as `Jobs`, for databases whose statements may change several tables."""

    def add_whole(self, job: NewJob, items: Sequence[NewItem], defaults: ItemDefaults, now_ms: int) -> int | None:
        """Add a job that is complete with these items, and has ended where there are none; returns what `add` does."""
        if not items:
            return super().add_whole(job, items, defaults, now_ms)
        shared = {**defaults._asdict(), "once": int(defaults.once)}
        columns = self._columns(job, len(items), now_ms)
        row = one(self._run("add_whole_at_once", {**shared, **columns, "rows": self._inputs(0, items)}))
        return row[0] if row else None
