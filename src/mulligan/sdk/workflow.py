"""Workflow and the decorator that declares one: a function that calls tasks and waits for them, and that is replayed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Concatenate, ParamSpec, TypedDict, TypeVar, Unpack, cast, overload

from mulligan.core.attempt import AttemptInfo
from mulligan.core.durations import Duration
from mulligan.core.errors import ConfigError, TaskError
from mulligan.core.signals import Stopped
from mulligan.sdk.calls import CallBackend, run_async
from mulligan.sdk.context import Context
from mulligan.sdk.declared import Declared
from mulligan.sdk.options import Classify, task_options
from mulligan.sdk.ports import RUNNING, Body, Channel
from mulligan.sdk.task import AcceptsAnything, AsyncTask, Task

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")


class WorkflowKeywords(TypedDict, total=False):
    """The options of `@workflow`, as they are written; they mean what they do for `@task`."""

    name: str | None
    retries: object
    total_timeout: Duration | None
    classify: Classify | None
    concurrency: int | None
    priority: int
    runbook: str | None


WORKFLOW_OPTIONS = frozenset(WorkflowKeywords.__annotations__)


class Replayed:
    """What a workflow does otherwise than a task: its body runs in the worker, and what it calls becomes a work item each."""

    def execute(self, arguments: str, info: AttemptInfo | None, channel: Channel) -> str:
        """Run the body, with the answers of the calls that it made before, and return its result as JSON.

        Returns or raises only when all that it called has ended.
        """
        task = cast("Task[..., Any]", self)
        assert info is not None  # noqa: S101 - the body of a workflow is always given it
        signature = task.declared.signature
        values = signature.arguments.load(arguments)
        context = Context(info, channel)
        if signature.context is not None:
            values[signature.context] = context
        if signature.window is not None:
            values[signature.window] = task.injected(context.window, "Window")
        backend = CallBackend(task.declared.owner, cast("Body", channel), context, info)
        token = RUNNING.set(backend)
        try:
            return self._result(task, values, backend, channel)
        finally:
            RUNNING.reset(token)

    def _result(self, task: Task[..., Any], values: dict[str, Any], backend: CallBackend, channel: Channel) -> str:
        try:
            if inspect.iscoroutinefunction(task.fn):
                value = run_async(task.fn(**values), backend, cast("Any", channel).runs_in)
            else:
                value = task.fn(**values)
            result = task.declared.signature.result.dump(value)
        except Stopped:
            raise
        except Exception:
            backend.wait_for_all()
            raise
        backend.wait_for_all()
        return result


class Workflow(Replayed, Task[P, R]):
    """A function that calls tasks and waits for them; made by `@workflow`."""


class AsyncWorkflow(Workflow[P, R]):
    """A workflow made of an `async def`."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]  # as of AsyncTask
        """Call it as an `async def` task is called."""
        return AsyncTask.__call__(cast("AsyncTask[P, R]", self), *args, **kwargs)


class WorkflowDeclaration:
    """`@workflow`, bare or with options: declares a function as a workflow, and does nothing else."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        unknown = sorted(set(options) - WORKFLOW_OPTIONS)
        if unknown:
            raise ConfigError(
                f"@workflow has no option {', '.join(unknown)}; it has {', '.join(sorted(WORKFLOW_OPTIONS))}. A limit for single "
                "attempts, resources and what is written belong to the tasks that it calls"
            )
        self._options = options

    @overload
    def __call__(self, fn: Callable[Concatenate[AcceptsAnything, Q], Coroutine[Any, Any, R]], /) -> AsyncWorkflow[..., R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[AcceptsAnything, Q], R], /) -> Workflow[..., R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /) -> AsyncWorkflow[P, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Context, P], R], /) -> Workflow[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncWorkflow[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Workflow[P, R]: ...
    @overload
    def __call__(self, **options: Unpack[WorkflowKeywords]) -> WorkflowDeclaration: ...
    def __call__(self, *fn: Any, **options: Any) -> Any:
        """Declare a function as a workflow, or return a decorator that does so; raises ConfigError, TaskError."""
        options = {**self._options, **options}
        if not fn:
            return WorkflowDeclaration(options)
        if len(fn) > 1 or not inspect.isfunction(fn[0]):
            given = ", ".join(map(repr, fn))
            raise TaskError(f"@workflow declares functions, not {given}; options are given by name, such as @workflow(retries=2)")
        kind: type[Task[Any, Any]] = AsyncWorkflow if inspect.iscoroutinefunction(fn[0]) else Workflow
        return kind(Declared(fn[0], task_options(fn[0], workflow=True, **options)))


workflow = WorkflowDeclaration({})
