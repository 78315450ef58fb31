"""Routes of root causes: what failures have in common, how many there are of each, and one of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from mulligan.api.access import Caller, Routes, Sight
from mulligan.api.cause_models import Cause, CauseDetail
from mulligan.api.models import Page
from mulligan.api.pages import Cursor, Limit, cursor, named_place
from mulligan.api.served import Served
from mulligan.core.access import Role
from mulligan.core.job import FailureClass
from mulligan.engine.causes import CauseReading
from mulligan.engine.filters import cause_filters, text
from mulligan.store.verbs.causes import CausePlace

CLASS = Annotated[FailureClass | None, Query(description="Those whose last failure in a pipeline was of a class.")]
SINCE = Annotated[
    str | None, Query(max_length=64, description="Those seen since; without a zone in UTC.", examples=["2024-03-07T06:00"])
]


class CauseRoutes:
    """What can be asked about root causes."""

    def __init__(self, served: Served) -> None:
        self._causes = CauseReading(served.engine)
        self._sight = Sight(served.engine)

    def add_to(self, routes: Routes) -> None:
        """Register the routes."""
        tags = ["causes"]
        routes.get("/api/causes", Role.VIEWER, response_model=Page[Cause], tags=tags)(self.list_causes)
        routes.get("/api/causes/{cause}", Role.VIEWER, response_model=CauseDetail, tags=tags)(self.get_cause)

    def list_causes(
        self,
        caller: Caller,
        task: Annotated[
            str | None, Query(max_length=200, description="Of this task or workflow, and counted for it alone.")
        ] = None,
        failure_class: CLASS = None,
        since: SINCE = None,
        limit: Limit = 100,
        after: Annotated[Cursor, Query(alias="cursor")] = None,
    ) -> Page[Cause]:
        """List root causes, the one that was first seen last first; counted for the pipelines that the key may see."""
        given = {"task": task, "failure_class": failure_class, "since": since}
        filters = {**cause_filters(given), **self._sight.filters(caller)}
        found = named_place(after, filters)
        views = self._causes.page(filters, limit, None if found is None else CausePlace(*found))
        following = cursor(tuple(views[-1].place), filters) if len(views) == limit else None
        return Page(items=[Cause.of(each) for each in views], next=following)

    def get_cause(self, caller: Caller, cause: str) -> CauseDetail:
        """Return a root cause: why failures are counted as it, where it was seen, and the newest of its failures."""
        view = self._causes.cause(text(cause, "cause"), caller.pipelines)
        return CauseDetail.with_sample(view, self._causes.sample(view))
