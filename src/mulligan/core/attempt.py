"""What an attempt is told about itself."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal

from mulligan.core.replay import Past

StopCause = Literal["cancel", "drain", "timeout"]


@dataclass(frozen=True, slots=True)
class AttemptInfo:
    """What the Context of an attempt is made of; sent only where the task takes a Context or a Window."""

    job: str
    run_id: str
    key: str
    number: int
    attempt: int
    generation: int
    window: tuple[int, int, str] | None
    """Start and end in milliseconds since 1970 UTC, and the name of the time zone they are shown in."""
    cursor: str | None
    """JSON of the newest cursor, or None."""
    steps: tuple[tuple[str, str], ...]
    """Key and JSON result of every saved step."""
    _: KW_ONLY
    keep_from: int = 1
    """What was made in this generation or later ones is gone on from."""
    path: str = ""
    """Of a call of a workflow: the way to it, the same whenever it is made again; empty for what is no call."""
    round: int = 0
    """Of a workflow: grows with each retry; see `replay.round_of`."""
    calls: tuple[Past, ...] = ()
    """Of a workflow: the calls that it has made so far."""


def time_limit(timeout_s: float | None, cutoff_ms: int | None, now_ms: int) -> tuple[float | None, bool]:
    """Return how many seconds an attempt that begins now may take, and whether that is what is left until the cutoff."""
    if cutoff_ms is None:
        return timeout_s, False
    left_s = max(0.0, (cutoff_ms - now_ms) / 1000)
    if timeout_s is not None and timeout_s <= left_s:
        return timeout_s, False
    return left_s, True
