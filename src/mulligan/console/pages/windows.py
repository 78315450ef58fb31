"""The windows of a job or of a pipeline: a period of them as a picture, how long they are, in which time zone."""

from __future__ import annotations

from typing import Any, NamedTuple

from mulligan.api.models import Calendar, Job
from mulligan.console.desk import Desk
from mulligan.console.pictures.calendar import calendar
from mulligan.console.pictures.picture import Picture
from mulligan.core.access import Principal
from mulligan.core.durations import words

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


class Drawn(NamedTuple):
    """A period of windows: what is known of it, and its picture, if it has any windows."""

    period: Calendar
    picture: Picture | None


def drawn_windows(desk: Desk, caller: Principal, task: str, job: str | None, at: str | None, tz: str) -> Drawn | None:
    """Return the windows of a period as a picture; None where there are no windows at all."""
    period = desk.overview.get_calendar(caller, task, at or None, job, tz)
    if period.at is None:
        return None
    return Drawn(period, calendar(period.items, tz, lambda each: f"/work-items/{each.work_item}"))


def newest_zone(desk: Desk, caller: Principal, task: str) -> str:
    """Return the time zone of the newest job of a pipeline that has windows; UTC where there is none."""
    newest = _with_windows(desk, caller, task)
    return "UTC" if newest is None else newest.tz


def lengths(desk: Desk, caller: Principal, task: str, job: str | None) -> tuple[str | float, dict[str, Any]]:
    """Return how long windows of a job, or of the newest one, are as a backfill says it, and their arguments."""
    newest = None if job is not None else _with_windows(desk, caller, task)
    of = job if newest is None else newest.id
    items = [] if of is None else desk.jobs.list_job_items(caller, of, limit=1).items
    window = items[0].window if items else None
    if window is None:
        return "1d", {}
    length_ms = round((window.end - window.start).total_seconds() * 1000)
    days = round(length_ms / DAY_MS)
    whole = days and abs(length_ms - days * DAY_MS) <= HOUR_MS  # of those on which the clock changes
    return (f"{days}d" if whole else length_ms / 1000), items[0].args


def length_of(every: str | float) -> str:
    """Say how long windows are."""
    return f"{every.removesuffix('d')} day{'' if every == '1d' else 's'}" if isinstance(every, str) else words(every)


def _with_windows(desk: Desk, caller: Principal, task: str) -> Job | None:
    """Return the newest job of a pipeline that has windows, of the last hundred."""
    jobs = desk.jobs.list_jobs(caller, task=task, limit=100).items
    briefs = desk.summary.get_briefs(caller, [each.id for each in jobs]) if jobs else {}
    return next((each for each in jobs if each.id in briefs and briefs[each.id].window is not None), None)
