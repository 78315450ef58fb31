"""The keys of a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mulligan.core.access import Role
from mulligan.engine.asking import Asker
from mulligan.engine.keys import Keys
from mulligan.gateway.keys import KeyFacts, MadeKey


class StoredKeys:
    """The keys of a store."""

    def __init__(self, keys: Keys, asker: Callable[[str], Asker]) -> None:
        self._keys, self._asker = keys, asker

    def create(self, name: str, role: Role, pipelines: Sequence[str] | None, reason: str, expires_s: float | None) -> MadeKey:
        made = self._keys.create(name, role, pipelines, self._asker(reason), expires_s)
        return MadeKey(made.principal.id, made.text)

    def all(self) -> list[KeyFacts]:
        return [
            KeyFacts(each.id, each.name, Role(each.role), each.pipelines, each.created_ms, each.expires_ms, each.revoked_ms)
            for each in self._keys.all()
        ]

    def revoke(self, key: str, reason: str, *, last: bool) -> str:
        return self._keys.revoke(key, self._asker(reason), last=last)
