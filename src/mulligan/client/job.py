"""A job as its submitter holds it."""

from __future__ import annotations

import inspect
import json
import select
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar

from mulligan.client.started import Started
from mulligan.core import labels
from mulligan.core.durations import Duration, seconds
from mulligan.core.errors import NotFound, StoreAway, StoreBusy, TaskCancelled, TaskFailed, WaitTimeout, WindowInvalid
from mulligan.core.job import TERMINAL, Counts, JobStatus
from mulligan.core.job import Job as JobRow
from mulligan.core.schedule import instant_ms
from mulligan.core.shown import shown
from mulligan.engine.asking import Target
from mulligan.engine.filters import flag
from mulligan.engine.finding import check_details
from mulligan.engine.reading import job_error, shown_status
from mulligan.store.interface import Hints
from mulligan.store.verbs.jobs import ResultRow

if TYPE_CHECKING:
    from mulligan.client.client import Client
    from mulligan.client.items import WorkItem

R = TypeVar("R")

POLL_S = 0.5
"""How often a waiting job looks by itself; hints make it quicker."""
AWAY_S = 300.0
"""So long may the store be away before a waiting caller is told."""
NO_WORKER_S = 2.0
"""So long may no worker know the task before a waiting caller is warned."""
PAGE = 1_000


class Job(Generic[R]):
    """One run of a task over its work items. What it shows is as of the last `refresh`; `R` is what an item returns."""

    def __init__(self, client: Client, row: JobRow, decode: Callable[[str], Any] | None = None) -> None:
        self._client = client
        self._row = row
        self._decode = decode or json.loads

    def __repr__(self) -> str:
        return f"<job {self.id} {self.task} {self.run_id}: {self.label}, {self.progress:.0f} %>"

    @property
    def id(self) -> str:
        return str(self._row.id)

    @property
    def run_id(self) -> str:
        return self._row.run_id

    @property
    def task(self) -> str:
        """Name of the task."""
        return self._row.task_name

    @property
    def kind(self) -> str:
        """How it was submitted: `submit`, `map` or `backfill`."""
        return self._row.kind

    @property
    def row(self) -> JobRow:
        """The job's row as of the last refresh."""
        return self._row

    @property
    def counts(self) -> Counts:
        """How many work items are in each status."""
        return self._row.counts

    @property
    def status(self) -> JobStatus:
        """PENDING, STARTED, RETRY, SUCCESS, FAILURE or REVOKED; follows from the work items."""
        return shown_status(self._row)

    @property
    def label(self) -> str:
        """The status as people read it, such as `Retrying (in 5 minutes)`."""
        if self.status in TERMINAL:
            return labels.PLAIN[self.status]
        with self._client.services.store.read() as session:
            return self._client.services.reading.job_label(session, self._row)

    @property
    def progress(self) -> float:
        """Per cent of the work items that have ended, 0 to 100; of a single item, what it told itself while it runs."""
        counts = self._row.counts
        if counts.total == 1 and not counts.ended:
            return self.work_items()[0].progress
        return 100.0 * counts.ended / counts.total if counts.total else 100.0

    @property
    def error_message(self) -> str | None:
        """Message of the first work item that failed, or None."""
        if not self._row.counts.failure:
            return None
        with self._client.services.store.read() as session:
            return job_error(session, session.jobs.read(self._row.id) or self._row)

    def refresh(self) -> Self:
        """Read the job again."""
        with self._client.services.store.read() as session:
            row = session.jobs.read(self._row.id)
        if row is None:
            raise NotFound(f"job {self.id} is not there any more")
        self._row = row
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
        while the store is away, for five minutes at most; then raises StoreAway.
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
        for row in self._result_rows():
            if row.status is JobStatus.SUCCESS:
                found.append(self._decode(row.result if row.result is not None else "null"))
                continue
            message = labels.failure_message(row.reason, row.error_message)
            kind = TaskCancelled if row.status is JobStatus.REVOKED else TaskFailed
            failed = kind(f"{self.id}-{row.number}", row.error_type, row.failure_class, message)
            if not return_exceptions:
                raise failed
            found.append(failed)
        return found

    def work_items(self, limit: int = 500, **filters: Any) -> list[WorkItem]:
        """Return the job's first work items that match; see `Client.work_items` for the filters, and for all of them."""
        from mulligan.client.items import WorkItem

        return [WorkItem(self._client, each) for each in self._client.details({**filters, "job": self._row.id}, limit)]

    def cancel(self, reason: str = "", *, dry_run: bool = False) -> Started:
        """Cancel what has not ended. Waiting items are REVOKED at once, running ones asked to stop, then killed."""
        return Started(self._client.services.commands.cancel(self._target, self._client.asker(reason), dry_run=dry_run))

    def retry(self, type: Literal["recover", "restart"] = "recover", reason: str = "", *, dry_run: bool = False) -> Started:
        """Retry the failed and the cancelled items: `recover` goes on from their checkpoints, `restart` begins anew."""
        return Started(self._client.services.commands.retry(self._target, type, self._client.asker(reason), dry_run=dry_run))

    def retry_now(self, reason: str = "", *, dry_run: bool = False) -> Started:
        """Make the waiting items due at once, in the same generation and with the same budgets."""
        return Started(self._client.services.commands.retry_now(self._target, self._client.asker(reason), dry_run=dry_run))

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
        first = None if start is None else instant_ms(start, self._row.tz, "start")
        last = None if end is None else instant_ms(end, self._row.tz, "end")
        if first is not None and last is not None and last <= first:
            raise WindowInvalid(f"the range ends ({shown(end)}) before it has begun ({shown(start)}): no window lies in it")
        return Started(
            self._client.services.commands.overwrite(
                self._target,
                self._client.asker(reason),
                window=(first, last),
                accept_risk=flag(accept_risk, "accept_risk"),
                forward=flag(forward, "forward"),
                dry_run=dry_run,
            )
        )

    @property
    def _target(self) -> Target:
        return Target(job=self._row.id)

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
        services = self._client.services
        warn_at = time.monotonic() + NO_WORKER_S
        listener = services.listen()
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
                yield POLL_S if deadline is None else min(POLL_S, deadline - now), listener
        finally:
            if listener is not None:
                listener.close()

    def _refresh_patiently(self, deadline: float | None) -> None:
        """Read the job again; while the store is away, go on trying."""
        until = time.monotonic() + AWAY_S
        while True:
            try:
                self.refresh()
            except (StoreAway, StoreBusy):
                if time.monotonic() >= (until if deadline is None else min(until, deadline)):
                    raise
                time.sleep(POLL_S)
            else:
                return

    def _has_worker(self) -> bool:
        try:
            return self._client.services.has_worker(self._row.task)
        except (StoreAway, StoreBusy):
            return True  # nobody can tell just now

    def _result_rows(self) -> Iterator[ResultRow]:
        first = 0
        while True:
            with self._client.services.store.read() as session:
                check_details(session, self._row.id)
                page = session.jobs.results(self._row.id, first, PAGE)
            yield from page
            if len(page) < PAGE:
                return
            first = page[-1].number + 1


def _level() -> int:
    """Return how far up the stack the caller is who asked this package, for a warning to point at."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("mulligan."):
        frame, level = frame.f_back, level + 1
    return level
