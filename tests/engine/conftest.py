"""A harness for each test, on each kind of store, which must be sound when the test is over."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mulligan.store.postgres import Place, PostgresDatabase
from mulligan.testing.harness import Harness
from mulligan.testing.lasting import LastingDatabase


@pytest.fixture(params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[Harness]:
    database = request.getfixturevalue("an_empty_database")() if request.param == "postgres" else None
    with Harness(database=database) as harness:
        yield harness
        assert harness.verify() == []


@pytest.fixture(params=["sqlite", "postgres"])
def join(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Harness]]:
    """Makes harnesses that all work on one store, as so many processes would."""
    place = request.getfixturevalue("an_empty_place")() if request.param == "postgres" else None
    path = str(tmp_path / "store.db")
    with contextlib.ExitStack() as stack:

        def make() -> Harness:
            return stack.enter_context(Harness(path, database=PostgresDatabase(place) if place else None))

        yield make
        assert make().verify() == []


@pytest.fixture(scope="module")
def emptied(shared_place: Callable[[], Place]) -> Iterator[Callable[[], PostgresDatabase]]:
    """Returns one and the same PostgreSQL store, emptied each time: quicker than a new one for tests that want hundreds."""
    database = LastingDatabase(shared_place())
    yield database.emptied
    database.end()


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "store.db")
