"""Jobs that are submitted in chunks by somebody who may be cut off: opened, appended to, sealed; each of it may be sent again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mulligan.core.definition import Definition
from mulligan.core.errors import ArgumentsInvalid, ChunkConflict, ChunkGap, NotFound, Refused, RunIdConflict
from mulligan.core.job import FAR_FUTURE_MS, Job, Wait
from mulligan.core.submission import NewItem, Submission
from mulligan.engine.asking import Asker, line
from mulligan.engine.engine import Engine
from mulligan.engine.submitting import CHUNK, IN_CHUNKS, Submitting, Taken, check_run_id, due_ms_of
from mulligan.store.store import Session
from mulligan.store.verbs.jobs import ItemDefaults, RunIdRow
from mulligan.store.verbs.uploads import UploadRow


@dataclass(frozen=True, slots=True)
class Opened:
    """A job to which work items can be added: its task's definition, and the arguments that all of them share."""

    definition: Definition
    arguments: Mapping[str, Any] = field(default_factory=dict)


class Sealed(NamedTuple):
    """A job that is complete; `release_ms` where its work items still have to be made due."""

    job: int
    release_ms: int | None


class Uploading:
    """Takes jobs in chunks, through an engine. Nothing of a job starts before it is sealed."""

    def __init__(self, engine: Engine, submitting: Submitting) -> None:
        self._engine = engine
        self._submitting = submitting

    def open(self, submission: Submission, arguments: Mapping[str, Any], asker: Asker) -> Taken:
        """Store a job with its first items; `arguments` are those that items to come share with them.

        The same run id and first items give the job that is there, as far as it has come. Raises RunIdConflict, ArgumentsInvalid.
        """
        run_id, items = submission.options.run_id, list(submission.items)
        if run_id is not None:
            check_run_id(run_id)
        now_ms = self._engine.clock.now_ms()
        shared = json.dumps(dict(arguments), sort_keys=True)
        with self._engine.store.write() as session:
            published = self._submitting.publish(session, submission)
            there = None if run_id is None else session.jobs.by_run_id(published.task, run_id)
            if there is not None:
                self._check_same(session, there, items, shared)
                return Taken(there.job, new=False)
            row = self._submitting.row(submission, published, run_id, now_ms)
            job = session.jobs.add(row._replace(input_digest=IN_CHUNKS), now_ms)
            if job is None:  # somebody was faster by a moment; what was asked for may be sent again
                raise Refused(f"run id {run_id!r} is being submitted by another process: send it again")
            shape = self._submitting.defaults(submission, published, now_ms)
            due_ms = due_ms_of(submission, now_ms)
            upload = UploadRow(job, shape.definition, shape.priority, due_ms, shape.deadline_ms, shape.cutoff_ms, shared)
            session.uploads.add(upload)
            self._add(session, upload, published.task, submission.definition, 0, items)
            found = f"in chunks, of {submission.definition.name}"
            session.records.add_audit(line(asker, now_ms, "submit", f"job {job}", found=found, changed=len(items)))
        return Taken(job, new=True)

    def opened(self, job: int) -> Opened:
        """Return what is needed to make items of a chunk; raises NotFound, Refused where the job is sealed."""
        with self._engine.store.read() as session:
            upload = self._upload(session, job)
            return Opened(self._engine.definitions.get(session, upload.definition), json.loads(upload.arguments))

    def append(self, job: int, first: int, items: Sequence[NewItem]) -> None:
        """Add a chunk whose first item has the number `first` in the job.

        What is there already is compared and not added again, so a chunk may be sent twice. Raises ChunkGap where items before
        it are missing, ChunkConflict where others are there, Refused where the job is sealed or cancelled.
        """
        with self._engine.store.write() as session:
            session.jobs.lock([job])
            upload = self._upload(session, job)
            row = self._read(session, job)
            if row.cancel_ms is not None:
                raise Refused(f"job {job} was cancelled: nothing can be added to it")
            count = session.calls.count(job)
            if first > count:
                raise ChunkGap(f"job {job} has {count} work items, so the next chunk begins at {count}, not at {first}")
            self._compare(session, job, first, items[: count - first])
            definition = self._engine.definitions.get(session, upload.definition)
            self._add(session, upload, row.task, definition, count, items[count - first :])

    def seal(self, job: int, total: int | None, asker: Asker) -> Sealed:
        """Complete a job, so that its work items can start; sealing it again changes nothing.

        Raises ChunkGap where it does not have `total` items.
        """
        now_ms = self._engine.clock.now_ms()
        with self._engine.store.write() as session:
            session.jobs.lock([job])
            row = self._read(session, job)
            count = session.calls.count(job)
            if total is not None and total != count:
                what = f"send what is missing, from {count} on" if count < total else "what is there cannot be taken out of it"
                raise ChunkGap(f"job {job} has {count} work items and not {total}: {what}")
            if row.sealed:
                return Sealed(job, None)
            release_ms = self._upload(session, job).due_ms if count else None
            if session.jobs.seal(job, IN_CHUNKS, release_ms, now_ms):
                session.records.add_event("job_ended", job, None, None, now_ms)
            session.uploads.end(job)
            session.records.add_audit(line(asker, now_ms, "seal", f"job {job}", found="in chunks", changed=count))
        return Sealed(job, release_ms)

    def release(self, sealed: Sealed) -> None:
        """Make the work items of a sealed job due. Where this is cut off, workers go on with it."""
        if sealed.release_ms is not None:
            self._submitting.release(sealed.job, sealed.release_ms)

    def _add(
        self, session: Session, upload: UploadRow, task: int, definition: Definition, first: int, items: Sequence[NewItem]
    ) -> None:
        """Add items that are not due yet."""
        held = ItemDefaults(
            task=task,
            definition=upload.definition,
            once=definition.once,
            priority=upload.priority,
            due_ms=FAR_FUTURE_MS,
            wait=Wait.SUBMITTING,
            deadline_ms=upload.deadline_ms,
            cutoff_ms=upload.cutoff_ms,
        )
        taken = session.uploads.keys(upload.job, [each.key for each in items]) if first and items else []
        if taken:
            raise ArgumentsInvalid(
                f"job {upload.job} has a work item with the key {taken[0]!r} already: keys are unique in a job"
            )
        now_ms = self._engine.clock.now_ms()
        for at in range(0, len(items), CHUNK):
            session.jobs.add_items(upload.job, first + at, items[at : at + CHUNK], held, now_ms)

    def _check_same(self, session: Session, there: RunIdRow, items: Sequence[NewItem], shared: str) -> None:
        upload = session.uploads.find(there.job)
        if there.input_digest != IN_CHUNKS or (upload is not None and upload.arguments != shared):
            raise RunIdConflict(f"the run id belongs to job {there.job}, which was given other input: use another run id")
        self._compare(session, there.job, 0, items)

    @staticmethod
    def _compare(session: Session, job: int, first: int, items: Sequence[NewItem]) -> None:
        if not items:
            return
        known = session.uploads.inputs(job, first, len(items))
        for place, each in enumerate(items):
            if place >= len(known) or known[place] != (each.key, each.arguments):
                raise ChunkConflict(
                    f"work item {first + place} of job {job} is there with another key or other arguments than it is "
                    "sent with now: chunks that are sent again must be the same"
                )

    @staticmethod
    def _upload(session: Session, job: int) -> UploadRow:
        upload = session.uploads.find(job)
        if upload is None:
            raise Refused(f"job {job} is complete, or is not submitted in chunks: nothing can be added to it")
        return upload

    @staticmethod
    def _read(session: Session, job: int) -> Job:
        row = session.jobs.read(job)
        if row is None:
            raise NotFound(f"there is no job {job}")
        return row
