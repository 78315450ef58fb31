"""Removes what is older than it is kept for: details of finished jobs, ended workers, what only recent moments need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mulligan.core.job import ItemKey
from mulligan.engine.engine import Engine
from mulligan.engine.judging import written_since
from mulligan.engine.logins import LONGEST_MS
from mulligan.store.store import Session
from mulligan.store.verbs.past import PastJob, PastSuccess
from mulligan.supervisor.chore import Chore

INTERVAL_S = 60.0
PIECE = 2_000
"""Work items in one transaction; a job of no more goes in one."""
JOBS = 500
WORKERS = 500
OPERATIONS = 5_000
OPERATIONS_MS = 3_600_000
"""A commit whose answer was lost is asked for within half a minute."""
REPLIES_MS = 86_400_000
"""A request is sent again within a day, or with another key."""
CAUSES_MS = 365 * 86_400_000
"""A cause that was not seen for so long is forgotten, with its counts; never before the jobs that it counts."""
SPARE_PAGES = 1_000
"""So many free pages of a file, or a quarter of it, are kept for what comes: 4 MB."""


class _Part(NamedTuple):
    """Items `first` to `end`, without that one, of a job."""

    of: PastJob
    end: int

    @property
    def whole(self) -> bool:
        """Whether nothing of the job is left then."""
        return self.end == self.of.items


class Retention:
    """Each step is a short transaction, so that it can stop anywhere and another process can go on.

    A job's first step marks it: from then on nobody sees any of its details, however many steps the rest takes.
    """

    def __init__(self, engine: Engine, keep_s: float) -> None:
        """Keep the details of finished jobs for so many seconds; 0: for ever."""
        self._engine = engine
        self._keep_ms = round(keep_s * 1000)

    def run_once(self) -> int:
        """Do one step of each kind; returns how much was removed, so that one comes again soon while there is more."""
        return (
            self.remove_jobs()
            + self.remove_workers()
            + self.remove_operations()
            + self.remove_replies()
            + self.remove_logins()
            + self.remove_causes()
            + self.remove_bulk()
            + self.give_back_space()
        )

    def remove_jobs(self) -> int:
        """Remove a piece of what has ended too long ago; returns how many jobs and work items that were."""
        before_ms = self._before_ms()
        if before_ms is None:
            return 0
        now_ms = self._engine.clock.now_ms()
        with self._engine.store.write() as session:
            if not session.past.begin():
                return 0
            parts = _cut(session.past.pruning(JOBS), PIECE)
            left = PIECE - sum(each.end - each.of.first for each in parts)
            if left > 0:
                parts += _cut(session.past.ended(before_ms, JOBS), left, whole=bool(parts))
            keys = [ItemKey(each.of.job, number) for each in parts for number in range(each.of.first, each.end)]
            if keys:
                _keep_windows(session, keys)
                session.causes.forget_failed(keys)
                session.past.remove_details(keys)
            self._finish(session, parts, now_ms)
        return len(keys) + len(parts)

    def remove_workers(self) -> int:
        """Remove worker instances that ended too long ago."""
        before_ms = self._before_ms()
        if before_ms is None:
            return 0
        with self._engine.store.write() as session:
            return session.past.remove_workers(before_ms, WORKERS) if session.past.begin() else 0

    def remove_operations(self) -> int:
        """Remove what is kept of transactions for commits whose answer was lost."""
        with self._engine.store.write() as session:
            before_ms = self._engine.clock.now_ms() - OPERATIONS_MS
            return session.past.remove_operations(before_ms, OPERATIONS) if session.past.begin() else 0

    def remove_replies(self) -> int:
        """Remove what the API has answered to requests that may be sent again."""
        with self._engine.store.write() as session:
            before_ms = self._engine.clock.now_ms() - REPLIES_MS
            return session.access.prune_replies(before_ms, OPERATIONS) if session.past.begin() else 0

    def remove_logins(self) -> int:
        """Remove login sessions that are over in any case."""
        with self._engine.store.write() as session:
            before_ms = self._engine.clock.now_ms() - LONGEST_MS
            return session.access.prune_logins(before_ms, OPERATIONS) if session.past.begin() else 0

    def remove_causes(self) -> int:
        """Forget causes of failures that are long past."""
        before_ms = self._before_ms()
        if before_ms is None:
            return 0
        before_ms = min(before_ms, self._engine.clock.now_ms() - CAUSES_MS)
        with self._engine.store.write() as session:
            return session.causes.prune(before_ms, OPERATIONS) if session.past.begin() else 0

    def remove_bulk(self) -> int:
        """Remove a piece of the oldest bulk operation that ended too long ago, and the operation with the last of its items."""
        before_ms = self._before_ms()
        if before_ms is None:
            return 0
        with self._engine.store.write() as session:
            operation = session.bulk.past(before_ms) if session.past.begin() else None
            return 0 if operation is None else session.bulk.drop(operation, OPERATIONS)

    def give_back_space(self) -> int:
        """Make the store's file a little smaller where much of it is free."""
        with self._engine.store.read() as session:
            free, every = session.past.free_pages()
        if free <= max(SPARE_PAGES, every // 4):
            return 0
        with self._engine.store.write() as session:
            session.past.give_back_pages()
            return int(session.past.free_pages()[0] < free)  # a file that was not made for it keeps its size

    def _before_ms(self) -> int | None:
        return self._engine.clock.now_ms() - self._keep_ms if self._keep_ms else None

    def _finish(self, session: Session, parts: Sequence[_Part], now_ms: int) -> None:
        done = [each.of for each in parts if each.whole]
        forgotten = [each.job for each in done if not each.named]
        for each in parts:
            if each.of.job not in forgotten:
                session.past.mark(each.of.job, None if each.whole else each.end, now_ms)
        if done:
            session.past.remove_events([each.job for each in done])
        if forgotten:
            session.past.remove_jobs(forgotten)


def retention_chore(engine: Engine, keep_s: float) -> Chore:
    """Return the chore; `keep_s` 0 keeps all jobs. Where they are kept for less than a minute it looks as often."""
    return Chore("retention", min(INTERVAL_S, keep_s or INTERVAL_S), Retention(engine, keep_s).run_once)


def _cut(jobs: Sequence[PastJob], room: int, *, whole: bool = False) -> list[_Part]:
    """Take as many jobs as there is room for, of one that is larger a part; `whole`: no parts at all."""
    parts: list[_Part] = []
    for job in jobs:
        left = job.items - job.first
        if left > room and (parts or whole):
            break
        parts.append(_Part(job, job.first + min(left, room)))
        room -= left
        if room <= 0:
            break
    return parts


def _keep_windows(session: Session, keys: Sequence[ItemKey]) -> None:
    """Keep of windows that succeeded what a backfill and the verdict of an overwrite go by."""
    found = session.past.successes(keys)
    if found:
        newest = _newest(found)
        written = session.items.rows_written([ItemKey(each.job, each.number) for each in newest])
        session.past.keep_windows([(each, written_since(written.get(ItemKey(each.job, each.number), ()))) for each in newest])


def _newest(found: Iterable[PastSuccess]) -> list[PastSuccess]:
    """Return one success for each window: its newest item, and the latest moment at which any of them succeeded."""
    windows: dict[tuple[int, int, int], PastSuccess] = {}
    for each in sorted(found, key=lambda one: (one.job, one.number)):
        before = windows.get(each[:3], each)
        windows[each[:3]] = each._replace(ended_ms=max(each.ended_ms, before.ended_ms))
    return list(windows.values())
