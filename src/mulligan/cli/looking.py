"""The commands that look at the whole store: jobs, workers, audit and verify."""

from __future__ import annotations

from typing import Annotated

import typer

from mulligan.cli import documents, parsing
from mulligan.cli.shell import Shell, command
from mulligan.cli.table import Cell, Column
from mulligan.cli.words import STYLES, ago, iso, milliseconds
from mulligan.core.job import JobStatus

STATUS_HELP = f"Only these ({', '.join(JobStatus)}); may be repeated."
Limit = Annotated[int, typer.Option(metavar="N", min=1, max=500, help="How many at most, newest first.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "jobs --status FAILURE --label team=ads")(jobs)
    command(app, "workers")(workers)
    command(app, "audit --limit 20")(audit)
    command(app, "verify", stored=True)(verify)
    command(app, "migrate --database postgresql://db.example/pipelines", stored=True)(migrate)


def jobs(
    shell: Shell,
    status: Annotated[
        list[JobStatus], typer.Option("--status", case_sensitive=False, metavar="STATUS", help=STATUS_HELP, show_default=False)
    ] = [],  # noqa: B006 - typer's way to say that there may be none
    task: Annotated[str | None, typer.Option(metavar="NAME", help="Only those of a task.", show_default=False)] = None,
    label: Annotated[str | None, typer.Option(metavar="K=V", help="Only those with a label.", show_default=False)] = None,
    run_id: Annotated[str | None, typer.Option(metavar="ID", help="Only the one with a run id.", show_default=False)] = None,
    limit: Limit = 50,
) -> None:
    """List jobs, newest first."""
    filters = {"status": status or None, "task": task, "run_id": run_id, "label": parsing.label(label) if label else None}
    found = shell.client.jobs(limit, **filters)
    if shell.as_json:
        shell.document([documents.of_job(job) for job in found])
        return
    if not found:
        some = any(value is not None for value in filters.values())
        shell.say("No job matches." if some else "No jobs yet.")
        shell.next("mulligan jobs" if some else "mulligan submit TASK KEY=VALUE")
        return
    now_ms = shell.client.gateway.now_ms()
    columns = (
        Column("ID", fixed=True),
        Column("TASK"),
        Column("STATUS"),
        Column("DONE", fixed=True, right=True),
        Column("FAILED", fixed=True, right=True),
        Column("SUBMITTED", fixed=True),
    )
    rows: list[list[Cell]] = []
    for job in found:
        counts = job.counts
        failed: Cell = (f"{counts.failure:,}", "red") if counts.failure else "0"
        done = f"{counts.ended:,}/{counts.total:,}"
        rows.append([job.id, job.task, (job.label, STYLES[job.status]), done, failed, ago(milliseconds(job.created_at), now_ms)])
    shell.table(columns, rows)
    shell.next(f"mulligan show {found[0].id}")


def workers(
    shell: Shell,
    everyone: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
) -> None:
    """List workers, newest first."""
    shown = [each for each in shell.client.workers() if everyone or each.state in ("living", "dead")]
    if shell.as_json:
        names = ("id", "name", "pid", "state", "started_at", "seen_at", "refused_writes")
        shell.document([dict(zip(names, (*each[:4], iso(each[4]), iso(each[5]), each[6]), strict=True)) for each in shown])
        return
    if not shown:
        shell.say("No worker is running.")
        shell.next("mulligan worker FILE", "mulligan workers --all")
        return
    now_ms = shell.client.gateway.now_ms()
    columns = (Column("ID", fixed=True), Column("NAME"), Column("STATE", fixed=True), Column("STARTED"), Column("SEEN"))
    styles = {"living": "green", "dead": "red", "lost": "red", "stopped": "dim"}
    shell.table(
        columns,
        [
            [str(number), name, (state, styles[state]), ago(started_ms, now_ms), ago(seen_ms, now_ms)]
            for number, name, _, state, started_ms, seen_ms, _ in shown
        ],
    )


def audit(
    shell: Shell,
    target: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Only what was done to it, such as 'job 12' or 'item 12-3'.", show_default=False),
    ] = None,
    limit: Limit = 50,
) -> None:
    """List who asked for what, newest first."""
    rows = shell.client.audit(target, limit)
    if shell.as_json:
        shell.document([documents.of_audit(row) for row in rows])
        return
    if not rows:
        shell.say("Nobody has asked for anything yet." if target is None else f"Nobody has asked for anything of {target}.")
        return
    now_ms = shell.client.gateway.now_ms()
    columns = (
        Column("WHEN", fixed=True),
        Column("WHO"),
        Column("ACTION", fixed=True),
        Column("TARGET"),
        Column("CHANGED", fixed=True, right=True),
        Column("REASON"),
    )
    shell.table(
        columns,
        [[ago(row.at_ms, now_ms), row.actor, row.action, row.target, f"{row.changed:,}", row.reason] for row in rows],
    )


def migrate(shell: Shell) -> None:
    """Bring the store's schema up to date.

    On PostgreSQL a newer version of Mulligan asks for this before it works; workers of the version before go on meanwhile.
    A SQLite file is brought up to date by whatever opens it first.
    """
    from mulligan.app import migrate as bring_up_to_date

    before, after = bring_up_to_date(shell.settings, shell.hint)
    if shell.as_json:
        shell.document({"before": before, "after": after})
    elif before == after:
        shell.say(f"The schema is up to date: version {after}.")
    else:
        shell.say(
            f"The schema is of version {after} now{'' if before else ', made anew'}; it was {before or 'not there'} before."
        )


def verify(shell: Shell) -> int:
    """Check that the store keeps its promises.

    Exit code 1 when it finds something that must not be.
    """
    with shell.busy("Checking"):
        found = shell.client.verify()
    if shell.as_json:
        shell.document([documents.of_finding(each) for each in found])
    elif not found:
        shell.say("All invariants hold.")
    else:
        for each in found:
            shell.say(str(each))
        shell.hint("mulligan: the store does not keep its promises; keep a copy of it and report what stands above")
    return 1 if found else 0
