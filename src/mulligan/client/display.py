"""Jobs and work items as notebooks show them. All that comes from users' data is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from mulligan.core.job import Counts, JobStatus

if TYPE_CHECKING:
    from mulligan.client.items import WorkItem
    from mulligan.client.job import Job

_COLOURS = {JobStatus.SUCCESS: "#2e7d32", JobStatus.FAILURE: "#c62828", JobStatus.REVOKED: "#757575", JobStatus.RETRY: "#ef6c00"}
_RUNNING = "#1565c0"


def job_html(job: Job[Any]) -> str:
    """Return a job as HTML: status, bar, counts, run id, and the first error."""
    rows = [("run id", job.run_id), ("work items", _counted(job.counts))]
    return _card(f"job {job.id} {job.task}", job.status, job.label, job.progress, [*rows, ("error", job.error_message)])


def item_html(item: WorkItem) -> str:
    """Return a work item as HTML: status, bar, key, which attempt, and the last error."""
    rows = [("key", item.key), ("attempt", f"{item.attempt} of generation {item.generation}")]
    if item.failure_class is not None:
        rows.append(("class", str(item.failure_class)))
    return _card(f"work item {item.id}", item.status, item.label, item.progress, [*rows, ("error", item.error_message)])


def bundle(plain: str, html: str) -> dict[str, str]:
    """Return both forms, for a front end to choose from."""
    return {"text/plain": plain, "text/html": html}


def _counted(counts: Counts) -> str:
    named = ((name, getattr(counts, name)) for name in ("success", "failure", "revoked", "retry", "started", "pending"))
    return ", ".join([f"{counts.total} in all", *(f"{count} {name}" for name, count in named if count)])


def _card(title: str, status: JobStatus, label: str, progress: float, rows: Iterable[tuple[str, str | None]]) -> str:
    colour = _COLOURS.get(status, _RUNNING)
    told = "".join(
        f'<tr><td style="text-align:left;color:#757575">{escape(name)}</td>'
        f'<td style="text-align:left;white-space:pre-wrap">{escape(value)}</td></tr>'
        for name, value in rows
        if value
    )
    return (
        f'<div style="max-width:48em"><b>{escape(title)}</b> <span style="color:{colour}">{escape(label)}</span>'
        f'<div role="progressbar" aria-valuenow="{progress:.0f}" aria-valuemin="0" aria-valuemax="100" '
        'style="height:6px;margin:4px 0;background:#e0e0e0;border-radius:3px">'
        f'<div style="height:6px;width:{progress:.1f}%;background:{colour};border-radius:3px"></div></div>'
        f"<table>{told}</table></div>"
    )
