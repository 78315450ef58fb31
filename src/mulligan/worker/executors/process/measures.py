"""How long attempts of each task run, as measured, and how many fit into a child."""

from __future__ import annotations

BUDGET_S = 0.020
"""Measured work that a child may hold."""

MOST = 500
"""Attempts that a child may hold."""

_FLOOR_S = BUDGET_S / MOST


class Measures:
    """Moving averages of run times in seconds."""

    def __init__(self) -> None:
        self._average: dict[str, float] = {}

    def add(self, task: str, run_s: float) -> None:
        """Take one run into account; a longer one counts more, since a child too full is worse than one too empty."""
        old = self._average.get(task)
        if old is None:
            self._average[task] = run_s
        else:
            self._average[task] = old + (run_s - old) * (0.5 if run_s > old else 0.3)

    def estimate(self, task: str) -> float:
        """Return what an attempt adds to the load of a child; one that was not measured yet fills it."""
        average = self._average.get(task)
        return BUDGET_S if average is None else max(average, _FLOOR_S)
