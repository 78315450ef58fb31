"""What was decided about a work item, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from mulligan.api.models import Attempt, WorkItem
from mulligan.core.job import JobStatus
from mulligan.core.labels import REASONS


def sentence(item: WorkItem, attempts: Sequence[Attempt]) -> str:
    """Say why a work item is in its state."""
    said = item.label if item.status is not JobStatus.RETRY else item.label.replace("(", "").replace(")", "")
    last = attempts[-1] if attempts else None
    if item.status is JobStatus.SUCCESS:
        return f"{said}: {REASONS[item.reason]}{_after(len(attempts))}."
    if last is None or last.failure_class is None or item.status in (JobStatus.PENDING, JobStatus.REVOKED):
        return f"{said}: {REASONS[item.reason]}."
    what = f"{last.error_type}" if last.error_type else str(last.outcome)
    rule = f" by rule {last.rule}" if last.rule else ""
    why = REASONS[last.decision if item.status is JobStatus.STARTED else item.reason]
    place = f"attempt {last.attempt} of generation {last.generation}"
    return f"{said}: {what} is {last.failure_class}{rule}, and {why}. That was {place}."


def _after(attempts: int) -> str:
    return f", after {attempts} attempts" if attempts > 1 else ""
