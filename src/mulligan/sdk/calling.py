"""A task called where no attempt runs: here and now, under its own policy, with a Context that works in process."""

from __future__ import annotations

import inspect
import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from mulligan.core.attempt import AttemptInfo, StopCause
from mulligan.core.errors import ArgumentsInvalid, LeaseLost, TaskError
from mulligan.core.replay import Past
from mulligan.core.submission import Submission
from mulligan.sdk.context import Context
from mulligan.sdk.ports import AMBIENT, RUNNING, Backend
from mulligan.sdk.secret import resolve_all
from mulligan.sdk.submitting import MAX_ITEMS_INSIDE, call_name
from mulligan.sdk.trying import MACHINE, Limit, Plan, Surroundings, Trial, in_thread, judge, run, run_async
from mulligan.sdk.window import Window

if TYPE_CHECKING:
    from mulligan.sdk.options import CallOptions
    from mulligan.sdk.task import Task

KEY = "here"
"""The key of the only work item that a call in process has."""


class TaskCalls:
    """Calls of one task in process, with the options of one `.options(…)`."""

    def __init__(self, task: Task[..., Any], around: Surroundings = MACHINE) -> None:
        declared, options = task.declared, task.declared.options
        total_timeout_s = _checked(task.call, declared.owner) or options.total_timeout_s
        rules = declared.rules
        self.around = around
        self.fn = declared.fn
        self.signature = declared.signature
        self.run_id = None if task.call is None else task.call.base.run_id
        self.plan = Plan(
            options.policy, lambda error: judge(error, task.classify_error(error), rules), options.timeout_s, total_timeout_s
        )
        self.asynchronous = inspect.iscoroutinefunction(declared.fn)
        self.workflow = options.executor == "workflow"
        self._bare = self.signature.context is None and not self.plan.limited and not self.workflow and not self.signature.secret
        """Whether nothing must be known of a call before it fails."""

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the task; for an `async def`, return what is to be awaited."""
        if self._bare:
            return self._first_async(args, kwargs) if self.asynchronous else self._first(args, kwargs)
        return self.tried(Call(self, args, kwargs), Trial(self.plan, self.around))

    def tried(self, call: Call, trial: Trial) -> Any:
        """Go on with a call until it has ended; for an `async def`, return what is to be awaited."""
        if self.asynchronous:
            return run_async(trial, lambda limit: call.attempt_async(trial, limit))
        return run(trial, lambda limit: call.attempt(trial, limit))

    def _first(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function plainly: nearly all calls end here."""
        backend = HereBackend(self.run_id)
        token = RUNNING.set(backend)
        try:
            return self.fn(*args, **kwargs)
        except Exception as error:
            trial = Trial(self.plan, self.around)
            trial.begin()
            if not trial.after(error):
                raise
        finally:
            RUNNING.reset(token)
        trial.sleep()
        return self.tried(Call(self, args, kwargs, backend.run_id), trial)

    async def _first_async(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        backend = HereBackend(self.run_id)
        token = RUNNING.set(backend)
        try:
            return await self.fn(*args, **kwargs)
        except Exception as error:
            trial = Trial(self.plan, self.around)
            trial.begin()
            if not trial.after(error):
                raise
        finally:
            RUNNING.reset(token)
        await trial.pause()
        return await self.tried(Call(self, args, kwargs, backend.run_id), trial)


class Call:
    """One call with what its attempts have saved, which lives as long as the call."""

    def __init__(self, calls: TaskCalls, args: tuple[Any, ...], kwargs: dict[str, Any], run_id: str | None = None) -> None:
        self._calls = calls
        self._args, self._kwargs = args, kwargs
        self.run_id = run_id or calls.run_id or new_run_id()
        self.steps: dict[str, str] = {}
        self.cursor: str | None = None
        self.made: dict[str, Past] = {}
        """Of a workflow: what it has called, by place."""
        self.progress: tuple[float, float] | None = None
        self.rows: int | None = None
        if calls.signature.context is not None:
            self._args, self._kwargs = (), calls.signature.bind(args, kwargs)

    def attempt(self, trial: Trial, limit: Limit | None) -> Any:
        """Run one attempt of a plain function; one that takes too long is left behind in its thread."""
        channel = HereChannel(self, trial, limit)
        if limit is None:
            return self.within(channel)

        def abandon(late: bool) -> None:
            channel.stop("timeout" if late else "cancel")
            if late:
                trial.abandoned(limit)

        return in_thread(limit, lambda: self.within(channel), abandon)

    async def attempt_async(self, trial: Trial, limit: Limit | None) -> Any:
        """Run one attempt of an `async def`."""
        backend, context = self._surroundings(HereChannel(self, trial, limit))
        token = RUNNING.set(backend)
        try:
            return await self._calls.fn(*self._args, **self._kwargs, **context)
        finally:
            RUNNING.reset(token)

    def within(self, channel: HereChannel) -> Any:
        """Run one attempt of a plain function in this thread, however long it takes."""
        backend, context = self._surroundings(channel)
        token = RUNNING.set(backend)
        try:
            return self._calls.fn(*self._args, **self._kwargs, **context)
        finally:
            RUNNING.reset(token)

    def _surroundings(self, channel: HereChannel) -> tuple[Backend, dict[str, Context]]:
        if self._calls.signature.secret and not self._calls.workflow:
            resolve_all({"": self._args, **self._kwargs})
        name = self._calls.signature.context
        context = None if name is None and not self._calls.workflow else Context(self._info(channel.attempt), channel)
        named = {} if name is None or context is None else {name: context}
        if self._calls.workflow:
            from mulligan.sdk.inlined import HereCalls

            return HereCalls(self._calls.signature.owner, self.made, channel.attempt, context), named
        return HereBackend(self.run_id, context), named

    def _info(self, attempt: int) -> AttemptInfo:
        window = self._kwargs.get(self._calls.signature.window or "")
        whose = (window.start_ms, window.end_ms, window.tz) if isinstance(window, Window) else None
        return AttemptInfo(
            job="",
            run_id=self.run_id,
            key=KEY if whose is None or not isinstance(window, Window) else window.key,
            number=0,
            attempt=attempt,
            generation=1,
            window=whose,
            cursor=self.cursor,
            steps=tuple(self.steps.items()),
        )


class HereChannel:
    """Implements `ports.Channel` for one attempt in process: what it saves stays in the memory of the call."""

    def __init__(self, call: Call, trial: Trial, limit: Limit | None) -> None:
        self._call = call
        self._trial = trial
        self._limit = limit
        self._until_ms = None if limit is None else trial.now_ms() + round(limit.seconds * 1000)
        self._cause: StopCause | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self.attempt = trial.number

    def call(self, name: Literal["step", "cursor", "submit"], payload: str) -> str:
        """Keep what is saved, unless the attempt was left behind: by then another one may be running."""
        with self._lock:
            if self._cause is not None:
                raise LeaseLost(f"attempt {self.attempt} was given up: what it saves does not count any more")
            if name == "cursor":
                self._call.cursor = payload
            else:
                saved = json.loads(payload)
                self._call.steps[saved["key"]] = saved["value"]
        return "null"

    def progress(self, done: float, total: float) -> None:
        self._call.progress = (done, total)

    def output(self, rows: int) -> None:
        self._call.rows = rows

    def artifacts(self) -> str:
        """Return nothing: in process only artifacts with absolute paths or URLs have a place."""
        return ""

    def touch(self) -> None:
        """Nobody watches for silence here."""

    def stopping(self) -> StopCause | None:
        return self._cause

    def time_left(self) -> float | None:
        return None if self._until_ms is None else (self._until_ms - self._trial.now_ms()) / 1000

    def on_stop(self, callback: Callable[[], None]) -> None:
        with self._lock:
            if self._cause is None:
                self._callbacks.append(callback)
                return
        callback()

    def stop(self, cause: StopCause) -> None:
        """Let the attempt know that nobody waits for it any more."""
        with self._lock:
            self._cause = cause
            callbacks, self._callbacks = self._callbacks, []
        for each in callbacks:
            each()


class HereBackend:
    """Implements `ports.Backend` for what an attempt in process submits: a retry does not submit it twice."""

    __slots__ = ("_occurrences", "_run_id", "context")

    def __init__(self, run_id: str | None = None, context: Context | None = None) -> None:
        self._run_id = run_id
        self.context = context
        self._occurrences: dict[str, int] | None = None

    @property
    def run_id(self) -> str:
        """The run id of the call, made up when it is first asked for."""
        if self._run_id is None:
            self._run_id = new_run_id()
        return self._run_id

    def take(self, submission: Submission) -> Any:
        """Hand a submission to the default client, with a run id that follows from the call and what is submitted."""
        if AMBIENT.factory is None:
            raise TaskError(f"task {submission.definition.name!r}: nothing takes submissions in this process")
        if submission.options.run_id is not None:
            return AMBIENT.factory().take(submission)
        items = list(islice(submission.items, MAX_ITEMS_INSIDE + 1))
        if len(items) > MAX_ITEMS_INSIDE:
            raise ArgumentsInvalid(
                f"task {submission.definition.name!r}: more than {MAX_ITEMS_INSIDE:,} items submitted by a task need a run_id: "
                "`.options(run_id=…)`"
            )
        name = call_name(submission, items)
        self._occurrences = self._occurrences or {}
        place = self._occurrences[name] = self._occurrences.get(name, 0) + 1
        options = replace(submission.options, run_id=f"{self.run_id}.{name}-{place}"[:200])
        return AMBIENT.factory().take(replace(submission, items=items, options=options))


def new_run_id() -> str:
    """Make up a run id for a call in process."""
    return f"here-{uuid.uuid4().hex[:16]}"


def _checked(call: CallOptions | None, owner: str) -> float | None:
    """Return the total timeout that a call was given; refuse what only a job can keep."""
    if call is None:
        return None
    base = call.base
    if any(each is not None for each in (base.delay_s, base.start_at_ms, base.expires_ms, call.expires_after_s)):
        raise TaskError(f"{owner}: delay, start_at and expires are for jobs; call it without them, or submit it")
    return base.total_timeout_s
