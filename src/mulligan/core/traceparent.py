"""Places in traces: how W3C writes them, and ids that follow from what a span is about, so that no process need remember any."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

LONGEST = 512
"""Characters of a traceparent that is looked at; later versions of the format may be longer than ours."""
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Place(NamedTuple):
    """A span, known by its trace, its own id and whether its trace is recorded."""

    trace: int
    span: int
    sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace:032x}-{self.span:016x}-{int(self.sampled):02x}"


def place_of(text: str | None) -> Place | None:
    """Read a traceparent; None for what is none, since whoever takes it from a request has to go on without."""
    found = _FORM.fullmatch(text) if text is not None and len(text) <= LONGEST else None
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return None
    trace, span = int(found[2], 16), int(found[3], 16)
    return Place(trace, span, bool(int(found[4], 16) & 1)) if trace and span else None


def trace_id(*about: object) -> int:
    """Return the id of the trace that begins with something."""
    return _digest(about, 16)


def span_id(*about: object) -> int:
    """Return the id of the span about something, the same in every process."""
    return _digest(about, 8)


def _digest(about: tuple[object, ...], size: int) -> int:
    text = "\0".join(map(str, about))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest(), "big") or 1
