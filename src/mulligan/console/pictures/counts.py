"""How many work items of a job are in each status, as one bar with words below."""

from __future__ import annotations

from collections.abc import Sequence

from mulligan.api.models import Counts
from mulligan.console.pictures.picture import (
    STATUS_CLASSES,
    STATUS_WORDS,
    Key,
    Picture,
    Rect,
    Shape,
    legend,
    px,
    status_key,
)
from mulligan.core.job import JobStatus

WIDTH, HEIGHT = 480, 14
LEAST = 12.0
"""A status that is there is never narrower than this, however few it has."""
_ORDER = (
    JobStatus.SUCCESS,
    JobStatus.FAILURE,
    JobStatus.REVOKED,
    JobStatus.RETRY,
    JobStatus.STARTED,
    JobStatus.PENDING,
)


def counts_bar(counts: Counts) -> Picture:
    """Draw the shares of the statuses that are there."""
    there = [(status, count) for status in _ORDER if (count := _count(counts, status)) > 0]
    total = sum(count for _, count in there)
    shapes: list[Shape] = [Rect(0, 0, WIDTH, HEIGHT, "cell none")] if not there else []
    x = 0.0
    for (status, count), width in zip(there, _widths([count for _, count in there]), strict=True):
        tip = f"{count:,} {STATUS_WORDS[status]} ({_percent(count, total)})"
        shapes.append(Rect(px(x), 0, px(max(1.0, width - 3)), HEIGHT, f"cell {STATUS_CLASSES[status]}", tip))
        x += width
    keys, bottom = legend([_key(status, count) for status, count in there], 0, HEIGHT + 4, WIDTH)
    rows = tuple((STATUS_WORDS[status], f"{count:,}", _percent(count, total)) for status, count in there)
    title = f"{total:,} work item{'' if total == 1 else 's'}"
    some = ", ".join(f"{count:,} {STATUS_WORDS[status]}" for status, count in there)
    name = f"{title}: {some}" if some else title
    return Picture("counts", name, WIDTH, bottom + 2, (*shapes, *keys), ("State", "Work items", "Share"), rows)


def _count(counts: Counts, status: JobStatus) -> int:
    by_status = {
        JobStatus.PENDING: counts.pending,
        JobStatus.STARTED: counts.started,
        JobStatus.RETRY: counts.retry,
        JobStatus.SUCCESS: counts.success,
        JobStatus.FAILURE: counts.failure,
        JobStatus.REVOKED: counts.revoked,
    }
    return by_status[status]


def _key(status: JobStatus, count: int) -> Key:
    key = status_key(status)
    return Key(key.css, f"{count:,} {key.text}", key.glyph)


def _widths(counts: Sequence[int]) -> list[float]:
    """Share the width in proportion, each with its least."""
    total = sum(counts)
    wanted = [max(LEAST, WIDTH * (count / total)) for count in counts]
    over = sum(wanted) - WIDTH
    loose = sum(each - LEAST for each in wanted)
    return [each - over * (each - LEAST) / loose if loose else each for each in wanted]


def _percent(count: int, total: int) -> str:
    """Say a share; what is not all and not nothing is not said to be."""
    share = 100 * (count / total)
    if count < total and share > 99.9:
        return "> 99.9 %"
    return f"{share:.1f} %" if share >= 0.1 else "< 0.1 %"
