"""Calls that the body of a workflow makes: where each was made, what it comes to when the body is replayed, waiting for it.

A call is known by its place: its number in its branch of the body (in an `async def` body each asyncio task is a branch), or the
key that it was given. Places are texts such as `3`, `3.load` (an element of a map) and `=eu` (a key).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, overload

from mulligan.core.attempt import AttemptInfo
from mulligan.core.errors import ArgumentsInvalid, Refused, ReplayMismatch, TaskCancelled, TaskError, TaskFailed
from mulligan.core.job import JobStatus
from mulligan.core.labels import failure_message
from mulligan.core.replay import MANY, Past, Step, call_key, resolve
from mulligan.core.submission import NewCall, NewItem, Submission
from mulligan.sdk.context import Context
from mulligan.sdk.ports import Body, JobHandle

if TYPE_CHECKING:
    import asyncio

R = TypeVar("R")
R1 = TypeVar("R1")
R2 = TypeVar("R2")
R3 = TypeVar("R3")


class Branch:
    """One line of a body in which calls follow each other: they are numbered in it, and so are the branches that begin in it."""

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._calls = 0
        self._branches = 0

    def next_place(self) -> str:
        """Return the place of the next call."""
        self._calls += 1
        return f"{self._path}{self._calls}"

    def branch_off(self) -> Branch:
        """Return a branch that begins here."""
        self._branches += 1
        return Branch(f"{self._path}b{self._branches}/")


BRANCH: ContextVar[Branch] = ContextVar("mulligan_branch")
"""The branch of an `async def` body that runs."""


class CallBackend:
    """Takes what the body of a workflow calls; one for each time that the body is run."""

    def __init__(self, owner: str, body: Body, context: Context | None, info: AttemptInfo) -> None:
        self.context = context
        self._owner = owner
        self._body = body
        self._round = info.round
        self._path, self._epoch = info.path or info.key, info.keep_from
        self._past = {each.place: each for each in info.calls}
        self._made: dict[str, Step] = {}
        self._still_wanted: dict[str, NewCall] = {}
        """Calls of earlier rounds that had not ended: should they fail yet, they are made again in this one."""
        self.root = Branch()

    def take(self, submission: Submission) -> Call[Any]:
        """Make the calls of a submission; those that are known from before are not made again."""
        self._check(submission)
        key = submission.options.key
        base = f"={key}" if key is not None else BRANCH.get(self.root).next_place()
        single = submission.kind == "submit"
        wanted: list[NewCall] = []
        places: list[str] = []
        try:
            for item in submission.items:
                place = base if single else f"{base}.{item.key}"
                call = self._resolved(place, item, submission)
                places.append(place)
                if call is not None:
                    wanted.append(call)
            if wanted:
                self._body.make(wanted)
        except BaseException:
            for place in places:  # nobody has been asked for them, so nobody must wait for them
                del self._made[place]
                self._still_wanted.pop(place, None)
            raise
        return Call(self, places, submission)

    def outcome(self, place: str) -> Past:
        """Wait for the call at a place, and return how it ended."""
        while self._made[place] not in (Step.ANSWER, Step.UNKNOWN):
            self._body.wait([place])
            if (found := self._answer(place)) is not None:
                return found
        return self._past[place]

    async def outcome_async(self, place: str) -> Past:
        """Do the same without holding up the other coroutines of the body."""
        import asyncio

        while self._made[place] not in (Step.ANSWER, Step.UNKNOWN):
            loop, ended = asyncio.get_running_loop(), asyncio.Event()

            def tell(loop: asyncio.AbstractEventLoop = loop, ended: asyncio.Event = ended) -> None:
                loop.call_soon_threadsafe(ended.set)

            if self._body.ended(place) is None:
                self._body.when_ended(place, tell)
                await ended.wait()
            if (found := self._answer(place)) is not None:
                return found
        return self._past[place]

    def read(self, place: str, past: Past, decode: Callable[[str], Any]) -> Any:
        """Return the result of a call that has ended; raises TaskFailed."""
        if past.status is JobStatus.SUCCESS:
            return decode(past.result or "null")
        message = failure_message(past.reason, past.error_message)
        if self._made[place] is Step.UNKNOWN:
            message = f"it runs at most once and nobody knows whether it did, so a retry by itself leaves it alone: {message}"
        kind = TaskCancelled if past.status is JobStatus.REVOKED else TaskFailed
        raise kind(past.item, past.error_type, past.failure_class, message)

    def wait_for_all(self) -> None:
        """Wait for everything that was called: a workflow has not ended while something of it still runs."""
        for place in list(self._made):
            self.outcome(place)
        self._body.wait([past.place for past in self._past.values() if not past.ended and past.place not in self._made])

    def _answer(self, place: str) -> Past | None:
        """Return how a call ended, or None where that was in an earlier round, and does not count in this one."""
        found = self._body.ended(place)
        assert found is not None  # noqa: S101 - it was waited for
        again = self._still_wanted.get(place)
        if again is None:
            return found
        step = resolve(found, again.definition.name, again.digest, self._round)
        if step is not Step.ANSWER:
            self._made[place], self._past[place] = step, found
            del self._still_wanted[place]
        if step is Step.RUN_AGAIN:
            self._body.make([again])
        return found if step is Step.ANSWER else None

    def _resolved(self, place: str, item: NewItem, submission: Submission) -> NewCall | None:
        if place in self._made:
            raise ArgumentsInvalid(f"{self._owner}: two calls are at the place {place!r}; give each a key of its own")
        definition = submission.definition
        digest = _digest(item)
        past = self._past.get(place)
        step = self._made[place] = resolve(past, definition.name, digest, self._round)
        if step is Step.MISMATCH:
            assert past is not None  # noqa: S101 - what is not there binds nobody
            del self._made[place]
            raise ReplayMismatch(_mismatch(self._owner, place, past, definition.name, item.arguments))
        if step is Step.ANSWER and past is not None and self._is_lost(past):
            step = self._made[place] = Step.START
        if step in (Step.ANSWER, Step.UNKNOWN):
            return None
        again = past.item if past is not None and step is not Step.START else None
        key = call_key(self._path, self._epoch, definition.name, place, past.item if past is not None else None)
        call = NewCall(place, digest, item._replace(key=key), definition, submission.options, again)
        if step is Step.WAIT:
            self._still_wanted[place] = call
            return None
        return call

    def _is_lost(self, past: Past) -> bool:
        """Return whether a person recovers the workflow and an artifact that a call gave is not there any more."""
        if past.result is None or '"sha256"' not in past.result or past.round // MANY == self._round // MANY:
            return False
        from mulligan.sdk.artifacts import lost
        from mulligan.sdk.logs import attempt_logger

        why = lost(past.result)
        if why is not None:
            attempt_logger().warning("a call is made again, since its artifact is lost", call=past.item, task=past.task, why=why)
        return why is not None

    def _check(self, submission: Submission) -> None:
        if submission.kind == "backfill":
            raise TaskError(
                f"{self._owner}: a workflow does not backfill, since what is missing may be other windows when it is replayed; "
                "give the windows to map, or submit the backfill from a task"
            )
        given = [name for name in ("run_id", "labels") if getattr(submission.options, name)]
        if given:
            raise ArgumentsInvalid(f"{self._owner}: a call of a workflow has no {given[0]} of its own, but that of the workflow")


class Call(Generic[R]):
    """A call of a workflow, or the calls of a map, made and perhaps not ended; `await` it in an `async def` body."""

    def __init__(self, backend: CallBackend, places: Sequence[str], submission: Submission) -> None:
        self._backend = backend
        self._places = places
        self._task = submission.definition.name
        self._decode = submission.decode or json.loads
        self.kind = submission.kind

    def __repr__(self) -> str:
        return f"<call of {self._task}: {', '.join(self._places[:3])}{'…' if len(self._places) > 3 else ''}>"

    def __await__(self) -> Generator[Any, None, R]:
        return self._result_async().__await__()

    def wait(self) -> Call[R]:
        """Wait until it has ended, however it did."""
        for place in self._places:
            self._backend.outcome(place)
        return self

    def result(self) -> R:
        """Wait for the result of the only call; raises TaskFailed with the id and the message of the call."""
        if len(self._places) != 1:
            raise Refused(f"{self._task} was mapped over {len(self._places)} elements: ask for results()")
        return self._read(self._places[0])

    def results(self, return_exceptions: bool = False) -> list[R]:
        """Wait for all results, in their order; raises TaskFailed for the first that failed, once all have ended."""
        self.wait()
        return [self._read_or_error(place) if return_exceptions else self._read(place) for place in self._places]

    def _read(self, place: str) -> R:
        result: R = self._backend.read(place, self._backend.outcome(place), self._decode)
        return result

    def _read_or_error(self, place: str) -> Any:
        try:
            return self._read(place)
        except TaskFailed as error:
            return error

    async def _result_async(self) -> Any:
        for place in self._places:
            await self._backend.outcome_async(place)
        return self.result() if self.kind == "submit" else self.results()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        raise Refused(
            f"a call inside a workflow has no {name}: its body must come to the same each time; look at it from outside"
        )


@overload
def gather(first: JobHandle[R1], /, *, return_exceptions: bool = False) -> tuple[R1]: ...
@overload
def gather(first: JobHandle[R1], second: JobHandle[R2], /, *, return_exceptions: bool = False) -> tuple[R1, R2]: ...
@overload
def gather(
    first: JobHandle[R1], second: JobHandle[R2], third: JobHandle[R3], /, *, return_exceptions: bool = False
) -> tuple[R1, R2, R3]: ...
@overload
def gather(*handles: JobHandle[R], return_exceptions: bool = False) -> tuple[R, ...]: ...
def gather(*handles: Any, return_exceptions: bool = False) -> tuple[Any, ...]:
    """Wait for all of these calls or jobs, and return their results in this order; of a map it is a list.

    Once all have ended, raises TaskFailed for the first that failed; with `return_exceptions` it stands in its place instead.
    """
    for each in handles:
        each.wait()
    return tuple(_gathered(each, return_exceptions) for each in handles)


def _gathered(handle: Any, return_exceptions: bool) -> Any:
    if handle.kind != "submit":
        return handle.results(return_exceptions)
    try:
        return handle.result()
    except TaskFailed as error:
        if return_exceptions:
            return error
        raise


def run_async(
    coroutine: Coroutine[Any, Any, R],
    backend: CallBackend,
    began: Callable[[asyncio.AbstractEventLoop, asyncio.Task[Any]], None],
) -> R:
    """Run an `async def` body in this thread; `began` is told its loop and its task, so that others can cancel it."""
    import asyncio

    def make(loop: asyncio.AbstractEventLoop, coro: Any, **more: Any) -> asyncio.Task[Any]:
        context = more.pop("context", None) or copy_context()
        parent = context.get(BRANCH)
        context.run(BRANCH.set, backend.root if parent is None else parent.branch_off())
        return asyncio.Task(coro, loop=loop, context=context, **more)

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        loop.set_task_factory(make)
        task: asyncio.Task[R] = loop.create_task(coroutine)
        began(loop, task)
        return loop.run_until_complete(task)


def _digest(item: NewItem) -> str:
    window = "" if item.window is None else f"{item.window[0]}-{item.window[1]}"
    return hashlib.sha256(f"{item.arguments}\n{window}".encode()).hexdigest()[:32]


def _mismatch(owner: str, place: str, past: Past, task: str, arguments: str) -> str:
    there = "the same task with other arguments" if past.task == task else f"task {past.task!r}"
    state = "succeeded" if past.status is JobStatus.SUCCESS else "is running"
    shown = arguments if len(arguments) <= 200 else f"{arguments[:200]}…"
    return (
        f"{owner}: its call number {place} is now task {task!r} with {shown}, where before {there} was called (work item "
        f"{past.item}), which {state}. A body that is replayed must make the calls again that succeeded; give calls a key with "
        f"options(key=…) where their order is not fixed, or restart the workflow, which forgets them"
    )
