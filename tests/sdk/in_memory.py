"""A backend and a channel that keep what they are given, for tests of what is given to them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

from mulligan.core.attempt import AttemptInfo, StopCause
from mulligan.core.submission import NewItem, Submission


class KeepingBackend:
    """Keeps every submission and its items."""

    def __init__(self) -> None:
        self.taken: list[tuple[Submission, list[NewItem]]] = []

    def take(self, submission: Submission) -> str:
        self.taken.append((submission, list(submission.items)))
        return f"job {len(self.taken)}"

    @property
    def last(self) -> Submission:
        return self.taken[-1][0]

    @property
    def items(self) -> list[NewItem]:
        return self.taken[-1][1]


class KeepingChannel:
    """The line of one attempt to a worker that keeps all it hears, over several attempts of an item."""

    def __init__(self) -> None:
        self.steps: dict[str, str] = {}
        self.cursor: str | None = None
        self.submitted: list[str] = []
        self.told: list[tuple[float, float]] = []
        self.rows: int | None = None
        self.touched = 0
        self.cause: StopCause | None = None
        self.callbacks: list[Callable[[], None]] = []
        self.threads: set[int] = set()
        self.root = ""

    def call(self, name: Literal["step", "cursor", "submit"], payload: str) -> str:
        self.threads.add(threading.get_ident())
        match name:
            case "step":
                values = json.loads(payload)
                self.steps[values["key"]] = values["value"]
            case "cursor":
                self.cursor = payload
            case "submit":
                self.submitted.append(payload)
                return json.dumps({"id": "7", "run_id": "7-0/x", "status": "PENDING"})
        return "null"

    def progress(self, done: float, total: float) -> None:
        self.told.append((done, total))

    def output(self, rows: int) -> None:
        self.rows = rows

    def touch(self) -> None:
        self.touched += 1

    def artifacts(self) -> str:
        return self.root

    def stopping(self) -> StopCause | None:
        return self.cause

    def time_left(self) -> float | None:
        return 12.5

    def on_stop(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    def info(self, attempt: int = 1, window: tuple[int, int, str] | None = None, **changes: Any) -> AttemptInfo:
        """Return what the next attempt of the item is told."""
        steps: Sequence[tuple[str, str]] = tuple(self.steps.items())
        values: dict[str, Any] = {
            "job": "7",
            "run_id": "nightly",
            "key": "2024-03-07",
            "number": 3,
            "attempt": attempt,
            "generation": 1,
            "window": window,
            "cursor": self.cursor,
            "steps": steps,
        }
        return AttemptInfo(**(values | changes))
