"""The command that tells what failures come from: a table of root causes, or one of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from mulligan.cli import documents, parsing
from mulligan.cli.shell import Shell, command
from mulligan.cli.table import Cell, Column, cut
from mulligan.cli.words import ago, items, moment
from mulligan.core.job import FailureClass
from mulligan.core.plain import one_line, without_control
from mulligan.gateway.causes import Cause

Limit = Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="How many at most, the one seen last first.")]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app, "causes --task features --since 2024-03-07")(causes)


def causes(
    shell: Shell,
    cause: Annotated[
        str | None, typer.Argument(metavar="CAUSE", help="Show this one: why, where, and its newest failure.", show_default=False)
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those of a task or workflow.", show_default=False)
    ] = None,
    failure_class: Annotated[
        FailureClass | None,
        typer.Option("--class", case_sensitive=False, metavar="CLASS", help="Only those of a failure class.", show_default=False),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only those that were seen since.", show_default=False)
    ] = None,
    limit: Limit = 50,
) -> None:
    """List what failures come from: root causes, each with how many work items have failed of it.

    Failures have one cause if they have the same error, codes and calls; lines, ids, numbers and places may differ.
    """
    if cause is not None:
        if task or failure_class or since:
            raise typer.BadParameter("name a cause, or give filters for the list of all")
        _show(shell, cause)
        return
    filters = {"task": task, "failure_class": failure_class, "since": parsing.moment(since, "--since")}
    found = sorted(shell.client.causes(**filters), key=lambda each: each.last_seen, reverse=True)
    if shell.as_json:
        shell.document([documents.of_cause(each) for each in found[:limit]])
        return
    if not found:
        some = any(value is not None for value in filters.values())
        shell.say("No cause matches." if some else "Nothing has failed yet.")
        return
    _list(shell, found[:limit])
    if len(found) > limit:
        shell.say(f"and {len(found) - limit:,} more")
    failing = next((each for each in found if each.failed_now), None)
    shell.next(f"mulligan causes {found[0].id}", *([f"mulligan retry --cause {failing.id} --dry-run"] if failing else []))


def _list(shell: Shell, found: list[Cause]) -> None:
    now_ms = shell.client.gateway.now_ms()
    columns = (
        Column("CAUSE", fixed=True),
        Column("CLASS", fixed=True),
        Column("FAILED NOW", fixed=True, right=True),
        Column("FAILURES", fixed=True, right=True),
        Column("PIPELINES"),
        Column("FIRST", fixed=True),
        Column("LAST", fixed=True),
        Column("TITLE"),
    )
    rows: list[list[Cell]] = []
    for each in found:
        failed: Cell = (f"{each.failed_now:,}", "red") if each.failed_now else "0"
        pipelines = ", ".join(one.pipeline for one in each.pipelines)
        seen = (ago(_ms(each.first_seen), now_ms), ago(_ms(each.last_seen), now_ms))
        rows.append([each.id, str(each.failure_class), failed, f"{each.failures:,}", pipelines, *seen, _titled(each)])
    shell.table(columns, rows)


def _show(shell: Shell, id: str) -> None:
    cause, sample = shell.client.cause(id), shell.client.cause_sample(id)
    if shell.as_json:
        shell.document(documents.of_cause(cause, sample, whole=True))
        return
    now_ms = shell.client.gateway.now_ms()
    shell.say(cut(f"Cause {cause.id}  {_titled(cause)}", shell.console.width))
    shell.say(f"class      {cause.failure_class}")
    for name, seen in (("first seen", cause.first_seen), ("last seen", cause.last_seen)):
        shell.say(f"{name:<10} {moment(_ms(seen))} ({ago(_ms(seen), now_ms)})")
    shell.say(f"failed now {items(cause.failed_now)}")
    shell.say(f"failures   {cause.failures:,} in all")
    shell.say()
    shell.say("Counted as it are failures with:")
    for what, value in cause.why:
        shell.say(cut(f"  {what}: {one_line(value)}", shell.console.width))
    shell.say()
    columns = (Column("PIPELINE"), Column("FAILED NOW", right=True), Column("FAILURES", right=True), Column("LAST", fixed=True))
    rows: list[list[Cell]] = [
        [each.pipeline, f"{each.failed_now:,}", f"{each.failures:,}", ago(_ms(each.last_seen), now_ms)]
        for each in cause.pipelines
    ]
    shell.table(columns, rows)
    shell.say()
    if sample is None:
        shell.say("The details of all its failures were removed.")
        return
    shell.say(f"Its newest failure, of work item {sample.work_item}:")
    said = sample.traceback or f"{sample.error_type or cause.error_type}: {sample.error_message or cause.title}"
    shell.say(without_control(said).rstrip())
    retry = [f"mulligan retry --cause {cause.id} --dry-run"] if cause.failed_now else []
    shell.next(f"mulligan explain {sample.work_item}", *retry)


def _titled(cause: Cause) -> str:
    title = one_line(cause.title)
    return title if title == cause.error_type else f"{cause.error_type.rpartition('.')[2]}: {title}"


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
