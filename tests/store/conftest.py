"""A store for the contract suite. Another database joins by another name in `STORES`, and must pass it word for word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mulligan.store.sqlite import SqliteDatabase
from mulligan.store.store import Store

STORES = ("memory", "file")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    path = ":memory:" if request.param == "memory" else str(tmp_path / "store.db")
    made = Store(SqliteDatabase(path, synchronous="NORMAL"))
    yield made
    made.close()
