"""How many requests are worked on at once: the others wait their turn, first come, first served."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from mulligan.api.errors import RequestRefused

AT_ONCE = 8
"""Fewer than a store on PostgreSQL has connections, so that nobody waits for one; more threads than this would only take
the interpreter away from one another."""
WAITING = 1_000
WAIT_S = 15.0
RETRY_AFTER_S = 2


class Gate:
    """Lets so many requests in at once; used in one event loop."""

    def __init__(self, at_once: int = AT_ONCE, waiting: int = WAITING, wait_s: float = WAIT_S) -> None:
        """At most `waiting` requests wait, each for `wait_s` seconds at most."""
        self._turns = asyncio.Semaphore(at_once)
        self._most = waiting
        self._wait_s = wait_s
        self._waiting = 0

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[Callable[[], None]]:
        """Wait for a turn; gives what ends it early, and may be called again. Raises RequestRefused where too many wait."""
        await self._wait()
        held = True

        def end() -> None:
            nonlocal held
            if held:
                held = False
                self._turns.release()

        try:
            yield end
        finally:
            end()

    async def _wait(self) -> None:
        if self._turns.locked() and self._waiting >= self._most:
            raise _busy(f"{self._waiting:,} requests wait for their turn")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await self._turns.acquire()
        except TimeoutError:
            raise _busy(f"it was not this request's turn for {self._wait_s:g} s") from None
        finally:
            self._waiting -= 1


def _busy(what: str) -> RequestRefused:
    said = f"the server has more to do than it can: {what}; nothing was changed, ask again in {RETRY_AFTER_S} s"
    return RequestRefused(503, "server_busy", said, {"Retry-After": str(RETRY_AFTER_S)})
