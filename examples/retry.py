"""A read that fails twice and then succeeds: `python examples/retry.py`."""

from __future__ import annotations

from itertools import count

from mulligan import TransientError, retry

calls = count(1)


def read_object() -> bytes:
    """Read something from a store that is busy at first."""
    if next(calls) < 3:
        raise TransientError("503 Service Unavailable")
    return b"data"


if __name__ == "__main__":
    data = retry(read_object, max_attempts=5, base_delay=0.1, max_delay=2, timeout=60, total_timeout="6m")
