"""Empty stores for simulations on PostgreSQL: one schema, emptied for each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from mulligan.store.interface import Database
from mulligan.store.postgres import Place, PostgresDatabase
from mulligan.testing.postgres import PostgresServer, empty


class Lasting(PostgresDatabase):
    """Stays open when a simulation is done with it: the next one has it."""

    def close(self) -> None:
        """Close nothing; see `end`."""

    def end(self) -> None:
        """Close it."""
        super().close()


@contextlib.contextmanager
def emptied(place: Place) -> Iterator[Callable[[], Database]]:
    """Return what empties a store, and gives it."""
    database = Lasting(place)

    def make() -> Database:
        empty(database)
        return database

    try:
        yield make
    finally:
        database.end()


@contextlib.contextmanager
def on_postgres() -> Iterator[Callable[[], Database]]:
    """The same on a server of its own."""
    server = PostgresServer()
    try:
        with emptied(Place(server.url, "simulation")) as make:
            yield make
    finally:
        server.close()
