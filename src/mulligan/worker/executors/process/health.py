"""Whether children can live here at all: what speaks against it is told, and counted until it is certain."""

from __future__ import annotations

from mulligan.core.failure import signal_name
from mulligan.telemetry import Tell

FORKSERVERS = 3
"""So many forkservers that die before any child could live are enough."""

LOADS = 6
"""So many children in a row that cannot load the tasks are enough: by then several seconds have passed."""


class Health:
    """Knows why no more attempts can be run here, once that is so."""

    def __init__(self, tell: Tell) -> None:
        self.trouble: str | None = None
        self._tell = tell
        self._lived = False
        self._forkservers = 0
        self._loads = 0

    def born(self) -> None:
        """Note that a child is ready."""
        self._lived = True
        self._loads = 0

    def lost_forkserver(self, code: int) -> None:
        """Note that a forkserver has died; where children have lived already, another one takes over."""
        ended = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        self._tell("forkserver died", ended=ended)
        self._forkservers += not self._lived
        if self._forkservers >= FORKSERVERS:
            self.trouble = (
                f"child processes cannot be started: the process that forks them {ended}, {self._forkservers} times in a row, "
                "before any of them could live; what it said is above"
            )

    def unfit(self, *, changed: bool, text: str) -> None:
        """Note that a child is of no use: its source files are not those of the worker, or it could not load them."""
        if self.trouble is not None:
            return  # it was on its way when this became certain
        if changed:
            self.trouble = f"source files have changed since this worker loaded them ({text}): start it again to use the new code"
            return
        self._loads += 1
        self._tell("a child process could not load the tasks", tries=self._loads, error=text)
        if self._loads >= LOADS:
            self.trouble = (
                f"{self._loads} child processes in a row could not load the tasks, although this worker itself could: {text}"
            )
