"""The measured workflows of DBOS; run as a program, a process that works on them until it is killed."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import contextlib
import os
import sys
import threading

with contextlib.suppress(ImportError):  # where Python brings an SQLite that is too old for it
    import pysqlite3

    sys.modules["sqlite3"] = pysqlite3

from dbos import DBOS

from bench import bodies

DATABASE = "BENCH_DATABASE"
LOOK_S = 0.01
QUEUES = {"plain": ("work", 50), "flaky": ("work", 50), "nap": ("naps", 8)}
"""For each workflow its queue, and how many of that a process runs at a time."""


def url() -> str:
    """Return where the store of this run is."""
    return os.environ.get(DATABASE) or f"sqlite:///{bodies.folder() / 'dbos.db'}"


@DBOS.workflow()
def plain(number: int) -> None:  # noqa: ARG001 - what a call is for
    bodies.nothing()


@DBOS.step(retries_allowed=True, interval_seconds=0.001, max_attempts=3)
def fail_at_first(number: int) -> None:
    bodies.fail_at_first(number)


@DBOS.workflow()
def flaky(number: int) -> None:
    fail_at_first(number)


@DBOS.workflow()
def nap(number: int) -> int:
    return bodies.nap(number)


@DBOS.step()
def one_step() -> None:
    bodies.nothing()


@DBOS.workflow()
def steps(count: int) -> None:
    for _ in range(count):
        one_step()


def launch(name: str) -> None:
    """Start DBOS in this process, with its tables made and its queues known."""
    settings = {
        "name": "bench", "system_database_url": url(), "application_version": "1", "executor_id": name,
        "log_level": "ERROR", "console_log_level": "ERROR",
    }  # fmt: skip
    DBOS(config=settings)
    DBOS.launch()
    for queue, at_once in sorted(set(QUEUES.values())):
        DBOS.register_queue(queue, worker_concurrency=at_once, polling_interval_sec=LOOK_S)


def work(name: str) -> None:
    """Work on what is in the queues until killed; as `setup`, only make the tables and end."""
    launch(name)
    if name != "setup":
        threading.Event().wait()
    os._exit(0)
