"""The commands by which operators act: retry, cancel, overwrite, pause and resume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Annotated, Any, Literal

import typer

from mulligan.cli import documents, parsing
from mulligan.cli.reading import find
from mulligan.cli.shell import Shell, command
from mulligan.cli.words import items
from mulligan.client.items import WorkItem
from mulligan.client.job import Job
from mulligan.client.started import Started
from mulligan.core.errors import OverwriteUnsafe
from mulligan.core.job import TERMINAL, WAITING, FailureClass, JobStatus
from mulligan.engine.asking import Plan

Found = Job[Any] | WorkItem
CLASS_HELP = f"All that match: with a failure class ({', '.join(FailureClass)})."

Ids = Annotated[
    list[str],
    typer.Argument(metavar="JOB|ITEM", help="Ids: jobs are like 12, work items like 12-345.", show_default=False),
]
OfJob = Annotated[str | None, typer.Option("--job", metavar="JOB", help="All that match: of a job.", show_default=False)]
OfTask = Annotated[str | None, typer.Option("--task", metavar="TASK", help="All that match: of a task.", show_default=False)]
OfRunId = Annotated[
    str | None, typer.Option("--run-id", metavar="ID", help="All that match: of the job with a run id.", show_default=False)
]
OfStatus = Annotated[
    list[JobStatus],
    typer.Option(
        "--status",
        case_sensitive=False,
        metavar="STATUS",
        help="All that match: in a status; may be repeated.",
        show_default=False,
    ),
]
OfClass = Annotated[
    FailureClass | None,
    typer.Option("--class", case_sensitive=False, metavar="CLASS", help=CLASS_HELP, show_default=False),
]
OfCause = Annotated[
    str | None, typer.Option("--cause", metavar="CAUSE", help="All that match: failed of a root cause.", show_default=False)
]
OfError = Annotated[
    str | None, typer.Option("--error", metavar="TEXT", help="All that match: with a text in the error.", show_default=False)
]
OfWindows = Annotated[
    str | None,
    typer.Option(
        "--window-start", metavar="TIME", help="All that match: of windows that start then or later.", show_default=False
    ),
]
OfWindowsEnd = Annotated[
    str | None,
    typer.Option("--window-end", metavar="TIME", help="All that match: of windows that end then or before.", show_default=False),
]
Latest = Annotated[
    bool, typer.Option("--latest", help="Of those for the same window of a task only the newest.", show_default=False)
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the audit.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Tasks = Annotated[list[str], typer.Argument(metavar="TASK", help="Published names of tasks.")]


@dataclass(frozen=True, slots=True)
class _Said:
    """How an action is spoken of."""

    verb: str
    done: str
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Matching:
    """The filters that choose what an action is for."""

    job: OfJob = None
    task: OfTask = None
    run_id: OfRunId = None
    status: OfStatus = field(default_factory=list)
    failure_class: OfClass = None
    cause: OfCause = None
    error: OfError = None
    window_start: OfWindows = None
    window_end: OfWindowsEnd = None
    latest: Latest = False

    def filters(self, fitting: Iterable[JobStatus]) -> dict[str, Any]:
        """Return those that were given; without a status they take what the action fits, and nothing else."""
        if self.job is not None:
            parsing.check_ids([self.job])
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        found = {name: value for name, value in found.items() if value not in (None, [], False)}
        return found | {"status": found.get("status", sorted(fitting))} if found else {}


class Type(StrEnum):
    """How failed work is retried."""

    RECOVER = "recover"
    RESTART = "restart"


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "retry --job 12 --class TRANSIENT --type recover --reason 'the warehouse is back'")(retry)
    command(app, "cancel 12 --reason 'wrong input'")(cancel)
    command(app, "overwrite 12 --start 2024-03-01 --end 2024-03-08 --dry-run")(overwrite)
    command(app, "pause features --reason 'schema change'")(pause)
    command(app, "resume features")(resume)


def retry(
    shell: Shell,
    ids: Ids = [],  # noqa: B006 - typer's way to say that there may be none
    *,
    matching: Matching,
    type: Annotated[
        Type, typer.Option("--type", metavar="recover|restart", help="Go on from the checkpoints, or begin anew.")
    ] = Type.RECOVER,
    reason: Reason = "",
    now: Annotated[bool, typer.Option("--now", help="Instead: make waiting work items due at once.")] = False,
    dry_run: DryRun = False,
) -> int:
    """Retry what failed or was cancelled.

    With --now, try at once what waits for its next attempt. Name jobs and work items, or give filters. Exit code 1 when
    something that was named could not be retried.
    """
    fitting = WAITING if now else (JobStatus.FAILURE, JobStatus.REVOKED)
    filters = matching.filters(fitting)
    mode: Literal["recover", "restart"] = type.value

    def one(each: Found) -> Started:
        return each.retry_now(reason, dry_run=dry_run) if now else each.retry(mode, reason, dry_run=dry_run)

    def many() -> Started:
        if now:
            return shell.client.retry_now(dry_run=dry_run, reason=reason, **filters)
        return shell.client.retry(mode, dry_run=dry_run, reason=reason, **filters)

    verb = "made due" if now else {"recover": "recovered", "restart": "restarted"}[mode]
    return _act(shell, ids, filters, one, many, _Said("retry", verb, dry_run=dry_run))


def cancel(
    shell: Shell,
    ids: Ids = [],  # noqa: B006
    *,
    matching: Matching,
    reason: Reason = "",
    dry_run: DryRun = False,
) -> int:
    """Cancel what has not ended.

    What waits is cancelled at once, what runs is asked to stop and then killed. Name jobs and work items, or give filters.
    Exit code 1 when something that was named had ended already.
    """
    filters = matching.filters(set(JobStatus) - TERMINAL)

    def one(each: Found) -> Started:
        return each.cancel(reason, dry_run=dry_run)

    def many() -> Started:
        return shell.client.cancel(dry_run=dry_run, reason=reason, **filters)

    return _act(shell, ids, filters, one, many, _Said("cancel", "cancelled, or asked to stop", dry_run=dry_run))


def overwrite(
    shell: Shell,
    ids: Ids,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="Of jobs: only windows from here on.", show_default=False)
    ] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="Of jobs: only windows up to here.", show_default=False)] = None,
    accept_risk: Annotated[bool, typer.Option("--accept-risk", help="Do it although it is not known to be safe.")] = False,
    forward: Annotated[
        bool, typer.Option("--forward", help="Also run the later windows again that were written since, in order.")
    ] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
) -> int:
    """Run again what succeeded. What is not known to be safe is refused with the evidence, unless you accept the risk."""
    found = find(shell, parsing.check_ids(ids))
    if (start or end) and any(isinstance(each, WorkItem) for each in found):
        raise typer.BadParameter("--start and --end choose windows of a job; a work item is one window")

    def one(each: Found, *, dry: bool = dry_run) -> Started:
        if isinstance(each, Job):
            return each.overwrite(start, end, accept_risk, forward, reason, dry_run=dry)
        return each.overwrite(accept_risk, forward, reason, dry_run=dry)

    if not accept_risk and not dry_run:
        _refuse_unsafe(shell, found, one)
    done = [(each, one(each)) for each in shell.each(found, "Overwriting")]
    return _finish(shell, done, _Said("overwrite", "started again", dry_run=dry_run))


def pause(shell: Shell, tasks: Tasks, reason: Reason = "") -> None:
    """Start nothing more of tasks; what runs goes on."""
    _check_tasks(shell, tasks)
    changed = {each: shell.client.pause(each, reason) for each in tasks}
    if shell.as_json:
        shell.document([{"task": name, "paused": True, "changed": now} for name, now in changed.items()])
        return
    for name, now in changed.items():
        shell.say(f"Task {name} is paused{'' if now else ' (it was before)'}.")
    shell.next(f"mulligan resume {' '.join(changed)}")


def resume(shell: Shell, tasks: Tasks, reason: Reason = "") -> None:
    """Start work of paused tasks again."""
    _check_tasks(shell, tasks)
    changed = {each: shell.client.resume(each, reason) for each in tasks}
    if shell.as_json:
        shell.document([{"task": name, "paused": False, "changed": now} for name, now in changed.items()])
        return
    for name, now in changed.items():
        shell.say(f"Task {name} is not paused{' any more' if now else ', and was not before'}.")
    shell.next("mulligan jobs")


def _act(
    shell: Shell,
    ids: list[str],
    filters: dict[str, Any],
    one: Callable[[Found], Started],
    many: Callable[[], Started],
    said: _Said,
) -> int:
    if bool(ids) is bool(filters):
        what = "either ids or filters, not both" if ids else "ids, or filters such as --job 12 or --task features"
        raise typer.BadParameter(f"give {what}: nothing was done")
    if ids:
        found = find(shell, parsing.check_ids(ids))
        return _finish(shell, [(each, one(each)) for each in shell.each(found, said.verb.capitalize())], said)
    if "job" in filters:
        shell.client.job(filters["job"])
    with shell.busy(f"{said.verb.capitalize()}: all that match"):
        plan = many()
    return _finish(shell, [(None, plan)], said)


def _finish(shell: Shell, done: Sequence[tuple[Found | None, Started]], said: _Said) -> int:
    """Tell what came of an action; exit code 1 when something that was named was left as it is."""
    plan = sum_of([each for _, each in done])
    if shell.as_json:
        by_id = {found.id: each.total for found, each in done if found is not None}
        shell.document(documents.of_plan(plan, dry_run=said.dry_run) | {"by_id": by_id})
    else:
        say_plan(shell, plan, said.verb, said.done, dry_run=said.dry_run)
        targets = [found.id for found, each in done if found is not None and each.total]
        if said.dry_run and plan.total:
            shell.next("the same without --dry-run")
        elif plan.total:
            shell.next(f"mulligan show {' '.join(targets)}" if targets else "mulligan jobs")
    nothing = [str(found.id) for found, each in done if found is not None and not each.total]
    if nothing and plan.total:
        shell.hint(f"mulligan: left as it is: {', '.join(nothing)}")
    return 1 if nothing or not plan.total else 0


def say_plan(shell: Shell, plan: Plan, verb: str, done: str, *, dry_run: bool = True) -> None:
    """Say what was done, or would be done, to work items."""
    for each in plan.warnings:
        shell.say(f"Note: {each}")
    _say_unsafe(shell, plan)
    would = "would be " if dry_run else ""
    left = "; ".join(f"{count:,} {why.removeprefix('is ')}" for why, count in plan.skipped.items() if count)
    if plan.total:
        shell.say(f"{items(plan.total)} {would}{done}{f' (left alone: {left})' if left else ''}.")
        for each in plan.examples if dry_run else ():
            shell.say(f"  {each}")
        if dry_run and plan.total > len(plan.examples):
            shell.say(f"  and {plan.total - len(plan.examples):,} more")
    else:
        shell.say(f"Nothing to {verb}: {left or 'no work item matches'}.")


def _say_unsafe(shell: Shell, plan: Plan) -> None:
    for name, judgement in plan.judgements.items():
        shell.hint(f"{name}: overwriting it is {judgement.verdict}")
        for each in judgement.evidence:
            shell.hint(f"  - {each.replace('forward=True', '--forward')}")
    if plan.unsafe > len(plan.judgements):
        shell.hint(f"and {plan.unsafe - len(plan.judgements):,} more that are not known to be safe")


def _refuse_unsafe(shell: Shell, found: Sequence[Found], one: Callable[..., Started]) -> None:
    """Refuse before anything is started when any of it is not safe; the refusal goes into the audit."""
    judged = [(each, one(each, dry=True)) for each in found]
    unsafe = [(each, plan) for each, plan in judged if plan.unsafe]
    if not unsafe:
        return
    _say_unsafe(shell, sum_of([plan for _, plan in unsafe]))
    try:
        one(unsafe[0][0])
    except OverwriteUnsafe as error:
        shell.hint("To see what would be run: add --dry-run. To do it all the same: add --accept-risk, which the audit keeps.")
        raise OverwriteUnsafe(_first_sentence(unsafe)) from error


def _first_sentence(unsafe: Sequence[tuple[Found, Started]]) -> str:
    count = sum(plan.unsafe for _, plan in unsafe)
    return f"nothing was started: overwriting is not known to be safe for {items(count)}, see above"


def _check_tasks(shell: Shell, tasks: Sequence[str]) -> None:
    """Raise UnknownTask for any that is not published, before anything is done to the others."""
    for each in tasks:
        shell.client.published(each)


def sum_of(plans: Sequence[Started]) -> Plan:
    total = Plan(skipped=Counter())
    for each in plans:
        total.total += each
        total.examples += each.examples
        total.skipped += Counter(each.skipped)
        total.warnings += [one for one in each.warnings if one not in total.warnings]
        total.unsafe += each.unsafe
        total.judgements |= each.judgements
    return total
