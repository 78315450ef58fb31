"""What tests of the sdk share: a backend that takes submissions, and the channel of an attempt."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from in_memory import KeepingBackend, KeepingChannel
from turned import TurnedClock

from mulligan.sdk.ports import AMBIENT
from mulligan.sdk.trying import MachineClock


@pytest.fixture
def backend() -> Iterator[KeepingBackend]:
    before = AMBIENT.factory
    kept = KeepingBackend()
    AMBIENT.factory = lambda: kept
    yield kept
    AMBIENT.factory = before


@pytest.fixture
def channel() -> KeepingChannel:
    return KeepingChannel()


@pytest.fixture
def fresh_modules() -> Iterator[None]:
    """Forget what a test imported, and what it put on the path."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    sys.path[:] = path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> TurnedClock:
    """Put a clock that is turned in the place of the machine's."""
    turned = TurnedClock()
    for name in ("now_ms", "sleep", "pause"):
        monkeypatch.setattr(MachineClock, name, lambda _, *given, name=name: getattr(turned, name)(*given))
    return turned
