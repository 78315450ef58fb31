"""What tests of the test kit share."""

from __future__ import annotations

import kit_tasks
import pytest


@pytest.fixture(autouse=True)
def _anew() -> None:
    kit_tasks.did.clear()
