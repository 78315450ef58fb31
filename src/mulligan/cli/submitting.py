"""The commands that submit work: submit and backfill."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from mulligan.cli import documents, parsing
from mulligan.cli.acting import DryRun, say_plan, sum_of
from mulligan.cli.reading import next_of_job
from mulligan.cli.shell import Shell, command
from mulligan.cli.words import STYLES, counted, items
from mulligan.client.job import Job
from mulligan.client.started import Started
from mulligan.core.errors import ConfigError, Refused
from mulligan.core.job import JobStatus
from mulligan.core.submission import Options

RunId = Annotated[
    str | None, typer.Option(metavar="ID", help="The same id and input give the same job, also later.", show_default=False)
]
Priority = Annotated[int | None, typer.Option(metavar="1-5", min=1, max=5, help="1 goes first, 5 last.", show_default=False)]
Delay = Annotated[str | None, typer.Option(metavar="DURATION", help="Start after so long, such as 15m.", show_default=False)]
StartAt = Annotated[str | None, typer.Option(metavar="TIME", help="Start at a time; UTC if not said.", show_default=False)]
Expires = Annotated[
    str | None, typer.Option(metavar="TIME|DURATION", help="Fail what has not started by then.", show_default=False)
]
Labels = Annotated[list[str], typer.Option("--label", metavar="K=V", help="A label; may be repeated.", show_default=False)]
TotalTimeout = Annotated[str | None, typer.Option(metavar="DURATION", help="Time for all attempts together.", show_default=False)]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the end; exit code 1 unless it is SUCCESS.")]
Name = Annotated[str, typer.Argument(metavar="TASK", help="Published name of the task.")]


@dataclass(frozen=True, slots=True)
class Call:
    """The options for one call."""

    run_id: RunId = None
    priority: Priority = None
    delay: Delay = None
    start_at: StartAt = None
    expires: Expires = None
    label: Labels = field(default_factory=list)
    total_timeout: TotalTimeout = None

    def options(self, task: str) -> Options:
        """Return them checked, for a call of a task made now."""
        from mulligan.sdk.options import call_options

        try:
            found = call_options(
                f"task {task!r}",
                run_id=self.run_id,
                priority=self.priority,
                delay=parsing.duration(self.delay, "--delay"),
                start_at=parsing.moment(self.start_at, "--start-at"),
                expires=parsing.duration_or_moment(self.expires, "--expires"),
                labels=dict(parsing.label(each) for each in self.label),
                total_timeout=parsing.duration(self.total_timeout, "--total-timeout"),
            )
        except ConfigError as error:
            raise typer.BadParameter(str(error)) from None
        return found.now()


class Only(StrEnum):
    """Which windows a backfill takes."""

    MISSING = "missing"
    FAILED = "failed"
    ALL = "all"


class Order(StrEnum):
    """In which order windows are started."""

    OLDEST = "oldest"
    NEWEST = "newest"


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "submit train model=small epochs=10 --run-id nightly-7 --wait")(submit)
    command(app, "backfill features 2024-01-01 2024-02-01 --tz Europe/Zurich --wait")(backfill)


def submit(
    shell: Shell,
    task: Name,
    arguments: Annotated[
        list[str], typer.Argument(metavar="KEY=JSON", help="Arguments: JSON, or a bare word.", show_default=False)
    ] = [],  # noqa: B006 - typer's way to say that there may be none
    *,
    call: Call,
    wait: Wait = False,
) -> int:
    """Submit one work item of a task.

    A parameter that takes a window is written START/END.
    """
    from mulligan.sdk.published import named_call

    values = parsing.arguments(arguments)
    options = call.options(task)
    definition = shell.client.published(task)
    if definition.window is not None:
        _read_window(definition.window, values)
    return _submitted(shell, shell.client.take(named_call(definition, (), values, options)), wait=wait)


def backfill(
    shell: Shell,
    task: Name,
    start: Annotated[str, typer.Argument(metavar="START", help="First moment, such as 2024-01-01.")],
    end: Annotated[str, typer.Argument(metavar="END", help="Moment after the last window.")],
    every: Annotated[str, typer.Option(metavar="DURATION", help="Length of a window.")] = "1d",
    tz: Annotated[str, typer.Option(metavar="ZONE", help="Time zone whose calendar cuts the days.")] = "UTC",
    only: Annotated[
        Only, typer.Option(metavar="missing|failed|all", help="Windows neither done nor in flight; that failed; all.")
    ] = Only.MISSING,
    order: Annotated[Order, typer.Option(metavar="oldest|newest", help="Which windows start first.")] = Order.OLDEST,
    arg: Annotated[list[str], typer.Option("--arg", metavar="K=JSON", help="An argument; may be repeated.")] = [],  # noqa: B006
    accept_risk: Annotated[bool, typer.Option("--accept-risk", help="With --only all: overwrite what is not SAFE.")] = False,
    *,
    call: Call,
    wait: Wait = False,
    dry_run: DryRun = False,
) -> int:
    """Submit a work item for each window between START and END."""
    values = parsing.arguments(arg, "K=JSON")
    options = call.options(task)
    windows = {"every": every, "tz": tz, "only": only.value, "order": order.value, "accept_risk": accept_risk}
    if dry_run:
        return _say_plan(shell, shell.client.plan_backfill(task, start, end, args=values, **windows))
    try:
        with shell.busy("Submitting"):
            job: Job[Any] = shell.client.backfill(task, start, end, options=options, args=values, **windows)
    except Refused as error:
        said = str(error).replace("accept_risk=True", "--accept-risk").replace('only="missing"', "--only missing")
        raise type(error)(said) from error
    if not job.counts.total and not shell.as_json:
        shell.say("No window is left to do: all of them succeeded or are in flight (--only all takes again what succeeded).")
    return _submitted(shell, job, wait=wait)


def _say_plan(shell: Shell, planned: Started) -> int:
    plan = sum_of([planned])
    if shell.as_json:
        shell.document(documents.of_plan(plan, dry_run=True))
    else:
        say_plan(shell, plan, "submit", "submitted")
    return 0


def _read_window(name: str, values: dict[str, Any]) -> None:
    """Make the Window of a text such as 2024-03-07/2024-03-08."""
    from mulligan.sdk.window import Window

    text = values.get(name)
    start, slash, end = str(text or "").partition("/")
    if not slash:
        raise typer.BadParameter(f"{name}: this task takes a window: write {name}=2024-03-07/2024-03-08, or use backfill")
    values[name] = Window(_moment(start, name), _moment(end, name))


def _moment(text: str, name: str) -> datetime:
    found = parsing.moment(text, name)
    assert found is not None  # noqa: S101 - a text was given
    return found


def _submitted(shell: Shell, job: Job[Any], *, wait: bool) -> int:
    if not shell.as_json:
        shell.say(f"Job {job.id} ({job.task}, run id {job.run_id}): {items(job.counts.total)}, {job.label}")
    if wait:
        _wait(shell, job)
    if shell.as_json:
        shell.document(documents.of_job(job))
    elif wait:
        _say_end(shell, job)
    shell.next(*next_of_job(job))
    return 1 if wait and job.status is not JobStatus.SUCCESS else 0


def _wait(shell: Shell, job: Job[Any]) -> None:
    try:
        with _warnings_said(shell):
            job.wait(progress=shell.console.is_terminal and not shell.as_json)
    except KeyboardInterrupt:
        shell.hint(f"Job {job.id} goes on without you: mulligan show {job.id}")
        raise


def _say_end(shell: Shell, job: Job[Any]) -> None:
    from rich.text import Text

    shell.say(Text(f"Job {job.id}: ").append(job.label, STYLES[job.status]).append(f"; {counted(job.counts)}"))
    if job.error_message:
        shell.say(f"First failure: {job.error_message}")
    elif job.status is JobStatus.SUCCESS and job.counts.total == 1:
        shell.say(f"Result: {job.work_items(1)[0].result!r}")


@contextmanager
def _warnings_said(shell: Shell) -> Iterator[None]:
    """Show warnings as lines for people, not as Python shows them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_, **__: shell.hint(f"mulligan: {message}")
        yield
    sys.stderr.flush()
