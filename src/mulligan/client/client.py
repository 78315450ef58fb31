"""A client of a store or of a server: submits, reads, and asks for what operators may ask for."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, TypeVar, cast, overload

from mulligan.app import Services, server_gateway
from mulligan.client.items import WorkItem
from mulligan.client.job import Job
from mulligan.client.operation import Operation
from mulligan.client.started import Started
from mulligan.config.settings import HTTP, Settings, load_settings
from mulligan.core.bulk import BulkAction
from mulligan.core.definition import Definition
from mulligan.core.errors import ArgumentsInvalid, ConfigError, Refused
from mulligan.core.shown import shown
from mulligan.core.submission import Options, Submission
from mulligan.core.trends import Trend
from mulligan.engine.asking import Asker
from mulligan.engine.bulk import parse_operation_id
from mulligan.engine.bulk_pages import BulkPlan
from mulligan.engine.filters import chosen, flag, one_of, retry_mode, text, whole
from mulligan.engine.filters import limit as checked_limit
from mulligan.engine.ids import parse_item_id, parse_job_id
from mulligan.engine.reading import WorkerView
from mulligan.engine.verify import Finding, verify
from mulligan.gateway.causes import Cause, CauseSample
from mulligan.gateway.interface import Act, Gateway
from mulligan.gateway.operations import BulkAsk
from mulligan.sdk.ports import RUNNING, Backend
from mulligan.sdk.published import named_call, named_range
from mulligan.sdk.task import Task
from mulligan.store.rows import AuditRow

R = TypeVar("R")


class Client:
    """Speaks to one store or server. Safe to use from several threads; close it, or use `with`, when it is not the default."""

    def __init__(self, gateway: Gateway, services: Services | None = None, source: str = "python") -> None:
        """`services` are those of the store, where there is no server in between; `source` is kept in its audit."""
        self.gateway = gateway
        self._services = services
        self._source = source

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def services(self) -> Services:
        """What works on the store itself."""
        if self._services is None:
            raise Refused("this works on the store itself, which a client of a server does not reach: name the store")
        return self._services

    def close(self) -> None:
        """Close the store, or the connections to the server."""
        self.gateway.close()

    def take(self, submission: Submission) -> Job[Any]:
        """Store a submission that a task made; users call `task.submit`, `map` or `backfill`."""
        return Job(self.gateway, self.gateway.take(submission), submission.decode)

    def submit(self, task: Task[..., R] | str, *args: Any, options: Options | None = None, **kwargs: Any) -> Job[R]:
        """Submit one work item. A task given by its published name takes its arguments by name, checked by its schema.

        Raises UnknownTask, ArgumentsInvalid.
        """
        if isinstance(task, str):
            return self.take(named_call(self.published(task), args, kwargs, _options(options)))
        with self._taking():
            return cast("Job[R]", _task(task).submit(*args, **kwargs))

    def map(self, task: Task[..., R], xs: Iterable[Any], **more: Any) -> Job[R]:
        """Submit a work item for each element; see `Task.map`. The task is given itself, not by its name."""
        with self._taking():
            return cast("Job[R]", cast("Any", _task(task)).map(xs, **more))

    def backfill(self, task: Task[..., R] | str, start: Any, end: Any, *, options: Options | None = None, **more: Any) -> Job[R]:
        """Submit a work item for each window; see `Task.backfill`. A task may be given by its published name."""
        if isinstance(task, str):
            return self.take(named_range(self.published(task), start, end, _options(options), **more))
        with self._taking():
            return cast("Job[R]", cast("Any", _task(task)).backfill(start, end, **more))

    def plan_backfill(self, task: Task[..., Any] | str, start: Any, end: Any, **more: Any) -> Started:
        """Return how many windows `backfill` would take now, and which it would leave alone and why; nothing is submitted."""
        if isinstance(task, str):
            return self._plan(named_range(self.published(task), start, end, Options(), **more))
        with self._taking(_Planning(self._plan)):
            return cast("Started", cast("Any", _task(task)).backfill(start, end, **more))

    def _plan(self, submission: Submission) -> Started:
        return Started(self.gateway.plan(submission))

    def published(self, task: str) -> Definition:
        """Return what is known of a task by its published name; raises UnknownTask."""
        return self.gateway.published(task)

    def job(self, id: str | int) -> Job[Any]:
        """Return a job by its id; raises NotFound."""
        return Job(self.gateway, self.gateway.job(parse_job_id(id)))

    def jobs(self, limit: int = 100, **filters: Any) -> list[Job[Any]]:
        """Return jobs, newest first, 500 at most. Filters: status, task, run_id, label=(name, value), before (an id).

        Raises ArgumentsInvalid.
        """
        count = checked_limit(limit, "go on with before= the id of the last one")
        return [Job(self.gateway, each) for each in self.gateway.jobs(filters, count)]

    def work_item(self, id: str) -> WorkItem:
        """Return a work item by its id, such as `12-345`; raises NotFound."""
        return WorkItem(self.gateway, self.gateway.item(parse_item_id(id)))

    def work_items(self, **filters: Any) -> Iterator[WorkItem]:
        """Yield work items by job and number.

        Calls of workflows are among them only by `parent`, the id of the workflow's item, or by their own ids.
        Filters: job, parent, status, task, failure_class, cause, run_id, key, window_start and window_end (dates, datetimes or
        ISO text; in UTC without a zone), error (a piece of its text), latest=True (of those for the same window of a task
        only the newest: one in flight, else the last that ended). Raises ArgumentsInvalid.
        """
        for each in self.gateway.all_items(filters):
            yield WorkItem(self.gateway, each)

    def causes(self, **filters: Any) -> Iterator[Cause]:
        """Yield the root causes of failures, the one that was first seen last first.

        Filters: task (counted for it alone), failure_class, since (a moment: those seen since then).
        Raises ArgumentsInvalid.
        """
        yield from self.gateway.causes(filters)

    def cause(self, id: str) -> Cause:
        """Return a root cause by its id; raises NotFound."""
        return self.gateway.cause(text(id, "cause"))

    def cause_sample(self, id: str) -> CauseSample | None:
        """Return the newest failure of a cause, with its traceback; None where the details of all were removed."""
        return self.gateway.cause_sample(text(id, "cause"))

    def cancel(self, *, dry_run: bool = False, reason: str = "", **filters: Any) -> Started:
        """Cancel all work items that match; see `work_items` for the filters."""
        return self._act(Act("cancel", reason, dry_run, filters=filters))

    def retry(
        self, type: Literal["recover", "restart"] = "recover", *, dry_run: bool = False, reason: str = "", **filters: Any
    ) -> Started:
        """Retry all FAILED and REVOKED work items that match."""
        return self._act(Act("retry", reason, dry_run, filters=filters, mode=type))

    def retry_now(self, *, dry_run: bool = False, reason: str = "", **filters: Any) -> Started:
        """Make all waiting work items that match due at once."""
        return self._act(Act("retry_now", reason, dry_run, filters=filters))

    def overwrite(
        self, *, accept_risk: bool = False, forward: bool = False, dry_run: bool = False, reason: str = "", **filters: Any
    ) -> Started:
        """Run all successful work items that match again; raises OverwriteUnsafe with the evidence."""
        risk, later = flag(accept_risk, "accept_risk"), flag(forward, "forward")
        return self._act(Act("overwrite", reason, dry_run, filters=filters, accept_risk=risk, forward=later))

    @overload
    def bulk(self, action: str, *, dry_run: Literal[False] = False, **more: Any) -> Operation: ...

    @overload
    def bulk(self, action: str, *, dry_run: bool, **more: Any) -> Operation | BulkPlan: ...

    def bulk(
        self,
        action: str,
        *,
        type: Literal["recover", "restart"] = "recover",
        reason: str = "",
        name: str = "",
        accept_risk: bool = False,
        forward: bool = False,
        expected: int | None = None,
        dry_run: bool = False,
        **filters: Any,
    ) -> Operation | BulkPlan:
        """Have `retry`, `retry-now`, `cancel` or `overwrite` done to all work items that match, in the background, page by page.

        Which work items these are is fixed when this returns; see `work_items` for the filters. Without a status those that the
        action fits. `dry_run` returns the plan instead. With `expected`, raises MoreMatch where more match than that. Raises
        OverwriteUnsafe with the evidence, Refused for what is refused of single items, ArgumentsInvalid.
        """
        ask = BulkAsk(
            action=one_of(BulkAction, action, "action"),
            filters=filters,
            reason=text(reason, "reason"),
            mode=retry_mode(type),
            name=text(name, "name"),
            accept_risk=flag(accept_risk, "accept_risk"),
            forward=flag(forward, "forward"),
            expected=None if expected is None else whole(expected, "expected"),
        )
        if flag(dry_run, "dry_run"):
            return self.gateway.operations.plan(ask)
        return Operation(self.gateway, self.gateway.operations.begin(ask))

    def operations(self, limit: int = 100) -> list[Operation]:
        """Return bulk operations, newest first, 500 at most."""
        count = checked_limit(limit, "there is operation(id)")
        return [Operation(self.gateway, each) for each in self.gateway.operations.all(count)]

    def operation(self, id: str | int) -> Operation:
        """Return a bulk operation by its id; raises NotFound."""
        return Operation(self.gateway, self.gateway.operations.find(parse_operation_id(id)))

    def pause(self, task: str, reason: str = "") -> bool:
        """Start nothing more of a task; returns False when it was paused already."""
        return self.gateway.pause(text(task, "task"), text(reason, "reason"), paused=True)

    def resume(self, task: str, reason: str = "") -> bool:
        """Start work of a paused task again; returns False when it was not paused."""
        return self.gateway.pause(text(task, "task"), text(reason, "reason"), paused=False)

    def explain(self, id: str) -> str:
        """Say why a work item is in the state it is in: every decision with its rule, counters and arithmetic."""
        return self.gateway.explain(parse_item_id(id))

    def workers(self) -> list[WorkerView]:
        """Return the newest 500 workers, newest first; `dead` is one whose end nobody has acted on yet."""
        return self.gateway.workers()

    def audit(self, target: str | None = None, limit: int = 100) -> list[AuditRow]:
        """Return who asked for what, newest first, 500 lines at most; of one target such as `job 12`, or of all."""
        named = None if target is None else text(target, "target")
        return self.gateway.audit(named, checked_limit(limit, "name a target"))

    def trends(
        self, every: Literal["day", "week"] = "week", task: str | None = None, since: Any = None, until: Any = None
    ) -> list[Trend]:
        """Return the figures of each pipeline, and of all together, by day or ISO week in UTC, the oldest first.

        `since` and `until` are days (dates or ISO text), the second one not in it; whole periods are returned, and none in which
        nothing was counted. By default the last 12 weeks or 30 days. Raises ArgumentsInvalid, UnknownTask.
        """
        return self.gateway.trends(every, task, since, until)

    def verify(self) -> list[Finding]:
        """Check the store's invariants; an empty list is what there should be."""
        return verify(self.services.store)

    def asker(self, reason: str = "") -> Asker:
        """Say who asks the store, for the audit."""
        return self.services.asker(self._source, reason)

    @contextlib.contextmanager
    def _taking(self, taker: Backend | None = None) -> Iterator[None]:
        """Be where tasks submit to, instead of the default client."""
        token = RUNNING.set(taker or self)
        try:
            yield
        finally:
            RUNNING.reset(token)

    def _act(self, act: Act) -> Started:
        chosen(act.filters)
        text(act.reason, "reason")
        return Started(self.gateway.act(act))


class _Planning:
    """Where tasks submit to of which only the plan is wanted."""

    def __init__(self, plan: Callable[[Submission], Started]) -> None:
        self.take = plan


def connect(url: str | None = None, api_key: str | None = None, **settings: Any) -> Client:
    """Return a Client of a store, `sqlite:///path.db` or `postgresql://…`, or of a server, `https://…`, with the same verbs.

    Without a URL it is what the settings say. A server is asked by a key, which never goes to an http:// URL of another
    machine unless `insecure=True`. `settings` are those of docs/settings.md. Raises ConfigError, StoreError; a server is
    reached with the first request only.
    """
    if url is not None and not isinstance(url, str):
        raise ConfigError(f"url: expected a text such as sqlite:///path.db, not {shown(url)}")
    remote = (url or "").lower().startswith(HTTP)
    if api_key is not None and url is not None and not remote:
        raise ConfigError("a key is for a server: give its URL, such as https://mulligan.example.org, or leave out api_key")
    named = {"server" if remote else "database": url}
    return client_of(load_settings(**named, api_key=api_key, **settings))


def client_of(settings: Settings, source: str = "python", *, make: bool = True) -> Client:
    """Return a Client for settings that were loaded before; without `make`, of a store that must be there."""
    if settings.server:
        return Client(server_gateway(settings))
    services = Services(settings, make=make)
    return Client(services.gateway(source), services, source)


@functools.cache
def default_client() -> Client:
    """Return the process's one default client, made at its first use."""
    return connect()


def _task(task: Any) -> Task[..., Any]:
    if isinstance(task, Task):
        return task
    kind = "; give the task itself: its name goes into submit and backfill only" if isinstance(task, str) else ""
    raise ArgumentsInvalid(f"expected a task, which is a function declared with @task, not {shown(task)}{kind}")


def _options(options: Any) -> Options:
    if options is None or isinstance(options, Options):
        return options or Options()
    raise ArgumentsInvalid(f"options: expected Options, not {shown(options)}")
