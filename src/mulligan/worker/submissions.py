"""Stores what running tasks submit, in a thread of its own: a large submission must not hold up the worker's loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from mulligan.core.errors import MulliganError, StoreError
from mulligan.worker.seams import Answer

RETRY_S = 0.2
CLOSING_S = 10.0


class Submissions:
    """Takes submissions and gives answers, in order. While the store is away they wait."""

    def __init__(self, submit: Callable[[str, str], str], wake: Callable[[], None]) -> None:
        self._submit = submit
        self._wake = wake
        self._wanted: SimpleQueue[tuple[int, int, str, str] | None] = SimpleQueue()
        self._answers: SimpleQueue[Answer] = SimpleQueue()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, id: int, call: int, payload: str, caller: str) -> None:
        """Have a submission stored; `wake` is called when its answer is there."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="mulligan-submissions", daemon=True)
            self._thread.start()
        self._wanted.put((id, call, payload, caller))

    def take(self) -> list[Answer]:
        """Return the answers that are there."""
        return [self._answers.get() for _ in range(self._answers.qsize())]

    def close(self) -> None:
        """Finish the submission that is being stored, and no other; safe to call twice."""
        self._closed.set()
        self._wanted.put(None)
        if self._thread is not None:
            self._thread.join(CLOSING_S)

    def _work(self) -> None:
        while (wanted := self._wanted.get()) is not None and not self._closed.is_set():
            id, call, payload, caller = wanted  # noqa: A001 - the executor's name for it
            value, error = self._stored(payload, caller)
            self._answers.put(Answer(id, call, value, error))
            self._wake()

    def _stored(self, payload: str, caller: str) -> tuple[str | None, str | None]:
        while True:
            try:
                return self._submit(payload, caller), None
            except StoreError as error:
                if self._closed.wait(RETRY_S):
                    return None, f"{error.code}: {error}"
            except MulliganError as error:
                return None, f"{error.code}: {error}"
            except Exception as error:  # noqa: BLE001 - the attempt waits for an answer, whatever it is
                return None, f"error: {type(error).__name__}: {error}"
