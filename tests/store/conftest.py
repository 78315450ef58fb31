"""A store of each kind, empty; the contract is written against it. A second kind of database is one more parameter here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mulligan.store.sqlite import SqliteDatabase
from mulligan.store.store import Store


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    path = ":memory:" if request.param == "memory" else str(tmp_path / "store.db")
    made = Store(SqliteDatabase(path, synchronous="NORMAL"))
    yield made
    made.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "store.db")
