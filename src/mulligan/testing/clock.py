"""A clock that stands still until it is told to go on."""

from __future__ import annotations

import threading

START_MS = 1_700_000_000_000
"""Where a VirtualClock starts unless told otherwise: some moment in November 2023."""


class VirtualClock:
    """Implements `mulligan.engine.clock.Clock`; time passes only by `pass_`."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self._now_ms = now_ms
        self._monotonic = 0.0

    def now_ms(self) -> int:
        """Return the wall time in milliseconds since 1970 UTC."""
        return self._now_ms

    def monotonic(self) -> float:
        """Return seconds that only ever grow."""
        return self._monotonic

    def sleep(self, seconds: float) -> None:  # noqa: ARG002 - however long
        """Let other threads go on; no time passes here by itself."""
        threading.Event().wait(0.001)

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        if seconds < 0:
            raise ValueError(f"time passes forward only, not by {seconds} s: use jump")
        self._now_ms += round(seconds * 1000)
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as people and time servers do; the other clock does not notice."""
        self._now_ms += round(seconds * 1000)
