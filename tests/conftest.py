"""The PostgreSQL server that the tests share: one that is named, one of this machine, or one that a package brought."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator

import psycopg
import pytest
from hypothesis import Phase, settings

import known_routes
from mulligan.store.postgres import Place, PostgresDatabase
from mulligan.testing.lasting import LastingDatabase
from mulligan.testing.postgres import URL_VARIABLE, PostgresMissing, PostgresServer, empty, leave_alone

settings.register_profile("plain", deadline=None)
settings.load_profile("plain")
settings.register_profile("find", deadline=None, phases=[Phase.explicit, Phase.generate])
"""Finds what is wrong, and does not look for the shortest way there."""
settings.register_profile("mutants", deadline=None, max_examples=30, derandomize=True, phases=[Phase.explicit, Phase.generate])
"""The same quickly, for a few thousand mutants."""
known_routes.install()
if "MUTANT_UNDER_TEST" in os.environ:
    settings.load_profile("mutants")
LONG = (
    "api/test_server_killed",
    "console/test_every_page",
    "crash/test_clocks",
    "demo/test_demo_postgres",
    "demo/test_demo_staying",
    "demo/test_demo_whole",
    "engine/test_state_machine",
    "engine/test_workflow_machine",
    "simulation/test_simulation",
    "stories/test_canaries",
    "stories/test_kills",
    "stories/test_nightly",
    "stories/test_retraining",
    "stories/test_servers",
    "typing/test_type_checkers",
)
"""Modules with tests of ten seconds and more."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have each process begin with some of what takes long; all else stays in its random order.

    With `--dist worksteal` each is given a run of the tests in a row, as long as any other, and takes from others at the end.
    """
    long, rest = [], []  # type: list[pytest.Item], list[pytest.Item]
    for each in items:
        (long if each.nodeid.removeprefix("tests/").startswith(LONG) else rest).append(each)
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    dealt: list[pytest.Item] = []
    for place in range(processes):
        share = (len(items) - len(dealt)) // (processes - place)
        mine = long[place::processes]
        dealt += mine + [rest.pop() for _ in range(min(len(rest), max(0, share - len(mine))))]
    items[:] = dealt + rest


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Where a PostgreSQL database is that tests may make schemas in."""
    given = os.environ.get(URL_VARIABLE)
    if given:
        yield given
        return
    try:
        server = PostgresServer()
    except PostgresMissing as missing:
        pytest.skip(f"PostgreSQL tests: {missing}, or give {URL_VARIABLE}")
    yield server.url
    server.close()


_NUMBERS = itertools.count()


@contextlib.contextmanager
def _places(url: str) -> Iterator[Callable[[], Place]]:
    made: list[Place] = []

    def make() -> Place:
        made.append(Place(url, f"test_{os.getpid()}_{next(_NUMBERS)}"))
        return made[-1]

    yield make
    with psycopg.connect(url, autocommit=True) as connection:
        for each in made:
            connection.execute(f"drop schema if exists {each.schema} cascade".encode())


@pytest.fixture
def a_place(postgres_url: str) -> Iterator[Callable[[], Place]]:
    """Makes places for stores, each a schema of its own, which are gone after the test."""
    with _places(postgres_url) as make:
        yield make


@pytest.fixture(scope="session")
def _used_places(postgres_url: str) -> Iterator[tuple[list[Place], Callable[[], Place]]]:
    """Places whose tables are there already and which nobody uses now, and what makes more."""
    with _places(postgres_url) as make:
        yield [], make


@pytest.fixture
def an_empty_place(_used_places: tuple[list[Place], Callable[[], Place]]) -> Iterator[Callable[[], Place]]:
    """Makes places for stores with nothing in them, which are used again afterwards: ten times as quick as new ones.

    For tests that leave the tables as they are, and nobody at work.
    """
    free, new = _used_places
    taken: list[Place] = []

    def make() -> Place:
        used = bool(free)
        taken.append(free.pop() if used else new())
        database = PostgresDatabase(taken[-1])
        if used:
            empty(database)
        else:
            leave_alone(database)  # what it would know of one test leads the statements of the next astray
        database.close()
        return taken[-1]

    yield make
    free.extend(taken)


@pytest.fixture(scope="session")
def _used_databases(_used_places: tuple[list[Place], Callable[[], Place]]) -> Iterator[list[LastingDatabase]]:
    made: list[LastingDatabase] = []
    yield made
    for each in made:
        each.end()


@pytest.fixture
def an_empty_database(
    _used_databases: list[LastingDatabase], _used_places: tuple[list[Place], Callable[[], Place]]
) -> Callable[[], PostgresDatabase]:
    """Gives a store with nothing in it, which tests share one after the other; for those that need no more than one."""

    def give() -> PostgresDatabase:
        if _used_databases:
            return _used_databases[0].emptied()
        _used_databases.append(LastingDatabase(_used_places[1]()))
        leave_alone(_used_databases[0])
        return _used_databases[0]

    return give


@pytest.fixture(scope="module")
def shared_place(postgres_url: str) -> Iterator[Callable[[], Place]]:
    """The same for a whole module."""
    with _places(postgres_url) as make:
        yield make


@pytest.fixture(scope="session")
def all_places(postgres_url: str) -> Iterator[Callable[[], Place]]:
    """The same for all tests of a process."""
    with _places(postgres_url) as make:
        yield make
