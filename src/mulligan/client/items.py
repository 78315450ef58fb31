"""A work item and its attempts, as users see them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from mulligan.client.started import Started
from mulligan.core import labels
from mulligan.core.errors import NotFound
from mulligan.core.job import Attempt as AttemptRow
from mulligan.core.job import Counts, FailureClass, Item, ItemKey, JobStatus, Outcome, Reason
from mulligan.engine.asking import Target
from mulligan.engine.filters import flag, whole
from mulligan.engine.finding import check_details
from mulligan.engine.reading import item_error, item_progress
from mulligan.sdk.window import Window
from mulligan.store.listing import ItemDetail

if TYPE_CHECKING:
    from mulligan.client.client import Client


@dataclass(frozen=True, slots=True)
class Attempt:
    """One ended execution of a work item. Times are aware, in UTC."""

    generation: int
    number: int
    outcome: Outcome
    failure_class: FailureClass | None
    rule: str | None
    error_type: str | None
    error_message: str | None
    decision: Reason
    started_at: datetime | None
    ended_at: datetime
    charged: bool
    """Whether it was charged to an entry of the policy."""
    delay_s: float | None
    """How long the wait after it was to be."""
    cause: str | None
    """What the failure is counted as; see `Client.causes`."""
    row: AttemptRow


class WorkItem:
    """One unit of a job's work. What it shows is as of the last `refresh`."""

    def __init__(self, client: Client, detail: ItemDetail) -> None:
        self._client = client
        self._detail = detail

    def __repr__(self) -> str:
        return f"<work item {self.id} {self.key}: {self.label}>"

    def _repr_html_(self) -> str:
        from mulligan.client.display import item_html

        return item_html(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - they are filtered
        from mulligan.client.display import bundle

        return bundle(repr(self), self._repr_html_())

    @property
    def id(self) -> str:
        return str(self._detail.item.key)

    @property
    def row(self) -> Item:
        """The item's row as of the last refresh."""
        return self._detail.item

    @property
    def key_in_store(self) -> ItemKey:
        """The job's and the item's number."""
        return self._detail.item.key

    @property
    def key(self) -> str:
        """The item's key within the job: of a backfill its window's."""
        return self._detail.input.key

    @property
    def task(self) -> str:
        """Name of the task."""
        return self._detail.task

    @property
    def parent(self) -> str | None:
        """Id of the work item of the workflow that called it, if one did."""
        with self._client.services.store.read() as session:
            found = session.calls.parent(self._detail.item.job)
        return None if found is None else str(found)

    def calls(self, limit: int = 500, **filters: Any) -> list[WorkItem]:
        """Return what the workflow has called since it was begun or restarted last, oldest first; nothing of any other task.

        Filters are those of `Client.work_items`, which by `parent=…` gives all of it, what a restart forgot as well.
        """
        job = self._calls_job()
        if job is None:
            return []
        return [WorkItem(self._client, each) for each in self._client.details({**filters, "job": job}, limit)]

    def call_counts(self) -> Counts:
        """Return how many of these calls are in each status."""
        with self._client.services.store.read() as session:
            return self._client.services.reading.call_counts(session, self._detail)

    def _calls_job(self) -> int | None:
        with self._client.services.store.read() as session:
            return session.calls.jobs([self._detail.item]).get(self._detail.item.key)

    @property
    def window(self) -> Window | None:
        """The window it is for, if it is for one."""
        window = self._detail.input.window
        if window is None:
            return None
        with self._client.services.store.read() as session:
            check_details(session, self._detail.item.job)
            tz = session.jobs.run_ids([self._detail.item.job])[self._detail.item.job][1]
        return Window.of_ms(*window, tz)

    @property
    def args(self) -> dict[str, Any]:
        """The arguments by name, as JSON gives them."""
        found: dict[str, Any] = json.loads(self._detail.input.arguments)
        return found

    @property
    def status(self) -> JobStatus:
        return self._detail.item.status

    @property
    def label(self) -> str:
        """The status as people read it."""
        services = self._client.services
        with services.store.read() as session:
            waits_for = services.reading.waits_for(session, self._detail.item.task)
        return labels.item_label(self._detail.item, services.clock.now_ms(), waits_for)

    @property
    def generation(self) -> int:
        return self._detail.item.generation

    @property
    def attempt(self) -> int:
        """Number of the running or last attempt of this generation; 0 before the first."""
        return self._detail.item.attempt

    @property
    def reason(self) -> Reason:
        """Why it is in this status."""
        return self._detail.item.reason

    @property
    def failure_class(self) -> FailureClass | None:
        return self._detail.item.failure_class

    @property
    def cause(self) -> str | None:
        """What it failed of last, if it has not succeeded or begun anew since; see `Client.causes`."""
        return self._detail.item.cause

    @property
    def error_message(self) -> str | None:
        """Message of the last failure, or None."""
        return item_error(self._detail)

    @property
    def result(self) -> Any:
        """What the task returned, as JSON gives it; None unless it is SUCCESS."""
        return json.loads(self._detail.result) if self._detail.result is not None and self.status == "SUCCESS" else None

    @property
    def due_at(self) -> datetime | None:
        """When a waiting item is tried next."""
        return _time(self._detail.item.due_ms) if self.status in (JobStatus.PENDING, JobStatus.RETRY) else None

    @property
    def worker(self) -> str | None:
        """Name of the worker that runs it."""
        return self._detail.worker

    @property
    def progress(self) -> float:
        """Per cent, 0 to 100, as the running attempt told it."""
        with self._client.services.store.read() as session:
            return item_progress(session, self._detail)

    @property
    def safe_to_retry(self) -> bool | None:
        """Whether running it again can do no harm, as the task declares it (`idempotent=`); None where it says nothing."""
        services = self._client.services
        with services.store.read() as session:
            return services.definitions.get(session, self._detail.item.definition).idempotent

    def refresh(self) -> WorkItem:
        """Read the work item again."""
        self._detail = self._client.work_item(self.id)._detail  # noqa: SLF001 - of the same class
        return self

    def attempts(self) -> list[Attempt]:
        """Return the ended attempts of all generations, oldest first."""
        with self._client.services.store.read() as session:
            check_details(session, self._detail.item.job)
            return [_attempt(row) for row in session.items.attempts(self.key_in_store)]

    def logs(self, attempt: int | None = None) -> str:
        """Return what its attempts wrote to stdout, stderr and logs; `attempt` is the place of one among `attempts()`.

        Raises NotFound where there is no such attempt, ArgumentsInvalid where it is no number.
        """
        rows = self.log_rows()
        if attempt is not None:
            token = self._token(attempt)
            rows = [row for row in rows if row[0] == token]
        return "".join(row[3] for row in rows)

    def log_rows(self, after: tuple[int, int] = (0, -1)) -> list[tuple[int, int, int, str]]:
        """Return the pieces of log after (token, part): token, part, time in ms, text."""
        found: list[tuple[int, int, int, str]] = []
        while True:
            with self._client.services.store.read() as session:
                check_details(session, self._detail.item.job)
                page = session.records.logs(self.key_in_store, *after)
            found += page
            if len(page) < 1000:
                return found
            after = (page[-1][0], page[-1][1])

    def explain(self) -> str:
        """Say why it is in the state it is in."""
        return self._client.explain(self.id)

    def cancel(self, reason: str = "", *, dry_run: bool = False) -> Started:
        """Cancel it."""
        return Started(self._client.services.commands.cancel(self._target, self._client.asker(reason), dry_run=dry_run))

    def retry(self, type: Literal["recover", "restart"] = "recover", reason: str = "", *, dry_run: bool = False) -> Started:
        """Retry it, if it failed or was cancelled and nobody else did since it was read."""
        return Started(self._client.services.commands.retry(self._target, type, self._client.asker(reason), dry_run=dry_run))

    def retry_now(self, reason: str = "", *, dry_run: bool = False) -> Started:
        """Make it due at once."""
        return Started(self._client.services.commands.retry_now(self._target, self._client.asker(reason), dry_run=dry_run))

    def overwrite(self, accept_risk: bool = False, forward: bool = False, reason: str = "", *, dry_run: bool = False) -> Started:
        """Run it again although it succeeded; raises OverwriteUnsafe with the evidence."""
        return Started(
            self._client.services.commands.overwrite(
                self._target,
                self._client.asker(reason),
                accept_risk=flag(accept_risk, "accept_risk"),
                forward=flag(forward, "forward"),
                dry_run=dry_run,
            )
        )

    def _token(self, attempt: int) -> int:
        ended = self.attempts()
        if whole(attempt, "attempt") >= len(ended):
            raise NotFound(f"work item {self.id} has {len(ended)} ended attempts, counted from 0: there is no attempt {attempt}")
        return ended[attempt].row.token

    @property
    def _target(self) -> Target:
        return Target(items=(self.key_in_store,), generations=(self.generation,))


def _attempt(row: AttemptRow) -> Attempt:
    return Attempt(
        generation=row.generation,
        number=row.attempt,
        outcome=row.outcome,
        failure_class=row.failure_class,
        rule=row.rule,
        error_type=row.error_type,
        error_message=row.error_message,
        decision=row.reason,
        started_at=None if row.started_ms is None else _time(row.started_ms),
        ended_at=_time(row.ended_ms),
        charged=row.entry is not None,
        delay_s=None if row.delay_ms is None else row.delay_ms / 1000,
        cause=row.cause,
        row=row,
    )


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
