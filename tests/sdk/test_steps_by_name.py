"""A step is known by its function and arguments: what hides values elsewhere is refused, not mistaken for another."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from mulligan.core.attempt import AttemptInfo
from mulligan.core.errors import ArgumentsInvalid
from mulligan.sdk.context import Context


def fetch(name: str) -> str:
    return name


class Store:
    def __init__(self, name: str) -> None:
        self.name = name

    def get(self) -> str:
        return self.name

    def __call__(self) -> str:
        return self.name


class Line:
    """A channel that keeps what is saved."""

    def call(self, name: str, payload: str) -> str:
        return "null"

    def touch(self) -> None: ...

    def stopping(self) -> None: ...


@pytest.mark.parametrize("step", [partial(fetch, "a"), Store("a").get, Store("a")])
def test_a_step_that_hides_values_is_refused(step: Any) -> None:
    info = AttemptInfo("1", "run", "0", 0, 1, 1, None, None, ())
    context = Context(info, Line())  # type: ignore[arg-type]
    with pytest.raises(ArgumentsInvalid, match="pass a function, and those values as its arguments"):
        context.step(step)
    assert context.step(fetch, "b") == "b"
