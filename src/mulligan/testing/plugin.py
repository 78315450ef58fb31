"""Fixtures for pytest, registered when Mulligan is installed: `mulligan_clock` and `mulligan_store`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mulligan.testing.clock import VirtualClock
    from mulligan.testing.memory import MemoryStore


@pytest.fixture
def mulligan_clock() -> VirtualClock:
    """A clock that stands still until `pass_(seconds)`."""
    from mulligan.testing.clock import VirtualClock

    return VirtualClock()


@pytest.fixture
def mulligan_store(mulligan_clock: VirtualClock) -> Iterator[MemoryStore]:
    """An empty store in memory that submissions go to, on `mulligan_clock`; `run_until_quiet(f)` has its work done."""
    from mulligan.testing.memory import store

    with store(mulligan_clock) as made:
        yield made
