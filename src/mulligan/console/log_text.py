"""The end of a log as pages show it: by attempt, without what steers terminals, and never more than a page can bear."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from mulligan.core.plain import without_control

MOST = 100_000
"""So many characters of a log are sent to a page at once, the last ones."""


def parts_of(pieces: Sequence[tuple[int, str]], most: int = MOST) -> tuple[list[tuple[int, str]], bool]:
    """Return the text of each attempt in a row of pieces, harmless, and whether something before it was left out.

    Pieces are joined before they are made harmless, since a sequence may begin in one and end in the next.
    """
    parts = [(place, "".join(text for _, text in group)) for place, group in groupby(pieces, lambda each: each[0])]
    kept: list[tuple[int, str]] = []
    room = most
    for place, text in reversed(parts):
        if len(text) > room:
            end = _from_a_line(text[len(text) - room :]) if room else ""
            return [*([(place, without_control(end))] if end else []), *kept[::-1]], True
        room -= len(text)
        kept.append((place, without_control(text)))
    return kept[::-1], False


def _from_a_line(text: str) -> str:
    """Return a text from its first whole line on; all of it where it is one long line."""
    return text.partition("\n")[2] or text
