"""Secrets for tests: values that `env:` references give, and functions that may reveal them without a running attempt."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from mulligan.sdk.ports import AMBIENT


@contextmanager
def secrets(**values: str) -> Iterator[None]:
    """Let `Secret("env:NAME").reveal()` give these values, also in a plain call such as `f.fn(Secret("env:NAME"))`.

    They are variables of this process's environment meanwhile; what was there before comes back.
    """
    before = {name: os.environ.get(name) for name in values}
    revealed, mask = AMBIENT.reveals, AMBIENT.mask
    os.environ.update(values)
    AMBIENT.reveals = True
    try:
        yield
    finally:
        AMBIENT.reveals, AMBIENT.mask = revealed, mask
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
