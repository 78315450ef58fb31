"""One outcome that the store will not take does not take the others with it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import client_tasks

from mulligan import JobStatus, connect
from mulligan.core.events import AttemptEvent, Succeeded
from mulligan.core.job import Item
from mulligan.engine.engine import Engine
from mulligan.sdk.loading import load

TASKS = str(client_tasks.__file__)
COUNT, UNWANTED = 200, 150


class Picky:
    """An engine whose store cannot keep one result; all at once it refuses, with whatever came beside it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.sizes: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def exchange(self, worker: int, ended: Sequence[tuple[Item, AttemptEvent]], *more: Any, **named: Any) -> Any:
        if any(isinstance(event, Succeeded) and event.result == str(UNWANTED) for _, event in ended):
            self.sizes.append(len(ended))
            raise OverflowError("too strange a number")
        return self._engine.exchange(worker, ended, *more, **named)


def test_the_other_outcomes_are_settled_and_the_strange_one_fails_and_says_why(tmp_path: Path) -> None:
    told: list[str] = []
    with connect(f"sqlite:///{tmp_path / 'store.db'}", processes=1) as client:
        job = client.map(client_tasks.same, range(COUNT))
        worker = client.services.make_worker(load([TASKS]), [TASKS], lambda event, **facts: told.append(event))
        picky = worker._engine = Picky(worker._engine)  # type: ignore[assignment]
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            job.wait(60)
        finally:
            worker.stop()
            thread.join(20)
        assert not thread.is_alive()
        items = {item.key: item for item in job.work_items()}
        results = {key: item.result for key, item in items.items() if item.status is JobStatus.SUCCESS}
        assert sorted(results.values()) == [number for number in range(COUNT) if number != UNWANTED]
        (failed,) = (item for item in items.values() if item.status is not JobStatus.SUCCESS)
        assert failed.status is JobStatus.FAILURE
        assert "could not be recorded: OverflowError: too strange a number" in (failed.error_message or "")
        assert all(len(item.attempts()) == 1 for item in items.values() if item.status is JobStatus.SUCCESS)
        assert max(picky.sizes) > 1, "it never came together with others"
        assert "exchange failed" in told
        assert client.verify() == []
