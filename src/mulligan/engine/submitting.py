"""Takes submissions: a job and its work items, all of them or none, however many there are."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from mulligan.core.errors import ArgumentsInvalid, OverwriteUnsafe, Refused, RunIdConflict
from mulligan.core.job import FAR_FUTURE_MS, ItemKey, JobStatus, Wait
from mulligan.core.recovery import Verdict
from mulligan.core.submission import NewItem, Submission
from mulligan.engine.definitions import Published
from mulligan.engine.engine import Engine
from mulligan.engine.judging import judge
from mulligan.store.store import Session
from mulligan.store.verbs.jobs import ItemDefaults, NewJob

CHUNK = 5_000
"""Items in one transaction; a job of no more is stored in one."""
ABANDONED_MS = 60_000
"""A submission that added nothing for so long is taken for dead."""


Newest = dict[tuple[int, int], tuple[ItemKey, JobStatus]]


class Taken(NamedTuple):
    """The job of a submission, and whether this submission made it."""

    job: int
    new: bool


class Submitting:
    """Stores submissions through an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def take(self, submission: Submission) -> Taken:
        """Store a submission, all of it or nothing.

        The same run id with the same input gives the job that is there. Raises RunIdConflict when the input differs,
        OverwriteUnsafe when a backfill of `only="all"` would overwrite what is not known to be safe, and whatever
        reading the items raises.
        """
        run_id = submission.options.run_id
        if run_id is not None:
            _check_run_id(run_id)
            there = self._existing(submission, run_id)
            if there is not None:
                return there
        chunks = _Chunks(submission)
        first = next(chunks, [])
        small = len(first) < CHUNK
        rest: Iterator[list[NewItem]] = iter(()) if small else chunks
        second = next(rest, None)
        if second is None:
            return self._at_once(submission, run_id, first, chunks)
        return self._in_chunks(submission, run_id, itertools.chain([first, second], rest), chunks)

    def release(self, job: int, due_ms: int) -> None:
        """Make the items of a sealed job due, a chunk at a time."""
        while True:
            now_ms = self._engine.clock.now_ms()
            wait = Wait.SCHEDULE if due_ms > now_ms else Wait.READY
            with self._engine.store.write() as session:
                count = session.jobs.release(job, due_ms, wait, CHUNK)
            self._engine.bell.wake_workers()
            if count < CHUNK:
                return

    def release_all(self) -> None:
        """Go on releasing jobs whose submitter has gone."""
        with self._engine.store.read() as session:
            waiting = session.jobs.releasing()
        for job, due_ms in waiting:
            self.release(job, due_ms)

    def _existing(self, submission: Submission, run_id: str) -> Taken | None:
        """Return the job that has the run id already, once it is complete; forget it if its submitter died."""
        while True:
            with self._engine.store.write() as session:
                published = self._publish(session, submission)
                row = session.jobs.by_run_id(published.task, run_id)
                if row is None:
                    return None
                if row.sealed:
                    break
                if self._engine.clock.now_ms() - row.touched_ms > ABANDONED_MS:
                    session.jobs.drop_unsealed(row.job)
                    return None
            threading.Event().wait(0.1)
        chunks = _Chunks(submission)
        for _ in chunks:
            pass
        if chunks.digest != row.input_digest:
            raise RunIdConflict(
                f"run id {run_id!r} of task {submission.definition.name!r} belongs to job {row.job}, which was given other "
                "input: use another run id, or the same input"
            )
        return Taken(row.job, new=False)

    def _publish(self, session: Session, submission: Submission) -> Published:
        return self._engine.definitions.publish(session, submission.definition, self._engine.clock.now_ms(), current=False)

    def _at_once(self, submission: Submission, run_id: str | None, items: list[NewItem], chunks: _Chunks) -> Taken:
        now_ms = self._engine.clock.now_ms()
        with self._engine.store.write() as session:
            published = self._publish(session, submission)
            if run_id is not None:
                row = session.jobs.by_run_id(published.task, run_id)
                if row is not None:
                    return self._raced(submission, run_id, row.job, row.sealed, row.input_digest == chunks.digest)
            job = self._add_job(session, submission, published, run_id, sealed=False, now_ms=now_ms)
            wanted = self._wanted(session, submission, published, items)
            if wanted:
                session.jobs.add_items(job, 0, wanted, self._defaults(submission, published, now_ms), now_ms)
            session.jobs.seal(job, chunks.digest, None, now_ms)
        self._engine.bell.wake_workers()
        return Taken(job, new=True)

    def _raced(self, submission: Submission, run_id: str, job: int, sealed: bool, same: bool) -> Taken:
        if sealed and same:
            return Taken(job, new=False)
        if not sealed:
            raise Refused(f"run id {run_id!r} is being submitted by another process: try again when it is done")
        raise RunIdConflict(
            f"run id {run_id!r} of task {submission.definition.name!r} belongs to job {job}, which was given other input: "
            "use another run id, or the same input"
        )

    def _in_chunks(self, submission: Submission, run_id: str | None, pieces: Iterator[list[NewItem]], chunks: _Chunks) -> Taken:
        start_ms = self._engine.clock.now_ms()
        job: int | None = None
        added = 0
        try:
            for piece in pieces:
                now_ms = self._engine.clock.now_ms()
                with self._engine.store.write() as session:
                    published = self._publish(session, submission)
                    if job is None:
                        row = session.jobs.by_run_id(published.task, run_id) if run_id else None
                        if row is not None:
                            return self._raced(submission, run_id or "", row.job, sealed=False, same=False)
                        job = self._add_job(session, submission, published, run_id, sealed=False, now_ms=now_ms)
                    defaults = self._defaults(submission, published, start_ms)
                    held = defaults._replace(wait=Wait.SUBMITTING, due_ms=FAR_FUTURE_MS)
                    wanted = self._wanted(session, submission, published, piece)
                    if wanted:
                        session.jobs.add_items(job, added, wanted, held, now_ms)
                        added += len(wanted)
        except BaseException:
            if job is not None:
                with self._engine.store.write() as session:
                    session.jobs.drop_unsealed(job)
            raise
        assert job is not None  # noqa: S101 - there are at least two pieces
        due_ms = _due_ms(submission, start_ms)
        with self._engine.store.write() as session:
            session.jobs.seal(job, chunks.digest, due_ms if added else None, self._engine.clock.now_ms())
        self.release(job, due_ms)
        return Taken(job, new=True)

    def _add_job(
        self,
        session: Session,
        submission: Submission,
        published: Published,
        run_id: str | None,
        *,
        sealed: bool,
        now_ms: int,
    ) -> int:
        row = NewJob(
            published.task,
            run_id or self._new_run_id(now_ms),
            submission.kind,
            "",
            submission.tz,
            submission.options.labels,
            sealed,
        )
        return session.jobs.add(row, now_ms)

    def _new_run_id(self, now_ms: int) -> str:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_ms / 1000))
        return f"{stamp}-{int(self._engine.chance() * 16**12):012x}"

    def _defaults(self, submission: Submission, published: Published, now_ms: int) -> ItemDefaults:
        definition, options = submission.definition, submission.options
        total_s = definition.total_timeout_s if options.total_timeout_s is None else options.total_timeout_s
        cutoff_ms = None if total_s is None else now_ms + round(total_s * 1000)
        limits = [each for each in (cutoff_ms, options.expires_ms) if each is not None]
        due_ms = _due_ms(submission, now_ms)
        return ItemDefaults(
            task=published.task,
            definition=published.definition,
            once=definition.policy.at_most_once,
            priority=definition.priority if options.priority is None else options.priority,
            due_ms=due_ms,
            wait=Wait.SCHEDULE if due_ms > now_ms else Wait.READY,
            deadline_ms=min(limits) if limits else None,
            cutoff_ms=cutoff_ms,
        )

    def _wanted(self, session: Session, submission: Submission, published: Published, items: list[NewItem]) -> list[NewItem]:
        """Leave out the windows of a backfill that are not wanted, as they are at this moment."""
        windows = [each.window for each in items if each.window is not None]
        if submission.only is None or not windows:
            return items
        start_ms, end_ms = min(each[0] for each in windows), max(each[0] for each in windows) + 1
        if submission.only == "missing":
            taken = session.windows.taken(published.task, start_ms, end_ms)
            return [each for each in items if each.window not in taken]
        newest = session.windows.newest(published.task, start_ms, end_ms)
        if submission.only == "failed":
            return [each for each in items if _status(newest.get(each.window or (0, 0))) is JobStatus.FAILURE]
        if not submission.accept_risk:
            self._refuse_unsafe(session, items, newest)
        return items

    def _refuse_unsafe(self, session: Session, items: list[NewItem], newest: Newest) -> None:
        keys = [newest[each.window][0] for each in items if each.window in newest and newest[each.window][1] is JobStatus.SUCCESS]
        if not keys:
            return
        judged = judge(session, self._engine.definitions, keys)
        unsafe = [(key, each) for key, each in judged.items() if each.verdict is not Verdict.SAFE]
        if unsafe:
            key, example = unsafe[0]
            raise OverwriteUnsafe(
                f"{len(unsafe)} of {len(items)} windows succeeded before and are not known to be safe to overwrite; "
                f"work item {key} is {example.verdict}: {'; '.join(example.evidence)}. Pass accept_risk=True to do it anyway, "
                'or only="missing"'
            )


class _Chunks:
    """Cuts the items of a submission into chunks, and digests its input on the way."""

    def __init__(self, submission: Submission) -> None:
        self._items = iter(submission.items)
        self._hash = hashlib.sha256(json.dumps([submission.kind, submission.tz, submission.only]).encode())

    def __iter__(self) -> _Chunks:
        return self

    def __next__(self) -> list[NewItem]:
        chunk = list(itertools.islice(self._items, CHUNK))
        if not chunk:
            raise StopIteration
        self._hash.update("\n".join(f"{each.key}\t{each.arguments}\t{each.window}" for each in chunk).encode())
        return chunk

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


def _status(found: tuple[object, JobStatus] | None) -> JobStatus | None:
    return found[1] if found else None


def _due_ms(submission: Submission, now_ms: int) -> int:
    options = submission.options
    due_ms = now_ms if options.start_at_ms is None else max(now_ms, options.start_at_ms)
    return due_ms + round((options.delay_s or 0) * 1000)


def _check_run_id(run_id: str) -> None:
    if not 1 <= len(run_id) <= 200 or not run_id.isprintable() or "/" in run_id or run_id in (".", ".."):
        raise ArgumentsInvalid(
            f"run_id {run_id[:80]!r}: give 1 to 200 printable characters without '/', since it becomes part of paths"
        )
