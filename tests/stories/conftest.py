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


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world with a running worker, for stories that leave both as they were."""
    made = World(tmp_path_factory.mktemp("shared"))
    made.worker()
    yield made
    made.close()


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    """Traces of one story in a shared world."""
    return Trace(tmp_path)
