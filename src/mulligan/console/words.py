"""What was decided about a work item, in one sentence, and what the engine says of an action, in the words of the pages."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mulligan.api.models import Attempt, Done, WorkItem
from mulligan.core.job import JobStatus
from mulligan.core.labels import PLAIN, REASONS
from mulligan.core.recovery import Verdict

NAMES = {**PLAIN, JobStatus.RETRY: "Retrying"}
VERDICTS = {Verdict.SAFE: "safe", Verdict.UNKNOWN: "not known to be safe", Verdict.UNSAFE: "not safe"}
_STATUS = re.compile(rf"(?:^is |(?<= \()|(?<=, which is ))({'|'.join(JobStatus)})(?=$|\)$|:)")
"""A status where the engine writes one: as the reason why something is left alone, behind an example, in a refusal."""
_VERDICT = re.compile(
    rf"(?<=overwriting is )({'|'.join(Verdict)})(?= for )|(?<=: then )({'|'.join(Verdict)}), now ({'|'.join(Verdict)})(?=;)"
)
_OF_PYTHON = (
    ("; forward=True runs them again too, in order", " unless these are run again too, in order"),
    ("forward=True needs work items that have a window", "only what has a window can be run again with the later ones"),
    ("Submit them with a backfill of only='all', or leave out forward=True", "Submit them anew, or leave the later windows out"),
    ("Pass accept_risk=True to do it anyway", "Accept the risk to do it anyway"),
    (" (offline=True, online=False)", ""),
    (" (online=True)", ""),
    (" (offline=, online=)", ""),
    (" (ctx.output)", ""),
)
"""What is said to those who write Python, and what a page says instead."""


def plainly(said: str) -> str:
    """Say what the engine says of an action without the names of statuses and of parameters in Python."""
    for python, plain in _OF_PYTHON:
        said = said.replace(python, plain)
    said = _VERDICT.sub(lambda found: ", now ".join(VERDICTS[Verdict(each)] for each in found.groups() if each), said)
    return _STATUS.sub(lambda found: NAMES[JobStatus(found[1])], said)


def left_alone(done: Done) -> tuple[str, ...]:
    """Say what an action has left alone, and why."""
    return tuple(f"{count:,} left alone: {plainly(why)}" for why, count in done.left_alone.items())


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
