"""What Prometheus reads: counters that the store keeps, so that they never go back, and how things are just now."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from fastapi import Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from mulligan.api.access import Caller, Routes
from mulligan.api.served import Served
from mulligan.core.access import Principal, Role
from mulligan.core.job import Counts, JobStatus
from mulligan.core.tallies import INF, Measure, Tally
from mulligan.core.trends import cumulated
from mulligan.store.rows import TaskRow
from mulligan.store.store import Session
from mulligan.store.verbs.summary import Unended

PIPELINES = 200
"""The oldest so many have labels of their own; the others are counted together."""
OTHER = "other"
FRESH_S = 10.0
"""So old may be what is summed up over all jobs that have not ended."""

Counted = dict[tuple[str, str, str, str], int]
"""By the label of the pipeline, measure, kind and detail."""


class _Seen(NamedTuple):
    """What was read for one answer."""

    names: dict[int, str]
    counted: Counted
    unended: dict[int, Unended]
    ready_ms: dict[str, int]
    """Since when the oldest work item of a pipeline has been ready."""
    paused: set[str]
    whole: bool
    workers: int
    unsealed: int
    latency_s: float


class MetricRoutes:
    """`/metrics`, in a registry of its own for each answer: nothing of it is global in the process."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._unended: tuple[float, dict[int, Unended]] | None = None

    def add_to(self, routes: Routes) -> None:
        """Register the route."""
        text = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
        routes.get("/metrics", Role.VIEWER, response_class=Response, responses=text, tags=["probes"])(self.metrics)

    def metrics(self, request: Request, caller: Caller) -> Response:
        """Give all metrics as Prometheus reads them. A key that is limited to some pipelines is given those of these."""
        registry = CollectorRegistry(auto_describe=False)
        seen = self._look(caller)
        registry.register(_Made(lambda: self._families(seen)))
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=kind)

    def _look(self, caller: Principal) -> _Seen:
        engine = self._served.engine
        whole = caller.pipelines is None
        began = time.perf_counter()
        with engine.store.read() as session:
            every = session.tasks.all(engine.definitions.namespace)
            latency_s = time.perf_counter() - began
            tasks = sorted((row for row in every if caller.sees(row.name)), key=lambda row: row.id)
            ids = [row.id for row in tasks]
            names = {row.id: row.name if place < PIPELINES else OTHER for place, row in enumerate(tasks)}
            return _Seen(
                names=names,
                counted=counted_by_label(session.tallies.since_ever(ids) if ids else [], names),
                unended=self._fresh_unended(session),
                ready_ms=_ready(session, tasks, names),
                paused={names[row.id] for row in tasks if row.paused_ms is not None},
                whole=whole,
                workers=sum(not row.ended for row in session.workers.open()) if whole else 0,
                unsealed=session.tallies.unsealed() if whole else 0,
                latency_s=latency_s,
            )

    def _fresh_unended(self, session: Session) -> dict[int, Unended]:
        now = self._served.engine.clock.monotonic()
        if self._unended is None or not 0 <= now - self._unended[0] < FRESH_S:
            self._unended = (now, session.summary.unended())
        return self._unended[1]

    def _families(self, seen: _Seen) -> Iterator[Metric]:
        yield from _counters(seen.counted)
        yield _recoveries(seen.counted)
        yield from self._gauges(seen)

    def _gauges(self, seen: _Seen) -> Iterator[Metric]:
        now_ms = self._served.engine.clock.now_ms()
        yield _work_items(seen)
        age = _gauge("oldest_ready_seconds", "Since when the oldest work item has been ready to start.", "pipeline")
        for name, due_ms in sorted(seen.ready_ms.items()):
            if due_ms <= now_ms:
                age.add_metric([name], (now_ms - due_ms) / 1000)
        yield age
        paused = _gauge("pipeline_paused", "Whether a pipeline is paused.", "pipeline")
        for name in sorted(set(seen.names.values())):
            paused.add_metric([name], int(name in seen.paused))
        yield paused
        if not seen.whole:
            return
        yield GaugeMetricFamily("mulligan_workers", "Workers that live.", value=seen.workers)
        yield GaugeMetricFamily("mulligan_unsealed_jobs", "Jobs that are being submitted.", value=seen.unsealed)
        yield GaugeMetricFamily("mulligan_store_read_seconds", "How long the store took for a small read.", value=seen.latency_s)
        tick_s = self._served.supervisor_ticked_s()
        if tick_s is not None:
            said = "When the supervisor of this server last looked what is to be done."
            yield GaugeMetricFamily("mulligan_supervisor_last_tick_timestamp_seconds", said, value=tick_s)


class _Made(Collector):
    """Families that are there already, as the registry wants them."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families()


def counted_by_label(rows: Iterable[Tally], names: dict[int, str]) -> Counted:
    """Return what was counted by pipeline's label, measure, kind and detail: pipelines without a label are put together."""
    count: Counter[tuple[str, str, str, str]] = Counter()
    for row in rows:
        count[names[row.task], row.measure, row.kind, row.detail] += row.value
    return dict(sorted(count.items()))


def _counters(counted: Counted) -> Iterator[Metric]:
    """What is counted; each row of the table: measure, name, what it is, unit of the value, labels besides the pipeline."""
    for measure, name, said, unit, labels in (
        (Measure.ATTEMPTS, "attempts", "Attempts that ended.", 1, ("outcome", "failure_class")),
        (Measure.ITEMS, "work_items_ended", "Generations of work items that ended.", 1, ("status", "tried")),
        (Measure.RETRIES, "retries", "Failed attempts that were followed by another by itself.", 1, ("failure_class",)),
        (Measure.AGAIN, "runs_again", "Work items that somebody had run again.", 1, ("reason",)),
        (Measure.LOST_MS, "failed_attempts_seconds", "Time that failed attempts took.", 1000, ("failure_class",)),
    ):
        family = CounterMetricFamily(f"mulligan_{name}", said, labels=("pipeline", *labels))
        for (pipeline, counts, kind, detail), value in counted.items():
            if counts == measure:
                family.add_metric([pipeline, *(kind, detail)[: len(labels)]], value / unit if unit > 1 else value)
        yield family


def _recoveries(counted: Counted) -> Metric:
    said = "Time from the first failure to the next success of the same window or work item."
    family = HistogramMetricFamily("mulligan_recovery_seconds", said, labels=("pipeline", "how"))
    buckets: dict[tuple[str, str], dict[str, int]] = {}
    for (pipeline, measure, how, bound), value in counted.items():
        if measure == Measure.RECOVERIES:
            buckets.setdefault((pipeline, how), {})[bound] = value
    for (pipeline, how), found in buckets.items():
        rows = [("+Inf" if bound == INF else f"{bound}.0", count) for bound, count in cumulated(found)]
        took_ms = counted.get((pipeline, Measure.RECOVERY_MS, how, ""), 0)
        family.add_metric([pipeline, how], rows, took_ms / 1000)
    return family


def _work_items(seen: _Seen) -> Metric:
    said = "Work items that wait, run or wait for a retry, calls of workflows aside; a few seconds old."
    family = _gauge("work_items", said, "pipeline", "status")
    count: Counter[tuple[str, JobStatus]] = Counter()
    for task, name in seen.names.items():
        counts = seen.unended[task].counts if task in seen.unended else Counts()
        count[name, JobStatus.PENDING] += counts.pending
        count[name, JobStatus.STARTED] += counts.started
        count[name, JobStatus.RETRY] += counts.retry
    for (name, status), value in sorted(count.items()):
        family.add_metric([name, status], value)
    return family


def _gauge(name: str, said: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"mulligan_{name}", said, labels=labels)


def _ready(session: Session, tasks: Iterable[TaskRow], names: dict[int, str]) -> dict[str, int]:
    """Return for each pipeline since when its oldest waiting work item is due; what is paused is not looked at."""
    found: dict[str, int] = {}
    for head in session.items.heads([row.id for row in tasks])():
        name = names[head.task]
        found[name] = min(head.due_ms, found.get(name, head.due_ms))
    return found
