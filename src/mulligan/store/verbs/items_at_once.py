"""The verbs that claim and change work items where each statement is a journey to a server: one statement does all of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mulligan.core.lifecycle import Transition
from mulligan.store.rows import Taken, move_at_once, success_at_once
from mulligan.store.verbs.items import Items, mended


class ItemsAtOnce(Items):
    """The same as `Items`, for databases whose statements may change several tables."""

    def claim(self, worker: int, task: int, once: bool, priority: int, limit: int, now_ms: int) -> Callable[[], list[Taken]]:
        """Start the first due items of a task for a worker; returns what tells them as they are now, with what they are for."""
        where = {"task": task, "once": int(once), "priority": priority, "now": now_ms, "limit": limit, "worker": worker}
        rows = self._run("claim_at_once", where)
        return lambda: [Taken(row, worker) for row in rows]

    def _write(
        self, plain: Sequence[Transition], others: Sequence[Transition], now_ms: int
    ) -> tuple[set[tuple[int, int]], list[int]]:
        changed: set[tuple[int, int]] = set()
        jobs_ended: list[int] = []
        kinds: list[tuple[str, Sequence[Transition], Callable[[Transition], Any]]] = [
            ("settle_at_once", plain, success_at_once),
            ("apply_at_once", others, move_at_once),
        ]
        sent = [
            self._run(name, {"rows": mended([row_of(each) for each in moves]), "now": now_ms})
            for name, moves, row_of in kinds
            if moves
        ]
        for rows in sent:
            for job, number, ended_ms in rows:
                if ended_ms is None:
                    changed.add((job, number))
                else:
                    jobs_ended.append(job)
        return changed, jobs_ended
