"""The commands that look closely at jobs and work items: show, logs and explain."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.text import Text

from mulligan.cli import documents, parsing, strip, timeline, tree
from mulligan.cli.shell import Shell, command, write_pieces
from mulligan.cli.table import Cell, Column, cut
from mulligan.cli.words import STYLES, ago, counted, iso, milliseconds, moment
from mulligan.client import Attempt
from mulligan.client.items import WorkItem
from mulligan.client.job import Job
from mulligan.core import labels
from mulligan.core.durations import words
from mulligan.core.job import TERMINAL, WAITING, JobStatus
from mulligan.core.plain import one_line, without_control

MAX_CELLS = 100_000
"""A backfill of more windows is not drawn: reading it would take too long."""
FOLLOW_S = 0.2
LISTED = 20
ATTEMPTS_IN_WORDS = 5

Ids = Annotated[list[str], typer.Argument(metavar="JOB|ITEM", help="Ids: jobs are like 12, work items like 12-345.")]
Items = Annotated[list[str], typer.Argument(metavar="ITEM", help="Ids of work items, such as 12-345.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "show 12-345")(show)
    command(app, "logs 12-345 --follow")(logs)
    command(app, "explain 12-345")(explain)


def show(shell: Shell, ids: Ids) -> None:
    """Show jobs and work items.

    A job with its windows and failures, a work item with its attempts drawn as a timeline.
    """
    found = find(shell, parsing.check_ids(ids))
    if shell.as_json:
        shown = [_document(each) for each in found]
        shell.document(shown[0] if len(shown) == 1 else shown)
        return
    for place, each in enumerate(found):
        if place:
            shell.say()
        if isinstance(each, Job):
            _show_job(shell, each)
        else:
            _show_item(shell, each)


def logs(
    shell: Shell,
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Id of a work item, such as 12-345.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the work item has ended.")] = False,
    attempt: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only this attempt, counted as `show` does.", show_default=False)
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Leave colours and other control sequences in.")] = False,
) -> None:
    """Print what a work item wrote to stdout, stderr and logging."""
    if follow and shell.as_json:
        raise typer.BadParameter("--json prints one document, which --follow never ends: use one of them")
    found = shell.client.work_item(parsing.check_item_ids([item])[0])
    if attempt is not None and not follow and attempt > (count := _count(found)):
        raise typer.BadParameter(f"work item {found.id} has {count} attempts: there is no attempt {attempt}")
    if shell.as_json:
        pieces = [each for each in found.log_pieces() if attempt in (None, each.place)]
        shell.document([{"attempt": each.place, "at": iso(each.at_ms), "text": each.text} for each in pieces])
        return
    written = False
    for piece in _pieces(found, attempt, follow=follow):
        write_pieces([piece if raw else without_control(piece)])
        written = True
    if not written:
        whose = f"Work item {found.id}" if attempt is None else f"Attempt {attempt} of work item {found.id}"
        said = "wrote nothing" if found.status in TERMINAL else "has written nothing yet"
        shell.hint(f"{whose} {said} ({found.label})")


def explain(shell: Shell, ids: Items) -> None:
    """Say why work items are in the state they are in.

    Each decision is told with its rule, counters and arithmetic, and what would have to change.
    """
    found = [(item, shell.client.explain(item)) for item in parsing.check_item_ids(ids)]
    if shell.as_json:
        shown = [{"id": item, "lines": text.splitlines()} for item, text in found]
        shell.document(shown[0] if len(shown) == 1 else shown)
        return
    shell.say("\n\n".join(text for _, text in found))


def find(shell: Shell, ids: list[str]) -> list[Job[Any] | WorkItem]:
    """Return what the ids name, all of it before anything is done; raises NotFound."""
    return [shell.client.work_item(each) if parsing.is_item(each) else shell.client.job(each) for each in ids]


def next_of_job(job: Job[Any]) -> list[str]:
    """Return the next useful commands for a job."""
    if job.details_removed_at is not None:
        return []
    if job.status is JobStatus.FAILURE:
        failed = job.work_items(1, status=JobStatus.FAILURE)
        why = [f"mulligan explain {failed[0].id}"] if failed else []
        return [*why, f"mulligan retry {job.id}"]
    if job.status is JobStatus.REVOKED:
        return [f"mulligan retry {job.id}"]
    return [f"mulligan show {job.id}"]


def _document(found: Job[Any] | WorkItem) -> dict[str, Any]:
    if isinstance(found, Job):
        return documents.of_job(found)
    attempts = [documents.of_attempt(place, each) for place, each in enumerate(found.attempts(), start=1)]
    calls = [documents.of_item(each) for each in found.calls()]
    return documents.of_item(found) | {"attempts": attempts, "calls": calls}


def _show_job(shell: Shell, job: Job[Any]) -> None:
    now_ms, created_ms = shell.client.gateway.now_ms(), milliseconds(job.created_at)
    shell.say(Text(f"Job {job.id} ", "bold").append(f" {one_line(job.task)}  ").append(job.label, STYLES[job.status]))
    shell.say(f"run id     {one_line(job.run_id)}")
    shell.say(f"submitted  {moment(created_ms)} ({ago(created_ms, now_ms)})")
    if job.ended_at is not None:
        ended_ms = milliseconds(job.ended_at)
        shell.say(f"ended      {moment(ended_ms)}, after {words((ended_ms - created_ms) / 1000)}")
    shell.say(f"items      {counted(job.counts)} ({job.progress:.0f} % done)")
    if job.labels:
        shell.say(f"labels     {one_line(', '.join(f'{name}={value}' for name, value in job.labels.items()))}")
    if job.details_removed_at is not None:
        shell.say(f"details    {labels.removed(int(job.id), milliseconds(job.details_removed_at))}")
        return
    if job.kind == "backfill":
        _show_strip(shell, job)
    if job.counts.failure:
        _list_failed(shell, job)
    elif job.kind != "backfill":
        _list_items(shell, job)
    if job.counts.total == 1:
        _show_calls(shell, job.work_items(1)[0])
    shell.say()
    if job.status in TERMINAL and job.status is not JobStatus.SUCCESS:
        shell.next(*next_of_job(job))
    elif job.counts.total:
        shell.next(f"mulligan show {job.id}-0")


def _show_strip(shell: Shell, job: Job[Any]) -> None:
    if job.counts.total > MAX_CELLS:
        shell.say(f"(windows are drawn up to {MAX_CELLS:,})")
        return
    windows = ((each.window, each.status) for each in shell.client.work_items(job=job.id))
    cells = [strip.Cell(window.start_ms, window.end_ms, status) for window, status in windows if window is not None]
    shell.say()
    for line in strip.draw(cells, job.tz, shell.console.width, fancy=shell.fancy):
        shell.say(line)


def _list_failed(shell: Shell, job: Job[Any]) -> None:
    shell.say()
    columns = (Column("FAILED", fixed=True), Column("KEY"), Column("CLASS", fixed=True), Column("ERROR"))
    failed = job.work_items(LISTED, status=JobStatus.FAILURE)
    rows: list[list[Cell]] = [[each.id, each.key, (str(each.failure_class or ""), "red"), _error(each)] for each in failed]
    shell.table(columns, rows)
    if job.counts.failure > LISTED:
        shell.say(f"and {job.counts.failure - LISTED:,} more")


def _list_items(shell: Shell, job: Job[Any]) -> None:
    shell.say()
    columns = (Column("ITEM", fixed=True), Column("KEY"), Column("STATUS"), Column("RESULT OR ERROR"))
    rows: list[list[Cell]] = []
    for item in job.work_items(LISTED):
        said = repr(item.result) if item.status is JobStatus.SUCCESS else _error(item)
        rows.append([item.id, item.key, (item.label, STYLES[item.status]), said])
    shell.table(columns, rows)
    if job.counts.total > LISTED:
        shell.say(f"and {job.counts.total - LISTED:,} more")


def _error(item: WorkItem) -> str:
    message = (item.error_message or "").strip().partition("\n")[0]
    return message or (labels.REASONS[item.reason] if item.status is JobStatus.FAILURE else "")


def _show_item(shell: Shell, item: WorkItem) -> None:
    now_ms = shell.client.gateway.now_ms()
    shell.say(Text(f"Work item {item.id} ", "bold").append(f" {one_line(item.key)}  ").append(item.label, STYLES[item.status]))
    shell.say(f"because    {labels.REASONS[item.reason]}")
    shell.say(f"arguments  {cut(one_line(repr(item.args)), shell.console.width - 11)}")
    if item.status is JobStatus.SUCCESS:
        shell.say(f"result     {cut(one_line(repr(item.result)), shell.console.width - 11)}")
    elif item.status is JobStatus.STARTED:
        shell.say(f"worker     {one_line(item.worker)}, {item.progress:.0f} % done")
    if (parent := item.parent) is not None:
        shell.say(f"called by  work item {parent}")
    attempts = item.attempts()
    shell.say()
    for line in timeline.draw(item, attempts, now_ms, shell.console.width, fancy=shell.fancy):
        shell.say(line)
    for place, attempt in list(enumerate(attempts, start=1))[-ATTEMPTS_IN_WORDS:]:
        _say_attempt(shell, place, attempt)
    _show_calls(shell, item)
    _say_next(shell, item)


def _show_calls(shell: Shell, item: WorkItem) -> None:
    lines = list(tree.draw(item, shell.console.width, fancy=shell.fancy))
    if lines:
        shell.say()
        shell.say(f"calls of work item {item.id}")
    for line in lines:
        shell.say(line)


def _say_attempt(shell: Shell, place: int, attempt: Attempt) -> None:
    shell.say()
    rule = f" by rule {attempt.rule}" if attempt.rule else ""
    said = f"{attempt.failure_class}{rule}" if attempt.failure_class else str(attempt.outcome)
    shell.say(cut(f"#{place} {said}", shell.console.width))
    if attempt.error_type:
        message = one_line(f"{attempt.error_type}: {attempt.error_message or ''}")
        shell.say(f"   {cut(message, shell.console.width - 3)}")
    wait = f"; next after {words(attempt.delay_s)}" if attempt.delay_s is not None else ""
    shell.say(f"   {labels.REASONS[attempt.decision]}{wait}")


def _say_next(shell: Shell, item: WorkItem) -> None:
    shell.say()
    if item.status in WAITING:
        shell.say(f"{item.label}: tried again by itself" if item.status is JobStatus.RETRY else f"{item.label}: not started yet")
        shell.next(f"mulligan explain {item.id}", f"mulligan retry {item.id} --now", f"mulligan cancel {item.id}")
    elif item.status is JobStatus.STARTED:
        shell.next(f"mulligan logs {item.id} -f", f"mulligan cancel {item.id}")
    elif item.status is JobStatus.SUCCESS:
        shell.next(f"mulligan logs {item.id}", f"mulligan overwrite {item.id}")
    else:
        shell.say("It is not tried again by itself.")
        shell.next(f"mulligan explain {item.id}", f"mulligan logs {item.id}", f"mulligan retry {item.id}")


def _count(item: WorkItem) -> int:
    """Return how many attempts there are, the one that runs among them."""
    return len(item.attempts()) + (item.status is JobStatus.STARTED)


def _pieces(item: WorkItem, attempt: int | None, *, follow: bool) -> Iterator[str]:
    """Yield the log piece by piece, with a line before each attempt where there are several."""
    after, before = None, 0
    while True:
        ended = item.status in TERMINAL  # asked before reading: so nothing that was written before the end is missed
        several = _count(item) > 1
        page = item.log_page(after)
        for place, _, text in page.pieces:
            if attempt is not None and place != attempt:
                continue
            if attempt is None and place != before and (before or several):
                yield f"--- attempt {place or '?'} ---\n"
            before = place
            yield text
        after = page.following or after
        if page.following is not None:
            continue
        if ended or not follow:
            return
        time.sleep(FOLLOW_S)
        item.refresh()
