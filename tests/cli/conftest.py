"""A store made by a real worker once, a copy of it for each test, and the command line to run on it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_harness import FLAKY, Result, Run, checked, serving, until, working

from mulligan.cli.main import main


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a job in each state, left by a worker that has ended."""
    store = tmp_path_factory.mktemp("made") / "runs.db"
    with working(store):
        checked(store, "submit", "add", "a=1", "--wait")
        bad = 'bad=["2024-01-05", "2024-02-07"]'
        asked = ["features", "2024-01-01", "2024-03-01", "--arg", bad, "--label", "team=ads", "--run-id", "early-2024"]
        checked(store, "backfill", *asked, "--wait", code=1)
        checked(store, "submit", "flaky")
        checked(store, "submit", "loud", "--wait", code=1)
        checked(store, "submit", "twice", "--wait")
        until(lambda: json.loads(checked(store, "show", FLAKY, "--json"))["status"] == "RETRY", "a retry of the flaky job")
    return store


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """A copy of the store, to do with as one likes."""
    assert not Path(f"{made}-wal").exists() or not Path(f"{made}-wal").stat().st_size
    return Path(shutil.copy(made, tmp_path / "runs.db"))


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with nothing set."""
    for name in os.environ:
        if name.startswith(("MULLIGAN_", "FORCE_COLOR")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def bare(outside: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line in this process, with no store named."""

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = main(arguments)
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run


@pytest.fixture
def mulligan(bare: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line in this process, on a copy of the store."""
    monkeypatch.setenv("MULLIGAN_DATABASE", f"sqlite:///{store}")
    return bare


@pytest.fixture(params=["store", "server"])
def either(request: pytest.FixtureRequest, bare: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The command line in this process, on a copy of the store, and once more on a server of it."""
    if request.param == "store":
        yield request.getfixturevalue("mulligan")
        return
    with serving(store) as (url, key):
        monkeypatch.setenv("MULLIGAN_SERVER", url)
        monkeypatch.setenv("MULLIGAN_API_KEY", key)
        yield bare


@pytest.fixture
def fresh_modules() -> Iterator[None]:
    """Forget what a test imported, and what it put on the path."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        if "rehearsed" in name:
            del sys.modules[name]
    sys.path[:] = path
