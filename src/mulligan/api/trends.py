"""The figures of pipelines over time: as JSON, or as a table for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import Query, Request, Response
from pydantic import BaseModel, Field

from mulligan.api.access import Caller, Routes, Sight
from mulligan.api.served import Served
from mulligan.core.access import Role
from mulligan.core.job import FailureClass, Outcome
from mulligan.core.trends import Trend
from mulligan.engine.filters import text
from mulligan.engine.trending import Trending

Day = Annotated[str | None, Query(max_length=10, examples=["2026-11-23"])]
CSV = "text/csv; charset=utf-8"


class Recoveries(BaseModel):
    """Successes that came after a failure of the same window or work item, and how long that took from the first failure on."""

    count: int
    mean_s: float | None
    p50_s: float | None = Field(description="Estimated from buckets, as is p90_s.")
    p90_s: float | None


class Figures(BaseModel):
    """What ended in a time; a rate is null where there is nothing to divide by."""

    succeeded: int
    failed: int
    revoked: int
    success_rate: float | None = Field(description="succeeded / (succeeded + failed), from 0 to 1.")
    first_try_rate: float | None = Field(
        description="Of the work items whose first generation succeeded or failed, the share that succeeded in its first attempt."
    )
    attempts: dict[str, int] = Field(description="Attempts that ended, by outcome.")
    failures: dict[str, int] = Field(description="Attempts that failed, by failure class.")
    retries: dict[str, int] = Field(description="Attempts that were followed by another one by itself, by failure class.")
    again: dict[str, int] = Field(description="Work items that somebody had run again: recovered, restarted, overwritten.")
    lost_s: float = Field(description="Seconds that failed attempts took.")
    recoveries: Recoveries
    automatic: Recoveries
    manual: Recoveries


class PipelineTrend(BaseModel):
    """The figures of a pipeline in a day or a week, UTC; `pipeline` null: of all that the key may see."""

    pipeline: str | None
    period: str = Field(examples=["2026-W48", "2026-11-26"])
    start: date
    end: date = Field(description="The first day after it.")
    figures: Figures

    @classmethod
    def of(cls, trend: Trend) -> PipelineTrend:
        return cls.model_validate(asdict(trend))


class Trends(BaseModel):
    """The oldest period first; last the figures of all pipelines together. A period in which nothing was counted is not there."""

    every: Literal["day", "week"]
    items: list[PipelineTrend]


class TrendRoutes:
    """What became of work over time."""

    def __init__(self, served: Served) -> None:
        self._trending = Trending(served.engine)
        self._sight = Sight(served.engine)

    def add_to(self, routes: Routes) -> None:
        """Register the route."""
        as_csv = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
        routes.get("/api/trends", Role.VIEWER, response_model=Trends, responses=as_csv, tags=["pipelines"])(self.read_trends)

    def read_trends(
        self,
        request: Request,
        caller: Caller,
        every: Literal["day", "week"] = "week",
        task: Annotated[str | None, Query(max_length=200, description="Only this pipeline.")] = None,
        since: Day = None,
        until: Day = None,
        format: Annotated[
            Literal["json", "csv"] | None, Query(description="By default what `Accept` asks for, else JSON.")
        ] = None,
    ) -> Any:
        """Give success rate, retries, time to recovery and more, by day or ISO week, in UTC.

        Whole periods from the one `since` is in, up to that before `until`; by default the last 12 weeks or 30 days.
        Figures outlive the details of jobs.
        """
        name = None if task is None else self._sight.task(caller, text(task, "task"))
        found = self._trending.read(every, name, since, until, caller.pipelines)
        if format == "csv" or (format is None and "text/csv" in request.headers.get("accept", "")):
            return Response(csv_of(found), media_type=CSV)
        return Trends(every=every, items=[PipelineTrend.of(each) for each in found])


def csv_of(trends: Iterable[Trend]) -> str:
    """Return figures as lines with a head; what is not there is empty, as is the pipeline of all together."""
    out = io.StringIO()
    writer = csv.writer(out)
    outcomes, classes = [str(each) for each in Outcome], [str(each) for each in FailureClass]
    ways = ("recoveries", "automatic", "manual")
    writer.writerow(
        ["pipeline", "period", "start", "end", "succeeded", "failed", "revoked", "success_rate", "first_try_rate", "lost_s"]
        + [f"attempts_{each}" for each in outcomes]
        + [f"failures_{each}" for each in classes]
        + [f"retries_{each}" for each in classes]
        + [f"{way}_{name}" for way in ways for name in ("count", "mean_s", "p50_s", "p90_s")]
    )
    for each in trends:
        found = asdict(each.figures)
        writer.writerow(
            [_harmless(each.pipeline), each.period, each.start, each.end]
            + [found[name] for name in ("succeeded", "failed", "revoked", "success_rate", "first_try_rate", "lost_s")]
            + [found["attempts"].get(name, 0) for name in outcomes]
            + [found[what].get(name, 0) for what in ("failures", "retries") for name in classes]
            + [value for way in ways for value in found[way].values()]
        )
    return out.getvalue()


def _harmless(name: str | None) -> str:
    """Return a name that no spreadsheet takes for a formula."""
    return "" if name is None else f"'{name}" if name[:1] in ("=", "+", "-", "@", "\t", "\r") else name
