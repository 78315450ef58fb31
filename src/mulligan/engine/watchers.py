"""Who still may do what they were let in for: asked for all at once, since some stay for hours."""

from __future__ import annotations

from collections.abc import Iterable

from mulligan.core.access import Principal
from mulligan.engine.engine import Engine
from mulligan.engine.logins import LONGEST_MS


class Watchers:
    """Looks whether keys and login sessions have ended."""

    def __init__(self, engine: Engine, idle_s: float, own: Principal | None = None) -> None:
        """`own` is whose key this process made for itself, which no store knows."""
        self._engine = engine
        self._idle_ms = round(idle_s * 1000)
        self._own = own

    def ended(self, keys: Iterable[str], logins: Iterable[str]) -> tuple[set[str], set[str]]:
        """Return those of some ids of keys, and of some digests of login sessions, that are valid no more."""
        keys, logins = set(keys), set(logins)
        now_ms = self._engine.clock.now_ms()
        with self._engine.store.read() as session:
            living = {row.id for row in session.access.every() if row.revoked_ms is None}
            inside = session.access.living_logins(logins, now_ms - self._idle_ms, now_ms - LONGEST_MS) if logins else {}
        if self._own is not None:
            living.add(self._own.id)
        return keys - living, {digest for digest in logins if inside.get(digest) not in living}
