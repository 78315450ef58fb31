"""How a value of any kind is shown in an error: shortly, and never failing itself."""

from __future__ import annotations

import reprlib

_short = reprlib.Repr()
_short.maxstring = _short.maxlong = 60
_short.maxother = 100


def shown(value: object) -> str:
    """Return a short text for a value of any kind, whatever its own `repr` does."""
    try:
        return _short.repr(value)
    except Exception:  # noqa: BLE001 - a broken repr, or a number of too many digits, must not hide what is being reported
        return f"<{type(value).__name__}>"
