"""The PostgreSQL of a benchmark: a server of its own that flushes as in production, or the one that is named; databases in it."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from mulligan.testing.postgres import PostgresMissing, PostgresServer

NAMED = "MULLIGAN_BENCH_POSTGRES"
"""The variable that names a server whose user may make databases; without it, one is started."""
DATABASE = "BENCH_DATABASE"
"""The variable by which one run is told of its database."""


@contextlib.contextmanager
def server() -> Iterator[str | None]:
    """Give the URL of a server, which is gone afterwards if it was ours; None where there is none, and why on stderr."""
    named = os.environ.get(NAMED)
    if named:
        yield named
        return
    try:
        ours = PostgresServer(durable=True)
    except PostgresMissing as missing:
        print(f"without PostgreSQL: {missing}", file=sys.stderr)
        yield None
        return
    try:
        yield ours.url
    finally:
        ours.close()


@contextlib.contextmanager
def database(server_url: str) -> Iterator[str]:
    """Give the URL of an empty database in a server, which is dropped afterwards."""
    name = f"mulligan_bench_{secrets.token_hex(4)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        try:
            yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
        finally:
            connection.execute(f"drop database if exists {name} with (force)")


def postmaster(server_url: str) -> int | None:
    """Return the process id of a server on this machine, whose processes descend from it; None where that cannot be seen."""
    with psycopg.connect(server_url) as connection:
        place = Path(_shown(connection, "data_directory"))
    try:
        return int((place / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def version(server_url: str) -> str:
    """Return the server's version, and what of its settings decides about commits."""
    with psycopg.connect(server_url) as connection:
        told = [_shown(connection, each) for each in ("server_version", "fsync", "synchronous_commit", "shared_buffers")]
    return f"{told[0]} (fsync {told[1]}, synchronous_commit {told[2]}, shared_buffers {told[3]})"


def _shown(connection: psycopg.Connection[tuple[str, ...]], name: str) -> str:
    row = connection.execute("select current_setting(%s)", (name,)).fetchone()
    return row[0] if row else ""
