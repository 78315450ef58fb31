"""Keys of the API: made once and shown once, kept as digests, found and compared, revoked."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from mulligan.core.access import Principal, Role
from mulligan.core.errors import ArgumentsInvalid, NotFound, Refused
from mulligan.core.shown import shown
from mulligan.engine.asking import Asker, line
from mulligan.engine.engine import Engine
from mulligan.engine.filters import text
from mulligan.store.verbs.access import KeyRow

_FORM = re.compile(r"mlg_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_NAME = re.compile(r"[\w][\w.@+ -]{0,99}")
_NOBODY = hashlib.sha256(b"").hexdigest()


class NewKey(NamedTuple):
    """A key that was just made. `text` is the key itself, which is kept nowhere."""

    text: str
    principal: Principal


def random_key(name: str, role: Role, pipelines: tuple[str, ...] | None = None) -> NewKey:
    """Return a key of 256 random bits, which no store knows."""
    id = secrets.token_hex(8)  # noqa: A001 - its name everywhere
    return NewKey(f"mlg_{id}_{secrets.token_urlsafe(32)}", Principal(id, name, role, pipelines))


def digest_of(key: str) -> str:
    """Return what is kept of a key. It is random, so no slow digest is needed: there is nothing to guess."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


class Keys:
    """The keys of a store."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(
        self, name: str, role: Role, pipelines: Sequence[str] | None, asker: Asker, expires_s: float | None = None
    ) -> NewKey:
        """Make a key, which is taken for `expires_s` seconds where that is given.

        Raises ArgumentsInvalid for a name that is none, Refused where a key has the name already."""
        if not _NAME.fullmatch(name):
            raise ArgumentsInvalid(
                f"name: expected up to 100 letters, digits, spaces and . @ + - _, the first of them a letter or digit, "
                f"not {shown(name)}"
            )
        if pipelines is not None and not pipelines:
            raise ArgumentsInvalid("pipelines: name at least one, or leave them out for a key that is for all")
        made = random_key(name, role, None if pipelines is None else tuple(dict.fromkeys(pipelines)))
        principal, now_ms = made.principal, self._engine.clock.now_ms()
        if expires_s is not None and expires_s <= 0:
            raise ArgumentsInvalid(f"expires: expected more than 0 s, not {shown(expires_s)}")
        expires_ms = None if expires_s is None else now_ms + round(expires_s * 1000)
        row = KeyRow(principal.id, name, role, digest_of(made.text), principal.pipelines, now_ms, None, expires_ms)
        with self._engine.store.write() as session:
            if not session.access.add_key(row):
                raise Refused(f"there is a key {name!r} already: revoke it first, or give another name")
            session.records.add_audit(line(asker, now_ms, "create key", f"key {name}", found=f"{role} {row.id}", changed=1))
        return made

    def all(self) -> list[KeyRow]:
        """Return all keys, the oldest first, those that were revoked among them."""
        with self._engine.store.read() as session:
            return session.access.every()

    def any(self) -> bool:
        """Return whether there is a key that is neither revoked nor expired."""
        with self._engine.store.read() as session:
            return session.access.any_key(self._engine.clock.now_ms())

    def revoke(self, key: str, asker: Asker, *, last: bool = False) -> str:
        """Revoke the key of an id or a name, and return its name.

        Raises NotFound; Refused for the last key of an admin for all pipelines that is taken, unless `last` allows it.
        """
        key = text(key, "key")
        now_ms = self._engine.clock.now_ms()
        with self._engine.store.write() as session:
            session.access.lock_admins()
            found = session.access.revoke(key, now_ms)
            if found is None:
                raise NotFound(f"there is no key {shown(key)} that is not revoked")
            row = session.access.key(found[0])
            if row is not None and not last and _rules(row, now_ms) and not session.access.other_admin(found[0]):
                raise Refused(
                    f"{found[1]!r} is the last key of an admin: without one nobody can make keys in the console or over REST. "
                    "Make another first, one that does not expire; or say that it is the last (`--last`, over REST `last=true`)"
                )
            session.records.add_audit(line(asker, now_ms, "revoke key", f"key {found[1]}", found=found[0], changed=1))
        return found[1]

    def find(self, key: str) -> Principal | None:
        """Return whose key this is, or None. What is compared takes the same time whether or not there is such a key."""
        form = _FORM.fullmatch(key)
        row = None
        if form is not None:
            with self._engine.store.read() as session:
                row = session.access.key(form[1])
        same = hmac.compare_digest(digest_of(key), _NOBODY if row is None else row.digest)
        if row is None or not same or not row.works(self._engine.clock.now_ms()):
            return None
        return Principal(row.id, row.name, Role(row.role), row.pipelines)


def _rules(row: KeyRow, now_ms: int) -> bool:
    """Return whether a key that was just revoked was one by which others are made."""
    return row.role == Role.ADMIN and row.pipelines is None and (row.expires_ms is None or now_ms < row.expires_ms)
