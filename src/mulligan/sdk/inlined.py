"""A workflow called where no attempt runs: what it calls runs here too, each call under the policy of its own task."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from mulligan.core.attempt import AttemptInfo
from mulligan.core.job import FailureClass, JobStatus, Reason
from mulligan.core.replay import Past
from mulligan.core.submission import NewCall, NewItem, Submission
from mulligan.sdk.calls import CallBackend
from mulligan.sdk.context import Context
from mulligan.sdk.ports import RUNNING, Body

if TYPE_CHECKING:
    import asyncio


class HereCalls(CallBackend):
    """Runs calls as they are made; those of `async def` tasks in an `async def` body beside each other.

    `made` is what was called in earlier attempts: what succeeded is not called again.
    """

    def __init__(self, owner: str, made: dict[str, Past], attempt: int, context: Context | None) -> None:
        info = AttemptInfo("", "", "", 0, attempt, 1, None, None, (), round=attempt, calls=tuple(made.values()))
        self._here = HereBody(made)
        super().__init__(owner, cast("Body", self._here), context, info)

    def _resolved(self, place: str, item: NewItem, submission: Submission) -> NewCall | None:
        call = super()._resolved(place, item, submission)
        if call is not None:
            self._here.run(call, submission, self._round)
        return None


class HereBody:
    """What a body of a workflow waits for where everything runs in its own thread."""

    def __init__(self, made: dict[str, Past]) -> None:
        self._made = made
        self._pending: dict[str, asyncio.Task[None]] = {}

    def run(self, call: NewCall, submission: Submission, round: int) -> None:
        """Run a call to its end, or have it run beside others."""
        assert submission.here is not None  # noqa: S101 - what a task submits has it
        token = RUNNING.set(None)
        try:
            found = submission.here(call.item)
        except Exception as error:  # noqa: BLE001 - the outcome of the call
            self._end(call, round, error)
        else:
            if inspect.isawaitable(found):
                self._run_beside(call, round, found)
            else:
                self._end(call, round, str(found))
        finally:
            RUNNING.reset(token)

    def make(self, calls: Sequence[NewCall]) -> None:
        """Do nothing: calls were run as they were made."""

    def wait(self, places: Iterable[str]) -> None:
        """Return at once: what runs beside others is awaited."""

    def ended(self, place: str) -> Past | None:
        """Return how a call ended."""
        return None if place in self._pending else self._made.get(place)

    def when_ended(self, place: str, tell: Callable[[], None]) -> None:
        """Call back when a call has ended that runs beside others."""
        self._pending[place].add_done_callback(lambda _: tell())

    def _run_beside(self, call: NewCall, round: int, pending: Any) -> None:
        import asyncio

        async def end() -> None:
            try:
                self._end(call, round, await pending)
            except Exception as error:  # noqa: BLE001 - the outcome of the call
                self._end(call, round, error)
            finally:
                del self._pending[call.place]

        try:
            self._pending[call.place] = asyncio.get_running_loop().create_task(end())
        except RuntimeError:  # an `async def` task in a plain body
            self._end_now(call, round, pending)

    def _end_now(self, call: NewCall, round: int, pending: Any) -> None:
        import asyncio

        async def awaited() -> str:
            return str(await pending)

        try:
            self._end(call, round, asyncio.run(awaited()))
        except Exception as error:  # noqa: BLE001 - the outcome of the call
            self._end(call, round, error)

    def _end(self, call: NewCall, round: int, outcome: str | Exception) -> None:
        name = call.definition.name
        if isinstance(outcome, str):
            status, reason, facts = JobStatus.SUCCESS, Reason.SUCCEEDED, (None, outcome, None, None)
        else:
            status, reason = JobStatus.FAILURE, Reason.NOT_RETRIED
            facts = (FailureClass.UNKNOWN, None, type(outcome).__name__, str(outcome))  # type: ignore[assignment]
        self._made[call.place] = Past(call.place, f"{name} {call.place}", name, call.digest, round, status, reason, *facts)
