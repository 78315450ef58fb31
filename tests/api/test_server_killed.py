"""A server that is killed in the middle of many submits: its clients wait for it, and each job exists once."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import api_tasks
from server_harness import a_key, publish_tasks, running, until

from mulligan import connect

SUBMITS, AT_ONCE, KILLS = 300, 8, 2


def test_each_submit_exists_once_although_the_server_is_killed_meanwhile(tmp_path: Path) -> None:
    """On SQLite; that both stores keep each request once is told in the stories of servers, by requests without a client."""
    database = f"sqlite:///{tmp_path / 'store.db'}"
    with connect(database) as beside:
        publish_tasks(database)
        key, port = a_key(database), str(_free_port())
        url = f"http://127.0.0.1:{port}"
        with connect(url, key, request_timeout=60) as client, ThreadPoolExecutor(AT_ONCE) as pool:
            ids: list[str] = []
            submits = [pool.submit(lambda n: ids.append(client.submit(api_tasks.add, n, n).id), n) for n in range(SUBMITS)]
            for kill in range(KILLS):
                with running(database, tmp_path, "server", "--port", port, ends=-9) as server:
                    enough = SUBMITS * (kill + 1) // (KILLS + 1)
                    until(lambda enough=enough: len(ids) >= enough, "some of the submits")
                    server.process.kill()
            with running(database, tmp_path, "server", "--port", port):
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
