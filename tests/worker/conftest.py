"""A real executor over a file of real tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from process_harness import TASKS, Harness

from mulligan.worker.executors.process.executor import ProcessExecutor


@pytest.fixture
def make() -> Iterator[Callable[..., Harness]]:
    harnesses: list[Harness] = []

    def harness(**options: Any) -> Harness:
        options = {"processes": 2, "grace_s": 0.3, "kill_s": 0.3, "asynchronous": lambda name: name.startswith("a_"), **options}
        sources = options.pop("sources", [TASKS])
        harnesses.append(Harness(ProcessExecutor(sources, **options)))
        return harnesses[-1]

    yield harness
    for each in harnesses:
        each.close()


@pytest.fixture
def run(make: Callable[..., Harness]) -> Harness:
    return make()
