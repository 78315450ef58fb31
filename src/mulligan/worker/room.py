"""What a worker can take, as the engine asks for it while it claims."""

from __future__ import annotations

from collections.abc import Mapping

from mulligan.core.definition import Definition
from mulligan.engine.claiming import PAGE
from mulligan.worker.executors.interface import Executor


class Room:
    """What the executor can take, as the engine asks for it."""

    def __init__(self, executor: Executor, names: Mapping[int, str], loaded: Mapping[str, Definition]) -> None:
        self._executor = executor
        self._names = names
        self._loaded = loaded
        self._taken = {True: 0, False: 0}
        """Bodies of workflows, and everything else."""
        self._asked: dict[tuple[int, bool], int] = {}
        self._cut_short = False

    def limit(self, task: int, once: bool) -> int:
        name = self._names[task]
        room = self._executor.slots_for(name) if once else self._executor.room_for(name)
        room -= self._taken[self._loaded[name].workflow]
        self._asked[task, once] = min(room, PAGE)
        return room

    def concurrency(self, task: int) -> int | None:
        return self._loaded[self._names[task]].concurrency

    def took(self, task: int, count: int) -> None:
        self._taken[self._loaded[self._names[task]].workflow] += count
        self._cut_short = self._cut_short or count >= min(limit for (asked, _), limit in self._asked.items() if asked == task)

    def left(self) -> bool:
        """Whether something more could be claimed at once, so that looking again is worth it."""
        return self._cut_short and any(self.limit(task, once) > 0 for task, once in tuple(self._asked))
