"""A store with a worker for all tests of the client, and a store without one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mulligan.client.client import Client, connect
from mulligan.sdk.loading import load

TASKS = str(Path(__file__).parent / "client_tasks.py")


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a store on which a worker runs."""
    url = f"sqlite:///{tmp_path_factory.mktemp('client') / 'store.db'}"
    beside = connect(url, processes=2, grace=0.3, kill=0.3)
    worker = beside.services.make_worker(load([TASKS]), [TASKS])
    thread = threading.Thread(target=worker.run)
    thread.start()
    deadline, pause = time.monotonic() + 60, threading.Event()
    while worker.id is None and thread.is_alive() and time.monotonic() < deadline:
        pause.wait(0.005)
    assert worker.id is not None
    made = connect(url)
    yield made
    assert made.verify() == []
    worker.stop()
    thread.join(20)
    assert not thread.is_alive()
    made.close()
    beside.close()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Client]:
    """A client of an empty store, with nobody else there."""
    with connect(f"sqlite:///{tmp_path / 'store.db'}") as made:
        yield made
