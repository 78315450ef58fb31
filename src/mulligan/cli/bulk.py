"""The commands about bulk operations: `mulligan bulk`, and `mulligan operations list`, `show` and `abort`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from mulligan.cli.acting import DryRun, Matching, Reason, Type, say_plan
from mulligan.cli.shell import Shell, command
from mulligan.cli.table import Cell, Column
from mulligan.cli.words import ago, iso, items
from mulligan.client.operation import Operation
from mulligan.core.bulk import FITTING, BulkAction, BulkState
from mulligan.engine.bulk_pages import BulkPlan

VERBS = {
    BulkAction.RETRY: "retried",
    BulkAction.RETRY_NOW: "made due",
    BulkAction.CANCEL: "cancelled, or asked to stop",
    BulkAction.OVERWRITE: "started again",
}
Action = Annotated[
    BulkAction,
    typer.Argument(metavar="ACTION", help=f"What is done to all that match: {', '.join(BulkAction)}.", show_default=False),
]
Id = Annotated[str, typer.Argument(metavar="OPERATION", help="Id of an operation, such as 7.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "bulk retry --task features --class TRANSIENT --reason 'the warehouse is back' --follow")(bulk)
    group = typer.Typer(rich_markup_mode=None, invoke_without_command=True, help="Bulk operations: which there are, and how far.")
    command(group, "operations list")(list_)
    command(group, "operations show 7")(show)
    command(group, "operations abort 7 --reason 'wrong filter'")(abort)

    @group.callback()
    def _group(ctx: typer.Context) -> None:
        if ctx.invoked_subcommand is None:
            listing: Any = group.registered_commands[0].callback
            listing(ctx, limit=20, database=None, namespace=None, as_json=False)

    app.add_typer(group, name="operations")


def bulk(
    shell: Shell,
    action: Action,
    *,
    matching: Matching,
    type: Annotated[
        Type, typer.Option("--type", metavar="recover|restart", help="Of a retry: from the checkpoints, or anew.")
    ] = Type.RECOVER,
    accept_risk: Annotated[
        bool, typer.Option("--accept-risk", help="Of an overwrite: do it although it is not known to be safe.")
    ] = False,
    forward: Annotated[
        bool, typer.Option("--forward", help="Of an overwrite: also the later windows that were written since, in order.")
    ] = False,
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="For people.", show_default=False)] = "",
    expected: Annotated[
        int | None, typer.Option("--expect", min=0, metavar="N", help="Refuse if more than N match.", show_default=False)
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Stay until it has ended, and do it here if nobody else does.")
    ] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
) -> int:
    """Retry, cancel or overwrite all work items that match, in the background and at a bounded pace.

    Which they are is fixed at once. Workers and servers do it, also after a restart. With --follow, exit code 0 means that it
    came to its end.
    """
    filters = matching.filters(FITTING[action])
    if not filters:
        raise typer.BadParameter("give filters, such as --job 12 or --task features: nothing was done")
    if "job" in filters:
        shell.client.job(filters["job"])
    mode: Literal["recover", "restart"] = type.value
    with shell.busy(f"{action}: all that match"):
        found = shell.client.bulk(
            action,
            type=mode,
            reason=reason,
            name=name,
            accept_risk=accept_risk,
            forward=forward,
            expected=expected,
            dry_run=dry_run,
            **filters,
        )
    if isinstance(found, BulkPlan):
        return _plan(shell, found, action)
    if follow:
        _follow(shell, found)
    return _told(shell, found, follow=follow)


def list_(
    shell: Shell,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, metavar="N", help="So many at most.")] = 20,
) -> None:
    """List bulk operations, newest first. `mulligan operations` alone does the same."""
    found = shell.client.operations(limit)
    if shell.as_json:
        shell.document([_document(each) for each in found])
        return
    if not found:
        shell.say("There are no bulk operations.")
        shell.next("mulligan bulk retry --task TASK --dry-run")
        return
    now_ms = shell.client.gateway.now_ms()
    columns = (
        Column("ID", fixed=True),
        Column("NAME"),
        Column("STATE", fixed=True),
        Column("DONE", fixed=True, right=True),
        Column("OF", fixed=True, right=True),
        Column("LEFT ALONE", right=True),
        Column("ASKED"),
    )
    rows: list[list[Cell]] = []
    for each in found:
        asked = f"{ago(each.facts.created_ms, now_ms)} by {each.facts.actor}"
        left = f"{sum(each.skipped.values()):,}"
        rows.append([each.id, each.name, str(each.state), f"{each.done:,}", f"{each.matched:,}", left, asked])
    shell.table(columns, rows)


def show(shell: Shell, operation: Id) -> None:
    """Show a bulk operation: what it is for, how far it is, what was left alone and why."""
    found = shell.client.operation(operation)
    if shell.as_json:
        shell.document(_document(found))
        return
    _say(shell, found)
    filters = ", ".join(f"{name} {value}" for name, value in found.filters.items())
    shell.say(f"For: {filters}")
    shell.say(
        f"Asked by {found.facts.actor} at {iso(found.facts.created_ms)}{f': {found.facts.reason}' if found.facts.reason else ''}"
    )
    if found.facts.ended_ms is None:
        shell.next(f"mulligan operations abort {found.id}")


def abort(shell: Shell, operation: Id, reason: Reason = "") -> int:
    """Stop a bulk operation before its next page. What was done stays done. Exit code 1 when it had ended before."""
    found = shell.client.operation(operation)
    ended = found.facts.ended_ms is not None
    found.abort(reason)
    if shell.as_json:
        shell.document(_document(found))
    else:
        _say(shell, found)
    return int(ended or found.state is not BulkState.ABORTED)


def _plan(shell: Shell, found: BulkPlan, action: BulkAction) -> int:
    if shell.as_json:
        shell.document(
            {
                "dry_run": True,
                "matched": found.matched,
                "total": found.plan.total,
                "by_status": dict(found.statuses),
                "by_class": dict(found.classes),
                "reused": dict(found.kept),
                "left_alone": dict(found.plan.skipped),
                "warnings": found.plan.warnings,
                "examples": found.plan.examples,
                "unsafe_total": found.plan.unsafe,
            }
        )
        return 0 if found.plan.total else 1
    by = ", ".join(f"{count:,} {name}" for name, count in (*found.statuses.items(), *found.classes.items()))
    shell.say(f"{items(found.matched)} match{f': {by}' if by else ''}.")
    if found.kept:
        kept = ", ".join(f"{count:,} {name}" for name, count in found.kept.items())
        shell.say(f"Reused: {kept}.")
    say_plan(shell, found.plan, str(action), VERBS[action])
    if found.plan.total:
        shell.next(f"the same with --expect {found.matched} instead of --dry-run")
    return 0 if found.plan.total else 1


def _follow(shell: Shell, found: Operation) -> None:
    if not shell.errors.is_terminal:
        found.wait()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=shell.errors) as bar:
        line = bar.add_task(f"operation {found.id}", total=found.matched)
        for each in found.looks():
            bar.update(line, completed=each.done + sum(each.skipped.values()))


def _told(shell: Shell, found: Operation, *, follow: bool) -> int:
    """Tell what came of it so far; exit code 1 where nothing matched, or it was followed and did not come to its end."""
    if shell.as_json:
        shell.document(_document(found))
    else:
        _say(shell, found)
        if found.facts.ended_ms is None:
            shell.next(f"mulligan operations show {found.id}", f"mulligan operations abort {found.id}")
    return int(not found.matched or (follow and found.state is not BulkState.DONE))


def _say(shell: Shell, found: Operation) -> None:
    left = "; ".join(f"{count:,} {why.removeprefix('is ')}" for why, count in found.skipped.items() if count)
    state = str(found.state) if found.facts.ended_ms is not None else f"{found.state}, {found.progress:.0f} %"
    shell.say(f"Operation {found.id}, {found.name}: {state}.")
    shell.say(f"{found.done:,} of {items(found.matched)} {VERBS[found.facts.action]}{f' (left alone: {left})' if left else ''}.")
    if found.error_message:
        shell.say(f"It failed: {found.error_message}")


def _document(found: Operation) -> dict[str, Any]:
    facts = found.facts
    return {
        "id": found.id,
        "name": found.name,
        "action": found.action,
        "type": facts.mode,
        "filter": found.filters,
        "state": str(found.state),
        "error": found.error_message,
        "matched": found.matched,
        "done": found.done,
        "left_alone": dict(found.skipped),
        "progress": round(found.progress, 1),
        "actor": facts.actor,
        "reason": facts.reason,
        "created_at": iso(facts.created_ms),
        "started_at": iso(facts.started_ms),
        "ended_at": iso(facts.ended_ms),
    }
