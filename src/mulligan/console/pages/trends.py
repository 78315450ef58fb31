"""Trends: what became of work over weeks or days, as pictures with their tables, and as CSV."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import Query as Parameter
from fastapi import Request, Response

from mulligan.api.access import Caller, Routes
from mulligan.api.trends import Figures, PipelineTrend, TrendRoutes, Trends
from mulligan.console.desk import Desk
from mulligan.console.pictures.bars import bars
from mulligan.console.pictures.picture import Picture
from mulligan.core.access import Role

DRAWN: tuple[tuple[str, str, Callable[[Figures], float | None]], ...] = (
    ("Success rate", "%", lambda each: None if each.success_rate is None else 100 * each.success_rate),
    ("Succeeded at the first try", "%", lambda each: None if each.first_try_rate is None else 100 * each.first_try_rate),
    ("Retries", "", lambda each: float(sum(each.retries.values()))),
    ("Time to recovery, median", "s", lambda each: each.recoveries.p50_s),
    ("Time lost in failed attempts", "s", lambda each: each.lost_s),
    ("Failed work items", "", lambda each: float(each.failed)),
)


class TrendPages:
    """Trends."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._routes = TrendRoutes(desk.served)

    def add_to(self, routes: Routes) -> None:
        """Register the page."""
        self._desk.get(routes, "/trends", Role.VIEWER, self.trends)

    def trends(
        self,
        request: Request,
        caller: Caller,
        every: Literal["day", "week"] = "week",
        pipeline: Annotated[str, Parameter(max_length=200)] = "",
    ) -> Response:
        """Show what became of work over time, of all pipelines or of one."""
        found = self._routes.read_trends(request, caller, every, pipeline or None, format="json")
        assert isinstance(found, Trends)  # noqa: S101 - JSON was asked for
        drawn = [each for each in found.items if each.pipeline == (pipeline or None)]
        names = sorted({each.pipeline for each in found.items if each.pipeline is not None})
        return self._desk.page(
            request,
            caller,
            "trends.html",
            every=every,
            pipeline=pipeline,
            names=names,
            pictures=[(title, _picture(title, unit, value, drawn)) for title, unit, value in DRAWN],
            latest=_latest(found.items),
        )


def _picture(title: str, unit: str, value: Callable[[Figures], float | None], drawn: list[PipelineTrend]) -> Picture:
    return bars([(each.period, value(each.figures)) for each in drawn], unit, title)


def _latest(items: list[PipelineTrend]) -> list[PipelineTrend]:
    """Return the newest figures of each pipeline."""
    newest = max((each.period for each in items), default="")
    return [each for each in items if each.period == newest and each.pipeline is not None]
