"""The logger that tasks write to: one line for each event, on the attempt's standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


SINK: ContextVar[Callable[[str], None] | None] = ContextVar("mulligan_sink", default=None)
"""Where the lines of this attempt go, if it does not have a standard error of its own."""


class _StandardError:
    """Finds the stream at each line: it may be another one by then."""

    def msg(self, line: str) -> None:
        sink = SINK.get()
        if sink is not None:
            sink(line + "\n")
            return
        stream: TextIO | None = sys.stderr
        if stream is not None:
            stream.write(line + "\n")
            stream.flush()

    log = debug = info = warn = warning = error = critical = exception = fatal = failure = err = msg


def attempt_logger() -> FilteringBoundLogger:
    """Return a logger that writes logfmt lines with time and level to standard error."""
    import structlog

    logger: Any = structlog.wrap_logger(
        _StandardError(),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )
    return logger  # type: ignore[no-any-return]  # structlog types what it wraps as Any
