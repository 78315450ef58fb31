"""Where time and chance come from: the system's, or a test's."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Wall time in milliseconds since 1970 UTC, and seconds that only ever grow."""

    def now_ms(self) -> int: ...

    def monotonic(self) -> float: ...


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


Chance = Callable[[], float]
"""Returns a random number in [0, 1)."""

system_chance: Chance = random.random
