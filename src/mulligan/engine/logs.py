"""Pages of what the attempts of a work item wrote, and places in it to go on from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mulligan.core.errors import ArgumentsInvalid
from mulligan.core.job import Attempt, ItemKey, JobStatus
from mulligan.core.shown import shown
from mulligan.engine.filters import MAX_NUMBER
from mulligan.store.store import Session


class Piece(NamedTuple):
    """A piece of the log of an attempt; `place` counts the attempts of the work item from 1, the one that runs is the last."""

    place: int
    at_ms: int
    text: str


class Tail(NamedTuple):
    """The last pieces of a log, after which to go on, and whether some before them were left out."""

    pieces: list[Piece]
    next: str | None
    skipped: bool


def log_tail(
    session: Session, key: ItemKey, last: int, after: str | None = None, attempts: Sequence[Attempt] | None = None
) -> Tail:
    """Return up to `last` of the newest pieces of what was written after a place.

    `attempts` are those of the work item that have ended, where they were read before. Raises ArgumentsInvalid for what is no
    place to go on from.
    """
    found = session.summary.last_logs(key, last + 1, *((0, -1) if after is None else _place(after)))
    rows = found[-last:]
    if not rows:
        return Tail([], None, skipped=False)
    places = _places(session, key, attempts)
    pieces = [Piece(places.get(token, 0), at_ms, text) for token, _, at_ms, text in rows]
    return Tail(pieces, f"{rows[-1][0]}.{rows[-1][1]}", skipped=len(found) > len(rows))


def log_page(session: Session, key: ItemKey, after: str | None = None) -> tuple[list[Piece], str | None]:
    """Return up to a thousand pieces, and after which to go on: also for what is written later; None where there is nothing.

    Raises ArgumentsInvalid for what is no place to go on from.
    """
    rows = session.records.logs(key, *((0, -1) if after is None else _place(after)))
    if not rows:
        return [], None
    places = _places(session, key)
    return [Piece(places.get(token, 0), at_ms, text) for token, _, at_ms, text in rows], f"{rows[-1][0]}.{rows[-1][1]}"


def _places(session: Session, key: ItemKey, attempts: Sequence[Attempt] | None = None) -> dict[int, int]:
    """Return the place of each attempt by its token."""
    tokens = [row.token for row in (session.items.attempts(key) if attempts is None else attempts)]
    tokens += [item.token for item in session.items.read([key]) if item.status is JobStatus.STARTED and item.token not in tokens]
    return {token: place for place, token in enumerate(tokens, start=1)}


def _place(after: str) -> tuple[int, int]:
    parts = after.split(".")
    if len(parts) == 2 and all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        token, part = int(parts[0]), int(parts[1])
        if max(token, part) <= MAX_NUMBER:
            return token, part
    raise ArgumentsInvalid(f"after: expected what a page of the log says to go on from, such as 3.0, not {shown(after)}")
