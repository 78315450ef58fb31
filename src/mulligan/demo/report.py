"""What the demo tells at its end: attempts by class, what was killed, what recover saved, and what to try next."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mulligan.core.durations import words
from mulligan.demo.processes import Paths, Place
from mulligan.demo.state import State

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(slots=True)
class Loss:
    """What failures of one class cost: attempts, seconds they ran for, and seconds their items then waited."""

    attempts: int = 0
    ran_s: float = 0.0
    waited_s: float = 0.0


@dataclass(slots=True)
class Summary:
    """The attempts of a job, added up."""

    items: int = 0
    attempts: int = 0
    succeeded: int = 0
    losses: dict[str, Loss] = field(default_factory=lambda: defaultdict(Loss))
    unluckiest: str = ""
    """Id of the work item with the most attempts."""
    most: int = 0


def summarize(work_items: Iterable[Any]) -> Summary:
    """Add up all attempts of some work items."""
    summary = Summary()
    for item in work_items:
        attempts = sorted(item.attempts(), key=lambda each: (each.generation, each.number))
        summary.items += 1
        summary.attempts += len(attempts)
        if len(attempts) > summary.most:
            summary.unluckiest, summary.most = item.id, len(attempts)
        for attempt, following in zip(attempts, [*attempts[1:], None], strict=True):
            _add(summary, attempt, following)
    return summary


def _add(summary: Summary, attempt: Any, following: Any) -> None:
    if attempt.failure_class is None:
        summary.succeeded += attempt.outcome == "SUCCEEDED"
        return
    loss = summary.losses[str(attempt.failure_class)]
    loss.attempts += 1
    loss.ran_s += (attempt.ended_at - attempt.began_at).total_seconds()
    # After the last failure of a generation the item waited for a person, which is no delay of the policy's.
    if following is not None and following.generation == attempt.generation:
        loss.waited_s += max(0.0, (following.began_at - attempt.ended_at).total_seconds())


def show(console: Console, summary: Summary, state: State) -> None:
    """Print the report."""
    from rich.table import Table

    table = Table(title="Failed attempts by class", title_justify="left", show_footer=True)
    table.add_column("class", footer="all")
    for name, total in _totals(summary):
        table.add_column(name, justify="right", footer=total)
    for name, loss in sorted(summary.losses.items(), key=lambda pair: -pair[1].attempts):
        table.add_row(name, f"{loss.attempts:,}", words(loss.ran_s), words(loss.waited_s))
    console.print()
    console.print(table)
    for line in _lines(summary, state):
        console.print(line, highlight=False)


def _totals(summary: Summary) -> list[tuple[str, str]]:
    losses = summary.losses.values()
    return [
        ("attempts", f"{sum(loss.attempts for loss in losses):,}"),
        ("ran for", words(sum(loss.ran_s for loss in losses))),
        ("then waited", words(sum(loss.waited_s for loss in losses))),
    ]


def _lines(summary: Summary, state: State) -> list[str]:
    lost = sum(loss.ran_s + loss.waited_s for loss in summary.losses.values())
    lines = [
        f"{summary.items:,} work items, {summary.attempts:,} attempts, {summary.succeeded:,} of them succeeded",
        f"killed with -9: {state.children_killed} processes that ran tasks, {_count(state.workers_killed, 'whole worker')}",
        f"time lost to failures, over all items: {words(lost)}; wall time: {words(state.wall_s)}",
    ]
    if state.requests:
        failed = state.requests - state.served
        lines.append(f"object store: {state.requests:,} requests, {failed:,} of them failed by plan")
    if state.retrained:
        lines.append(state.retrained)
    if state.asked_after:
        again = repeated(state)
        kept = f"{len(state.asked_after) - len(again)} of {len(state.asked_after)} downloads"
        days = _count(len(state.asked_after) // 2, "day")
        lines.append(f"recover of {days}: {kept} not repeated (by the object store's own count)")
    return lines


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _command() -> str:
    """Return how `mulligan` is called from here."""
    if shutil.which("mulligan"):
        return "mulligan"
    beside = Path(sys.executable).with_name("mulligan")
    return os.path.relpath(beside) if beside.exists() else f"{sys.executable} -m mulligan"


def _without_password(url: str) -> str:
    hidden = re.sub(r"(://[^:@/?]*):.*@", r"\1:PASSWORD@", url)
    return re.sub(r"(?<=password=)[^&]*", "PASSWORD", hidden)


def repeated(state: State) -> list[str]:
    """Return the objects that were asked for again when the bad days were recovered; there should be none."""
    return [name for name, count in state.asked_after.items() if count != state.asked_before.get(name, 0)]


def show_next(console: Console, paths: Paths, place: Place, job: Any, summary: Summary, stay: bool) -> None:
    """Say what to open and what to try."""
    console.print()
    console.print("Look closer", style="bold")
    mulligan = _command()
    lines = [
        f"export MULLIGAN_DATABASE={_without_password(place.database)}",
        *([] if place.is_file else [f"export MULLIGAN_SCHEMA={place.schema} MULLIGAN_NAMESPACE={place.namespace}"]),
        f"{mulligan} show {job.id}                 # the year as a strip of days",
        f"{mulligan} explain {summary.unluckiest}            # {summary.most} attempts: why was it retried, and why then?",
        f"{mulligan} logs {summary.unluckiest}",
        f"{mulligan} jobs                    # the retraining is a job too; show draws what it called",
        f"{mulligan} verify                  # does the history keep all its promises?",
        f"less {paths.flow}   # the pipeline itself; the workers' logs are in {paths.logs}",
    ]
    if stay:
        lines.append(f"{mulligan} overwrite {summary.unluckiest}          # refused, with the evidence; then see --accept-risk")
    for line in lines:
        console.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)
