"""What happened in a process as log lines: the only place that formats them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any, TextIO

Tell = Callable[..., None]
"""`tell(event, **facts)`: something happened; logic calls it and never formats."""


class _StandardError:
    """Finds the stream at each line: it may be another one by then, or none."""

    def msg(self, line: str) -> None:
        stream: TextIO | None = sys.stderr
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.write(line + "\n")
                stream.flush()

    log = debug = info = warn = warning = error = critical = exception = fatal = failure = err = msg


def silent(event: str, **facts: Any) -> None:
    """Tell nobody."""


def line_teller(stream: TextIO | None = None) -> Tell:
    """Return a teller that writes a line for each event: time, event, key=value. It loads nothing: workers start quickly."""
    import time

    out = stream or sys.stderr

    def tell(event: str, **facts: Any) -> None:
        said = " ".join(f"{name}={value!r}" for name, value in facts.items())
        # The disk of the log may be full or its reader gone: that is no reason to stop working.
        with contextlib.suppress(OSError, ValueError):
            out.write(f"{time.strftime('%H:%M:%S')} {event}{' ' if said else ''}{said}\n")
            out.flush()

    return tell


def hiding(tell: Tell, hidden: Callable[[str], str]) -> Tell:
    """Return a teller that tells the same with secrets hidden by `hidden`."""

    def told(event: str, **facts: Any) -> None:
        tell(event, **{name: hidden(value) if isinstance(value, str) else value for name, value in facts.items()})

    return told


def tries_teller() -> Tell:
    """Return a teller of attempts in process: by the application's structlog where it has configured it, else lines for people.

    The lines go to standard error: `attempt=1 transient='503 Service Unavailable' sleeping=1.07s`, `success value: 3`.
    """
    import structlog

    if structlog.is_configured():
        tell: Tell = structlog.get_logger("mulligan").info
    else:
        tell = structlog.wrap_logger(_StandardError(), processors=[_line_of_a_try]).info
    return tell


def server_teller() -> Tell:
    """Return a teller of requests that wait for a server: by the application's structlog where it has configured it, else lines.

    The lines go to standard error: `waiting for the server at http://127.0.0.1:7878 for up to 60 s: Connection refused`.
    """

    def tell(event: str, **facts: Any) -> None:
        import structlog

        if structlog.is_configured():
            structlog.get_logger("mulligan").warning(event, **facts)
            return
        _StandardError().msg(f"{event} at {facts['url']} for up to {facts['patience_s']:g} s: {facts['why']}")

    return tell


def _line_of_a_try(_logger: Any, _method: str, facts: Any) -> str:
    if facts["event"] == "succeeded":
        return f"success value: {facts['value']}"
    said = [f"attempt={facts['attempt']}"]
    if "error" in facts:
        said.append(f"{facts['failure_class'].lower()}={facts['error']!r}")
    match facts["event"]:
        case "will retry":
            said.append(f"{'' if 'error' in facts else 'snoozed '}sleeping={facts['sleeping_s']:.2f}s")
        case "gave up":
            said.append(f"giving up: {facts['why']}")
        case "abandoned":
            said.append(f"took longer than {facts['after']}: its thread cannot be ended and is left behind")
    return " ".join(said)
