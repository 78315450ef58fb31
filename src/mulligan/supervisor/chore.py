"""What a chore is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chore:
    """Something done every `interval_s` seconds. `run_once` returns how much it did; a bad tick never ends the loop."""

    name: str
    interval_s: float
    run_once: Callable[[], int]
