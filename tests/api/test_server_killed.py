"""A server that is killed in the middle of many submits: its clients wait for it, and each job exists once."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import api_tasks
import pytest
from server_harness import a_key, publish_tasks, running, until

from mulligan import connect

SUBMITS, AT_ONCE, KILLS = 300, 8, 2


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_each_submit_exists_once_although_the_server_is_killed_meanwhile(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = {"database": f"sqlite:///{tmp_path / 'store.db'}"}
    if kind == "postgres":
        place = request.getfixturevalue("a_place")()
        settings = {"database": place.url, "schema": place.schema}
    database = settings.pop("database")
    with connect(database, **settings) as beside:
        publish_tasks(database, **settings)
        key, port = a_key(database, **settings), str(_free_port())
        url = f"http://127.0.0.1:{port}"
        with connect(url, key, request_timeout=60) as client, ThreadPoolExecutor(AT_ONCE) as pool:
            ids: list[str] = []
            submits = [pool.submit(lambda n: ids.append(client.submit(api_tasks.add, n, n).id), n) for n in range(SUBMITS)]
            for kill in range(KILLS):
                with running(database, tmp_path, "server", "--port", port, ends=-9, **settings) as server:
                    enough = SUBMITS * (kill + 1) // (KILLS + 1)
                    until(lambda enough=enough: len(ids) >= enough, "some of the submits")
                    server.process.kill()
            with running(database, tmp_path, "server", "--port", port, **settings):
                for each in submits:
                    each.result(60)
        counted = [item.args["a"] for item in beside.work_items(task="add")]
        assert sorted(counted) == list(range(SUBMITS)), "each exists once"
        assert len(set(ids)) == SUBMITS
        assert beside.verify() == []


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])
