"""People who are logged in by a browser: begun with a key, known by a cookie of which a digest is kept, ended."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable

from mulligan.core.access import Principal, Role
from mulligan.engine.asking import Asker, line
from mulligan.engine.engine import Engine
from mulligan.engine.keys import digest_of
from mulligan.store.verbs.access import LoginRow

LONGEST_MS = 7 * 86_400_000
"""Nobody stays logged in for longer, however busy."""
SEEN_MS = 60_000
"""So exactly is it known when somebody was seen last: one write a minute, not one for each request."""
ONCE_S = 60.0


def csrf_token_of(token: str) -> str:
    """Return what a page of a login session sends along when it asks for a change: nobody has it who has not the cookie."""
    made = hmac.new(token.encode(), b"mulligan csrf", hashlib.sha256).digest()
    return urlsafe_b64encode(made).rstrip(b"=").decode()


class Logins:
    """The login sessions of a store: every server of it knows them."""

    def __init__(self, engine: Engine, idle_s: float, own: Principal | None = None) -> None:
        """A login session ends when nothing was asked for `idle_s` seconds; `own` is whose key this process made for itself."""
        self._engine = engine
        self._idle_ms = round(idle_s * 1000)
        self._own = own

    def begin(self, principal: Principal, asker: Asker) -> str:
        """Log somebody in, and return the token (256 random bits) that the browser is to keep."""
        token, now_ms = secrets.token_urlsafe(32), self._engine.clock.now_ms()
        with self._engine.store.write() as session:
            session.access.add_login(digest_of(token), principal.id, now_ms)
            session.records.add_audit(line(asker, now_ms, "login", f"key {principal.name}", found=principal.id, changed=1))
        return token

    def find(self, token: str) -> Principal | None:
        """Return who is logged in by a token; None where nobody is, or not any more, or the key was revoked."""
        digest, now_ms = digest_of(token), self._engine.clock.now_ms()
        with self._engine.store.read() as session:
            row = session.access.login(digest)
            key = None if row is None else session.access.key(row.key)
        if row is None or self._is_over(row, now_ms):
            return None
        if now_ms - row.seen_ms >= min(SEEN_MS, self._idle_ms // 2):
            with self._engine.store.write() as session:
                session.access.see_login(digest, now_ms)
        if self._own is not None and row.key == self._own.id:
            return self._own
        if key is None or key.revoked_ms is not None:
            return None
        return Principal(key.id, key.name, Role(key.role), key.pipelines)

    def end(self, token: str, principal: Principal, asker: Asker) -> bool:
        """Log somebody out; False where that was done before."""
        now_ms = self._engine.clock.now_ms()
        with self._engine.store.write() as session:
            ended = session.access.end_login(digest_of(token))
            if ended:
                session.records.add_audit(line(asker, now_ms, "logout", f"key {principal.name}", found=principal.id, changed=1))
        return ended

    def note_failed(self, asker: Asker, untold: int) -> None:
        """Note in the audit that a key was not taken, and how many times more since that was noted last."""
        now_ms = self._engine.clock.now_ms()
        found = "not valid" if not untold else f"not valid; {untold:,} more were refused and not noted"
        with self._engine.store.write() as session:
            session.records.add_audit(line(asker, now_ms, "login", "key", expected="a valid key", found=found, changed=0))

    def _is_over(self, row: LoginRow, now_ms: int) -> bool:
        return now_ms - row.seen_ms >= self._idle_ms or now_ms - row.created_ms >= LONGEST_MS


class LoginOnce:
    """A token that logs in once, within a minute of its making; it is in no store."""

    def __init__(self, principal: Principal, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.text = secrets.token_urlsafe(32)
        self._principal = principal
        self._digest: str | None = digest_of(self.text)
        self._monotonic = monotonic
        self._until = monotonic() + ONCE_S
        self._lock = threading.Lock()

    def take(self, text: str) -> Principal | None:
        """Return who logs in by a token, and take it no more; None where it is not this one, was used, or is too old."""
        with self._lock:
            expected, there = self._digest or digest_of(""), self._digest is not None
            if not hmac.compare_digest(digest_of(text), expected) or not there:
                return None
            self._digest = None
        return self._principal if self._monotonic() < self._until else None
