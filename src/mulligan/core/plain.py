"""Making text that comes from users' data harmless to whatever shows it."""

from __future__ import annotations

import re

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SEQUENCE = re.compile(
    "\x1b(?:\\[[0-?]*[ -/]*[@-~]"  # colours, movements
    "|[\\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\\\)"  # titles, links and other strings, only where they end
    "|[ -/]*[0-Z\\\\^-~])"
)


def plain(text: str) -> str:
    """Return a text with its control characters written out (`\\x1b`), but for newlines and tabs."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def one_line(text: str | None) -> str:
    """Return a text on one line, harmless."""
    return plain(" ".join((text or "").split()))


def without_control(text: str) -> str:
    """Return a text without terminal sequences and control characters, as logs are shown; a carriage return ends a line."""
    text = _SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", text)
