"""What whoever waits for a job sees meanwhile: a bar in a terminal, the job itself in a notebook, nothing elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mulligan.client.job import Job

_REDRAWN_S = 0.1


def draw(looks: Iterable[Any], job: Job[Any], *, always: bool = False) -> None:
    """Show a job until the looks end: in a notebook, on a terminal at stderr, or with `always` at stderr whatever it is."""
    if _in_notebook():
        _update(looks, job)
        return
    from rich.console import Console

    console = Console(stderr=True, force_terminal=True if always else None)
    if console.is_terminal:
        _bar(looks, job, console)
    else:
        for _ in looks:
            pass


def _bar(looks: Iterable[Any], job: Job[Any], console: Any) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        line = bar.add_task(f"job {job.id}", total=job.counts.total)
        for _ in looks:
            counts = job.counts
            said = f"job {job.id} {job.label}"
            if counts.failure:
                said += f", {counts.failure} failed"
            bar.update(line, completed=counts.ended, total=counts.total, description=said)


def _update(looks: Iterable[Any], job: Job[Any]) -> None:
    from IPython import display

    shown: Any = display.display(job, display_id=True)  # type: ignore[no-untyped-call]
    at = time.monotonic()
    for _ in looks:
        if time.monotonic() - at >= _REDRAWN_S:
            shown.update(job)
            at = time.monotonic()
    shown.update(job)


def _in_notebook() -> bool:
    """Whether a kernel runs this; IPython in a terminal has none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
