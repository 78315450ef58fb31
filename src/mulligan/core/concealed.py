"""How errors and values of users are shown in logs: on one line, cut, and without what looks like a secret."""

from __future__ import annotations

import re

from mulligan.core.shown import shown

LENGTH = 200
"""So many characters of a message are shown."""
LOOKED_AT = 4_000
"""So many characters are looked through for secrets; the rest is not shown in any case."""

_IN_URL = re.compile(r"(://[^\s/:@]*:)[^\s/@]+(@)")
_BEARER = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE)
_NAMED = re.compile(
    r"""((?:password|passwd|secret|token|api[_-]?key|access[_-]?key|credentials?|signature|authorization)["']?\s*[=:]\s*)"""
    r"""(?:"[^"]*"?|'[^']*'?|[^\s,;&'")}\]]+)""",
    re.IGNORECASE,
)


def concealed(text: str, length: int = LENGTH) -> str:
    """Return a text on one line of at most so many characters; values of passwords, tokens and keys become `***`."""
    line = " ".join(text[:LOOKED_AT].split())
    line = _BEARER.sub(r"\1 ***", line)
    line = _NAMED.sub(r"\1***", _IN_URL.sub(r"\1***\2", line))
    return line if len(line) <= length else f"{line[: length - 1]}…"


def shown_value(value: object) -> str:
    """Return a short text for a value of any kind, without what looks like a secret."""
    return concealed(shown(value))
