"""Does chores in one thread, each in its time, until it is stopped."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mulligan.core.errors import StoreError
from mulligan.supervisor.chore import Chore
from mulligan.telemetry import Tell

WELL_S = 60.0
"""A supervisor that has begun no chore for so long is stuck: there is one every few seconds."""
JOIN_S = 30.0
"""A step of a chore takes well under a second, unless the store is locked or away."""


@dataclass(slots=True)
class _Due:
    chore: Chore
    at: float = 0.0
    trouble: str = ""


class Supervisor:
    """Runs chores. `run` returns after `stop`, which a signal or a thread may call; `start` runs in a thread of its own.

    A chore that fails is told of once and tried again in its time. One that has more to do comes again after as long as it has
    taken, so that what it does leaves room for the others who use the store.
    """

    def __init__(self, chores: Sequence[Chore], tell: Tell) -> None:
        self._due = [_Due(each) for each in chores]
        self._tell = tell
        self._stopped = False
        self._runs = False
        self._looked = time.monotonic()
        self.ticked_s: float | None = None
        """When it last looked what is to be done, in seconds since 1970."""
        self._waker, self._wakee = socket.socketpair()
        self._waker.setblocking(False)
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Have SIGTERM and SIGINT stop it meanwhile; in the main thread only."""

        def asked(number: int, frame: object) -> None:  # noqa: ARG001
            self._ask_to_stop()

        previous = {number: signal.signal(number, asked) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def run(self) -> None:
        """Do chores until stopped."""
        self._runs = True
        try:
            while not self._stopped:
                self._step()
        finally:
            self._close()

    def start(self) -> None:
        """Do chores in a thread until stopped; safe to call twice."""
        if self._thread is None:
            self._thread = threading.Thread(target=self.run, name="mulligan supervisor", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop after what is being done, and wait for that; safe to call twice."""
        self._ask_to_stop()
        if self._thread is None and not self._runs:
            self._close()
        elif self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)

    @property
    def is_well(self) -> bool:
        """Whether it goes on doing chores, as far as can be seen."""
        return not self._stopped and time.monotonic() - self._looked < WELL_S

    def _step(self) -> None:
        self._looked = time.monotonic()
        self.ticked_s = time.time()
        for due in self._due:
            if due.at <= time.monotonic() and not self._stopped:
                self._do(due)
        wait_s = min((each.at for each in self._due), default=time.monotonic() + 1.0) - time.monotonic()
        select.select([self._wakee], [], [], max(0.0, wait_s))

    def _do(self, due: _Due) -> None:
        began = time.monotonic()
        try:
            more = due.chore.run_once()
        except StoreError as error:
            self._note(due, str(error))
        except Exception as error:  # noqa: BLE001 - one bad tick must not end everything that runs here
            self._note(due, f"{type(error).__name__}: {error}")
        else:
            ended = time.monotonic()
            due.at = ended + (ended - began) if more else began + due.chore.interval_s
            if due.trouble:
                due.trouble = ""
                self._tell("chore works again", chore=due.chore.name)
            return
        due.at = began + due.chore.interval_s

    def _note(self, due: _Due, trouble: str) -> None:
        if trouble != due.trouble:
            due.trouble = trouble
            self._tell("chore failed", chore=due.chore.name, error=trouble)

    def _close(self) -> None:
        self._waker.close()
        self._wakee.close()

    def _ask_to_stop(self) -> None:
        self._stopped = True
        with contextlib.suppress(OSError):  # it is awake, or gone
            self._waker.send(b"!")
