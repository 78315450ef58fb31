"""Tells of what moved as spans, from a thread of its own: whoever moves work waits for nothing, and does not fail by it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from queue import Empty, Full, Queue
from typing import NamedTuple, Protocol

from mulligan.core.errors import StoreError
from mulligan.core.job import ItemKey
from mulligan.core.lifecycle import Transition
from mulligan.engine.engine import Engine
from mulligan.engine.exchanging import Claim
from mulligan.store.store import Session
from mulligan.telemetry import Tell, silent
from mulligan.tracing.spans import Origin, Span, attempt_span, caller_of, is_end, item_span, job_span, origin_of, parents_of

MOST = 1_000
"""So many transactions may wait to be told of; more are left out."""
KNOWN = 10_000
"""Jobs whose traces are kept in mind."""
CLOSING_S = 5.0
AGAIN_S = 0.2


class Exporting(Protocol):
    """What takes spans."""

    def sampled(self, trace_id: int, name: str) -> bool: ...

    def send(self, span: Span) -> None: ...

    def close(self) -> None: ...


class Batch(NamedTuple):
    """What a transaction moved, and the jobs that ended by it."""

    moved: Sequence[Transition]
    jobs: Sequence[int]


class SpanWitness:
    """Hears of what moves, and tells of it; says where an attempt stands in its trace."""

    def __init__(self, engine: Engine, exporting: Callable[[], Exporting]) -> None:
        """`exporting` makes the exporter, when there is something to tell."""
        self._engine = engine
        self._make = exporting
        self.tell: Tell = silent
        """Hears of what was left out."""
        self._lock = threading.Lock()
        self._exporter: Exporting | None = None
        self._unfit = False
        self._origins: dict[int, Origin] = {}
        self._batches: Queue[Batch | None] = Queue(MOST)
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._left_out = 0

    def heed(self, moved: Sequence[Transition], jobs: Sequence[int]) -> None:
        """Take in what moved; what there is no room for is left out, and counted."""
        if self._closed.is_set():
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="mulligan-traces", daemon=True)
            self._thread.start()
        try:
            self._batches.put_nowait(Batch(moved, jobs))
        except Full:
            self._left_out += len(moved)

    def traceparents(self, claims: Sequence[Claim]) -> list[str | None]:
        """Return the span of each attempt that begins, as W3C writes it; None where no traces can be told."""
        if self._loaded() is None:
            return [None for _ in claims]
        jobs = {each.item.job for each in claims}
        origins = self._known(jobs)
        if len(origins) < len(jobs):
            with self._engine.store.read() as session:
                origins = self._learn(session, jobs)
        return [str(origins[each.item.job].attempt(each.item.key, each.item.token)) for each in claims]

    def close(self) -> None:
        """Tell what is left, for some seconds at most; safe to call twice."""
        if self._closed.is_set():
            return
        self._closed.set()
        if self._thread is not None:
            with contextlib.suppress(Full):
                self._batches.put(None, timeout=CLOSING_S)
            self._thread.join(CLOSING_S)
        if self._exporter is not None:
            self._exporter.close()

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            moved, jobs = list(batch.moved), list(batch.jobs)
            while len(moved) < MOST and (more := self._waiting()) is not None:
                moved += more.moved
                jobs += more.jobs
            self._tell_of(moved, jobs)
            if self._left_out:
                left_out, self._left_out = self._left_out, 0
                self.tell("spans left out", moves=left_out)

    def _waiting(self) -> Batch | None:
        try:
            found = self._batches.get_nowait()
        except Empty:
            return None
        if found is None:
            self._batches.put(None)  # it ends this thread when its turn comes
        return found

    def _tell_of(self, moved: Sequence[Transition], jobs: Sequence[int]) -> None:
        exporter, until = self._loaded(), time.monotonic() + CLOSING_S
        while exporter is not None:
            try:
                with self._engine.store.read() as session:
                    spans = list(self._spans(session, moved, jobs))
            except StoreError as error:
                if time.monotonic() > until or self._closed.wait(AGAIN_S):
                    self.tell("spans left out", moves=len(moved), error=str(error))
                    return
                continue
            for each in spans:
                exporter.send(each)
            return

    def _spans(self, session: Session, moved: Sequence[Transition], jobs: Sequence[int]) -> Iterable[Span]:
        known = self._learn(session, {each.after.job for each in moved} | set(jobs))
        origins = {job: origin for job, origin in known.items() if origin.sampled}
        moved = [each for each in moved if each.after.job in origins]
        for each in moved:
            if each.attempt is not None:
                yield attempt_span(self._task(session, each), origins[each.after.job], each, each.attempt)
        yield from self._items(session, origins, [each for each in moved if is_end(each)])
        tops = [each for each in jobs if each in origins and origins[each].row.parent is None]
        if tops:
            ends = session.traces.ends(tops)
            for seen in session.jobs.seen(tops):
                yield job_span(origins[seen.job], seen, ends.get(seen.job, ()))

    def _items(self, session: Session, origins: Mapping[int, Origin], ended: Sequence[Transition]) -> Iterable[Span]:
        if not ended:
            return
        keys = session.traces.keys([each.after.key for each in ended])
        several = [each.after.key for each in ended if each.after.attempt > 1 or each.after.generation > 1]
        attempts = session.traces.attempts(several) if several else {}
        parents = parents_of(origins, ended)
        callers = {item.key: item for item in session.items.read(parents)} if parents else {}
        for each in ended:
            key: ItemKey = each.after.key
            origin = origins[key.job]
            task, caller = self._task(session, each), caller_of(origin, callers)
            yield item_span(task, origin, each, keys.get(key), attempts.get(key, ()), caller)

    def _task(self, session: Session, moved: Transition) -> str:
        return self._engine.definitions.get(session, moved.after.definition).name

    def _known(self, jobs: Collection[int]) -> dict[int, Origin]:
        with self._lock:
            return {job: self._origins[job] for job in jobs if job in self._origins}

    def _learn(self, session: Session, jobs: Collection[int]) -> dict[int, Origin]:
        """Return which traces jobs belong to, reading what is not known; a job that is not there is left out."""
        known = self._known(jobs)
        unknown = set(jobs) - known.keys()
        if not unknown:
            return known
        exporter, read = self._loaded(), dict[int, Origin]()
        for row in session.traces.origins(unknown):
            origin = origin_of(row, sampled=False)
            if origin.caller is None and exporter is not None:
                origin = origin._replace(sampled=exporter.sampled(origin.trace, f"job {row.task}"))
            read[row.job] = origin
        with self._lock:
            if len(self._origins) > KNOWN:
                self._origins.clear()
            self._origins |= read
        return known | read

    def _loaded(self) -> Exporting | None:
        """Return the exporter; None where it cannot be made of what its variables say, which is told once."""
        with self._lock:
            if self._exporter is None and not self._unfit:
                try:
                    self._exporter = self._make()
                except Exception as error:  # noqa: BLE001 - the SDK raises as it likes, and no work fails for want of traces
                    self._unfit = True
                    self.tell("no traces are told", why=f"what OTEL_ variables say cannot be: {error}")
            return self._exporter
