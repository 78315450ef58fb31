"""Each story has a store, workers and traces of its own, and leaves no process behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from story_harness import Trace, World


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if sys.platform != "linux":
        here = Path(__file__).parent
        skip = pytest.mark.skip(reason="the stories find processes that were left behind in /proc")
        for each in items:
            if here in each.path.parents:
                each.add_marker(skip)


@pytest.fixture(params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, request.getfixturevalue("a_place")() if request.param == "postgres" else None)
    yield made
    made.close()


@pytest.fixture
def file_world(tmp_path: Path) -> Iterator[World]:
    """A world whose store is a file, for what only files do."""
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world with a running worker, for stories that leave both as they were."""
    place = request.getfixturevalue("shared_place")() if request.param == "postgres" else None
    made = World(tmp_path_factory.mktemp("shared"), place)
    made.worker()
    yield made
    made.close()


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    """Traces of one story in a shared world."""
    return Trace(tmp_path)
