"""Requests that are sent again under an Idempotency-Key: done once, answered the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Header, Request
from fastapi.responses import Response
from pydantic import BaseModel

from mulligan.api.access import caller_of, written
from mulligan.api.errors import InProgress, KeyReused
from mulligan.engine.engine import Engine

ABANDONED_MS = 30_000
"""A request that was not answered for so long is taken over by the next that comes under its key: its server is dead."""
CUT_OFF = (
    "the server was stopped before it could answer this request: the total is what had been done by then; "
    "for the rest, if there is one, ask again under another key"
)
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Of your own choice, the same when the request is sent again: it is then done once, and answered the same "
        "for a day at least.",
    ),
]


class Replies:
    """Answers requests, each once, through an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def once(
        self,
        request: Request,
        key: str | None,
        act: Callable[[str | None], BaseModel],
        cut_off: Callable[[int], BaseModel] | None = None,
        status: int = 200,
    ) -> Response:
        """Answer with what `act` returns, or with what it returned before.

        `act` is given the operation's id for the audit. `cut_off` makes the answer of a request that was carried out, and whose
        server was stopped before it answered, of how much it had changed; without it `act` is what may be done again.
        Raises KeyReused, InProgress.
        """
        if key is None:
            return written(act(None), status)
        owner, now_ms = caller_of(request).id, self._engine.clock.now_ms()
        digest, operation = _digest(request), operation_of(owner, key)
        with self._engine.store.write() as session:
            if not session.access.begin_reply(owner, key, digest, now_ms):
                found = session.access.reply(owner, key)
                if found is not None and found.digest != digest:
                    raise KeyReused(f"Idempotency-Key {key!r} was used for another request: take another one")
                if found is not None and found.status is not None:
                    return Response(found.body, found.status, {"Idempotency-Replayed": "true"}, "application/json")
                waits = found is not None and cut_off is not None and now_ms - found.at_ms < ABANDONED_MS
                if found is not None and (waits or not session.access.take_over(owner, key, found.at_ms, now_ms)):
                    raise InProgress(f"a request with the Idempotency-Key {key!r} is being answered: send it again in a moment")
            changed = session.access.changed_by(operation) if cut_off is not None else None
        try:
            answer = written(act(operation) if changed is None or cut_off is None else cut_off(changed), status)
        except BaseException:
            with self._engine.store.write() as session:
                session.access.drop_reply(owner, key)
            raise
        with self._engine.store.write() as session:
            session.access.end_reply(owner, key, status, bytes(answer.body).decode())
        return answer


def operation_of(owner: str, key: str) -> str:
    """Return the id by which the audit knows a request."""
    return f"{owner}:{key}"


def run_id_of(operation: str) -> str:
    """Return the run id of a job that is submitted without one, the same whenever the same request is sent again."""
    return f"key-{hashlib.sha256(operation.encode()).hexdigest()[:32]}"


def _digest(request: Request) -> str:
    said: list[Any] = [request.method, request.url.path, request.url.query]
    body: bytes = request.scope.get("mulligan.body", b"")
    return hashlib.sha256(json.dumps(said).encode() + body).hexdigest()
