"""What happened in a process as log lines: the only place that formats them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any, TextIO

Tell = Callable[..., None]
"""`tell(event, **facts)`: something happened; logic calls it and never formats."""


def silent(event: str, **facts: Any) -> None:
    """Tell nobody."""


def line_teller(stream: TextIO | None = None) -> Tell:
    """Return a teller that writes one line for each event: time, event, key=value."""
    import structlog

    logger = structlog.wrap_logger(
        structlog.PrintLogger(stream or sys.stderr),
        processors=[
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "event"], drop_missing=True),
        ],
    )

    def tell(event: str, **facts: Any) -> None:
        with contextlib.suppress(OSError, ValueError):
            logger.info(event, **facts)

    return tell


def plain_teller(stream: TextIO | None = None) -> Tell:
    """Return a teller of the same lines that loads nothing: for workers, which must start quickly."""
    import time

    out = stream or sys.stderr

    def tell(event: str, **facts: Any) -> None:
        said = " ".join(f"{name}={value!r}" for name, value in facts.items())
        # The disk of the log may be full or its reader gone: that is no reason to stop working.
        with contextlib.suppress(OSError, ValueError):
            out.write(f"{time.strftime('%H:%M:%S')} {event}{' ' if said else ''}{said}\n")
            out.flush()

    return tell
