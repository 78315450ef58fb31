"""What workflows have called, as a tree: counts by state, what failed at once, the rest a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from fastapi import Query as Parameter
from fastapi import Request, Response

from mulligan.api.access import Caller, Routes
from mulligan.api.models import Counts, WorkItem
from mulligan.console.desk import Desk
from mulligan.core.access import Principal, Role
from mulligan.core.job import JobStatus

OPEN = 50
"""The calls of a workflow are open from the start if there are no more than so many; a page of them has as many."""
ROOTS = 5
"""So many workflows of a job are open from the start."""
FAILED = 5
"""So many calls that failed are named where the calls are closed."""
Cursor = Annotated[str | None, Parameter(max_length=200)]


class Node(NamedTuple):
    """A work item in a tree, and as much of what it called as is shown from the start."""

    item: WorkItem
    counts: Counts | None
    """None: it has called nothing."""
    calls: tuple[Node, ...] = ()
    failed: tuple[WorkItem, ...] = ()
    """The first that failed, where `calls` are not shown."""


class CallPages:
    """The calls of a workflow, a page at a time."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, routes: Routes) -> None:
        """Register the page."""
        self._desk.get(routes, "/work-items/{id}/calls", Role.VIEWER, self.calls)

    def calls(
        self,
        request: Request,
        caller: Caller,
        id: str,
        status: Annotated[JobStatus | None, Parameter()] = None,
        cursor: Cursor = None,
    ) -> Response:
        """List what a workflow has called, with what these have called in turn."""
        desk = self._desk
        item = desk.items.get_work_item(caller, id)
        asked = None if status is None else [status]
        page = desk.items.list_calls(caller, id, status=asked, limit=OPEN, after=cursor)
        return desk.page(
            request,
            caller,
            "calls.html",
            item=item,
            page=page,
            nodes=_closed(desk, caller, page.items),
            counts=desk.items.count_calls(caller, id),
            chosen=status,
            first=cursor is None,
        )


def tree_of(desk: Desk, caller: Principal, items: Sequence[WorkItem]) -> list[Node]:
    """Return the tree of some work items; empty where none of them has called anything."""
    found = _closed(desk, caller, items)
    if not any(each.counts for each in found):
        return []
    opened = [place for place, each in enumerate(found) if each.counts][:ROOTS]
    return [_opened(desk, caller, each) if place in opened else each for place, each in enumerate(found)]


def _opened(desk: Desk, caller: Principal, node: Node) -> Node:
    if node.counts is None or node.counts.total > OPEN:
        failed = desk.items.list_calls(caller, node.item.id, status=[JobStatus.FAILURE], limit=FAILED).items
        return node._replace(failed=tuple(failed))
    return node._replace(calls=tuple(_closed(desk, caller, desk.items.list_calls(caller, node.item.id, limit=OPEN).items)))


def _closed(desk: Desk, caller: Principal, items: Sequence[WorkItem]) -> list[Node]:
    counts = desk.summary.get_call_counts(caller, [each.id for each in items]) if items else {}
    return [Node(each, counts.get(each.id)) for each in items]
