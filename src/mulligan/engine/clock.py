"""Where time and chance come from: the system's, or a test's."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Protocol

from mulligan.core.errors import StoreError


class Clock(Protocol):
    """Wall time in milliseconds since 1970 UTC, and seconds that only ever grow."""

    def now_ms(self) -> int: ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


STEP_MS = 1_000
"""A clock that was set back by more than this had been wrong before: nothing may go on living in that future."""


class SystemClock:
    """The machine's clock, without the small steps backwards that keeping it right brings; a real jump back is followed."""

    def __init__(self) -> None:
        self._last = 0

    def now_ms(self) -> int:
        now_ms = time.time_ns() // 1_000_000
        if now_ms > self._last or now_ms < self._last - STEP_MS:
            self._last = now_ms
        return self._last

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        threading.Event().wait(seconds)  # time.sleep fails where the clock is a faked one


MEASURE_S = 30.0
"""How often the difference to a server's clock is measured."""


class ServerClock:
    """The clock of the server that all share: machines whose clocks differ agree about what is due.

    It runs by this machine's monotonic clock and is set by the server's every half minute; while the server cannot be asked it
    runs on. Like SystemClock it takes no small steps backwards.
    """

    def __init__(self, ask: Callable[[], int]) -> None:
        self._ask = ask
        self._last = 0
        self._set(ask())

    def now_ms(self) -> int:
        if time.monotonic() - self._set_at > MEASURE_S:
            try:
                self._set(self._ask())
            except StoreError:
                self._set(self._read())
        now_ms = self._read()
        if now_ms > self._last or now_ms < self._last - STEP_MS:
            self._last = now_ms
        return self._last

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        threading.Event().wait(seconds)  # time.sleep fails where the clock is a faked one

    def _read(self) -> int:
        return self._set_to + round((time.monotonic() - self._set_at) * 1000)

    def _set(self, now_ms: int) -> None:
        self._set_to, self._set_at = now_ms, time.monotonic()


Chance = Callable[[], float]
"""Returns a random number in [0, 1)."""

system_chance: Chance = random.random
