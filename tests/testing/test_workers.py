"""A real worker beside a test or a notebook."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kit_tasks import asynchronous, calling_in_threads, ingest, once

from mulligan import task
from mulligan.core.errors import ConfigError, TaskError
from mulligan.sdk.ports import AMBIENT
from mulligan.testing import worker


def test_it_runs_what_is_submitted_in_processes_of_its_own() -> None:
    before = AMBIENT.factory
    heard: list[str] = []
    with worker(ingest, asynchronous, temporary=True, tell=lambda event, **_: heard.append(event)) as client:
        assert ingest.submit("a.csv").result() == 3
        assert asynchronous.map(["a", "b"]).results() == ["A", "B"]
        assert len(client.jobs()) == 2
    assert heard[0] == "worker started"
    assert "draining" in heard
    assert AMBIENT.factory is before


def test_it_works_on_the_store_that_is_named(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'mine.db'}"
    with worker(once, database=url):
        assert once.submit(7).result() == 7
    with worker(once, database=url) as client:
        assert client.job(1).result() == 7


def test_in_a_child_process_a_call_is_plain_in_whatever_thread_it_is_made(tmp_path: Path) -> None:
    counted = tmp_path / "counted"
    with worker(calling_in_threads, temporary=True):
        assert calling_in_threads.submit(str(counted)).result() == "ConnectionResetError"
    assert counted.read_text("utf-8") == "called\n"


def test_what_fails_in_the_block_comes_through() -> None:
    with pytest.raises(ZeroDivisionError), worker(once, temporary=True):
        _ = 1 / 0


def test_what_its_processes_could_not_import_is_refused() -> None:
    @task
    def local() -> None: ...

    with pytest.raises(TaskError, match="defined inside a function"), worker(local, temporary=True):
        pass
    with pytest.raises(TaskError, match="name the tasks"), worker(temporary=True):
        pass
    with pytest.raises(TaskError, match="expected tasks"), worker(print, temporary=True):  # type: ignore[arg-type]
        pass
    with pytest.raises(ConfigError, match="not both"), worker(once, temporary=True, database="sqlite:///a.db"):
        pass


def test_a_function_of_a_notebook_is_refused_with_the_advice_of_a_submission(tmp_path: Path) -> None:
    typed = (
        "from mulligan import task\nfrom mulligan.testing import worker\n"
        "@task\ndef typed(): ...\nwith worker(typed, temporary=True): ..."
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", typed], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert "put it in a file, import it from there" in done.stderr


def test_a_worker_that_cannot_start_says_why() -> None:
    with pytest.raises(ConfigError), worker(once, database="mysql://a/b"):
        pass
