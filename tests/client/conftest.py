"""A client with a worker behind it for all tests, and one with nobody: of a store of each kind, and of a server."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import client_tasks
import pytest
from client_server import serving

from mulligan.client.client import Client, connect
from mulligan.sdk.loading import load

TASKS = str(Path(__file__).parent / "client_tasks.py")
KINDS = ["sqlite", "postgres", "server"]


@pytest.fixture(scope="session", params=KINDS)
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a store on which a worker runs, or of a server of it."""
    with _connected(request, tmp_path_factory.mktemp("client"), "all_places") as (beside, made), _working(beside):
        yield made


@pytest.fixture(params=KINDS)
def alone(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    """A client of a store that has no work, with nobody else there; of a server, of one whose tasks are published."""
    with _connected(request, tmp_path, "an_empty_place") as (_, made):
        yield made


@contextlib.contextmanager
def _connected(request: pytest.FixtureRequest, folder: Path, places: str) -> Iterator[tuple[Client, Client]]:
    """Give a client of a store, and the client that is tested; a PostgreSQL server is started only where one is asked for."""
    given = {"database": f"sqlite:///{folder / 'store.db'}"}
    if request.param == "postgres":
        given = {"database": (where := request.getfixturevalue(places)()).url, "schema": where.schema}
    url = given.pop("database")
    with connect(url, processes=2, grace=0.3, kill=0.3, **given) as beside:
        if request.param == "server":
            with serving(beside.services, TASKS) as made:
                yield beside, made
        else:
            with connect(url, **given) as made:
                yield beside, made
        assert beside.verify() == []


@contextlib.contextmanager
def _working(beside: Client) -> Iterator[None]:
    worker = beside.services.make_worker(load([TASKS]), [TASKS])
    thread = threading.Thread(target=worker.run)
    thread.start()
    deadline, pause = time.monotonic() + 60, threading.Event()
    while worker.id is None and thread.is_alive() and time.monotonic() < deadline:
        pause.wait(0.005)
    assert worker.id is not None
    assert beside.submit(client_tasks.add, 1, 2).result() == 3, "so its tasks are published"
    yield
    worker.stop()
    thread.join(20)
    assert not thread.is_alive()
