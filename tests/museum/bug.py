"""A bug as the museum keeps it."""

from __future__ import annotations

from typing import NamedTuple

SIMULATION = "simulation"


class Bug(NamedTuple):
    """A bug: what it is, where it was, how it is brought back, and what is asked to find it."""

    name: str
    seen: str
    """Where others had it, or the class of bugs that it stands for."""
    file: str
    """Below `src/mulligan`."""
    right: str
    wrong: str
    finder: str = SIMULATION
    """The simulation, or a part of the suite."""
