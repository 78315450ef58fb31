"""Says which windows a backfill would take, and which it would leave alone and why; nothing is submitted."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from mulligan.core.job import TERMINAL, ItemKey, JobStatus
from mulligan.core.recovery import Verdict
from mulligan.core.submission import NewItem, Only, Submission
from mulligan.engine.asking import EXAMPLES, Plan
from mulligan.engine.engine import Engine
from mulligan.engine.judging import judge
from mulligan.store.store import Session

WINDOWS = 5_000
"""So many are looked at in one snapshot."""
NEVER = "never submitted"
Newest = dict[tuple[int, int], tuple[ItemKey, JobStatus]]


def plan_backfill(engine: Engine, submission: Submission) -> Plan:
    """Return what a backfill would do if it were submitted now, with the verdicts where windows would be overwritten."""
    plan = Plan()
    items = iter(submission.items)
    while chunk := list(itertools.islice(items, WINDOWS)):
        with engine.store.read() as session:
            _add(plan, engine, session, submission, chunk)
    return plan


def left_alone(only: Only, newest: JobStatus | None, *, succeeded: bool) -> str | None:
    """Return why a window is left alone, None where it is taken: by the status of its newest item, and whether any succeeded."""
    if newest is not None and newest not in TERMINAL:
        return "in flight" if only != "all" else "in flight, for which all of it would be refused"
    if only == "failed" and newest is not JobStatus.FAILURE:
        return NEVER if newest is None else f"is {newest}"
    return "succeeded before" if only == "missing" and succeeded else None


def _add(plan: Plan, engine: Engine, session: Session, submission: Submission, chunk: Sequence[NewItem]) -> None:
    windows = [each.window for each in chunk if each.window is not None]
    found = session.tasks.find(engine.definitions.namespace, submission.definition.name)
    newest: Newest = {}
    taken: set[tuple[int, int]] = set()
    if found is not None and windows:
        start_ms, end_ms = min(each[0] for each in windows), max(each[0] for each in windows) + 1
        newest = session.windows.newest(found.id, start_ms, end_ms)
        taken = session.windows.taken(found.id, start_ms, end_ms)
    again = []
    for each in chunk:
        key, status = newest.get(each.window or (0, 0), (None, None))
        why = left_alone(submission.only or "all", status, succeeded=each.window in taken)
        if why is not None:
            plan.skipped[why] += 1
            continue
        plan.total += 1
        if len(plan.examples) < EXAMPLES:
            plan.examples.append(f"{each.key} ({status or NEVER})")
        if key is not None and status is JobStatus.SUCCESS:
            again.append(key)
    _judge(plan, engine, session, again)


def _judge(plan: Plan, engine: Engine, session: Session, again: Sequence[ItemKey]) -> None:
    unsafe = {key: each for key, each in judge(session, engine.definitions, again).items() if each.verdict is not Verdict.SAFE}
    plan.unsafe += len(unsafe)
    room = EXAMPLES - len(plan.judgements)
    plan.judgements |= {str(key): each for key, each in list(unsafe.items())[:room]}
