"""The keys of a server's store, over its API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from mulligan.core.access import Role
from mulligan.gateway.answers import maybe_ms_of, ms_of
from mulligan.gateway.keys import KeyFacts, MadeKey
from mulligan.gateway.requests import Requests


class ServerKeys:
    """The keys of a server's store, for who has one of an admin."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def create(self, name: str, role: Role, pipelines: Sequence[str] | None, reason: str, expires_s: float | None) -> MadeKey:
        named = None if pipelines is None else list(pipelines)
        body = {"name": name, "role": str(role), "pipelines": named, "expires_s": expires_s, "reason": reason}
        said = self._requests.post("/api/keys", body)
        return MadeKey(said["id"], said["key"])

    def all(self) -> list[KeyFacts]:
        return [_of_answer(each) for each in self._requests.get("/api/keys")["items"]]

    def revoke(self, key: str, reason: str, *, last: bool) -> str:
        said = self._requests.delete(f"/api/keys/{quote(key, safe='')}", {"reason": reason, "last": "true" if last else "false"})
        return str(said["name"])


def _of_answer(said: dict[str, Any]) -> KeyFacts:
    return KeyFacts(
        id=said["id"],
        name=said["name"],
        role=Role(said["role"]),
        pipelines=said["pipelines"],
        created_ms=ms_of(said["created_at"]),
        expires_ms=maybe_ms_of(said["expires_at"]),
        revoked_ms=maybe_ms_of(said["revoked_at"]),
    )
