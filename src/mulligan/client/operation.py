"""A bulk operation as its asker holds it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Self

from mulligan.core.bulk import BulkState
from mulligan.core.durations import Duration, seconds
from mulligan.core.errors import ServerAway, StoreAway, StoreBusy, WaitTimeout
from mulligan.gateway.interface import Gateway
from mulligan.gateway.operations import OperationFacts

POLL_S = 0.5
AWAY_S = 300.0
"""So long may the store be away before a waiting caller is told."""


class Operation:
    """The same action on many work items, fixed when it was asked for. What it shows is as of the last `refresh`.

    Workers and servers do it in the background, a page of work items at a time; so does whoever waits for it.
    """

    def __init__(self, gateway: Gateway, facts: OperationFacts) -> None:
        self._gateway, self._asks = gateway, gateway.operations
        self._facts = facts

    def __repr__(self) -> str:
        return f"<operation {self.id} {self.name}: {self.state}, {self.done} of {self.matched} done>"

    @property
    def id(self) -> str:
        return str(self._facts.id)

    @property
    def name(self) -> str:
        return self._facts.name

    @property
    def action(self) -> str:
        """`retry`, `retry-now`, `cancel` or `overwrite`."""
        return str(self._facts.action)

    @property
    def state(self) -> BulkState:
        """COLLECTING, RUNNING, DONE, ABORTED or FAILED; the last three are for good."""
        return self._facts.state

    @property
    def filters(self) -> dict[str, Any]:
        """The filters that chose its work items, as they were given."""
        return dict(self._facts.filters)

    @property
    def matched(self) -> int:
        """How many work items it is for."""
        return self._facts.matched

    @property
    def done(self) -> int:
        """How many of them were started, cancelled or made due."""
        return self._facts.done

    @property
    def skipped(self) -> Mapping[str, int]:
        """How many were left alone, by why."""
        return self._facts.skipped

    @property
    def progress(self) -> float:
        """Per cent of its work items that it has come by, 0 to 100."""
        return self._facts.progress

    @property
    def error_message(self) -> str | None:
        """Why it FAILED, or None."""
        return self._facts.error

    @property
    def facts(self) -> OperationFacts:
        """All that is known of it as of the last refresh, also who asked for it, when and why."""
        return self._facts

    def refresh(self) -> Self:
        """Read the operation again."""
        self._facts = self._asks.find(self._facts.id)
        return self

    def abort(self, reason: str = "") -> Self:
        """Stop it before its next page. What was done stays done; one that has ended stays as it is."""
        self._facts = self._asks.abort(self._facts.id, reason)
        return self

    def wait(self, timeout: Duration | None = None) -> Self:
        """Wait until it has ended, on a store doing its pages here where nobody else does; returns itself, whatever came of it.

        It ends when its work items were started, cancelled or made due: what comes of them is another matter. WaitTimeout comes
        after `timeout` (seconds, a `timedelta` or text such as `"15m"`), StoreAway or ServerAway after five minutes without it.
        """
        for _ in self.looks(timeout):
            pass
        return self

    def looks(self, timeout: Duration | None = None) -> Iterator[Self]:
        """Wait as `wait` does, and yield after each look."""
        deadline = float("inf") if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        away_at = time.monotonic() + AWAY_S
        while True:
            stepped = False
            try:
                stepped = self._asks.advance(self._facts.id)
                self.refresh()
                away_at = time.monotonic() + AWAY_S
            except (StoreAway, StoreBusy, ServerAway):
                if time.monotonic() > min(away_at, deadline):
                    raise
            yield self
            if self._facts.ended_ms is not None:
                return
            if time.monotonic() >= deadline:
                raise WaitTimeout(f"operation {self.id} has not ended yet: {self.state}, {self.progress:.0f} %")
            if not stepped:
                due_ms = self._facts.due_ms
                due_s = POLL_S if due_ms is None else (due_ms - self._gateway.now_ms()) / 1000
                self._asks.sleep(max(0.005, min(POLL_S, due_s, deadline - time.monotonic())))
