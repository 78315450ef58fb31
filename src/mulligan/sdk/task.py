"""Task and the decorator that declares one: the unit that is scheduled, retried, timed out and killed."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, Protocol, Self, TypeVar, Unpack, cast, overload

from mulligan.core.attempt import AttemptInfo
from mulligan.core.definition import Definition
from mulligan.core.durations import Duration
from mulligan.core.errors import ArgumentsInvalid, ConfigError, SubmitInImport, TaskError
from mulligan.core.job import FailureClass
from mulligan.core.schedule import Instant
from mulligan.core.submission import Cut, NewItem, Only, Options, Submission
from mulligan.sdk.calls import CallBackend
from mulligan.sdk.context import Context
from mulligan.sdk.declared import Declared
from mulligan.sdk.options import OPTION_NAMES, CallOptions, TaskKeywords, call_options, task_options
from mulligan.sdk.ports import AMBIENT, RUNNING, Backend, Channel, JobHandle
from mulligan.sdk.secret import resolve_all
from mulligan.sdk.submitting import TaskBackend
from mulligan.sdk.window import Window

if TYPE_CHECKING:
    from mulligan.sdk.calling import TaskCalls
    from mulligan.sdk.signature import Signature

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
X = TypeVar("X")
X_contra = TypeVar("X_contra", contravariant=True)


class Takes(Protocol[X_contra, R]):
    """A task whose first parameter, the Context aside, takes an `X`."""

    def submit(self, first: X_contra, /, *args: Any, **kwargs: Any) -> JobHandle[R]: ...


class Task(Generic[P, R]):
    """A function that Mulligan runs; made by `@task`. `P` are its parameters without the Context, `R` is its result."""

    def __init__(self, declared: Declared, call: CallOptions | None = None) -> None:
        fn = declared.fn
        self.fn = fn
        self.name = declared.options.name
        self.declared = declared
        self.call = call
        self.__wrapped__ = fn
        self.__doc__ = fn.__doc__
        self.__name__, self.__qualname__, self.__module__ = fn.__name__, fn.__qualname__, fn.__module__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function here and now: outside of jobs under its own policy, inside a task in the same attempt.

        Under its policy it is tried again in this process and waited for; what is raised is the error of the last attempt.
        In a workflow the call is a work item that is waited for through its retries; raises TaskFailed when that failed for good.
        """
        if isinstance(RUNNING.get(), CallBackend):
            return self.submit(*args, **kwargs).result()
        here = _called_here(self)
        return cast("R", _plain_call(self.declared, args, kwargs) if here is None else here(args, kwargs))

    @cached_property
    def here(self) -> TaskCalls:
        """How it is called where no attempt runs; raises TaskError."""
        from mulligan.sdk.calling import TaskCalls

        return TaskCalls(self)

    def call_here(self, item: NewItem) -> Any:
        """Call it where no attempt runs, with the arguments of a work item; its result as JSON, or what gives it when awaited."""
        signature = self.declared.signature
        values = signature.arguments.load(item.arguments)
        if signature.window is not None and item.window is not None:
            values[signature.window] = Window.of_ms(*item.window)
        found = self.here((), values)
        if inspect.iscoroutine(found):
            return _dumped(found, signature.result.dump)
        return signature.result.dump(found)

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Submit one call as a job. Raises ArgumentsInvalid, ValueTooLarge, TaskError."""
        from mulligan.sdk import items

        signature = _ready(self)
        item, tz = items.of_call(signature, signature.bind(args, kwargs))
        return _hand_over(self, "submit", [item], tz)

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
        from mulligan.sdk import items

        task = cast("Task[..., R]", self)
        made, tz = items.of_sequence(_ready(task), xs, key, args)
        return _hand_over(task, "map", made, tz)

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
        overwrites, where that is known to be safe or `accept_risk` is set, and is refused while any of them is in flight.
        Raises WindowInvalid, ArgumentsInvalid, TaskError, Refused.
        """
        from mulligan.sdk import items

        task = cast("Task[..., R]", self)
        signature = _ready(task)
        items.check_range(signature.owner, only, order, accept_risk)
        made, cut = items.of_range(signature, start, end, every, tz, order == "newest", args)
        return _hand_over(task, "backfill", made, tz, only, accept_risk, cut)

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
        key: str | None = None,
    ) -> Self:
        """Return this task with options for the calls made on what is returned; raises ConfigError.

        The same `run_id` and input give the same job. `key`: by what a workflow
        knows a call whose place in its body is not fixed. `expires`: a time, or how long after the submission; an item that
        has not started by then fails. `delay` and `total_timeout` are durations, `start_at` is an aware datetime.
        """
        call = call_options(
            self.declared.owner,
            run_id=run_id,
            priority=priority,
            delay=delay,
            start_at=start_at,
            expires=expires,
            labels=labels,
            total_timeout=total_timeout,
            key=key,
        )
        return type(self)(self.declared, call)

    def check(self) -> None:
        """Resolve the type hints and see that the task can run as declared; raises TaskError."""
        _ = self.declared.signature

    def definition(self) -> Definition:
        """Return what is published of this task; raises TaskError."""
        return self.declared.definition

    def classify_error(self, error: BaseException) -> FailureClass | None:
        """Return the class that the task's own `classify` function gives an error, if it has one and gives one."""
        classifier = self.declared.options.classifier
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
        signature = self.declared.signature
        values = signature.arguments.load(arguments)
        context = None if info is None else Context(info, channel)
        if signature.context is not None:
            values[signature.context] = self.injected(context, "Context")
        if signature.window is not None:
            values[signature.window] = self.injected(context and context.window, "Window")
        if signature.secret:
            resolve_all(values)
        backend = TaskBackend(channel, context)
        if self.declared.options.executor == "async":
            return self._execute_async(values, backend)
        token = RUNNING.set(backend)
        try:
            return signature.result.dump(self.fn(**values))
        finally:
            RUNNING.reset(token)

    async def _execute_async(self, values: dict[str, Any], backend: Backend) -> str:
        token = RUNNING.set(backend)
        try:
            return self.declared.signature.result.dump(await self.fn(**values))
        finally:
            RUNNING.reset(token)

    def injected(self, value: Any, kind: str) -> Any:
        """Return what is injected; raises ArgumentsInvalid where the work item has none."""
        if value is None:
            raise ArgumentsInvalid(f"task {self.name!r}: takes a {kind}, but the work item has none; submit it again")
        return value

    def __repr__(self) -> str:
        return f"<task {self.name}>"


class AsyncTask(Task[P, R]):
    """A task made of an `async def`."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]
        """Call the function here and now, as a plain task is called; what it returns must be awaited."""
        if isinstance(RUNNING.get(), CallBackend):
            return _awaited(self.submit(*args, **kwargs))
        # Called like the function it is made of: that the base class returns R itself is true of plain functions only.
        here = _called_here(self)
        return cast("Coroutine[Any, Any, R]", _plain_call(self.declared, args, kwargs) if here is None else here(args, kwargs))


class AcceptsAnything:
    """Not for use: a first parameter that takes this takes everything, so it is no Context."""


class Declaration:
    """`@task`, bare or with options: declares a function as a task, and does nothing else."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        unknown = sorted(set(options) - OPTION_NAMES)
        if unknown:
            raise ConfigError(f"@task has no option {', '.join(unknown)}; it has {', '.join(sorted(OPTION_NAMES))}")
        self._options = options

    @overload
    def __call__(self, fn: Callable[Concatenate[AcceptsAnything, Q], Coroutine[Any, Any, R]], /) -> AsyncTask[..., R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[AcceptsAnything, Q], R], /) -> Task[..., R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Context, P], R], /) -> Task[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def __call__(self, **options: Unpack[TaskKeywords]) -> Declaration: ...
    def __call__(self, *fn: Any, **options: Any) -> Any:
        """Declare a function as a task, or return a decorator that does so with options; raises ConfigError, TaskError."""
        options = {**self._options, **options}
        if not fn:
            return Declaration(options)
        if len(fn) > 1 or not inspect.isfunction(fn[0]):
            given = ", ".join(map(repr, fn))
            raise TaskError(f"@task declares functions, not {given}; options are given by name, such as @task(retries=2)")
        kind: type[Task[Any, Any]] = AsyncTask if inspect.iscoroutinefunction(fn[0]) else Task
        return kind(Declared(fn[0], task_options(fn[0], **options)))


task = Declaration({})


async def _dumped(pending: Coroutine[Any, Any, Any], dump: Callable[[Any], str]) -> str:
    return dump(await pending)


async def _awaited(call: JobHandle[R]) -> R:
    return await call


def _called_here(task: Task[..., Any]) -> TaskCalls | None:
    """Return how a task is called in process, or None where an attempt runs that the call is a part of."""
    return task.here if RUNNING.get() is None and AMBIENT.rules is not None else None


def _plain_call(declared: Declared, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    name = declared.signature.context
    if name is None:
        return declared.fn(*args, **kwargs)
    context = getattr(RUNNING.get(), "context", None)
    if context is None:
        call = declared.fn.__name__
        raise TaskError(
            f"{declared.owner} takes a Context, which there is only inside a running attempt of a task that takes one too; "
            f"run it as a job with {call}.submit(…), or call {call}.fn(…) with a Context of your own"
        )
    return declared.fn(**declared.signature.bind(args, kwargs), **{name: context})


def _ready(task: Task[Any, Any]) -> Signature:
    """Refuse what cannot be submitted, and return the signature."""
    declared = task.declared
    if AMBIENT.importing is not None:
        raise SubmitInImport(
            f"{AMBIENT.importing} submits {declared.owner} while a worker imports it; "
            'put what submits below `if __name__ == "__main__":`'
        )
    if declared.unloadable:
        raise TaskError(f"{declared.owner} {declared.unloadable}")
    return declared.signature


def _hand_over(
    task: Task[..., R],
    kind: Literal["submit", "map", "backfill"],
    items: Iterable[NewItem],
    tz: str,
    only: Only | None = None,
    accept_risk: bool = False,
    cut: Cut | None = None,
) -> JobHandle[R]:
    backend = RUNNING.get()
    if backend is None:
        if AMBIENT.factory is None:
            raise TaskError(f"{task.declared.owner}: nothing takes submissions in this process")
        backend = AMBIENT.factory()
    submission = Submission(
        definition=task.definition(),
        kind=kind,
        items=items,
        options=Options() if task.call is None else task.call.now(),
        tz=tz,
        only=only,
        decode=task.declared.signature.result.load,
        here=task.call_here,
        accept_risk=accept_risk,
        cut=cut,
    )
    job: JobHandle[R] = backend.take(submission)
    return job
