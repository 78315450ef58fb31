"""Gathers the evidence for overwriting successful items, and for recovering failed ones."""

from __future__ import annotations

from collections.abc import Sequence

from mulligan.core.definition import Definition
from mulligan.core.job import ItemKey, Outcome
from mulligan.core.recovery import Judgement, judge_overwrite, recover_warnings
from mulligan.engine.definitions import Definitions
from mulligan.store.store import Session

LATER_NAMED = 100


def judge(session: Session, definitions: Definitions, keys: Sequence[ItemKey]) -> dict[ItemKey, Judgement]:
    """Judge overwriting each of these successful items."""
    result = {}
    written = session.items.rows_written(keys)
    items = {item.key: item for item in session.items.read(keys)}
    windows = session.windows.of(keys)
    for key, item in items.items():
        task = definitions.newest(session, item.task)
        later: list[str] = []
        if key in windows and item.ended_ms is not None:
            found = session.windows.later_written(item.task, windows[key][0], item.ended_ms, LATER_NAMED)
            later = [name for _, name in found]
        rows = _since_last_success(written.get(key, []))
        result[key] = judge_overwrite(definitions.get(session, item.definition), task, rows, later)
    return result


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
