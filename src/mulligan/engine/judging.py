"""Gathers the evidence for overwriting successful items, and for recovering failed ones."""

from __future__ import annotations

from collections.abc import Sequence

from mulligan.core.definition import Definition
from mulligan.core.job import ItemKey, Outcome
from mulligan.core.recovery import CONCERN, Judgement, Verdict, judge_overwrite, recover_warnings
from mulligan.engine.definitions import Definitions
from mulligan.store.store import Session

LATER_NAMED = 100
CALLS_NAMED = 5


def judge(session: Session, definitions: Definitions, keys: Sequence[ItemKey]) -> dict[ItemKey, Judgement]:
    """Judge overwriting each of these successful items."""
    result = {}
    written = session.items.rows_written(keys)
    items = {item.key: item for item in session.items.read(keys, removed=True)}
    windows = session.windows.of(keys)
    for key, item in items.items():
        task = definitions.newest(session, item.task)
        later: list[str] = []
        if key in windows and item.ended_ms is not None:
            later = _later(session, item.task, windows[key][0], item.ended_ms)
        rows = _since_last_success(written.get(key, []))
        if task.workflow:
            result[key] = _of_calls(session, definitions, key)
            continue
        result[key] = judge_overwrite(definitions.get(session, item.definition), task, rows, later)
    return result | _judge_past(session, definitions, [key for key in keys if key not in items])


def _of_calls(session: Session, definitions: Definitions, key: ItemKey) -> Judgement:
    """Judge running a workflow again by what it called, ever: its body itself writes nothing."""
    called = session.calls.items_of(session.calls.children([key]))
    judged = judge(session, definitions, called)
    if not judged:
        return Judgement(Verdict.SAFE, ("the workflow called nothing",))
    worst = max(judged.values(), key=lambda each: CONCERN[each.verdict]).verdict
    if worst is Verdict.SAFE:
        return Judgement(worst, (f"all {len(judged)} calls of the workflow are safe to run again",))
    alike = [(call, each) for call, each in judged.items() if each.verdict is worst]
    evidence = [f"call {call}: {'; '.join(each.evidence)}" for call, each in alike[:CALLS_NAMED]]
    if len(alike) > CALLS_NAMED:
        evidence.append(f"and {len(alike) - CALLS_NAMED} more calls")
    return Judgement(worst, tuple(evidence))


def written_since(attempts: Sequence[tuple[Outcome, int | None]]) -> int | None:
    """Return the rows that a successful item wrote, in the one number that is kept of it when its details are removed.

    It leads to the verdict that the single numbers would: 0 only where every attempt said so, None where that is not known.
    """
    rows = _since_last_success(attempts)
    known = sum(count or 0 for count in rows)
    return known if known or (rows and None not in rows) else None


def _judge_past(session: Session, definitions: Definitions, keys: Sequence[ItemKey]) -> dict[ItemKey, Judgement]:
    """Judge running a window again of whose success only that is left."""
    result = {}
    for key, past in (session.past.windows(keys) if keys else {}).items():
        task = definitions.newest(session, past.task)
        later = _later(session, past.task, past.start_ms, past.ended_ms)
        result[key] = judge_overwrite(definitions.get(session, past.definition), task, [past.rows], later)
    return result


def _later(session: Session, task: int, start_ms: int, since_ms: int) -> list[str]:
    return [name for _, name in session.windows.later_written(task, start_ms, since_ms, LATER_NAMED)]


def warn(session: Session, definitions: Definitions, keys: Sequence[ItemKey], current: Definition) -> tuple[str, ...]:
    """Say what changed since the checkpoints of these items were saved."""
    used = session.records.checkpoint_definitions(keys)
    return recover_warnings([definitions.get(session, each) for each in used], current)


def _since_last_success(attempts: Sequence[tuple[Outcome, int | None]]) -> list[int | None]:
    """Rows of the attempts after the success before the last one, oldest first."""
    rows: list[int | None] = []
    for place, (outcome, count) in enumerate(attempts):
        if outcome is Outcome.SUCCEEDED and place < len(attempts) - 1:
            rows = []
            continue
        rows.append(count)
    return rows
