"""How an action of an operator is carried out: once for each Idempotency-Key, told to the audit, answered with what it did."""

from __future__ import annotations

from typing import Protocol

from fastapi import Request, Response

from mulligan.api.access import asker_of
from mulligan.api.models import Done
from mulligan.api.replies import CUT_OFF, Replies
from mulligan.api.requests import Action
from mulligan.engine.asking import Asker, Plan, Target


class Command(Protocol):
    """One of the engine's commands, with all that it needs besides."""

    def __call__(self, *, target: Target, asker: Asker, dry_run: bool) -> Plan: ...


class Acting:
    """Carries out actions."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies

    def do(self, request: Request, target: Target, body: Action, key: str | None, command: Command) -> Response:
        """Do what is asked, or answer as before."""

        def act(operation: str | None) -> Done:
            asker = asker_of(request, body.reason, operation)
            return Done.of(command(target=target, asker=asker, dry_run=body.dry_run), dry_run=body.dry_run)

        return self._replies.once(request, key, act, lambda total: Done(total=total, warnings=[CUT_OFF]))
