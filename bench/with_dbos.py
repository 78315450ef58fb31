"""DBOS as a contender: workflows in a queue, on SQLite with one process and on PostgreSQL with two."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from bench import dbos_tasks
from bench.contender import Kind

CHUNK = 500
SUCCEEDED = "status = 'SUCCESS'"
LOOK_S = 0.005


class Dbos:
    """DBOS as it comes, on one of its stores."""

    def __init__(self, store: str) -> None:
        from dbos import DBOSClient

        self._postgres = store == "postgres"
        subprocess.run(_command("setup"), check=True, stdout=subprocess.DEVNULL)
        self._client: Any = DBOSClient(system_database_url=dbos_tasks.url())
        self._engine = self._client._sys_db.engine  # noqa: SLF001 - transactions of many calls need it
        self._numbers: dict[str, int] = {}

    def workers(self, kind: Kind, *, alone: bool) -> Sequence[Sequence[str]]:  # noqa: ARG002 - all kinds are alike
        """Return the commands that start its processes, each with a name of its own by which it takes up what it left."""
        return [_command(f"worker-{each}") for each in range(2 if self._postgres and not alone else 1)]

    def submit(self, kind: Kind, count: int) -> None:
        """Enqueue workflows, some hundred in a transaction."""
        for first in range(0, count, CHUNK):
            with self._engine.begin() as connection:
                for number in range(first, min(count, first + CHUNK)):
                    handle = self._client.enqueue_in_transaction(connection, _options(kind), number)
                    self._numbers[handle if isinstance(handle, str) else handle.get_workflow_id()] = number

    def done(self) -> int:
        """Return how many workflows have succeeded."""
        return int(self._rows("count(*)")[0][0])

    def committed(self) -> set[int]:
        """Return the numbers of the workflows that succeeded."""
        return {self._numbers[row[0]] for row in self._rows("workflow_uuid") if row[0] in self._numbers}

    def round_trip(self) -> None:
        """Enqueue a workflow and look for its result every few milliseconds."""
        self._client.enqueue(_options("plain"), 1).get_result(polling_interval_sec=LOOK_S)

    def steps(self, count: int) -> None:
        """Run a workflow that saves steps."""
        self._client.enqueue({"workflow_name": "steps", "queue_name": "work"}, count).get_result(polling_interval_sec=LOOK_S)

    def close(self) -> None:
        """Close the store."""
        self._client.destroy()

    def _rows(self, columns: str) -> Any:
        from sqlalchemy import text

        table = "dbos.workflow_status" if self._postgres else "workflow_status"
        with self._engine.connect() as connection:
            return connection.execute(text(f"select {columns} from {table} where {SUCCEEDED}")).fetchall()


def _command(name: str) -> list[str]:
    return [sys.executable, "-c", f"from bench import dbos_tasks; dbos_tasks.work({name!r})"]


def _options(kind: str) -> dict[str, str]:
    return {"workflow_name": kind, "queue_name": dbos_tasks.QUEUES[kind][0]}


def make(store: str) -> Dbos:
    """Return the contender."""
    return Dbos(store)
