"""Takes submissions: a job and its work items, all of them or none, however many there are."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Iterator
from typing import NamedTuple

from mulligan.core.errors import ArgumentsInvalid, OverwriteUnsafe, Refused, RunIdConflict, StoreUnsure
from mulligan.core.job import FAR_FUTURE_MS, TERMINAL, Job, JobStatus, Wait
from mulligan.core.recovery import Verdict
from mulligan.core.shown import shown
from mulligan.core.submission import RUN_IDS, NewItem, Submission, is_run_id
from mulligan.engine.asking import Asker, Plan, line
from mulligan.engine.backfilling import Newest, plan_backfill
from mulligan.engine.definitions import Published
from mulligan.engine.engine import Engine
from mulligan.engine.judging import judge
from mulligan.sdk.ports import AMBIENT
from mulligan.sdk.values import refuse_clear
from mulligan.store.store import Session
from mulligan.store.verbs.items import as_json
from mulligan.store.verbs.jobs import ItemDefaults, NewJob, RunIdRow

CHUNK = 5_000
"""Items in one transaction; a job of no more is stored in one."""
ABANDONED_MS = 60_000
"""A submission that added nothing for so long is taken for dead by another that wants its run id."""
FORGOTTEN_MS = 3_600_000
"""And after so long by anybody."""
UPLOAD_FORGOTTEN_MS = 86_400_000
"""And after so long where it comes in chunks of which each was answered."""
NOBODY = Asker("mulligan", "chore", "nobody added to it for a day")
IN_CHUNKS = "in chunks"
"""In place of the digest of a job's input, where it came in chunks: these are compared one by one."""


class Taken(NamedTuple):
    """The job of a submission, and whether this submission made it."""

    job: int
    new: bool
    row: Job | None = None
    """The job as it was stored, where that was learned on the way."""


class Submitting:
    """Stores submissions through an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def take(self, submission: Submission, asker: Asker | None = None) -> Taken:
        """Store a submission, all of it or nothing; of an asker the audit tells, where a job is made.

        The same run id with the same input gives the job that is there. Raises RunIdConflict when the input differs,
        Refused when windows of a backfill of `only="all"` are in flight, OverwriteUnsafe when it would overwrite what is
        not known to be safe, and whatever reading the items raises.
        """
        run_id = submission.options.run_id
        if AMBIENT.mask:
            refuse_clear(json.dumps([run_id, submission.options.labels]), "the run id and the labels")
        if run_id is not None:
            check_run_id(run_id)
            there = self._existing(submission, run_id)
            if there is not None:
                return there
        chunks = _Chunks(submission)
        first = next(chunks, [])
        small = len(first) < CHUNK
        rest: Iterator[list[NewItem]] = iter(()) if small else chunks
        second = next(rest, None)
        if second is None:
            return self._at_once(submission, run_id, first, chunks, asker)
        return self._in_chunks(submission, run_id, itertools.chain([first, second], rest), chunks, asker)

    def plan(self, submission: Submission) -> Plan:
        """Return which windows of a backfill would be taken now, and which left alone and why. Nothing is stored."""
        return plan_backfill(self._engine, submission)

    def release(self, job: int, due_ms: int) -> None:
        """Make the items of a sealed job due, a chunk at a time."""
        first: int | None = 0
        while first is not None:
            first = self._release_chunk(job, due_ms, first)

    def _release_chunk(self, job: int, due_ms: int, first: int) -> int | None:
        wait = Wait.SCHEDULE if due_ms > self._engine.clock.now_ms() else Wait.READY
        with self._engine.store.write() as session:
            session.jobs.lock([job])
            following = session.jobs.release(job, due_ms, wait, CHUNK, first)
        self._engine.bell.wake_workers()
        return following

    def release_all(self) -> int:
        """Go on releasing jobs whose submitter may have gone, a chunk of each; returns for how many more is to be done."""
        with self._engine.store.read() as session:
            waiting = session.jobs.releasing()
        return sum(self._release_chunk(job, due_ms, 0) is not None for job, due_ms in waiting)

    def drop_abandoned(self) -> int:
        """Forget submissions whose submitter died before they were complete; returns how many."""
        now_ms = self._engine.clock.now_ms()
        limits = now_ms - FORGOTTEN_MS, now_ms - UPLOAD_FORGOTTEN_MS
        with self._engine.store.read() as session:
            if not session.jobs.abandoned(*limits):
                return 0
        with self._engine.store.write() as session:
            jobs = session.jobs.abandoned(*limits)
            for job, in_chunks in jobs:
                if in_chunks:  # somebody was told its id, and shall find out what became of it
                    count = session.calls.count(job)
                    said = line(NOBODY, now_ms, "forget job", f"job {job}", found="never sealed", changed=count)
                    session.records.add_audit(said)
                _drop(session, job)
        return len(jobs)

    def _existing(self, submission: Submission, run_id: str) -> Taken | None:
        """Return the job that has the run id already, once it is complete."""
        row = self._complete(submission, run_id)
        if row is None:
            return None
        chunks = _Chunks(submission)
        for _ in chunks:
            pass
        return _same(submission, run_id, row, chunks.digest)

    def _joined(self, submission: Submission, run_id: str, digest: str) -> Taken:
        """Return the job that another process submitted under the run id at the same time, once it is complete."""
        row = self._complete(submission, run_id)
        if row is None:
            raise Refused(f"run id {run_id!r} was being submitted by another process, which gave up: submit it again")
        return _same(submission, run_id, row, digest)

    def _complete(self, submission: Submission, run_id: str) -> RunIdRow | None:
        """Return what has the run id, waiting until it is complete; forget it if its submitter died."""
        while True:
            with self._engine.store.write() as session:
                row = session.jobs.by_run_id(self.publish(session, submission).task, run_id)
                if row is None or row.sealed:
                    return row
                if session.uploads.find(row.job) is not None:
                    raise Refused(
                        f"run id {run_id!r} is that of job {row.job}, which is being submitted in chunks: go on with it there, "
                        "cancel and seal it, or take another run id"
                    )
                if self._engine.clock.now_ms() - row.touched_ms > ABANDONED_MS:
                    _drop(session, row.job)
                    return None
            self._engine.clock.sleep(0.1)

    def publish(self, session: Session, submission: Submission) -> Published:
        """Have the definition of a submission in the store."""
        return self._engine.definitions.publish(session, submission.definition, self._engine.clock.now_ms(), current=False)

    def _at_once(
        self, submission: Submission, run_id: str | None, items: list[NewItem], chunks: _Chunks, asker: Asker | None
    ) -> Taken:
        now_ms = self._engine.clock.now_ms()
        with self._engine.store.write() as session:
            published = self.publish(session, submission)
            defaults = self.defaults(submission, published, now_ms)
            row = self.row(submission, published, run_id, now_ms)
            count = len(items)
            if submission.only is None:
                job = session.jobs.add_whole(row._replace(sealed=True, input_digest=chunks.digest), items, defaults, now_ms)
                if job is not None and not items:
                    session.records.add_event("job_ended", job, None, None, now_ms)
            else:  # which of them are wanted is looked at when nobody else can have the run id any more
                job = session.jobs.add(row, now_ms)
                if job is not None:
                    if wanted := self._wanted(session, submission, published, items):
                        session.jobs.add_items(job, 0, wanted, defaults, now_ms)
                    count = len(wanted)
                    self._seal(session, job, chunks.digest, None)
            if job is not None:
                self._audit(session, asker, submission, job, count)
                told = session.jobs.reading(job)
        if job is None:
            return self._joined(submission, run_id or "", chunks.digest)
        self._engine.bell.wake_workers()
        try:
            return Taken(job, new=True, row=told())
        except StoreUnsure:  # it is stored, and what it looks like was lost with the connection
            return Taken(job, new=True)

    def _in_chunks(
        self,
        submission: Submission,
        run_id: str | None,
        pieces: Iterator[list[NewItem]],
        chunks: _Chunks,
        asker: Asker | None,
    ) -> Taken:
        start_ms = self._engine.clock.now_ms()
        with self._engine.store.write() as session:
            published = self.publish(session, submission)
            job = session.jobs.add(self.row(submission, published, run_id, start_ms), start_ms)
        if job is None:
            for _ in pieces:
                pass
            return self._joined(submission, run_id or "", chunks.digest)
        due_ms = due_ms_of(submission, start_ms)
        try:
            added = self._add_held(submission, job, pieces, start_ms)
            with self._engine.store.write() as session:
                self._seal(session, job, chunks.digest, due_ms if added else None)
                self._audit(session, asker, submission, job, added)
        except BaseException:
            with self._engine.store.write() as session:
                _drop(session, job)
            raise
        self.release(job, due_ms)
        return Taken(job, new=True)

    def _add_held(self, submission: Submission, job: int, pieces: Iterator[list[NewItem]], start_ms: int) -> int:
        """Add items that are not due yet, a piece in each transaction; returns how many."""
        added = 0
        for piece in pieces:
            with self._engine.store.write() as session:
                published = self.publish(session, submission)
                held = self.defaults(submission, published, start_ms)._replace(wait=Wait.SUBMITTING, due_ms=FAR_FUTURE_MS)
                wanted = self._wanted(session, submission, published, piece)
                session.jobs.add_items(job, added, wanted, held, self._engine.clock.now_ms())
                added += len(wanted)
        return added

    def _audit(self, session: Session, asker: Asker | None, submission: Submission, job: int, count: int) -> None:
        if asker is None:
            return
        found, now_ms = f"{submission.kind} of {submission.definition.name}", self._engine.clock.now_ms()
        session.records.add_audit(line(asker, now_ms, "submit", f"job {job}", found=found, changed=count))

    def _seal(self, session: Session, job: int, digest: str, release_ms: int | None) -> None:
        now_ms = self._engine.clock.now_ms()
        if session.jobs.seal(job, digest, release_ms, now_ms):
            session.records.add_event("job_ended", job, None, None, now_ms)

    def row(self, submission: Submission, published: Published, run_id: str | None, now_ms: int) -> NewJob:
        """Return the row of a submission's job, which is not complete yet."""
        return NewJob(
            published.task,
            run_id or self._new_run_id(now_ms),
            submission.kind,
            "",
            submission.tz,
            submission.options.labels,
            sealed=False,
            named=run_id is not None,
            total_ms=_ms(submission.options.total_timeout_s),
            traceparent=submission.traceparent,
        )

    def _new_run_id(self, now_ms: int) -> str:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_ms / 1000))
        return f"{stamp}-{int(self._engine.chance() * 16**12):012x}"

    def defaults(self, submission: Submission, published: Published, now_ms: int) -> ItemDefaults:
        """Return what all items of a submission share that is made now."""
        definition, options = submission.definition, submission.options
        total_ms = _ms(definition.total_timeout_s if options.total_timeout_s is None else options.total_timeout_s)
        cutoff_ms = None if total_ms is None else now_ms + total_ms
        limits = [each for each in (cutoff_ms, options.expires_ms) if each is not None]
        due_ms = due_ms_of(submission, now_ms)
        return ItemDefaults(
            task=published.task,
            definition=published.definition,
            once=definition.once,
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
        session.tasks.lock(published.task)
        start_ms, end_ms = min(each[0] for each in windows), max(each[0] for each in windows) + 1
        if submission.only == "missing":
            taken = session.windows.taken(published.task, start_ms, end_ms)
            return [each for each in items if each.window not in taken]
        newest = session.windows.newest(published.task, start_ms, end_ms)
        if submission.only == "failed":
            return [each for each in items if _status(newest.get(each.window or (0, 0))) is JobStatus.FAILURE]
        _refuse_in_flight(items, newest)
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
        if AMBIENT.mask:  # arguments were looked at when they became JSON
            refuse_clear(json.dumps([each.key for each in chunk]), "the keys of work items")
        self._hash.update(as_json(chunk).encode())
        return chunk

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


def _same(submission: Submission, run_id: str, row: RunIdRow, digest: str) -> Taken:
    if row.input_digest != digest:
        raise RunIdConflict(
            f"run id {run_id!r} of task {submission.definition.name!r} belongs to job {row.job}, which was given other input: "
            "use another run id, or the same input"
        )
    return Taken(row.job, new=False)


def _refuse_in_flight(items: list[NewItem], newest: Newest) -> None:
    """Refuse to start a second item beside one that is in flight; a risk that is accepted is that of overwriting only."""
    there = [newest[each.window] for each in items if each.window in newest and newest[each.window][1] not in TERMINAL]
    if there:
        key, status = there[0]
        raise Refused(
            f"windows that are in flight would run twice at once: {len(there)}, such as that of item {key}, which is {status}: "
            'wait for them, cancel them, or pass only="missing", which leaves them out. Nothing was submitted'
        )


def _status(found: tuple[object, JobStatus] | None) -> JobStatus | None:
    return found[1] if found else None


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def due_ms_of(submission: Submission, now_ms: int) -> int:
    """Return when the items of a submission are due that is made now."""
    options = submission.options
    due_ms = now_ms if options.start_at_ms is None else max(now_ms, options.start_at_ms)
    return due_ms + round((options.delay_s or 0) * 1000)


def check_run_id(run_id: str) -> None:
    """Refuse what can be no run id."""
    if not is_run_id(run_id):
        raise ArgumentsInvalid(f"run_id: expected {RUN_IDS}, not {shown(run_id)}")


def _drop(session: Session, job: int) -> None:
    """Forget a job whose submission was never completed; items whose time was over have failed all the same."""
    session.jobs.lock([job])
    session.causes.forget_unsealed(job)
    session.jobs.drop_unsealed(job)
