"""Which bodies of workflows run in this worker, and what they are told of their calls."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from mulligan.core.errors import StoreError
from mulligan.core.job import ItemKey
from mulligan.core.replay import Past, round_of
from mulligan.engine.calling import Calling
from mulligan.engine.exchanging import Claim, Wanted
from mulligan.worker.executors.interface import Executor
from mulligan.worker.reporting import refused_call


class Bodies:
    """The executor's names for the bodies that run here, by their work items."""

    def __init__(self) -> None:
        self._ids: dict[ItemKey, int] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, key: ItemKey, id: int, executor: Executor) -> None:
        """Note that a body runs; one that still does for the same item has lost it, and would wait for ever."""
        if key in self._ids:
            executor.stop(self._ids[key], "drain")
        self._ids[key] = id

    def stop_lost(self, worker: int, held: Callable[[int], Collection[ItemKey]], executor: Executor) -> None:
        """Stop those whose work items were taken from this worker: nobody would tell them of their calls any more."""
        if self._ids:
            mine = held(worker)
            for key, id in self._ids.items():  # noqa: A001 - the executor's name for it
                if key not in mine:
                    executor.stop(id, "drain")

    def drop(self, key: ItemKey, id: int) -> None:
        """Note that a body, if it was one, runs no more."""
        if self._ids.get(key) == id:
            del self._ids[key]

    def clear(self) -> None:
        """Note that none runs any more."""
        self._ids.clear()

    def hear(self, arrived: Sequence[tuple[ItemKey, Past]], executor: Executor) -> None:
        """Tell the bodies which of their calls have ended."""
        for key, call in arrived:
            if key in self._ids:
                executor.arrived(self._ids[key], call)

    def catch_up(self, claims: Iterable[Claim], calling: Calling, executor: Executor) -> None:
        """Tell the bodies of all calls that have ended: an exchange without an answer has taken from the store what it told."""
        bodies = [each for each in claims if each.item.key in self._ids]
        for key, calls in calling.histories(bodies).items():
            self.hear([(key, each) for each in calls], executor)

    def hand_back(self, executor: Executor) -> None:
        """Stop them all: to replay them elsewhere is better than to wait for hours until their calls have ended."""
        for each in self._ids.values():
            executor.stop(each, "drain")

    def store_one_by_one(self, calls: Sequence[Wanted], store: Callable[[Wanted], object], executor: Executor) -> None:
        """Store calls each by itself; one that the store will not take has failed, and its body hears of that."""
        for wanted in calls:
            try:
                store(wanted)
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever one call is, the others must not fall with it
                self.hear([(wanted.item.key, refused_call(wanted.call, round_of(wanted.item), error))], executor)
