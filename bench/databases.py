"""PostgreSQL databases for the contenders that need one, on a server that lasts as long as the measuring."""

from __future__ import annotations

import contextlib
import os
from types import TracebackType

import psycopg

from mulligan.testing.postgres import PostgresServer

SERVER = "BENCH_POSTGRES_SERVER"
"""Names the server to be used, by the URL of a database on it; without it one is started, with the settings it comes with."""
NAME = "mulligan_bench"


class Databases:
    """Makes one database after the other; the server is there from the first one on."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._url = os.environ.get(SERVER, "")

    def __enter__(self) -> Databases:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def empty(self) -> str:
        """Return the URL of an empty database; the one before it is gone."""
        if not self._url:
            server = PostgresServer(durable=True)
            self._stack.callback(server.close)
            self._url = server.url
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(f"drop database if exists {NAME} with (force)")
            connection.execute(f"create database {NAME}")
        return _with_name(self._url)


def _with_name(url: str) -> str:
    head, _, rest = url.rpartition("/")
    return f"{head}/{NAME}{rest[rest.index('?') :] if '?' in rest else ''}"
