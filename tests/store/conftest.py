"""A store of each kind, empty; the contract is written against it. A further kind of database is one more parameter here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mulligan.store.interface import Database
from mulligan.store.postgres import PostgresDatabase
from mulligan.store.sqlite import SqliteDatabase
from mulligan.store.store import Store


@pytest.fixture(params=["memory", "file", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    database: Database
    if request.param == "postgres":
        database = PostgresDatabase(request.getfixturevalue("an_empty_place")())
    else:
        path = ":memory:" if request.param == "memory" else str(tmp_path / "store.db")
        database = SqliteDatabase(path, synchronous="NORMAL")
    made = Store(database)
    yield made
    made.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "store.db")
