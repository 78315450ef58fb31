"""A slice of the demo on PostgreSQL, as a user runs it: workers are killed, and the result is right."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mulligan import connect
from mulligan.testing.postgres import PostgresMissing, PostgresServer

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of one's own: the demo's schema has one name, whoever runs it."""
    try:
        made = PostgresServer()
    except PostgresMissing as missing:
        pytest.skip(f"the demo on PostgreSQL: {missing}")
    yield made
    made.close()


SMALL = ("--workers", "1", "--processes", "1", "--kill-every", "1000", "--no-retraining")
"""For demos of a few days, in which nothing is killed; what is retrained is told by the whole demo."""


def demo(folder: Path, url: str, *options: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MULLIGAN_")}
    environ |= {"COLUMNS": "500", "NO_COLOR": "1", "MULLIGAN_DATABASE": url}
    command = [sys.executable, "-m", "mulligan.cli.main", "demo", "--folder", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=180, check=False, cwd=folder.parent)


def state(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "state.json").read_text("utf-8"))
    return found


def test_while_workers_are_killed_every_value_is_right_and_a_second_run_says_so(server: PostgresServer, tmp_path: Path) -> None:
    folder, options = (
        tmp_path / "demo",
        ["--days", "42", "--workers", "4", "--processes", "1", "--kill-every", "1.5", "--no-retraining"],
    )
    first = demo(folder, server.url, *options)
    assert first.returncode == 0, first.stdout + first.stderr
    assert re.search(r"check: all [\d,]+ values equal what the source gives in one go", first.stdout)
    assert "recover of 1 day: 2 of 2 downloads not repeated" in first.stdout
    assert not (folder / "retraining.py").exists()
    assert len(re.findall(r"kill -9 \d+: the (?:whole of )?worker", first.stdout)) == state(folder)["workers_killed"] > 0
    assert not (folder / "store.db").exists()

    second = demo(folder, server.url, *options)
    assert second.returncode == 0
    assert "has run to its end already" in second.stdout

    with connect(server.url, schema="mulligan_demo", namespace=state(folder)["namespace"]) as client:
        assert client.verify() == []
        assert [job.counts.success for job in client.jobs(task="flight_delays")] == [42]


@pytest.fixture(scope="module")
def one(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo of two days that has run to its end; its URL had a password."""
    folder = tmp_path_factory.mktemp("demos") / "one"
    done = demo(folder, server.url.replace("postgres@", "postgres:hunter2@"), "--days", "2", *SMALL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "postgres:PASSWORD@" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr + (folder / "state.json").read_text("utf-8")
    return folder


def test_a_run_is_not_continued_on_another_store(one: Path) -> None:
    elsewhere = demo(one, "", "--days", "2", *SMALL)
    assert elsewhere.returncode == 1
    assert "not on SQLite in its folder" in elsewhere.stdout
    assert "hunter2" not in elsewhere.stdout + elsewhere.stderr


def test_another_folder_on_the_same_database_is_another_demo_and_starting_over_leaves_all_else_alone(
    server: PostgresServer, one: Path
) -> None:
    other = one.parent / "other"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("create table public.thesis (page int); create table mulligan_demo.notes (line text)")
        assert demo(other, server.url, "--days", "3", *SMALL).returncode == 0
        assert [len(list((each / "offline").iterdir())) for each in (one, other)] == [2, 3]
        old = state(other)["namespace"]
        again = demo(other, server.url, "--days", "1", "--fresh", *SMALL)
        assert again.returncode == 0, again.stdout + again.stderr
        assert "1 work item" in again.stdout
        for kept in ("public.thesis", "mulligan_demo.notes"):
            assert connection.execute("select to_regclass(%s) is not null", (kept,)).fetchone() == (True,)
    for namespace, items in ((state(one)["namespace"], 2), (old, 3), (state(other)["namespace"], 1)):
        with connect(server.url, schema="mulligan_demo", namespace=namespace) as client:
            assert [job.counts.success for job in client.jobs(task="flight_delays")] == [items]
