"""What the body of a workflow says to its worker and hears from it, across threads."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal

from mulligan.core.attempt import StopCause
from mulligan.core.errors import LeaseLost
from mulligan.core.job import JobStatus
from mulligan.core.replay import Past
from mulligan.core.signals import Stopped
from mulligan.core.submission import NewCall
from mulligan.sdk.ports import AMBIENT
from mulligan.worker.executors.interface import Call, Calls, Logged, Progressed, Report

if TYPE_CHECKING:
    import asyncio


TURNS = 100
"""Turns of an event loop after which its coroutines wait for something outside of it."""


class BodyChannel:
    """Implements `sdk.ports.Body`; the worker's loop calls `answer`, `arrived`, `stop` and `close`, the body all else."""

    def __init__(self, id: int, round: int, time_left: Callable[[], float | None], report: Callable[[Report], None]) -> None:
        self._id = id
        self._round = round
        self._report = report
        self.time_left = time_left
        self._changed = threading.Lock()
        self._wakers: list[Callable[[], None]] = []
        self._made: dict[str, NewCall] = {}
        self._ended: dict[str, Past] = {}
        self._tell: dict[str, list[Callable[[], None]]] = {}
        self._answers: dict[int, SimpleQueue[tuple[str | None, str | None]]] = {}
        self._numbers = 0
        self._callbacks: list[Callable[[], None]] = []
        self._cause: StopCause | None = None
        self._closed = False
        self._coroutine: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        self.rows: int | None = None
        self.artifacts_at = ""
        self.waits = 0
        """How many waits for calls go on: while there is one, the body needs no slot."""
        self.asks = 0
        """How many waits for answers of the worker go on."""

    def call(self, name: Literal["step", "cursor", "submit"], payload: str) -> str:
        """Ask the worker and wait for its answer; raises the error it answers with."""
        box: SimpleQueue[tuple[str | None, str | None]] = SimpleQueue()
        with self._changed:
            self._numbers += 1
            number = self._numbers
            self._answers[number] = box
            if self._closed:
                raise LeaseLost("this attempt has ended")
            self.asks += 1
        self._report(Call(self._id, number, name, payload))
        value, error = box.get()
        with self._changed:
            self.asks -= 1
            del self._answers[number]
        if error is not None or value is None:
            raise LeaseLost((error or "the worker gave no answer").partition(": ")[2])
        return value

    def make(self, calls: Sequence[NewCall]) -> None:
        """Have calls stored and started."""
        with self._changed:
            self._refuse_stopped()
            for each in calls:
                self._made[each.place] = each
                self._ended.pop(each.place, None)
        self._report(Calls(self._id, calls))

    def wait(self, places: Iterable[str]) -> None:
        """Wait until the calls made at these places have ended; raises Stopped."""
        for place in places:
            while place not in self._ended:
                self._refuse_stopped()
                woken = threading.Event()
                with self._changed:
                    self._wakers.append(woken.set)
                self.when_ended(place, woken.set)
                if self._cause is None:
                    woken.wait()
                with self._changed:
                    self._wakers.remove(woken.set)

    def ended(self, place: str) -> Past | None:
        """Return the call made at a place if it has ended."""
        return self._ended.get(place)

    def when_ended(self, place: str, tell: Callable[[], None]) -> None:
        """Call `tell` once when the call made at a place has ended."""
        with self._changed:
            if place not in self._ended:
                self.waits += 1
                self._tell.setdefault(place, []).append(tell)
                return
        tell()

    def runs_in(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        """Note where the coroutine of an `async def` body runs, so that it can be cancelled."""
        with self._changed:
            self._coroutine = loop, task
            stopped = self._cause is not None
        if stopped:
            task.cancel()

    def progress(self, done: float, total: float) -> None:
        """Tell how far the body is."""
        self._report(Progressed(self._id, done, total))

    def output(self, rows: int) -> None:
        """Tell how many rows were written."""
        self.rows = rows

    def log(self, line: str) -> None:
        """Add a line to the attempt's log."""
        self._report(Logged(self._id, AMBIENT.mask.text(line)))

    def artifacts(self) -> str:
        """Return where artifacts with relative paths lie."""
        return self.artifacts_at

    def touch(self) -> None:
        """Do nothing: a workflow has no limit without a sign of life."""

    def stopping(self) -> StopCause | None:
        """Return why the attempt was asked to stop, or None."""
        return self._cause

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Call back when the attempt is asked to stop."""
        with self._changed:
            if self._cause is None:
                self._callbacks.append(callback)
                return
        callback()

    def answer(self, number: int, value: str | None, error: str | None) -> None:
        """Hand an answer to the body."""
        box = self._answers.get(number)
        if box is not None:
            box.put((value, error))

    def arrived(self, call: Past) -> None:
        """Note that a call has ended; what was there before the body made one is not what it waits for."""
        if not call.ended:
            return
        with self._changed:
            if call.place in self._ended or self._is_past(call):
                return
            self._ended[call.place] = call
            told = self._tell.pop(call.place, [])
            self.waits -= len(told)
        for tell in told:
            tell()

    def stop(self, cause: StopCause) -> None:
        """Ask the body to stop: whatever it waits for ends at once."""
        with self._changed:
            if self._cause is not None:
                return
            self._cause = cause
            callbacks, self._callbacks = self._callbacks, []
            wakers = list(self._wakers)
            coroutine = self._coroutine
        for wake in wakers:
            wake()
        if coroutine is not None:
            loop, task = coroutine
            loop.call_soon_threadsafe(task.cancel)
        if callbacks:
            threading.Thread(target=_call_all, args=(callbacks,), daemon=True).start()

    def settle(self) -> None:
        """Wait until the coroutines of an `async def` body have done what they can do for now."""
        if self._coroutine is None:
            return
        loop, done = self._coroutine[0], threading.Event()

        def pass_(turns: int) -> None:
            if turns:
                loop.call_soon(pass_, turns - 1)
            else:
                done.set()

        with contextlib.suppress(RuntimeError):  # its loop has ended, and the body with it
            loop.call_soon_threadsafe(pass_, TURNS)
            done.wait(1.0)

    def close(self) -> None:
        """Answer nobody any more."""
        with self._changed:
            self._closed = True
            boxes = list(self._answers.values())
        for box in boxes:
            box.put((None, f"{LeaseLost.code}: this attempt has ended"))

    def _is_past(self, call: Past) -> bool:
        made = self._made.get(call.place)
        if made is None:
            return False
        same = (call.task, call.digest) == (made.definition.name, made.digest)
        return not same or (call.status is not JobStatus.SUCCESS and call.round != self._round)

    def _refuse_stopped(self) -> None:
        if self._cause is not None:
            raise Stopped(self._cause)


def _call_all(callbacks: Sequence[Callable[[], None]]) -> None:
    import traceback

    for each in callbacks:
        try:
            each()
        except Exception:  # noqa: BLE001 - users' code; the stop goes on
            traceback.print_exc()
