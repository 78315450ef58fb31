"""Reading the figures of pipelines: by day or week, and since ever."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from mulligan.core.errors import ArgumentsInvalid, UnknownTask
from mulligan.core.shown import shown
from mulligan.core.trends import Every, Trend, first_day, next_period, number_of, today, trends
from mulligan.engine.engine import Engine
from mulligan.engine.filters import text

BACK = {"day": timedelta(days=30), "week": timedelta(weeks=12)}
"""From so long ago on, where nothing else is said."""
MOST = 20_000
"""Periods times pipelines of one answer."""
FIRST, LAST = date(1970, 1, 1), date(9999, 1, 1)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class Trending:
    """What became of the work of pipelines over time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(
        self,
        every: Every = "week",
        task: str | None = None,
        since: Any = None,
        until: Any = None,
        pipelines: Sequence[str] | None = None,
    ) -> list[Trend]:
        """Return the figures of each pipeline and day or week, and of all together; whole periods only, in UTC.

        `since` and `until` are days, the second one not in it; by default the last 12 weeks or 30 days, today in it.
        `pipelines`: no others are looked at. Raises ArgumentsInvalid, UnknownTask.
        """
        if every not in BACK:
            raise ArgumentsInvalid(f"every: {shown(every)} is neither 'day' nor 'week'")
        name = None if task is None else text(task, "task")
        first, end = self._range(every, since, until)
        with self._engine.store.read() as session:
            rows = session.tasks.all(self._engine.definitions.namespace)
            names = {row.id: row.name for row in rows if pipelines is None or row.name in pipelines}
            if name is not None:
                names = {id: each for id, each in names.items() if each == name}  # noqa: A001
                if not names:
                    raise UnknownTask(f"no task {name!r} is published in namespace {self._engine.definitions.namespace!r}")
            periods = (end - first).days // (1 if every == "day" else 7)
            if periods * len(names) > MOST:
                raise ArgumentsInvalid(
                    f"{periods:,} periods of {len(names):,} pipelines are too many for one answer: name a task, "
                    "ask for weeks, or for a shorter time"
                )
            found = session.tallies.by_day(list(names), number_of(first), number_of(end)) if names else []
        return trends(found, names, every)

    def _range(self, every: Every, since: Any, until: Any) -> tuple[date, date]:
        now = today(self._engine.clock.now_ms())
        end = day_of(until, "until") if until is not None else now + timedelta(days=1)
        first = day_of(since, "since") if since is not None else max(FIRST, min(end, now) - BACK[every])
        if first >= end:
            raise ArgumentsInvalid(f"since: {first} is not before until, {end}, which is the first day left out")
        last = first_day(end - timedelta(days=1), every)
        return max(FIRST, first_day(first, every)), next_period(last, every)


def day_of(value: Any, name: str) -> date:
    """Return a day, given as a date or as ISO text; raises ArgumentsInvalid."""
    found: date | None = None
    if isinstance(value, date) and not isinstance(value, datetime):
        found = value
    elif isinstance(value, str) and _DAY.fullmatch(value):
        with contextlib.suppress(ValueError):
            found = date.fromisoformat(value)
    if found is None or not FIRST <= found <= LAST:
        raise ArgumentsInvalid(f"{name}: {shown(value)} is no day from 1970 on; write it as 2026-11-26")
    return found
