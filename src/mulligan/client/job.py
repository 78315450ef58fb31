"""A job as its submitter holds it."""

from __future__ import annotations

import inspect
import json
import select
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar

from mulligan.client.started import Started
from mulligan.core.durations import Duration, seconds
from mulligan.core.errors import NotFound, ServerAway, StoreAway, StoreBusy, TaskCancelled, TaskFailed, WaitTimeout, WindowInvalid
from mulligan.core.job import TERMINAL, Counts, JobStatus
from mulligan.core.labels import PLAIN
from mulligan.core.schedule import instant_ms
from mulligan.core.shown import shown
from mulligan.engine.filters import flag, text
from mulligan.engine.filters import limit as checked_limit
from mulligan.gateway.interface import Act, Gateway, JobFacts, JobTold, Verb, at
from mulligan.store.interface import Hints

if TYPE_CHECKING:
    from mulligan.client.items import WorkItem

R = TypeVar("R")

AWAY = (StoreAway, StoreBusy, ServerAway)
"""What may pass by itself."""

AWAY_S = 300.0
"""So long may the store or the server be away before a waiting caller is told."""
AGAIN_S = 0.5
"""And so often is it looked for meanwhile."""
ANSWER_S = 3.0
"""So long may one look take, however soon whoever waits wants to hear: a server that has much to do is not away."""
NO_WORKER_S = 2.0
"""So long may no worker know the task before a waiting caller is warned."""


class Job(Generic[R]):
    """One run of a task over its work items. What it shows is as of the last `refresh`; `R` is what an item returns."""

    def __init__(self, gateway: Gateway, facts: JobFacts, decode: Callable[[str], Any] | None = None) -> None:
        self._gateway = gateway
        self._facts = facts
        self._said: JobTold | None = None
        self._decode = decode or json.loads

    def __repr__(self) -> str:
        return f"<job {self.id} {self.task} {self.run_id}: {self.label}, {self.progress:.0f} %>"

    @property
    def id(self) -> str:
        return str(self._facts.id)

    @property
    def run_id(self) -> str:
        return self._facts.run_id

    @property
    def task(self) -> str:
        """Name of the task."""
        return self._facts.task

    @property
    def kind(self) -> str:
        """How it was submitted: `submit`, `map` or `backfill`."""
        return self._facts.kind

    @property
    def tz(self) -> str:
        """Name of the time zone of its windows."""
        return self._facts.tz

    @property
    def labels(self) -> dict[str, str]:
        """The labels that it was given."""
        return dict(self._facts.labels)

    @property
    def counts(self) -> Counts:
        """How many work items are in each status."""
        return self._facts.counts

    @property
    def status(self) -> JobStatus:
        """PENDING, STARTED, RETRY, SUCCESS, FAILURE or REVOKED; follows from the work items."""
        return self._facts.status

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody has asked to cancel it."""
        return self._facts.cancel_requested

    @property
    def created_at(self) -> datetime:
        """When it was submitted."""
        return at(self._facts.created_ms)

    @property
    def ended_at(self) -> datetime | None:
        """When it ended."""
        return None if self._facts.ended_ms is None else at(self._facts.ended_ms)

    @property
    def details_removed_at(self) -> datetime | None:
        """When retention removed its work items."""
        return None if self._facts.removed_ms is None else at(self._facts.removed_ms)

    @property
    def label(self) -> str:
        """The status as people read it, such as `Retrying (in 5 minutes)`."""
        return PLAIN[self.status] if self.status in TERMINAL else self._told.label

    @property
    def progress(self) -> float:
        """Per cent of the work items that have ended, 0 to 100; of a single item, what it told itself while it runs."""
        counts = self.counts
        if counts.total == 1 and not counts.ended:
            return self._told.progress
        return 100.0 * counts.ended / counts.total if counts.total else 100.0

    @property
    def error_message(self) -> str | None:
        """Message of the first work item that failed, or None."""
        return self._told.error_message if self.counts.failure else None

    def refresh(self) -> Self:
        """Read the job again."""
        self._hold(self._gateway.job(self._facts.id))
        return self

    def __await__(self) -> Generator[Any, None, R]:
        """Wait in a coroutine for what `result` gives, without blocking the event loop; raises what `result` raises."""
        from mulligan.client.awaiting import awaited

        return awaited(self._looks(None), self.result).__await__()

    def _repr_html_(self) -> str:
        from mulligan.client.display import job_html

        return job_html(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - they are filtered
        from mulligan.client.display import bundle

        return bundle(repr(self), self._repr_html_())

    def wait(self, timeout: Duration | None = None, progress: bool | Literal["always"] = False) -> Self:
        """Wait until the job has ended, through all retries; returns the job itself, whatever came of it.

        Raises WaitTimeout after `timeout`: seconds, a `timedelta` or a text such as `"15m"`; None waits for as long as it
        takes. Raises ConfigError where it is none of these. Warns when no worker knows the task. `progress` shows the
        job in a notebook, or draws a bar at stderr where that is a terminal (`"always"`: whatever it is). Goes on waiting
        while the store is away, for five minutes at most; then raises StoreAway. A server that is slow to answer is given three
        seconds, also where `timeout` is over by then.
        """
        deadline = None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        if progress:
            from mulligan.client.progress import draw

            draw(self._watch(deadline), self, always=progress == "always")
        else:
            for _ in self._watch(deadline):
                pass
        return self

    def result(self) -> R:
        """Wait for the result of the only work item; raises TaskFailed when it failed or was cancelled."""
        results = self.results()
        if len(results) != 1:
            raise NotFound(f"job {self.id} has {len(results)} work items, not one: use results()")
        return results[0]

    def results(self, return_exceptions: bool = False) -> list[R]:
        """Wait for the results of all work items, in their order.

        Raises TaskFailed for the first that failed or was cancelled; with `return_exceptions` it stands in the list.
        """
        self.wait()
        found: list[Any] = []
        for each in self._gateway.results(self._facts.id):
            if each.status is JobStatus.SUCCESS:
                found.append(self._decode(each.result if each.result is not None else "null"))
                continue
            kind = TaskCancelled if each.status is JobStatus.REVOKED else TaskFailed
            failed = kind(each.id, each.error_type, each.failure_class, each.message)
            if not return_exceptions:
                raise failed
            found.append(failed)
        return found

    def work_items(self, limit: int = 500, **filters: Any) -> list[WorkItem]:
        """Return the job's first work items that match; see `Client.work_items` for the filters, and for all of them."""
        from mulligan.client.items import MORE, WorkItem

        found = self._gateway.items({**filters, "job": self._facts.id}, checked_limit(limit, MORE))
        return [WorkItem(self._gateway, each) for each in found]

    def cancel(self, reason: str = "", *, dry_run: bool = False) -> Started:
        """Cancel what has not ended. Waiting items are REVOKED at once, running ones asked to stop, then killed."""
        return self._act(self._asked("cancel", reason, dry_run))

    def retry(self, type: Literal["recover", "restart"] = "recover", reason: str = "", *, dry_run: bool = False) -> Started:
        """Retry the failed and the cancelled items: `recover` goes on from their checkpoints, `restart` begins anew."""
        return self._act(replace(self._asked("retry", reason, dry_run), mode=type))

    def retry_now(self, reason: str = "", *, dry_run: bool = False) -> Started:
        """Make the waiting items due at once, in the same generation and with the same budgets."""
        return self._act(self._asked("retry_now", reason, dry_run))

    def overwrite(
        self,
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        accept_risk: bool = False,
        forward: bool = False,
        reason: str = "",
        *,
        dry_run: bool = False,
    ) -> Started:
        """Run the successful items again, of a backfill only the windows between `start` and `end`.

        Raises WindowInvalid, and OverwriteUnsafe with the evidence, unless it is safe or the risk is accepted. `forward` also
        runs the later windows again that were written since, one after the other in order, also where some have to be retried.
        """
        first = None if start is None else instant_ms(start, self.tz, "start")
        last = None if end is None else instant_ms(end, self.tz, "end")
        if first is not None and last is not None and last <= first:
            raise WindowInvalid(f"the range ends ({shown(end)}) before it has begun ({shown(start)}): no window lies in it")
        risk, later = flag(accept_risk, "accept_risk"), flag(forward, "forward")
        asked = self._asked("overwrite", reason, dry_run)
        return self._act(replace(asked, window=(first, last), accept_risk=risk, forward=later))

    @property
    def _told(self) -> JobTold:
        if self._said is None:
            self._said = self._facts.told()
        return self._said

    def _hold(self, facts: JobFacts) -> None:
        self._facts, self._said = facts, None

    def _asked(self, verb: Verb, reason: str, dry_run: bool) -> Act:
        return Act(verb, text(reason, "reason"), dry_run, job=self._facts.id)

    def _act(self, act: Act) -> Started:
        return Started(self._gateway.act(act))

    def _watch(self, deadline: float | None) -> Iterator[Self]:
        """Yield after each look until the job has ended, and then once more."""
        for left, listener in self._looks(deadline):
            yield self
            if listener is None:
                time.sleep(left)
            elif select.select([listener], [], [], left)[0]:
                listener.drain()
        yield self

    def _looks(self, deadline: float | None) -> Generator[tuple[float, Hints | None], None, None]:
        """Look until the job has ended; yield how long to wait for the next look at most, and what gives hints meanwhile."""
        gateway, began = self._gateway, time.monotonic()
        warn_at = began + NO_WORKER_S
        listener = gateway.listen(self._facts.id)
        try:
            while True:
                self._refresh_patiently(deadline)
                if self.status in TERMINAL:
                    return
                now = time.monotonic()
                if deadline is not None and now >= deadline:
                    raise WaitTimeout(f"job {self.id} has not ended yet: {self.label}, {self.progress:.0f} %")
                if now >= warn_at and not self._has_worker():
                    warnings.warn(
                        f"no worker knows task {self.task!r}: start one with `mulligan worker FILE`", stacklevel=_level()
                    )
                    warn_at = float("inf")
                pause_s = gateway.pause_s(now - began, listener)
                yield pause_s if deadline is None else min(pause_s, deadline - now), listener
        finally:
            if listener is not None:
                listener.close()

    def _refresh_patiently(self, deadline: float | None) -> None:
        """Read the job again; while the store or the server is away, go on trying."""
        until = time.monotonic() + AWAY_S
        until = until if deadline is None else min(until, deadline)
        while True:
            try:
                self._hold(self._gateway.look(self._facts.id, max(ANSWER_S, until - time.monotonic())))
            except AWAY:
                if time.monotonic() >= until:
                    raise
                time.sleep(AGAIN_S)
            else:
                return

    def _has_worker(self) -> bool:
        try:
            return self._gateway.has_worker(self.task)
        except AWAY:
            return True  # nobody can tell just now


def _level() -> int:
    """Return how far up the stack the caller is who asked this package, for a warning to point at."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("mulligan."):
        frame, level = frame.f_back, level + 1
    return level
