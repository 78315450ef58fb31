"""Counts moves of work items in the transaction in which they happen: each counts once, whatever is lost or removed later."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mulligan.core.job import Item, JobStatus
from mulligan.core.lifecycle import Transition
from mulligan.core.tallies import How, Recovery, set_apart, tallies
from mulligan.store.store import Session

_UNSUCCESSFUL = frozenset({JobStatus.FAILURE, JobStatus.REVOKED})


def count_moves(
    session: Session,
    moved: Sequence[Transition],
    now_ms: int,
    any_broken: Callable[[], bool],
    is_workflow: Callable[[Item], bool],
) -> None:
    """Write what moves count for. `any_broken` tells whether any window of their tasks has failed and not succeeded since."""
    plain, others = set_apart(moved)
    mended: list[Item] = []
    if plain and any_broken():
        succeeded = {each.after.key: each.after for each in moved if each.after.status is JobStatus.SUCCESS}
        mended = [succeeded[key] for key in sorted(session.tallies.in_broken_windows(succeeded))]
    if others:
        _break(session, [move.after for move in others if move.before.status not in _UNSUCCESSFUL])
    again = [move.after for move in others if move.after.status is JobStatus.SUCCESS]
    recovered = _recover(session, again, mended) if again or mended else []
    if rows := tallies(plain, others, now_ms, recovered, is_workflow):
        session.tallies.add(rows)


def _break(session: Session, moved: Sequence[Item]) -> None:
    """Note what has failed; what was revoked has only if an attempt had."""
    found = [item for item in moved if item.status is JobStatus.FAILURE or (item.status is JobStatus.REVOKED and item.attempt)]
    if not found:
        return
    subjects, firsts = session.tallies.subjects(item.key for item in found), session.tallies.first_failures(found)
    since = []
    for item in found:
        first_ms = firsts.get(item.key, item.ended_ms if item.status is JobStatus.FAILURE else None)
        if first_ms is not None:
            since.append((subjects[item.key], first_ms))
    if since:
        session.tallies.open_outages(since)


def _recover(session: Session, again: Sequence[Item], mended: Sequence[Item]) -> list[Recovery]:
    """Return which successes came after a failure: by their own retries, or since somebody had it run again.

    `again` are those that were not the first try, `mended` those for a window that was broken.
    """
    found = list({item.key: item for item in (*again, *mended)}.values()) if mended else again
    firsts = session.tallies.first_failures(again) if again else {}
    keys = {item.key for item in (*mended, *(item for item in again if item.generation > 1))}
    subjects = session.tallies.subjects(keys) if keys else {}
    closed = session.tallies.close_outages(set(subjects.values())) if subjects else {}
    recovered = []
    for item in found:
        subject = subjects.get(item.key)
        before_ms = None if subject is None else closed.pop(subject, None)  # of two for one window the first has mended it
        known = [ms for ms in (firsts.get(item.key), before_ms) if ms is not None]
        if known and item.ended_ms is not None:
            how: How = "automatic" if before_ms is None else "manual"
            recovered.append(Recovery(item.task, how, min(known), item.ended_ms))
    return recovered
