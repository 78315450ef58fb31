"""A harness for each test, which must leave a sound store behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mulligan.testing.harness import Harness


@pytest.fixture
def world() -> Iterator[Harness]:
    with Harness() as harness:
        yield harness
        assert harness.verify() == []


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "store.db")
