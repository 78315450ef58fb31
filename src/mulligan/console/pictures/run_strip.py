"""The last runs of a pipeline as ticks, the newest at the right: told apart by height and shape as well as by colour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from mulligan.console.pictures.picture import STATUS_CLASSES, STATUS_WORDS, Glyph, Line, Link, Picture, Rect, Reference, said
from mulligan.core.job import WORST_FIRST, JobStatus

MAX_RUNS = 30
PITCH, HEIGHT, TICK = 8, 24, 6
_HEIGHTS = {
    JobStatus.SUCCESS: 10,
    JobStatus.FAILURE: 20,
    JobStatus.RETRY: 14,
    JobStatus.STARTED: 14,
    JobStatus.PENDING: 5,
    JobStatus.REVOKED: 10,
}


def run_strip(jobs: Sequence[tuple[str, JobStatus, datetime]]) -> Picture:
    """Draw the newest thirty of jobs (id, status, when it was created); each leads to its page."""
    newest = sorted(jobs, key=lambda each: each[2])[-MAX_RUNS:]
    left = (MAX_RUNS - len(newest)) * PITCH
    links = tuple(_tick(*each, left + place * PITCH + 1) for place, each in enumerate(newest))
    base = Line(0, HEIGHT - 1, MAX_RUNS * PITCH, HEIGHT - 1, "axis")
    rows = tuple((Reference(said(job), _href(job)), STATUS_WORDS[status], _moment(at)) for job, status, at in reversed(newest))
    return Picture("run-strip", _title(newest), MAX_RUNS * PITCH, HEIGHT, (base, *links), ("Job", "State", "Created (UTC)"), rows)


def _tick(id: str, status: JobStatus, at: datetime, x: float) -> Link:
    height = _HEIGHTS[status]
    top = HEIGHT - 2 - height
    shapes: list[Rect | Glyph] = [
        Rect(x - 1, 0, PITCH, HEIGHT - 1, "reach"),  # what can be pointed at is as high as the strip
        Rect(x, top, TICK, height, f"cell {STATUS_CLASSES[status]}"),
    ]
    if status is JobStatus.FAILURE:
        shapes.append(Glyph(x + TICK / 2, top + 5, "cross", "on", scale=0.5))
    return Link(_href(id), f"Job {said(id)}: {STATUS_WORDS[status]}, {_moment(at)} UTC", tuple(shapes))


def _href(id: str) -> str:
    return f"/jobs/{quote(id, safe='', errors='replace')}"


def _title(jobs: Sequence[tuple[str, JobStatus, datetime]]) -> str:
    if not jobs:
        return "No runs yet"
    counts = Counter(status for _, status, _ in jobs)
    some = ", ".join(f"{counts[status]} {STATUS_WORDS[status]}" for status in WORST_FIRST if counts[status])
    runs = "The only run" if len(jobs) == 1 else f"Last {len(jobs)} runs"
    return f"{runs}: {some}; newest: {STATUS_WORDS[jobs[-1][1]]}"


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
