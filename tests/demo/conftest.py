"""The demo's data, prepared once, and an object store on it as a real process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mulligan.demo.data import Source, find, prepare


@pytest.fixture(scope="session")
def source() -> Source:
    return find()


@pytest.fixture(scope="session")
def prepared(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "source"
    assert prepare(source, folder)
    return folder


StartStore = Callable[[int], str]


@pytest.fixture
def start_store(prepared: Path, tmp_path: Path) -> Iterator[StartStore]:
    """Start an object store with a seed and return its address; a second one takes the place of the first."""
    running: list[subprocess.Popen[bytes]] = []

    def end() -> None:
        for process in running:
            process.communicate(timeout=10)
            assert process.returncode == 0
        running.clear()

    def start(seed: int) -> str:
        end()
        arguments = ["--folder", str(prepared), "--log", str(tmp_path / "objects.log"), "--seed", str(seed)]
        process = subprocess.Popen(
            [sys.executable, "-m", "mulligan.demo.objects", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        running.append(process)
        assert process.stdout is not None
        return str(json.loads(process.stdout.readline())["url"])

    yield start
    end()
