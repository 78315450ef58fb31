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


class SystemClock:
    """The machine's clock; its wall time never runs backwards within this process."""

    def __init__(self) -> None:
        self._last = 0

    def now_ms(self) -> int:
        self._last = max(self._last, time.time_ns() // 1_000_000)
        return self._last

    def monotonic(self) -> float:
        return time.monotonic()


Chance = Callable[[], float]
"""Returns a random number in [0, 1)."""

system_chance: Chance = random.random
