"""Empty stores for simulations on PostgreSQL: one schema, emptied for each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from mulligan.store.interface import Database
from mulligan.store.postgres import Place
from mulligan.testing.lasting import LastingDatabase
from mulligan.testing.postgres import PostgresServer


@contextlib.contextmanager
def emptied(place: Place) -> Iterator[Callable[[], Database]]:
    """Return what empties a store, and gives it."""
    database = LastingDatabase(place)
    try:
        yield database.emptied
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
