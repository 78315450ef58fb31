"""One work item: how it was tried, what was decided and why, its error, its log, what it saved."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.responses import JSONResponse

from mulligan.api.access import Caller, Routes
from mulligan.api.items import After
from mulligan.api.models import LogPage
from mulligan.console.desk import Desk
from mulligan.console.log_text import parts_of
from mulligan.console.pictures.gantt import Saved, gantt
from mulligan.console.words import sentence
from mulligan.core.access import Role
from mulligan.core.errors import NotFound
from mulligan.core.job import JobStatus
from mulligan.engine.ids import parse_item_id

PIECES = 200
"""So many of the last pieces of its log are shown."""
CALLS = 100
ROWS = 25
"""So many attempts are on a page of them, as many as the picture has rows."""
LINES = 400
"""So many lines of the explanation stand on the page, the last ones: a work item may have thousands of attempts."""
Before = Annotated[int | None, Query(ge=2, le=1_000_000_000)]


class ItemPages:
    """A work item, its log as it grows, and all its attempts."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, routes: Routes) -> None:
        """Register the pages."""
        self._desk.get(routes, "/work-items/{id}", Role.VIEWER, self.work_item)
        self._desk.get(routes, "/work-items/{id}/attempts", Role.VIEWER, self.attempts)
        routes.get("/work-items/{id}/log", Role.VIEWER, include_in_schema=False, response_class=JSONResponse)(self.log)

    def work_item(self, request: Request, caller: Caller, id: str) -> Response:
        """Show a work item."""
        desk, key = self._desk, parse_item_id(id)
        found = desk.items.history(caller, id, PIECES)
        item, attempts = found.item, found.attempts
        saved = desk.summary.list_checkpoints(caller, id).items
        ticks = [Saved(each.saved_at, each.name or each.kind) for each in saved if each.counts]
        drawn = gantt(item, attempts, desk.rendering.now(), ticks)
        return desk.page(
            request,
            caller,
            "work_item.html",
            item=item,
            attempts=attempts,
            checkpoints=saved,
            drawn=drawn,
            more=len(attempts) >= ROWS,
            sentence=sentence(item, attempts),
            explanation=found.explanation[-LINES:],
            left_out=max(0, len(found.explanation) - LINES),
            traceback=found.traceback,
            log=_shown(found.log),
            calls=desk.items.list_calls(caller, id, limit=CALLS).items,
            arguments=json.dumps(item.args, indent=2, ensure_ascii=False),
            result=json.dumps(item.result, indent=2, ensure_ascii=False),
            succeeded=item.status is JobStatus.SUCCESS,
            audit=desk.overview.list_audit(caller, f"item {key}", limit=20).items if desk.may_see(caller, "/audit") else [],
        )

    def attempts(self, request: Request, caller: Caller, id: str, before: Before = None) -> Response:
        """Show the attempts of a work item, the newest first, a page at a time: as a picture and as a list."""
        desk = self._desk
        found = desk.items.history(caller, id, 1)
        count = len(found.attempts)
        until = count if before is None else before - 1
        if until > count:
            raise NotFound(f"work item {id} has {count} ended attempts: there is none before attempt {before}")
        page = found.attempts[max(0, until - ROWS) : until]
        older = page[0].place if page and page[0].place > 1 else None
        return desk.page(
            request,
            caller,
            "attempts.html",
            item=found.item,
            count=count,
            page=page[::-1],
            drawn=gantt(found.item, found.attempts, desk.rendering.now(), until=None if before is None else until),
            older=older,
            newest=before is None,
        )

    def log(self, caller: Caller, id: str, after: After = None) -> Response:
        """Return what was written to a log after a place, for the page that shows its end: harmless, and no more than fits."""
        return JSONResponse(_shown(self._desk.items.list_log_pieces(caller, id, after, PIECES)))


def _shown(page: LogPage) -> dict[str, object]:
    parts, cut = parts_of([(each.place, each.text) for each in page.items])
    return {
        "parts": [{"attempt": place, "text": text} for place, text in parts],
        "next": page.next,
        "skipped": page.skipped or cut,
    }
