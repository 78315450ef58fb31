"""Verbs on who may use the API (keys, login sessions), and on what it has answered already (replies)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from mulligan.store.interface import Run, one


class KeyRow(NamedTuple):
    """A key of the API: of the key itself there is a digest only. `pipelines`: the tasks that it is for; None: all."""

    id: str
    name: str
    role: str
    digest: str
    pipelines: tuple[str, ...] | None
    created_ms: int
    revoked_ms: int | None
    expires_ms: int | None = None

    def works(self, now_ms: int) -> bool:
        """Return whether it is taken at a moment."""
        return self.revoked_ms is None and (self.expires_ms is None or now_ms < self.expires_ms)


class LoginRow(NamedTuple):
    """Somebody who is logged in: a digest of the cookie, the id of the key that it was made with, since when, last seen when."""

    digest: str
    key: str
    created_ms: int
    seen_ms: int


class ReplyRow(NamedTuple):
    """A request that came with a key of its own, since when, and what was answered; None: it is being answered."""

    digest: str
    at_ms: int
    status: int | None
    body: str | None


class Access:
    """Keys of the API, who is logged in with them, and replies that may be asked for again."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def add_key(self, row: KeyRow) -> bool:
        """Add a key; False where one that is not revoked has its name."""
        pipelines = None if row.pipelines is None else json.dumps(row.pipelines)
        values = {"key": row.id, "name": row.name, "role": row.role, "digest": row.digest, "pipelines": pipelines}
        times = {"now": row.created_ms, "expires": row.expires_ms}
        return one(self._run("add_access_key", {**values, **times})) is not None

    def key(self, id: str) -> KeyRow | None:
        """Return a key by its id, also one that is revoked."""
        row = one(self._run("find_access_key", {"key": id}))
        return None if row is None else _key_of(row)

    def every(self) -> list[KeyRow]:
        """Return all keys, the oldest first."""
        return [_key_of(row) for row in self._run("list_access_keys", {})]

    def any_key(self, now_ms: int) -> bool:
        """Return whether there is a key that is taken."""
        return one(self._run("any_access_key", {"now": now_ms})) is not None

    def revoke(self, key: str, now_ms: int) -> tuple[str, str] | None:
        """Revoke the key of an id or a name; returns id and name, None where there is none that is not revoked."""
        row = one(self._run("revoke_access_key", {"key": key, "now": now_ms}))
        return None if row is None else (row[0], row[1])

    def lock_admins(self) -> None:
        """Let nobody else revoke a key of an admin before this transaction ends."""
        self._run("lock_admin_keys", {})

    def other_admin(self, id: str) -> bool:
        """Return whether there is a key of an admin for all pipelines that is taken, besides one."""
        return one(self._run("other_admin_key", {"key": id})) is not None

    def add_login(self, digest: str, key: str, now_ms: int) -> None:
        """Note that somebody has logged in with the key of an id."""
        self._run("add_login_session", {"digest": digest, "key": key, "now": now_ms})

    def login(self, digest: str) -> LoginRow | None:
        """Return who is logged in by the digest of a cookie."""
        row = one(self._run("find_login_session", {"digest": digest}))
        return None if row is None else LoginRow(*row)

    def see_login(self, digest: str, now_ms: int) -> None:
        """Note that somebody who is logged in was seen."""
        self._run("see_login_session", {"digest": digest, "now": now_ms})

    def living_logins(self, digests: Iterable[str], seen_ms: int, created_ms: int) -> dict[str, str]:
        """Return those of some login sessions that were seen, and begun, after a moment, each with the id of its key."""
        values = {"digests": json.dumps(list(digests)), "seen": seen_ms, "created": created_ms}
        return {row[0]: row[1] for row in self._run("living_login_sessions", values)}

    def end_login(self, digest: str) -> bool:
        """Log somebody out; False where that was done before."""
        return one(self._run("end_login_session", {"digest": digest})) is not None

    def prune_logins(self, before_ms: int, limit: int) -> int:
        """Forget who logged in before a moment; returns how many."""
        return len(list(self._run("prune_login_sessions", {"before": before_ms, "limit": limit})))

    def begin_reply(self, owner: str, key: str, digest: str, now_ms: int) -> bool:
        """Note that a request is being answered; False where one of this key came before."""
        return one(self._run("begin_reply", {"owner": owner, "key": key, "digest": digest, "now": now_ms})) is not None

    def reply(self, owner: str, key: str) -> ReplyRow | None:
        """Return the request that came with a key before."""
        row = one(self._run("find_reply", {"owner": owner, "key": key}))
        return None if row is None else ReplyRow(*row)

    def take_over(self, owner: str, key: str, seen_ms: int, now_ms: int) -> bool:
        """Answer a request in place of somebody who has not; False where somebody else does, or it has been answered."""
        return one(self._run("take_over_reply", {"owner": owner, "key": key, "seen": seen_ms, "now": now_ms})) is not None

    def end_reply(self, owner: str, key: str, status: int, body: str) -> None:
        """Keep an answer."""
        self._run("end_reply", {"owner": owner, "key": key, "code": status, "body": body})

    def drop_reply(self, owner: str, key: str) -> None:
        """Forget a request that could not be answered, so that it may be tried again."""
        self._run("drop_reply", {"owner": owner, "key": key})

    def prune_replies(self, before_ms: int, limit: int) -> int:
        """Forget answers before a moment; returns how many."""
        return len(list(self._run("prune_replies", {"before": before_ms, "limit": limit})))

    def changed_by(self, operation: str) -> int | None:
        """Return how much a request has changed by what the audit says; None where it has not done anything."""
        row = one(self._run("changed_by_operation", {"operation": operation}))
        return None if row is None else int(row[0])


def _key_of(row: tuple[str, str, str, str, str | None, int, int | None, int | None]) -> KeyRow:
    pipelines = None if row[4] is None else tuple(json.loads(row[4]))
    return KeyRow(row[0], row[1], row[2], row[3], pipelines, row[5], row[6], row[7])
