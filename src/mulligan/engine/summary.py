"""The whole of a namespace at a glance: what runs, waits and failed, and the newest runs of each pipeline."""

from __future__ import annotations

import threading
from typing import NamedTuple

from mulligan.core.job import TERMINAL, Counts, JobStatus, job_status
from mulligan.engine.engine import Engine
from mulligan.store.verbs.summary import EndedSince, RunRow, Unended

FRESH_S = 2.0
"""So old may be what is shown of the whole: it is a sum over all that has not ended."""
RUNS = 30
DAY_MS = 86_400_000


class Run(NamedTuple):
    """One of the newest jobs of a pipeline."""

    id: int
    created_ms: int
    status: JobStatus


class PipelineView(NamedTuple):
    """A pipeline at a glance."""

    name: str
    workflow: bool
    paused: bool
    has_worker: bool
    unended: Unended
    ended: EndedSince
    """In the last day."""
    runs: tuple[Run, ...]
    """The newest, the last of them last."""

    @property
    def trouble(self) -> tuple[int, ...]:
        """What the list is sorted by, the worst first: what failed, what retries, what waits for nobody."""
        waits = self.unended.counts.pending and not self.has_worker
        return (-self.failed, -self.unended.counts.retry, -int(bool(waits)), -int(self.paused), -self.unended.counts.started)

    @property
    def succeeded(self) -> int:
        """Work items that succeeded in the last day, or of jobs that have not ended: one that runs again hides nothing."""
        return self.ended.success + self.unended.counts.success

    @property
    def failed(self) -> int:
        """Work items that failed in the last day, or of jobs that have not ended."""
        return self.ended.failure + self.unended.counts.failure


class Glance:
    """Sums up a namespace, at most every two seconds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._seen: tuple[float, list[PipelineView]] | None = None

    def pipelines(self) -> list[PipelineView]:
        """Return all pipelines, those with the most trouble first."""
        with self._lock:  # whoever comes while it is read waits for that, and does not read it again
            now = self._engine.clock.monotonic()
            if self._seen is None or not 0 <= now - self._seen[0] < FRESH_S:
                self._seen = (now, self._read())
            return self._seen[1]

    def _read(self) -> list[PipelineView]:
        definitions, since_ms = self._engine.definitions, self._engine.clock.now_ms() - DAY_MS
        with self._engine.store.read() as session:
            tasks = [each for each in session.tasks.all(definitions.namespace) if each.definition is not None]
            living = session.tasks.with_workers()
            unended, ended = session.summary.unended(), session.summary.ended(since_ms)
            runs = session.summary.runs(definitions.namespace, RUNS)
            found = [
                PipelineView(
                    each.name,
                    definitions.get(session, each.definition or 0).workflow,
                    each.paused_ms is not None,
                    each.id in living,
                    unended.get(each.id, Unended(0, Counts())),
                    ended.get(each.id, EndedSince(0, 0, 0, 0)),
                    tuple(_run(row) for row in runs.get(each.id, [])),
                )
                for each in tasks
            ]
        return sorted(found, key=lambda each: (*each.trouble, each.name))


def _run(row: RunRow) -> Run:
    status = job_status(row.counts)
    return Run(row.id, row.created_ms, JobStatus.PENDING if status in TERMINAL and not row.sealed else status)
