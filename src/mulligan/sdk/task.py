"""Task and the decorator that declares one: the unit that is scheduled, retried, timed out and killed."""

from __future__ import annotations

import copy
import inspect
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, Protocol, Self, TypeVar, overload

from mulligan.core.attempt import AttemptInfo
from mulligan.core.definition import Definition
from mulligan.core.durations import Duration
from mulligan.core.errors import ArgumentsInvalid, SubmitInImport, TaskError
from mulligan.core.job import FailureClass
from mulligan.core.schedule import Instant, zone
from mulligan.core.submission import Only, Submission
from mulligan.sdk.context import Context
from mulligan.sdk.options import CallOptions, Classify, Executor, TaskOptions, call_options, task_options
from mulligan.sdk.ports import AMBIENT, RUNNING, Backend, Channel, JobHandle
from mulligan.sdk.window import Window

if TYPE_CHECKING:
    from mulligan.sdk.signature import Signature

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
X = TypeVar("X")
X_contra = TypeVar("X_contra", contravariant=True)


class Takes(Protocol[X_contra, R_co]):
    """A task whose first parameter, the Context aside, takes an `X`."""

    def submit(self, first: X_contra, /, *args: Any, **kwargs: Any) -> JobHandle[R_co]: ...


class Task(Generic[P, R]):
    """A function that Mulligan runs; made by `@task`. `P` are its parameters without the Context, `R` is its result."""

    def __init__(self, fn: Callable[..., Any], options: TaskOptions) -> None:
        self.fn = fn
        self.name = options.name
        self.declared = options
        self._call = CallOptions(call_options(f"task {self.name!r}").base)
        self._origin: Task[P, R] = self
        self.__wrapped__ = fn
        self.__doc__ = fn.__doc__
        self.__name__, self.__qualname__, self.__module__ = fn.__name__, fn.__qualname__, fn.__module__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function here and now, in the same attempt when inside a task."""
        return self._plain_call(args, kwargs)  # type: ignore[no-any-return]  # users' functions are untyped here

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Submit one call as a job. Raises ArgumentsInvalid, ValueTooLarge, TaskError."""
        from mulligan.sdk import items

        self._must_be_loadable()
        item, tz = items.of_call(self.signature, self.signature.bind(args, kwargs))
        return self._hand_over(Submission(self.definition(), "submit", [item], self._call.now(), tz))

    def map(
        self: Takes[X, R],
        xs: Iterable[X],
        *,
        key: Callable[[X], str] | None = None,
        args: Mapping[str, Any] | None = None,
    ) -> JobHandle[R]:
        """Submit a job with a work item for each element, which goes to the first parameter that is not in `args`.

        `args` are the same for all. `key` names the item of an element, uniquely; by default it is its number. The
        elements are read once, while the job is stored. Raises ArgumentsInvalid, ValueTooLarge, TaskError.
        """
        return _map(self, xs, key, args or {})

    def backfill(
        self: Takes[Window, R],
        start: Instant,
        end: Instant,
        every: Duration = "1d",
        tz: str = "UTC",
        *,
        only: Only = "missing",
        order: Literal["oldest", "newest"] = "oldest",
        args: Mapping[str, Any] | None = None,
        accept_risk: bool = False,
    ) -> JobHandle[R]:
        """Submit a job with a work item for each window of `[start, end)`; steps of whole days follow the calendar of `tz`.

        `only="missing"` skips windows that succeeded or are in flight, `"failed"` takes those that failed, `"all"` also
        overwrites, where that is known to be safe or `accept_risk` is set. Raises WindowInvalid, ArgumentsInvalid, TaskError.
        """
        return _backfill(self, start, end, every, tz, only, order, args or {}, accept_risk)

    def options(
        self,
        *,
        run_id: str | None = None,
        priority: int | None = None,
        delay: Duration | None = None,
        start_at: datetime | None = None,
        expires: datetime | Duration | None = None,
        labels: Mapping[str, str] | None = None,
        total_timeout: Duration | None = None,
    ) -> Self:
        """Return this task with options for the calls made on what is returned; raises ConfigError.

        The same `run_id` and input give the same job. `expires`: a time, or how long after the submission; an item that
        has not started by then fails. `delay` and `total_timeout` are durations, `start_at` is an aware datetime.
        """
        bound = copy.copy(self)
        bound._call = call_options(
            f"task {self.name!r}",
            run_id=run_id,
            priority=priority,
            delay=delay,
            start_at=start_at,
            expires=expires,
            labels=labels,
            total_timeout=total_timeout,
        )
        return bound

    @property
    def bound(self) -> bool:
        """Whether this is what `options` returned, not the task itself."""
        return self._origin is not self

    @property
    def signature(self) -> Signature:
        """The parameters and their checks, read from the type hints at first use; raises TaskError."""
        return self._origin._signature

    def check(self) -> None:
        """Resolve the type hints and see that the task can run as declared; raises TaskError."""
        _ = self.signature

    def definition(self) -> Definition:
        """Return what is published of this task; raises TaskError."""
        return self._origin._definition

    def classify_error(self, error: BaseException) -> FailureClass | None:
        """Return the class that the task's own `classify` function gives an error, if it has one and gives one."""
        classifier = self.declared.classifier
        if classifier is None:
            return None
        try:
            answer = classifier(error)
            return None if answer is None else FailureClass(answer)
        except Exception:  # noqa: BLE001 - a broken classifier must not hide the failure that it was asked about
            sys.stderr.write(f"task {self.name!r}: its classify function failed, so the rules decide\n{traceback.format_exc()}")
            return None

    def execute(self, arguments: str, info: AttemptInfo | None, channel: Channel) -> str | Coroutine[Any, Any, str]:
        """Run one attempt, and return its result as JSON; for an `async def`, return a coroutine that does.

        `info` may be None for a task that takes neither Context nor Window. Raises ArgumentsInvalid, ResultInvalid,
        ValueTooLarge, and whatever the function raises.
        """
        from mulligan.sdk.submitting import TaskBackend

        signature = self.signature
        values = signature.arguments.load(arguments)
        context = None if info is None else Context(info, channel)
        if signature.context is not None:
            values[signature.context] = self._injected(context, "Context")
        if signature.window is not None:
            values[signature.window] = self._injected(context and context.window, "Window")
        backend = TaskBackend(channel, context)
        if self.declared.executor == "async":
            return self._execute_async(values, backend)
        token = RUNNING.set(backend)
        try:
            return signature.result.dump(self.fn(**values))
        finally:
            RUNNING.reset(token)

    async def _execute_async(self, values: dict[str, Any], backend: Backend) -> str:
        token = RUNNING.set(backend)
        try:
            return self.signature.result.dump(await self.fn(**values))
        finally:
            RUNNING.reset(token)

    def _injected(self, value: Any, kind: str) -> Any:
        if value is None:
            raise ArgumentsInvalid(f"task {self.name!r}: takes a {kind}, but the work item has none; submit it again")
        return value

    @cached_property
    def _signature(self) -> Signature:
        from mulligan.sdk.signature import Signature

        if inspect.isgeneratorfunction(self.fn) or inspect.isasyncgenfunction(self.fn):
            raise TaskError(f"task {self.name!r}: a generator cannot be a task; return a value instead of yielding")
        return Signature(self.fn, f"task {self.name!r}")

    @cached_property
    def _definition(self) -> Definition:
        from mulligan.sdk.digest import code_digest, source_file
        from mulligan.sdk.signature import public_module, qualified_name

        declared, file = self.declared, source_file(self.fn)
        return Definition(
            name=self.name,
            module=public_module(self.fn.__module__),
            file=None if file is None else str(file),
            policy=declared.policy,
            timeout_s=declared.timeout_s,
            total_timeout_s=declared.total_timeout_s,
            heartbeat_timeout_s=declared.heartbeat_timeout_s,
            offline=declared.offline,
            online=declared.online,
            idempotent=declared.idempotent,
            uses=declared.uses,
            classify=tuple((each if isinstance(each, str) else qualified_name(each), to) for each, to in declared.rules),
            concurrency=declared.concurrency,
            priority=declared.priority,
            executor=declared.executor,
            memory_bytes=declared.memory_bytes,
            context=self.signature.context,
            window=self.signature.window,
            parameters=self.signature.arguments.schema,
            code_digest=code_digest(self.fn),
            runbook=declared.runbook,
        )

    def _plain_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = self.signature.context
        if name is None:
            return self.fn(*args, **kwargs)
        context = getattr(RUNNING.get(), "context", None)
        if context is None:
            raise TaskError(
                f"task {self.name!r} takes a Context, which there is only inside a running attempt of a task that takes one too; "
                f"run it as a job with {self.fn.__name__}.submit(…), or call {self.fn.__name__}.fn(…) with a Context of your own"
            )
        return self.fn(**self.signature.bind(args, kwargs), **{name: context})

    def _must_be_loadable(self) -> None:
        if AMBIENT.importing is not None:
            raise SubmitInImport(
                f"{AMBIENT.importing} submits task {self.name!r} while a worker imports it; "
                'put what submits below `if __name__ == "__main__":`'
            )
        _ = self._origin._loadable

    @cached_property
    def _loadable(self) -> bool:
        from mulligan.sdk.loading import must_be_loadable

        must_be_loadable(self)
        return True

    def _hand_over(self, submission: Submission) -> Any:
        backend = RUNNING.get()
        if backend is None:
            if AMBIENT.factory is None:
                raise TaskError(f"task {self.name!r}: nothing takes submissions here; `import mulligan` sets that up")
            backend = AMBIENT.factory()
        return backend.take(submission)

    def __repr__(self) -> str:
        return f"<task {self.name}>"


class AsyncTask(Task[P, R]):
    """A task made of an `async def`."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]
        """Call the function here and now; what it returns must be awaited."""
        # Called like the function it is made of: that the base class returns R itself is true of plain functions only.
        return self._plain_call(args, kwargs)  # type: ignore[no-any-return]


class _AcceptsAnything:
    """Not for use: a first parameter that takes this takes everything, so it is no Context."""


class Declaration:
    """`@task`, bare or with options: declares a function as a task, and does nothing else."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options

    @overload
    def __call__(
        self, fn: Callable[Concatenate[_AcceptsAnything, Q], Coroutine[Any, Any, R]], /
    ) -> AsyncTask[..., R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[_AcceptsAnything, Q], R], /) -> Task[..., R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Context, P], R], /) -> Task[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def __call__(
        self,
        *,
        name: str | None = None,
        retries: object = None,
        timeout: Duration | None = None,
        total_timeout: Duration | None = None,
        heartbeat_timeout: Duration | None = None,
        uses: Iterable[str] = (),
        offline: bool | None = None,
        online: bool | None = None,
        idempotent: bool | None = None,
        classify: Classify | None = None,
        concurrency: int | None = None,
        priority: int = 3,
        resources: Mapping[str, int | str] | None = None,
        executor: Executor | None = None,
        runbook: str | None = None,
    ) -> Declaration: ...
    def __call__(self, fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Declare a function as a task, or return a decorator that does so with options; raises ConfigError."""
        if fn is None:
            return Declaration({**self._options, **options})
        if not inspect.isfunction(fn):
            raise TaskError(f"@task declares functions, not {fn!r}; options are given by name: @task(retries=2)")
        kind: type[Task[Any, Any]] = AsyncTask if inspect.iscoroutinefunction(fn) else Task
        return kind(fn, task_options(fn, **self._options))


task = Declaration({})


def _map(task: Any, xs: Iterable[Any], key: Callable[[Any], str] | None, args: Mapping[str, Any]) -> Any:
    from mulligan.sdk import items

    task._must_be_loadable()
    made, tz = items.of_sequence(task.signature, xs, key, args)
    return task._hand_over(Submission(task.definition(), "map", made, task._call.now(), tz))


def _backfill(
    task: Any,
    start: Instant,
    end: Instant,
    every: Duration,
    tz: str,
    only: Only,
    order: str,
    args: Mapping[str, Any],
    accept_risk: bool,
) -> Any:
    from mulligan.sdk import items

    task._must_be_loadable()
    if only not in ("missing", "failed", "all"):
        raise ArgumentsInvalid(f"task {task.name!r}, only: expected 'missing', 'failed' or 'all', not {only!r}")
    if order not in ("oldest", "newest"):
        raise ArgumentsInvalid(f"task {task.name!r}, order: expected 'oldest' or 'newest', not {order!r}")
    zone(tz)
    made = items.of_range(task.signature, start, end, every, tz, order == "newest", args)
    submission = Submission(task.definition(), "backfill", made, task._call.now(), tz, only, accept_risk)
    return task._hand_over(submission)
