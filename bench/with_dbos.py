"""DBOS as a contender: workflows from a queue, on SQLite as it ships or on PostgreSQL."""

# mypy: ignore-errors
# It is installed in an environment of its own.

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Sequence

with contextlib.suppress(ImportError):  # where Python's SQLite is too old for it
    import pysqlite3

    sys.modules["sqlite3"] = pysqlite3

import sqlalchemy
from dbos import DBOS, DBOSClient

from bench import bodies
from bench.contender import POSTGRES, Entry, Kind

SENT = 500
AT_ONCE = 50
LOOK_S = 0.01
WAIT_S = 0.005


def _url() -> str:
    return os.environ.get(POSTGRES) or f"sqlite:///{bodies.folder() / 'dbos.db'}"


@DBOS.workflow()
def plain(number: int) -> bool:  # noqa: ARG001 - what a call is for
    bodies.nothing()
    return True


@DBOS.step(retries_allowed=True, interval_seconds=0.001, max_attempts=3)
def failing(number: int) -> bool:
    bodies.fail_at_first(number)
    return True


@DBOS.workflow()
def flaky(number: int) -> bool:
    return failing(number)


@DBOS.step()
def nothing() -> None:
    bodies.nothing()


@DBOS.workflow()
def steps(count: int) -> None:
    for _ in range(count):
        nothing()


class Dbos:
    """DBOS, whose workers have to be known to the database before anything is enqueued."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._client = None

    def workers(self, many: bool = True) -> Sequence[Sequence[str]]:
        """Return the commands that start the workers."""
        code = "from bench.with_dbos import work; work('{}')"
        return [[sys.executable, "-c", code.format(name)] for name in range(self._workers if many else 1)]

    def submit(self, kind: Kind, count: int) -> None:
        """Enqueue five hundred in a transaction."""
        client = self._connect()
        for first in range(0, count, SENT):
            with client._sys_db.engine.begin() as connection:  # noqa: SLF001 - its own way to enqueue many
                for number in range(first, min(count, first + SENT)):
                    client.enqueue_in_transaction(connection, _options(kind), number)

    def done(self) -> int:
        """Return how many workflows have succeeded."""
        table = "dbos.workflow_status" if POSTGRES in os.environ else "workflow_status"
        with self._connect()._sys_db.engine.connect() as connection:  # noqa: SLF001 - the same
            return connection.execute(sqlalchemy.text(f"select count(*) from {table} where status = 'SUCCESS'")).scalar()  # noqa: S608

    def committed(self) -> set[int]:
        """Not measured."""
        raise NotImplementedError

    def round_trip(self) -> None:
        """Enqueue one workflow and wait for its result."""
        self._connect().enqueue(_options("plain"), 1).get_result(polling_interval_sec=WAIT_S)

    def steps(self, count: int) -> None:
        """Run one workflow that saves steps."""
        self._connect().enqueue(_options("steps"), count).get_result(polling_interval_sec=WAIT_S)

    def close(self) -> None:
        """Leave it to the end of the process."""

    def _connect(self):
        if self._client is None:
            import subprocess

            subprocess.run([sys.executable, "-c", "from bench.with_dbos import prepare; prepare()"], check=True)
            self._client = DBOSClient(system_database_url=_url())
        return self._client


def _options(workflow: str) -> dict:
    return {"workflow_name": workflow, "queue_name": "bench"}


def _launch(name: str) -> None:
    DBOS(
        config={
            "name": "bench",
            "system_database_url": _url(),
            "application_version": "bench",
            "executor_id": name,
            "log_level": "ERROR",
            "console_log_level": "ERROR",
        }
    )
    DBOS.launch()
    DBOS.register_queue("bench", worker_concurrency=AT_ONCE, polling_interval_sec=LOOK_S)


def prepare() -> None:
    """Make the schema and the queue."""
    _launch("prepare")
    os._exit(0)


def work(name: str) -> None:
    """Be a worker."""
    _launch(name)
    threading.Event().wait()


def make(entry: Entry) -> Dbos:
    """Return the contender."""
    return Dbos(2 if entry.store == "PostgreSQL" else 1)
