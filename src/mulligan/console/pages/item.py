"""One work item: how it was tried, what was decided and why, its error, its log, what it saved."""

from __future__ import annotations

import json

from fastapi import Request, Response

from mulligan.api.access import Caller, Routes
from mulligan.api.models import Attempt
from mulligan.console.desk import Desk
from mulligan.console.pictures.gantt import Saved, gantt
from mulligan.console.words import sentence
from mulligan.core.access import Principal, Role
from mulligan.core.job import JobStatus
from mulligan.engine.ids import parse_item_id

PIECES = 200
"""So many of the last pieces of its log are shown."""
CALLS = 100
MAX_PAGE = 500


class ItemPages:
    """A work item, and its log."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, routes: Routes) -> None:
        """Register the pages."""
        self._desk.get(routes, "/work-items/{id}", Role.VIEWER, self.work_item)

    def work_item(self, request: Request, caller: Caller, id: str) -> Response:
        """Show a work item."""
        desk, key = self._desk, parse_item_id(id)
        item = desk.items.get_work_item(caller, id)
        attempts = self._attempts(caller, id)
        saved = desk.summary.list_checkpoints(caller, id).items
        ticks = [Saved(each.saved_at, each.name or each.kind) for each in saved if each.counts]
        now = desk.rendering.now()
        return desk.page(
            request,
            caller,
            "work_item.html",
            item=item,
            attempts=attempts,
            checkpoints=saved,
            drawn=gantt(item, attempts, now, ticks),
            sentence=sentence(item, attempts),
            explanation=desk.items.explain_work_item(caller, id).lines,
            traceback=desk.summary.traceback(key),
            log=desk.summary.tail(caller, key, PIECES),
            calls=desk.items.list_calls(caller, id, limit=CALLS).items,
            arguments=json.dumps(item.args, indent=2, ensure_ascii=False),
            result=json.dumps(item.result, indent=2, ensure_ascii=False),
            succeeded=item.status is JobStatus.SUCCESS,
            audit=desk.overview.list_audit(caller, f"item {id}", limit=20).items if desk.may_see(caller, "/audit") else [],
        )

    def _attempts(self, caller: Principal, id: str) -> list[Attempt]:
        page = self._desk.items.list_attempts(caller, id, limit=MAX_PAGE)
        found = list(page.items)
        while page.next is not None:
            page = self._desk.items.list_attempts(caller, id, limit=MAX_PAGE, after=page.next)
            found += page.items
        return found
