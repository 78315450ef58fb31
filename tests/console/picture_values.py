"""Values that pictures are drawn from, and the HTML that a picture becomes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mulligan.api.models import Attempt, Counts, Partition, Window, WorkItem
from mulligan.console.pictures.picture import Glyph, Label, Line, Link, Picture, Rect, text_width
from mulligan.core.job import FailureClass, JobStatus, Outcome, Reason
from mulligan.core.labels import PLAIN
from mulligan.core.schedule import from_ms, windows

NOW = datetime(2024, 8, 12, 10, tzinfo=UTC)
_TEMPLATES = Environment(
    loader=PackageLoader("mulligan.console"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def html(picture: Picture, root: str = "") -> str:
    """Return what a page shows of a picture, under a prefix."""
    macro: Any = _TEMPLATES.get_template("pictures.html").module
    return str(macro.picture(picture, lambda path: root + path))


def an_item(
    status: JobStatus,
    *,
    id: str = "12-345",
    due_s: float | None = None,
    claimed_s: float | None = None,
    deadline_s: float | None = None,
    generation: int = 1,
    reason: Reason = Reason.SUBMITTED,
    label: str | None = None,
) -> WorkItem:
    """Make a work item that was created at NOW; the seconds count from there."""
    return WorkItem(
        id=id,
        job="12",
        task="features",
        parent=None,
        key="2024-08-12",
        window=None,
        args={},
        status=status,
        label=label or PLAIN.get(status, "Retrying (in 5 minutes)"),
        reason=reason,
        generation=generation,
        attempt=0,
        failure_class=None,
        error_type=None,
        error_message=None,
        cause=None,
        rows=None,
        progress=0,
        due_at=_at(due_s),
        claimed_at=_at(claimed_s),
        deadline_at=_at(deadline_s),
        worker=None,
        safe_to_retry=None,
        cancel_requested=False,
        created_at=NOW,
        ended_at=None,
    )


def an_attempt(
    place: int,
    began_s: float,
    took_s: float,
    outcome: Outcome = Outcome.SUCCEEDED,
    failure_class: FailureClass | None = None,
    *,
    delay_s: float | None = None,
    generation: int = 1,
    charged: bool = True,
    decision: Reason | None = None,
    error: str | None = None,
) -> Attempt:
    """Make an attempt that began so many seconds after NOW."""
    began = NOW + timedelta(seconds=began_s)
    followed = Reason.SUCCEEDED if outcome is Outcome.SUCCEEDED else Reason.WILL_RETRY
    return Attempt(
        place=place,
        generation=generation,
        attempt=place,
        outcome=outcome,
        failure_class=failure_class,
        rule=None,
        error_type=None if error is None else "ClientError",
        error_message=error,
        cause=None,
        decision=decision or followed,
        charged=charged and outcome is not Outcome.SUCCEEDED,
        delay_s=delay_s,
        claimed_at=began,
        started_at=began,
        ended_at=began + timedelta(seconds=took_s),
        rows=None,
        exit_code=None,
        signal=None,
    )


def partitions_of(
    start: str,
    end: str,
    pattern: Sequence[JobStatus],
    *,
    every: str = "1d",
    tz: str = "UTC",
    tail: tuple[JobStatus, int] | None = None,
) -> list[Partition]:
    """Make a partition for each window of a range, their statuses by a pattern that repeats; `tail` is of the last ones."""
    cut = list(windows(start, end, every, tz))
    made = [
        Partition(
            window=Window(start=from_ms(a, tz), end=from_ms(b, tz), tz=tz),
            status=pattern[place % len(pattern)],
            work_item=f"7-{place}",
        )
        for place, (a, b) in enumerate(cut)
    ]
    if tail is not None:
        made[-tail[1] :] = [each.model_copy(update={"status": tail[0]}) for each in made[-tail[1] :]]
    return made


def counts_of(**counts: int) -> Counts:
    """Make counts; statuses that are not named have none."""
    every = dict.fromkeys(("pending", "started", "retry", "success", "failure", "revoked"), 0) | counts
    return Counts(total=sum(every.values()), **every)


def _at(seconds: float | None) -> datetime | None:
    return None if seconds is None else NOW + timedelta(seconds=seconds)


def flat(picture: Picture) -> list[Rect | Line | Glyph | Label]:
    """Return all shapes, those inside links too."""
    return [part for each in picture.shapes for part in (each.shapes if isinstance(each, Link) else (each,))]


def shapes_of(picture: Picture, css: str) -> list[Rect | Line | Glyph | Label]:
    """Return the shapes of a style class."""
    return [each for each in flat(picture) if css in each.css.split()]


def labels_of(picture: Picture) -> list[str]:
    """Return all texts."""
    return [each.text for each in flat(picture) if isinstance(each, Label)]


def glyphs_of(picture: Picture, css: str) -> list[str]:
    """Return the signs of a style class by name."""
    return [each.name for each in shapes_of(picture, css) if isinstance(each, Glyph)]


def table(picture: Picture) -> list[tuple[str, ...]]:
    """Return the table's rows as texts."""
    return [tuple(each if isinstance(each, str) else each.text for each in row) for row in picture.rows]


def box(shape: Rect | Line | Glyph | Label) -> tuple[float, float, float, float]:
    """Return the edges of a shape: left, top, right, bottom."""
    if isinstance(shape, Rect):
        assert min(shape.width, shape.height) > 0, shape
        return shape.x, shape.y, shape.x + shape.width, shape.y + shape.height
    if isinstance(shape, Line):
        return min(shape.x1, shape.x2), min(shape.y1, shape.y2), max(shape.x1, shape.x2), max(shape.y1, shape.y2)
    if isinstance(shape, Glyph):
        reach = 5 * shape.scale
        return shape.x - reach, shape.y - reach, shape.x + reach, shape.y + reach
    width = text_width(shape.text)
    left = shape.x - {"start": 0, "middle": width / 2, "end": width}[shape.anchor]
    return left, shape.y - 10, left + width, shape.y + 2


def check_inside(picture: Picture) -> None:
    """Fail where a shape is outside the picture, or at no place at all."""
    assert math.isfinite(picture.width)
    assert math.isfinite(picture.height)
    for shape in flat(picture):
        edges = box(shape)
        assert all(map(math.isfinite, edges)), shape
        left, top, right, bottom = edges
        assert min(left, top) >= -1, shape
        assert right <= picture.width + 1, (shape, picture.width)
        assert bottom <= picture.height + 1, (shape, picture.height)
