"""A bulk operation as its asker holds it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from mulligan.core.bulk import BulkState
from mulligan.core.durations import Duration, seconds
from mulligan.core.errors import StoreAway, StoreBusy, WaitTimeout
from mulligan.store.verbs.bulk import BulkRow

if TYPE_CHECKING:
    from mulligan.client.client import Client

POLL_S = 0.5
AWAY_S = 300.0
"""So long may the store be away before a waiting caller is told."""


class Operation:
    """The same action on many work items, fixed when it was asked for. What it shows is as of the last `refresh`.

    Workers and servers do it in the background, a page of work items at a time; so does whoever waits for it.
    """

    def __init__(self, client: Client, row: BulkRow) -> None:
        self._client = client
        self._row = row

    def __repr__(self) -> str:
        return f"<operation {self.id} {self.name}: {self.state}, {self.done} of {self.matched} done>"

    @property
    def id(self) -> str:
        return str(self._row.id)

    @property
    def name(self) -> str:
        return self._row.name

    @property
    def action(self) -> str:
        """`retry`, `retry-now`, `cancel` or `overwrite`."""
        return str(self._row.action)

    @property
    def state(self) -> BulkState:
        """COLLECTING, RUNNING, DONE, ABORTED or FAILED; the last three are for good."""
        return self._row.state

    @property
    def filters(self) -> dict[str, Any]:
        """The filters that chose its work items, as they were given."""
        found: dict[str, Any] = json.loads(self._row.filter)
        return found

    @property
    def matched(self) -> int:
        """How many work items it is for."""
        return self._row.matched

    @property
    def done(self) -> int:
        """How many of them were started, cancelled or made due."""
        return self._row.done

    @property
    def skipped(self) -> Mapping[str, int]:
        """How many were left alone, by why."""
        return self._row.skipped

    @property
    def progress(self) -> float:
        """Per cent of its work items that it has come by, 0 to 100."""
        return self._row.progress

    @property
    def error_message(self) -> str | None:
        """Why it FAILED, or None."""
        return self._row.error

    @property
    def row(self) -> BulkRow:
        """The operation's row as of the last refresh."""
        return self._row

    def refresh(self) -> Self:
        """Read the operation again."""
        self._row = self._client.services.bulk.find(self._row.id)
        return self

    def abort(self, reason: str = "") -> Self:
        """Stop it before its next page. What was done stays done; one that has ended stays as it is."""
        self._row = self._client.services.bulk.abort(self._row.id, self._client.asker(reason))
        return self

    def wait(self, timeout: Duration | None = None) -> Self:
        """Wait until it has ended, doing its pages here where nobody else does; returns itself, whatever came of it.

        It ends when its work items were started, cancelled or made due: what comes of them is another matter. WaitTimeout comes
        after `timeout` (seconds, a `timedelta` or text such as `"15m"`), StoreAway when the store was away for five minutes.
        """
        for _ in self.looks(timeout):
            pass
        return self

    def looks(self, timeout: Duration | None = None) -> Iterator[Self]:
        """Wait as `wait` does, and yield after each look."""
        services = self._client.services
        deadline = float("inf") if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        away_at = time.monotonic() + AWAY_S
        while True:
            stepped = 0
            try:
                stepped = services.bulk_pages.step(self._row.id)
                self.refresh()
                away_at = time.monotonic() + AWAY_S
            except (StoreAway, StoreBusy):
                if time.monotonic() > min(away_at, deadline):
                    raise
            yield self
            if self._row.ended_ms is not None:
                return
            if time.monotonic() >= deadline:
                raise WaitTimeout(f"operation {self.id} has not ended yet: {self.state}, {self.progress:.0f} %")
            if not stepped:
                due_s = (self._row.due_ms - services.clock.now_ms()) / 1000
                services.clock.sleep(max(0.005, min(POLL_S, due_s, deadline - time.monotonic())))
