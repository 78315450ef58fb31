"""A progress bar for whoever waits for a job."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mulligan.client.job import Job


def draw(looks: Iterable[Any], job: Job[Any]) -> None:
    """Draw a bar of a job's work items until the looks end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as bar:
        line = bar.add_task(f"job {job.id}", total=job.counts.total)
        for _ in looks:
            counts = job.counts
            said = f"job {job.id} {job.label}"
            if counts.failure:
                said += f", {counts.failure} failed"
            bar.update(line, completed=counts.ended, total=counts.total, description=said)
