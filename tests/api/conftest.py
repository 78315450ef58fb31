"""The API on each kind of store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from api_harness import Api


@pytest.fixture
def api() -> Iterator[Api]:
    """The API on a store in memory."""
    made = Api()
    yield made
    made.harness.store.close()


@pytest.fixture(params=["sqlite", "postgres"])
def both(request: pytest.FixtureRequest) -> Iterator[Api]:
    """The API on a store of each kind."""
    made = Api(request.getfixturevalue("an_empty_database")() if request.param == "postgres" else None)
    yield made
    made.harness.store.close()
