"""Routes that act at once on all work items that match a filter."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import Request, Response

from mulligan.api.access import Caller, Routes, Sight
from mulligan.api.acting import Acting, Command
from mulligan.api.items import Type
from mulligan.api.models import Done
from mulligan.api.replies import Key, Replies
from mulligan.api.requests import ActOnMatching, Matching, OverwriteMatching
from mulligan.api.served import Served
from mulligan.core.access import Role
from mulligan.core.errors import ArgumentsInvalid
from mulligan.engine.asking import Target
from mulligan.engine.ids import parse_item_id


class MatchingRoutes:
    """What can be asked of all work items that match."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._sight = Sight(served.engine)
        self._acting = Acting(Replies(served.engine))

    def add_to(self, routes: Routes) -> None:
        """Register the routes."""
        for path, act in (
            ("cancel", self.cancel_matching),
            ("retry", self.retry_matching),
            ("retry-now", self.retry_matching_now),
            ("overwrite", self.overwrite_matching),
        ):
            routes.post(f"/api/work-items/{path}", Role.OPERATOR, response_model=Done, tags=["work items"])(act)

    def cancel_matching(self, request: Request, caller: Caller, body: ActOnMatching, key: Key = None) -> Response:
        """Cancel all work items that match."""
        return self._act(request, caller, body, key, self._served.commands.cancel)

    def retry_matching(
        self, request: Request, caller: Caller, body: ActOnMatching, type: Type = "recover", key: Key = None
    ) -> Response:
        """Retry all work items that match and failed or were cancelled."""
        return self._act(request, caller, body, key, partial(self._served.commands.retry, mode=type))

    def retry_matching_now(self, request: Request, caller: Caller, body: ActOnMatching, key: Key = None) -> Response:
        """Make all work items due at once that match and wait for their next attempt."""
        return self._act(request, caller, body, key, self._served.commands.retry_now)

    def overwrite_matching(self, request: Request, caller: Caller, body: OverwriteMatching, key: Key = None) -> Response:
        """Run all work items again that match and succeeded; 409 `overwrite_unsafe` where that is not known to be safe."""
        command = partial(self._served.commands.overwrite, accept_risk=body.accept_risk, forward=body.forward)
        return self._act(request, caller, body, key, command)

    def _act(self, request: Request, caller: Caller, body: ActOnMatching, key: str | None, command: Command) -> Response:
        target = Target(filters=self._plain(caller, body.filter))
        return self._acting.do(request, target, body, key, command)

    def _plain(self, caller: Caller, asked: Matching) -> dict[str, Any]:
        given = asked.model_dump(exclude_none=True)
        empty = sorted(name for name, value in given.items() if value == [])
        if not {name for name in given if given[name] is not False} - {"latest"} or empty:
            raise ArgumentsInvalid(
                f"filter: {f'{empty[0]} is' if empty else 'it is'} empty, which would match everything or nothing"
            )
        if asked.parent is not None:
            self._sight.item(caller, parse_item_id(asked.parent))
        seen = {} if asked.parent is not None else self._sight.filters(caller)
        return {**self._served.reading.plain_filters(given), **seen}
