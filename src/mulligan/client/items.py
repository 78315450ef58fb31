"""A work item, as users see it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from mulligan.client.started import Started
from mulligan.core.errors import NotFound
from mulligan.core.job import Counts, FailureClass, ItemKey, JobStatus, Reason
from mulligan.engine.filters import flag, text, whole
from mulligan.engine.filters import limit as checked_limit
from mulligan.gateway.interface import Act, Attempt, Gateway, ItemFacts, ItemTold, LogPage, LogPiece, Verb, at
from mulligan.sdk.window import Window

MORE = "go through client.work_items(job=…)"


class WorkItem:
    """One unit of a job's work. What it shows is as of the last `refresh`."""

    def __init__(self, gateway: Gateway, facts: ItemFacts) -> None:
        self._gateway = gateway
        self._facts = facts
        self._said: ItemTold | None = None

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
        return str(self._facts.id)

    @property
    def number(self) -> ItemKey:
        """The job's and the item's number."""
        return self._facts.id

    @property
    def job_id(self) -> str:
        """Id of its job."""
        return str(self._facts.id.job)

    @property
    def key(self) -> str:
        """The item's key within the job: of a backfill its window's."""
        return self._facts.key

    @property
    def task(self) -> str:
        """Name of the task."""
        return self._facts.task

    @property
    def parent(self) -> str | None:
        """Id of the work item of the workflow that called it, if one did."""
        return None if self._told.parent is None else str(self._told.parent)

    def calls(self, limit: int = 500, **filters: Any) -> list[WorkItem]:
        """Return what the workflow has called since it was begun or restarted last, oldest first; nothing of any other task.

        Filters are those of `Client.work_items`, which by `parent=…` gives all of it, what a restart forgot as well.
        """
        found = self._gateway.calls(self._facts.id, filters, checked_limit(limit, MORE))
        return [WorkItem(self._gateway, each) for each in found]

    def call_counts(self) -> Counts:
        """Return how many of these calls are in each status."""
        return self._gateway.call_counts(self._facts.id)

    @property
    def window(self) -> Window | None:
        """The window it is for, if it is for one."""
        window = self._facts.window
        return None if window is None else Window.of_ms(*window, self._told.tz)

    @property
    def args(self) -> dict[str, Any]:
        """The arguments by name, as JSON gives them."""
        found: dict[str, Any] = json.loads(self._facts.arguments)
        return found

    @property
    def status(self) -> JobStatus:
        return self._facts.status

    @property
    def label(self) -> str:
        """The status as people read it."""
        return self._told.label

    @property
    def generation(self) -> int:
        return self._facts.generation

    @property
    def attempt(self) -> int:
        """Number of the running or last attempt of this generation; 0 before the first."""
        return self._facts.attempt

    @property
    def reason(self) -> Reason:
        """Why it is in this status."""
        return self._facts.reason

    @property
    def failure_class(self) -> FailureClass | None:
        return self._facts.failure_class

    @property
    def cause(self) -> str | None:
        """What it failed of last, if it has not succeeded or begun anew since; see `Client.causes`."""
        return self._facts.cause

    @property
    def error_message(self) -> str | None:
        """Message of the last failure, or None."""
        return self._facts.error_message

    @property
    def result(self) -> Any:
        """What the task returned, as JSON gives it; None unless it is SUCCESS."""
        return None if self._facts.result is None else json.loads(self._facts.result)

    @property
    def due_at(self) -> datetime | None:
        """When a waiting item is tried next."""
        return at(self._facts.due_ms) if self.status in (JobStatus.PENDING, JobStatus.RETRY) else None

    @property
    def claimed_at(self) -> datetime | None:
        """When the attempt that runs was taken by its worker."""
        return None if self._facts.claimed_ms is None else at(self._facts.claimed_ms)

    @property
    def created_at(self) -> datetime:
        """When it was submitted."""
        return at(self._facts.created_ms)

    @property
    def ended_at(self) -> datetime | None:
        """When it ended."""
        return None if self._facts.ended_ms is None else at(self._facts.ended_ms)

    @property
    def worker(self) -> str | None:
        """Name of the worker that runs it."""
        return self._facts.worker

    @property
    def progress(self) -> float:
        """Per cent, 0 to 100, as the running attempt told it."""
        return self._told.progress

    @property
    def safe_to_retry(self) -> bool | None:
        """Whether running it again can do no harm, as the task declares it (`idempotent=`); None where it says nothing."""
        return self._told.safe_to_retry

    def refresh(self) -> WorkItem:
        """Read the work item again."""
        self._facts, self._said = self._gateway.item(self._facts.id), None
        return self

    def attempts(self) -> list[Attempt]:
        """Return the ended attempts of all generations, oldest first."""
        return self._gateway.attempts(self._facts.id)

    def logs(self, attempt: int | None = None) -> str:
        """Return what its attempts wrote to stdout, stderr and logs; `attempt` is the place of one among `attempts()`.

        Raises NotFound where there is no such attempt, ArgumentsInvalid where it is no number.
        """
        if attempt is not None:
            ended = len(self.attempts())
            if whole(attempt, "attempt") >= ended:
                raise NotFound(f"work item {self.id} has {ended} ended attempts, counted from 0: there is no attempt {attempt}")
        return "".join(each.text for each in self.log_pieces() if attempt is None or each.place == attempt + 1)

    def log_pieces(self) -> list[LogPiece]:
        """Return what its attempts wrote piece by piece: by which attempt, and when."""
        found: list[LogPiece] = []
        page = self.log_page()
        while page.following is not None:
            found += page.pieces
            page = self.log_page(page.following)
        return found

    def log_page(self, after: str | None = None) -> LogPage:
        """Return the pieces after those of a page, as far as they are written."""
        return self._gateway.logs(self._facts.id, after)

    def explain(self) -> str:
        """Say why it is in the state it is in."""
        return self._gateway.explain(self._facts.id)

    def cancel(self, reason: str = "", *, dry_run: bool = False) -> Started:
        """Cancel it."""
        return self._act(self._asked("cancel", reason, dry_run))

    def retry(self, type: Literal["recover", "restart"] = "recover", reason: str = "", *, dry_run: bool = False) -> Started:
        """Retry it, if it failed or was cancelled and nobody else did since it was read."""
        return self._act(replace(self._asked("retry", reason, dry_run), mode=type))

    def retry_now(self, reason: str = "", *, dry_run: bool = False) -> Started:
        """Make it due at once."""
        return self._act(self._asked("retry_now", reason, dry_run))

    def overwrite(self, accept_risk: bool = False, forward: bool = False, reason: str = "", *, dry_run: bool = False) -> Started:
        """Run it again although it succeeded; raises OverwriteUnsafe with the evidence."""
        risk, later = flag(accept_risk, "accept_risk"), flag(forward, "forward")
        return self._act(replace(self._asked("overwrite", reason, dry_run), accept_risk=risk, forward=later))

    @property
    def _told(self) -> ItemTold:
        if self._said is None:
            self._said = self._facts.told()
        return self._said

    def _asked(self, verb: Verb, reason: str, dry_run: bool) -> Act:
        return Act(verb, text(reason, "reason"), dry_run, item=self._facts.id, generation=self._facts.generation)

    def _act(self, act: Act) -> Started:
        return Started(self._gateway.act(act))
