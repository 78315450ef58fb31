"""Reads the windows of a task, or of one of its jobs, a period of the calendar at a time."""

from __future__ import annotations

from typing import NamedTuple

from mulligan.core.job import ItemKey, JobStatus
from mulligan.core.periods import UNITS, Period, finer, period_at, period_named
from mulligan.core.schedule import FIRST_MS, LAST_MS
from mulligan.store.store import Session

MOST = 9_000
"""So many windows are of one period: each hour of a year is. Where there are more it is a shorter one."""

EVERYTHING = Period("all", "all", FIRST_MS, LAST_MS)
"""Of a task or job that has no more windows than that."""


class Calendar(NamedTuple):
    """The windows of a period, each with the newest work item for it; the periods beside it that have windows."""

    period: Period | None
    """None where there are no windows at all."""
    windows: list[tuple[tuple[int, int], ItemKey, JobStatus]]
    earlier: str | None
    later: str | None
    more: bool = False
    """Whether there are more than are listed: even an hour has too many."""


def read_calendar(session: Session, task: int, job: int | None, at: str | None, tz: str) -> Calendar:
    """Return the windows of the period that `at` names, or of the newest one; of all jobs of a task, or of one.

    `all` stands for all of them; where they are more than 9,000, for the newest. A period of more than 9,000 windows gives way to
    the last year, month, day or hour in it that has no more.
    Raises WindowInvalid.
    """
    if at == EVERYTHING.name and session.windows.count(task, FIRST_MS, LAST_MS, job, MOST + 1) <= MOST:
        found_all = session.windows.newest(task, FIRST_MS, LAST_MS, job)
        return Calendar(EVERYTHING if found_all else None, [(each, *found_all[each]) for each in sorted(found_all)], None, None)
    asked = None if at in (None, EVERYTHING.name) else period_named(at or "", tz)
    last = session.windows.beside(task, LAST_MS if asked is None else asked.end_ms, LAST_MS, job)[0]
    found = asked
    if last is not None and (asked is None or last >= asked.start_ms):
        found = _small(session, task, job, last, UNITS[0] if asked is None else asked.unit, tz)
    if found is None:
        return Calendar(None, [], None, None)
    windows = session.windows.newest(task, found.start_ms, found.end_ms, job) if last is not None else {}
    before, after = session.windows.beside(task, found.start_ms, found.end_ms, job)
    earlier, later = (None if each is None else period_at(each, found.unit, tz).name for each in (before, after))
    listed = [(window, *windows[window]) for window in sorted(windows)]
    return Calendar(found, listed[:MOST], earlier, later, more=len(listed) > MOST)


def _small(session: Session, task: int, job: int | None, moment_ms: int, unit: str, tz: str) -> Period:
    """Return the longest period around a moment, of a unit or shorter, that does not have too many windows."""
    found = period_at(moment_ms, unit, tz)
    shorter = finer(unit)
    if shorter is None or session.windows.count(task, found.start_ms, found.end_ms, job, MOST + 1) <= MOST:
        return found
    return _small(session, task, job, moment_ms, shorter, tz)
