"""The command about figures over time: `mulligan trends`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from mulligan.cli.shell import Shell, command
from mulligan.cli.table import Cell, Column
from mulligan.core.trends import Trend


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app, "trends --weekly --task features --since 2026-09-01")(trends)


def trends(
    shell: Shell,
    weekly: Annotated[bool, typer.Option("--weekly/--daily", help="By ISO week, or by day; both in UTC.")] = True,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those of a task or workflow.", show_default=False)
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="From the period that it is in on; else 12 weeks or 30 days.", show_default=False),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="The first day left out.", show_default=False)] = None,
) -> None:
    """Show how well pipelines do: success rate, first tries, retries, time lost, time to recovery.

    What ended in a week or a day counts in it. Figures outlive the details of jobs.
    """
    every: Literal["day", "week"] = "week" if weekly else "day"
    found = shell.client.trends(every, task, since, until)
    if shell.as_json:
        shell.document([asdict(each) for each in found])
        return
    if not found:
        shell.say("Nothing has ended in this time.")
        return
    if len({each.pipeline for each in found} - {None}) == 1:  # all together are the same then
        found = [each for each in found if each.pipeline is not None]
    columns = (
        Column("WEEK" if weekly else "DAY", fixed=True),
        Column("PIPELINE"),
        Column("ENDED", fixed=True, right=True),
        Column("SUCCESS", fixed=True, right=True),
        Column("FIRST TRY", fixed=True, right=True),
        Column("RETRIES", fixed=True, right=True),
        Column("LOST", fixed=True, right=True),
        Column("RECOVERED", fixed=True, right=True),
        Column("P50", fixed=True, right=True),
    )
    shell.table(columns, [_row(each) for each in found])


def _row(trend: Trend) -> list[Cell]:
    figures = trend.figures
    ended = figures.succeeded + figures.failed + figures.revoked
    rate: Cell = (_percent(figures.success_rate), "red") if figures.failed else _percent(figures.success_rate)
    return [
        trend.period,
        "all" if trend.pipeline is None else trend.pipeline,
        f"{ended:,}",
        rate,
        _percent(figures.first_try_rate),
        f"{sum(figures.retries.values()):,}",
        _time(figures.lost_s),
        f"{figures.recoveries.count:,}",
        _time(figures.recoveries.p50_s),
    ]


def _percent(share: float | None) -> str:
    """Say a share; nothing but all is 100 %."""
    return "-" if share is None else f"{min(share, 1.0 if share == 1 else 0.999):.1%}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
