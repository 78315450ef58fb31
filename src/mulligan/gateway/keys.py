"""Keys of the API as a client makes, reads and revokes them, of a store or of a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from mulligan.core.access import Role


class MadeKey(NamedTuple):
    """A key that was just made. `text` is the key itself, which is kept nowhere."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """A key, of which nothing is kept that could be shown; times are milliseconds since 1970 UTC."""

    id: str
    name: str
    role: Role
    pipelines: Sequence[str] | None
    """The tasks and workflows that it is limited to; None: it is not."""
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None


class KeyAdmin(Protocol):
    """Makes, lists and revokes keys."""

    def create(self, name: str, role: Role, pipelines: Sequence[str] | None, reason: str, expires_s: float | None) -> MadeKey:
        """Make a key; raises ArgumentsInvalid, Refused where there is one of that name."""
        ...

    def all(self) -> list[KeyFacts]:
        """Return all keys, the oldest first."""
        ...

    def revoke(self, key: str, reason: str, *, last: bool) -> str:
        """Revoke the key of an id or a name, and return its name; raises NotFound, Refused for the last of an admin."""
        ...
