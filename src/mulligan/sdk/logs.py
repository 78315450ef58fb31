"""The logger that tasks write to: one line for each event, on the attempt's standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class _StandardError:
    """Finds the stream at each line: it may be another one by then."""

    def msg(self, line: str) -> None:
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
