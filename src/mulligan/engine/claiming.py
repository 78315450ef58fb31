"""One turn of a worker to claim: what is due first is taken first, as far as there is room."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mulligan.core.job import FAR_FUTURE_MS
from mulligan.engine.exchanging import Room
from mulligan.store.rows import Head, Taken
from mulligan.store.store import Session

PAGE = 500
"""Rows of one claim."""
SOON_MS = 50
"""When to look again at what is due and cannot be had: somebody writes its job just now, or it is about to be revoked."""


class Claiming:
    """Claims, and looks at what a claim has brought as late as possible, so that the last can go along with the commit."""

    def __init__(self, session: Session, worker: int, room: Room, now_ms: int) -> None:
        self._session = session
        self._worker = worker
        self._room = room
        self._now_ms = now_ms
        self._taken: list[Taken] = []
        self._next_due_ms = FAR_FUTURE_MS
        self._asked: tuple[int, Callable[[], list[Taken]]] | None = None

    def claim(self, heads: Iterable[Head]) -> None:
        """Claim what is due of what waits."""
        for head in sorted(heads, key=lambda each: (each.priority, each.due_ms)):
            if head.due_ms > self._now_ms:
                self._look_again(head.due_ms)
                continue
            self._look()
            limit = self._limit(head)
            if limit > 0:
                claimed = self._session.items.claim(self._worker, head.task, head.once, head.priority, limit, self._now_ms)
                self._asked = head.task, claimed

    def taken(self) -> tuple[list[Taken], int | None]:
        """Return what was taken, and when to look again if not before; also after the commit."""
        self._look()
        return self._taken, None if self._next_due_ms >= FAR_FUTURE_MS else self._next_due_ms

    def _limit(self, head: Head) -> int:
        limit = min(self._room.limit(head.task, head.once), PAGE)
        at_once = self._room.concurrency(head.task)
        if at_once is not None:
            self._session.tasks.lock(head.task)
            limit = min(limit, at_once - self._session.items.running(head.task))
        return limit

    def _look(self) -> None:
        """Look at what the last claim has brought, since it leaves less room for the next."""
        if self._asked is None:
            return
        (task, claimed), self._asked = self._asked, None
        found = claimed()
        self._room.took(task, len(found))
        self._taken += found
        if not found:
            self._look_again(self._now_ms + SOON_MS)

    def _look_again(self, at_ms: int) -> None:
        self._next_due_ms = min(self._next_due_ms, at_ms)
