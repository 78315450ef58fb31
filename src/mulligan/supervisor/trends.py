"""Sums up what was counted: lines of many transactions become one for each day, and one since ever."""

from __future__ import annotations

from mulligan.core.tallies import summed
from mulligan.engine.engine import Engine
from mulligan.supervisor.chore import Chore

INTERVAL_S = 5.0
PIECE = 5_000
"""Lines in one transaction."""


class Trends:
    """Whoever does it first does it: what is being summed up is taken, so that it counts once. Readers see both."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run_once(self) -> int:
        """Sum up a piece; returns how many lines that were, so that one comes again soon while there are more."""
        with self._engine.store.read() as session:
            if not session.tallies.any():
                return 0
        with self._engine.store.write() as session:
            taken = session.tallies.take(PIECE) if session.tallies.begin() else []
            if taken:
                session.tallies.add_to_trends(summed(taken))
                session.tallies.add_to_totals(summed(each._replace(day=0) for each in taken))
        return len(taken) if len(taken) == PIECE else 0


def trends_chore(engine: Engine) -> Chore:
    """Return the chore."""
    return Chore("trends", INTERVAL_S, Trends(engine).run_once)
