"""Time for tests of attempts in process: it passes only where somebody waits, and tells how long they waited."""

from __future__ import annotations

from mulligan.testing.clock import VirtualClock


class TurnedClock:
    """Implements `mulligan.sdk.trying.Clock`."""

    def __init__(self) -> None:
        self.virtual = VirtualClock()
        self.waits: list[float] = []

    def now_ms(self) -> int:
        return self.virtual.now_ms()

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.virtual.pass_(seconds)

    async def pause(self, seconds: float) -> None:
        self.sleep(seconds)

    @property
    def at_s(self) -> float:
        """Seconds since the beginning."""
        return self.virtual.monotonic()
