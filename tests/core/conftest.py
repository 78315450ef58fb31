"""The core's tests begin with nothing kept in mind."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from mulligan.core.failure import failure_from_json
from mulligan.core.fingerprint import of_kind, of_reason
from mulligan.core.schedule import _zone


@pytest.fixture(scope="session", autouse=True)
def nothing_is_kept_in_mind() -> None:
    """Forget answers of the process that this one was forked from: a mutant of what was asked there would not be asked again."""
    for each in (failure_from_json, of_kind, of_reason, _zone):
        each.cache_clear()


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have this machine's own time be another than UTC: fourteen hours later."""
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
