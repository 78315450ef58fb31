"""Behind a pooler in transaction mode: nothing is kept in a session, and all promises hold."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import story_tasks
from story_harness import World, outcomes, until

from mulligan import connect
from mulligan.core.job import Reason
from mulligan.store.postgres import Place
from mulligan.testing.postgres import somebody_else

CONFIG = """[databases]
{name} = host={host} port={port} dbname={name}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 10
unix_socket_dir =
logfile = {folder}/log
"""


@pytest.fixture
def pooled(a_place: Callable[[], Place], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place for a store that is reached through PgBouncer."""
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("the story of a pooler needs PgBouncer: install the system's package pgbouncer")
    place = a_place()
    known = psycopg.conninfo.conninfo_to_dict(place.url)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        own = one.getsockname()[1]
    folder = Path(f"/tmp/mulligan-pooler-{os.getpid()}-{time.time_ns()}")  # where another user may read
    folder.mkdir(0o755)
    (folder / "users").write_text(f'"{known["user"]}" ""\n')
    (folder / "log").touch()
    text = CONFIG.format(name=known["dbname"], host=known["host"], port=known["port"], own=own, folder=folder)
    (folder / "ini").write_text(text)
    who = somebody_else(Path(program)) if os.getuid() == 0 else {}
    if who:
        shutil.chown(folder / "log", who["user"], who["group"])
    process = subprocess.Popen([program, "-q", str(folder / "ini")], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **who)
    url = place.url.replace(f":{known['port']}/", f":{own}/")

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    try:
        until(answers, "the pooler answers")
        yield place._replace(url=url, transaction_pooler=True)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


@pytest.fixture
def world(pooled: Place, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, pooled)
    yield made
    made.close()


def test_work_is_done_and_a_lost_worker_is_noticed_by_its_lease(world: World) -> None:
    first = world.worker(processes=1, lease=1.5)
    assert world.client.submit(story_tasks.add, 1, 2).result() == 3
    once = world.client.submit(story_tasks.until_there, world.path(), "once", world.path("go"))
    world.wait_for("once")
    first.kill()
    second = world.worker(processes=1, lease=1.5)
    assert once.wait(30).work_items()[0].reason is Reason.OUTCOME_UNKNOWN
    again = world.client.map(story_tasks.again, ["a", "b", "c"], key=str, args={"file": world.path("r"), "work_s": 0.01})
    assert again.results() == ["a", "b", "c"]
    assert all(outcomes(item) == ["SUCCEEDED"] for item in again.work_items())
    assert second.stop() == 0
    world.check()


def test_many_sessions_share_a_few_connections_and_statements_do_not_get_mixed_up(world: World) -> None:
    world.worker(processes=2)
    assert world.place is not None
    clients = [connect(world.settings["database"], schema=world.place.schema, pooler="transaction") for _ in range(20)]
    try:
        jobs = [client.submit(story_tasks.add, number, 1) for number, client in enumerate(clients)]
        assert [job.result() for job in jobs] == list(range(1, 21))
    finally:
        for each in clients:
            each.close()
    world.check()
