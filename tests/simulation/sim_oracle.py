"""What must be so, whatever happens: compares what the store holds after each commit with what people and tasks saw."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any

from sim_calls import Calls, JobSeen
from sim_executor import CURSOR, Deed
from sim_model import FAILURES, FLOWS, LIMITS, POISON, Ended, Seen, wrong_decision, wrong_record
from sim_process import LEASE_S, Process, SimWorker
from sim_windows import Windows

from mulligan.core.attempt import AttemptInfo
from mulligan.core.job import TERMINAL, WAITING, Item, ItemKey, JobStatus, Reason, Wait
from mulligan.core.lifecycle import MOVES
from mulligan.core.replay import Past
from mulligan.engine.verify import verify
from mulligan.store.rows import item_of
from mulligan.store.store import Store

STEPS = {(before, after) for moves in MOVES.values() for before, afters in moves.items() for after in afters}
"""Moves that one event makes; a worker's commit may settle an attempt and claim the item again."""
REOPENS = ("recover", "restart", "overwrite", "overwrite in order")

_ITEMS = """
select job, number, task, definition, once, priority, status, due_ms, wait, generation, attempt, token, version, worker,
    claimed_ms, cancel_ms, deadline_ms, cutoff_ms, charges, crashes, snoozes, keep_from, reason, failure_class, created_ms,
    ended_ms, cause
from items"""
_JOBS = "select id, cancel_ms, ended_ms, sealed, pruned_ms, parent_job, parent_number, epoch from jobs"
_CALLS = "select job, place, number, digest, round from calls"
_PAUSED = "select id from tasks where paused_ms is not null"
_CHECKPOINTS = "select job, number, key, generation, token from checkpoints"
_ATTEMPTS = "select job, number, token, generation, attempt, outcome, reason, failure_class, ended_ms, result from attempts"
_TASKS = "select id, name from tasks"
_DEFINITIONS = "select id, body from definitions"
_WINDOWS = "select job, number, task, window_start_ms from inputs where window_start_ms is not null"
_EVENTS = """
select kind, job, number, generation from events
where kind <> 'acted' and job not in (
    select id from jobs where pruned_to is not null)"""  # being removed just now, a piece at a time
_WORKERS = "select id, beat, lost_ms is not null from workers where closed_ms is null or lost_ms is not null"
_LOOKED_AT = frozenset(("items", "jobs", "calls", "checkpoints", "attempts", "tasks", "definitions", "inputs", "events", "audit"))
"""Of a commit that changed none of these there is nothing to compare but heartbeats: three in five."""
_AUDIT = "select coalesce(sum(changed), 0) from audit where action in ('recover', 'restart', 'overwrite')"


class Broken(BaseException):
    """A promise was broken, the message says which, and by what; the product must not catch it, as it does what tasks raise."""


class Oracle:
    """Watches a world: a witness of what attempts do, and told of every commit."""

    def __init__(self, store: Store, tell: Callable[[str], None], keep_s: float) -> None:
        self._store = store
        self._tell = tell
        self._keep_ms = round(keep_s * 1000)
        self.looks = 0
        """How often the items were read; between two they are as they were."""
        self.items: dict[ItemKey, Item] = {}
        self.jobs: dict[int, JobSeen] = {}
        self._jobs_now: dict[int, JobSeen] = {}
        """As they were before the commit that is looked at, and those that are new."""
        self.windows = Windows()
        self.calls = Calls()
        self.living: Callable[[], dict[int | None, SimWorker]] = dict
        """Says which workers live, by the ids of their present instances."""
        self._accepted: set[int] = set()
        self._tasks: dict[int, str] = {}
        self._versions: dict[int, tuple[str, str]] = {}
        """Name and version of the task that a definition is of."""
        self._paused: set[int] = set()
        self._checkpoints: set[tuple[ItemKey, str, int, int]] = set()
        self._attempts: dict[ItemKey, dict[int, Ended]] = {}
        self._claims: dict[Deed, int] = {}
        """By whom which attempt was claimed, as committed."""
        self._once: set[ItemKey] = set()
        self._began: set[Deed] = set()
        self._runs: Counter[tuple[ItemKey, int]] = Counter()
        self._seen: dict[Deed, Seen] = {}
        self._saved: dict[ItemKey, dict[str, str]] = {}
        self._saving: dict[tuple[Deed, str], str] = {}
        self._maybe: dict[ItemKey, dict[str, set[str]]] = {}
        self._inside: dict[tuple[ItemKey, int], int] = {}
        """Jobs that tasks submitted, by item and call."""
        self._commits: Counter[str] = Counter()
        self._lost: set[int] = set()
        self._beats: dict[int, tuple[int, float]] = {}
        """The last heartbeat of each worker instance, and when it was sent."""
        self._progressed: set[ItemKey] = set()
        """Items that have saved anything: deaths before that are forgiven."""
        self._generations = 0
        self._events: Counter[tuple[str, int, int | None, int | None]] = Counter()
        """What people must have been told of."""

    def pick(self, dice: random.Random, *statuses: JobStatus) -> Item | None:
        """Return one of the items, of these statuses only if any are given."""
        there = sorted(key for key, item in self.items.items() if not statuses or item.status in statuses)
        return self.items[dice.choice(there)] if there else None

    def is_workflow(self, item: Item) -> bool:
        """Return whether an item is a workflow, whose body may do nothing but wait."""
        return self._tasks[item.task] in FLOWS

    def commits_of_others(self, process: Process) -> int:
        """Return how often others than a process have committed anything."""
        return self._commits.total() - self._commits[process.name]

    # what attempts do

    def began(self, deed: Deed, info: AttemptInfo, worker: int | None) -> None:
        """Take note that an attempt's code runs."""
        self._tell(f"item {deed.key} begins (generation {deed.generation}, attempt {deed.attempt})")
        if self._claims.get(deed) != worker or worker is None:
            raise Broken(
                f"H3: {deed.key} began in worker {worker}, but {self._claims.get(deed)} had claimed attempt {deed.attempt}"
            )
        if deed in self._began:
            raise Broken(f"I5: attempt {deed.attempt} of {deed.key} began twice")
        self._began.add(deed)
        self._runs[deed.key, deed.generation] += 1
        if deed.key in self._once and self._runs[deed.key, deed.generation] > 1:
            raise Broken(f"I7: {deed.key} runs at most once, and began twice in generation {deed.generation}")
        item = self.items.get(deed.key)
        if item is not None and (item.generation, item.attempt) == (deed.generation, deed.attempt):
            self._say(self.calls.wrong_history(item, info.calls), "I26")
            self._check_given(deed, info)  # of one that comes too late, what was saved when it was claimed is not known any more

    def _check_given(self, deed: Deed, info: AttemptInfo) -> None:
        given, kept = dict(info.steps), self._saved.get(deed.key, {})
        if info.cursor is not None:
            given[CURSOR] = info.cursor
        for step, value in kept.items():
            if given.get(step) != value and given.get(step) not in self._maybe.get(deed.key, {}).get(step, ()):
                raise Broken(f"I10: {deed.key} had saved {step} as {value} and is given {given.get(step)}")
        for step, value in given.items():
            if step not in kept and value not in self._maybe.get(deed.key, {}).get(step, ()):
                raise Broken(f"I11: {deed.key} is given {step} as {value}, which nobody saved for it")

    def saving(self, deed: Deed, step: str, value: str) -> None:
        """Take note that an attempt wants a step or a cursor saved."""
        self._saving[deed, step] = value
        self._maybe.setdefault(deed.key, {}).setdefault(step, set()).add(value)

    def saved(self, deed: Deed, step: str) -> None:
        """Take note that an attempt was told that its step or cursor is saved: what was there before counts no more."""
        item = self.items.get(deed.key)
        if item is not None and item.generation == deed.generation:
            self._saved.setdefault(deed.key, {})[step] = self._saving[deed, step]
            self._maybe[deed.key].pop(step, None)

    def submitted(self, deed: Deed, call: int, job: int) -> None:
        """Take note that an attempt was told that what it submitted is a job."""
        self._tell(f"item {deed.key} has submitted job {job} (call {call})")
        known = self._inside.setdefault((deed.key, call), job)
        if known != job:
            raise Broken(f"I17: call {call} of {deed.key} had submitted job {known}, and submits job {job} now")
        self.accepted(job, None)

    def answered(self, deed: Deed, call: Past) -> None:
        """Take note of what the body of a workflow is told of a call: it is how that ended."""
        key = ItemKey.of(call.item)
        item = self.items.get(key)
        owner = self.items.get(deed.key)
        if item is None or owner is None or (owner.generation, owner.attempt) != (deed.generation, deed.attempt):
            return  # it has lost its workflow, and does not know it yet
        ended = [each for _, each in sorted(self._attempts.get(key, {}).items())]
        if call.status is not item.status:
            raise Broken(f"I26: {deed.key} is told that its call {key} is {call.status}, and it is {_words(item)}")
        if call.status is JobStatus.SUCCESS and (not ended or ended[-1].result != call.result):
            raise Broken(f"I26: {deed.key} is given {call.result} as result of its call {key}, and that was {ended[-1:]}")

    def ended(self, deed: Deed, seen: Seen) -> None:
        """Take note of how an attempt ended."""
        self._tell(f"item {deed.key} ends: {seen.how} {seen.what} (attempt {deed.attempt})")
        self._seen[deed] = seen
        if seen.how == "Snoozed":
            self._runs[deed.key, deed.generation] -= 1

    # what is committed

    def saw(self, process: Process, written: Collection[str]) -> None:
        """Compare what a commit of a process has made of the store."""
        self._commits[process.name] += 1
        if _LOOKED_AT.isdisjoint(written):
            with self._store.read():
                self._check_lost(process, self._store.database.text_in_reader(_WORKERS, {}))
            return
        with self._store.read():
            query = self._store.database.text_in_reader
            rows = {item.key: item for item in (item_of(row) for row in query(_ITEMS, {}))}
            jobs = {row[0]: JobSeen.of(*row[1:]) for row in query(_JOBS, {})}
            paused = {row[0] for row in query(_PAUSED, {})}
            workers = list(query(_WORKERS, {}))
            changed = [item for key, item in rows.items() if self.items.get(key) != item]
            calls = list(query(_CALLS, {}))
            checkpoints = {(ItemKey(row[0], row[1]), *row[2:]) for row in query(_CHECKPOINTS, {})}
            attempts = [(ItemKey(row[0], row[1]), Ended(*row[2:])) for row in query(_ATTEMPTS, {})] if changed else []
            if rows.keys() - self.items.keys() or {item.definition for item in changed} - self._versions.keys():
                self._learn(query)
        self._jobs_now = {job: self.jobs.get(job, seen) for job, seen in jobs.items()}
        self._check_lost(process, workers)
        self._check_jobs(process, jobs)
        gone = self.items.keys() - rows.keys()
        self._check_gone(process, gone, jobs)
        self._check_checkpoints(process, checkpoints)
        new = self._new_attempts(attempts)
        owner = process.worker.id if isinstance(process, SimWorker) else None
        self._say(self.calls.committed(calls, self.items, rows, jobs, owner), "I26")
        for item in changed:
            self._compare(process, self.items.get(item.key), item, new.get(item.key))
        if process.doing == "overwrite in order":
            self.windows.put_in_order(item for item in changed if self._is_begun_again(item))
        claimed = [item for item in changed if item.key in self.items and item.token > self.items[item.key].token]
        moved = bool(changed or gone) or jobs != self.jobs
        self.items, self.jobs, self._paused = rows, jobs, paused
        self.looks += 1
        self._check_limits()
        self._say(self.calls.wrong_overlap(rows), "I26")
        self._say(self.windows.committed(rows), "I25")
        for item in claimed:
            self._say(self.windows.wrong_order(item), "I24")
        if moved:
            self.verify()

    def verify(self) -> None:
        """Look whether all is as it must be, with what users look with."""
        if found := verify(self._store):
            raise Broken(str(found[0]))

    def _learn(self, query: Callable[..., Any]) -> None:
        """Read what never changes."""
        self._tasks = {row[0]: row[1] for row in query(_TASKS, {})}
        for id, body in query(_DEFINITIONS, {}):  # noqa: A001 - the column's name
            values = json.loads(body)
            self._versions[id] = (values["name"], values["code_digest"])
        found = [(ItemKey(job, number), (self._tasks[task], start_ms)) for job, number, task, start_ms in query(_WINDOWS, {})]
        self.windows.learn(found)

    def _say(self, wrong: str | None, promise: str) -> None:
        if wrong is not None:
            raise Broken(f"{promise}: {wrong}")

    def _is_begun_again(self, item: Item) -> bool:
        before = self.items.get(item.key)
        return before is not None and before.generation < item.generation

    def _check_lost(self, process: Process, workers: Iterable[tuple[int, int, bool]]) -> None:
        """Nobody is taken for lost who lives and has sent a heartbeat lately: in a third of a lease, two are sent."""
        now = process.time.passed
        for id, beat, lost in workers:  # noqa: A001 - the column's name
            before, since = self._beats.get(id, (-1, now))
            self._beats[id] = (beat, since if beat == before else now)
            if lost and id not in self._lost:
                self._lost.add(id)
                there = self.living().get(id)
                if there is not None and now - since < LEASE_S / 3:
                    raise Broken(f"L2: {process.name} took {there.name} for lost {now - since:.1f} s after its heartbeat")

    def _check_jobs(self, process: Process, jobs: dict[int, JobSeen]) -> None:
        for job, seen in jobs.items():
            before = self.jobs.get(job)
            if seen.ended_ms is not None and (before is None or before.ended_ms is None) and seen.parent is None:
                self._events["job_ended", job, None, None] += 1
            if seen.pruned_ms is not None and (before is None or before.pruned_ms is None):
                self._check_old(process, job, seen)
        for job in self.jobs.keys() - jobs.keys():
            if self.jobs[job].sealed and self.jobs[job].pruned_ms is None:
                self._check_old(process, job, self.jobs[job])

    def _check_old(self, process: Process, job: int, seen: JobSeen) -> None:
        """Retention may take the details of what ended long enough ago, by the clock of who does it."""
        now_ms = process.clock.now_ms()
        parent = None if seen.parent is None else self.jobs.get(seen.parent.job)
        if parent is not None and parent.pruned_ms is None and self.items.get(seen.parent or ItemKey(0, 0)) is not None:
            raise Broken(f"H1: job {job} with the calls of {seen.parent} was removed by {process.name}, and that is still there")
        if seen.ended_ms is None or not self._keep_ms or now_ms - seen.ended_ms < self._keep_ms:
            raise Broken(f"H1: job {job} was removed by {process.name}, and ended at {seen.ended_ms}: now it is {now_ms}")

    def _check_gone(self, process: Process, gone: Iterable[ItemKey], jobs: dict[int, JobSeen]) -> None:
        for key in gone:
            there, before = jobs.get(key.job), self.jobs[key.job]
            removed = there is None or there.pruned_ms is not None
            if (before.sealed or before.parent is not None) and not removed:
                raise Broken(f"H1: item {key} is gone, and its job is not")
            self._attempts.pop(key, None)

    def _check_checkpoints(self, process: Process, checkpoints: set[tuple[ItemKey, str, int, int]]) -> None:
        for key, step, _, token in checkpoints - self._checkpoints:
            self._progressed.add(key)
            owned = self.items[key]
            if (owned.status, owned.token) != (JobStatus.STARTED, token):
                raise Broken(f"I4: {process.name} saved {step} of {key} for token {token}, and the item is {_words(owned)}")
        self._checkpoints = checkpoints

    def _new_attempts(self, attempts: Iterable[tuple[ItemKey, Ended]]) -> dict[ItemKey, Ended]:
        new: dict[ItemKey, Ended] = {}
        for key, ended in attempts:
            known = self._attempts.setdefault(key, {})
            if ended.token not in known:
                known[ended.token] = new[key] = ended
                wrong = wrong_record(ended, self._seen.get(Deed(key, ended.generation, ended.attempt)))
                self._say(wrong and f"attempt {ended.attempt} of {key} {wrong}", "H3")
            elif known[ended.token] != ended:
                raise Broken(f"I8: attempt {ended.attempt} of {key} had ended, and was changed")
        return new

    def accepted(self, job: int, count: int | None) -> None:
        """Take note that a submission was answered: all of it is there, unless so much time has passed that it is gone again."""
        self._accepted.add(job)
        there = sum(key.job == job for key in self.items)
        seen = self.jobs.get(job)
        if seen is None:
            raise Broken(f"H1: job {job} was accepted, and is not there")
        if not seen.sealed or (count is not None and there != count and seen.pruned_ms is None):
            raise Broken(f"H1: job {job} was accepted with {count} items and has {there}")

    def check_missing(self, job: int, wanted: set[int]) -> None:
        """Check that a backfill of what is missing runs just that."""
        self._say(self.windows.wrong_missing(job, wanted), "I25")

    def check_told(self) -> None:
        """Check that each failure and each end of a job was put down once for people, and each new generation in the audit."""
        with self._store.read():
            query = self._store.database.text_in_reader
            there = Counter((kind, job, number, generation) for kind, job, number, generation in query(_EVENTS, {}))
            audited = next(iter(query(_AUDIT, {})))[0]
        kept = {
            event: count for event, count in self._events.items() if event[1] in self.jobs and not self.jobs[event[1]].pruned_ms
        }
        for event in sorted({*kept, *there}, key=str):
            if there[event] != kept.get(event, 0):
                raise Broken(f"I19: {event} happened {kept.get(event, 0)} times, and {there[event]} events say so")
        if audited != self._generations:
            raise Broken(f"I20: {self._generations} generations were begun, and the audit knows of {audited}")

    def _compare(self, process: Process, before: Item | None, after: Item, ended: Ended | None) -> None:
        key = after.key
        if before is None:
            self._appeared(after)
            if after.token:
                self._claimed(process, after.but(status=JobStatus.PENDING, token=0, wait=Wait.READY), after)
            return
        self._tell(f"{process.name}: item {key} {_words(before)} -> {_words(after)}")
        if not before.token <= after.token <= before.token + 1:
            raise Broken(f"I3: the token of {key} went from {before.token} to {after.token}")
        if after.generation != before.generation:
            self._begun_again(process, before, after)
        elif before.status in TERMINAL:
            raise Broken(f"I8: {key} had ended as {before.status} and was changed by {process.name}")
        elif not _may_move(before, after):
            raise Broken(f"I1: {key} went from {before.status} to {after.status}")
        if before.status is JobStatus.STARTED and (after.status is not JobStatus.STARTED or after.token > before.token):
            self._settled(process, before, after, ended)
        if after.status is JobStatus.FAILURE and before.status is not JobStatus.FAILURE:
            self._events["item_failed", key.job, key.number, after.generation] += 1
            if before.status in WAITING:
                self._expired(process, before, after)
        if after.token > before.token:
            self._claimed(process, before if after.generation == before.generation else before.but(cancel_ms=None), after)
        charged = ended is not None and ended.outcome in FAILURES and ended.reason != Reason.REPLAYED
        if after.generation == before.generation and after.charges != before.charges and not charged:
            raise Broken(f"I26: {key} is charged {before.charges} -> {after.charges}, and nothing of its own failed")

    def _appeared(self, item: Item) -> None:
        fresh = (item.status, item.token) == (JobStatus.PENDING, 0)
        if not (fresh or (self.calls.is_call(item.key) and (item.status, item.token) == (JobStatus.STARTED, 1))):
            raise Broken(f"I1: {item.key} appeared as {item.status}")
        if self.calls.is_call(item.key):
            self._tell(f"item {item.key} is a call of {self.calls.parent(item.key)}: {self._tasks[item.task]} {_words(item)}")
        if item.once:
            self._once.add(item.key)

    def _begun_again(self, process: Process, before: Item, after: Item) -> None:
        key = after.key
        if after.generation != before.generation + 1:
            raise Broken(f"I9: {key} went from generation {before.generation} to {after.generation}")
        if self.calls.is_call(key):
            self._say(self.calls.wrong_again(before), "I26")
            (self._once.add if after.once else self._once.discard)(key)
            return
        if process.doing not in REOPENS or before.status not in TERMINAL:
            raise Broken(
                f"I8: {process.name} began a generation of {key}, which was {before.status}, while it did {process.doing!r}"
            )
        if key.job not in self._accepted and not self.jobs[key.job].sealed:
            raise Broken(f"I17: {key} is begun again, and its job is still being submitted")
        self._generations += 1
        process.begun_generations += 1
        (self._once.add if after.once else self._once.discard)(key)
        if process.doing != "recover":
            self._saved.pop(key, None)
            self._maybe.pop(key, None)

    def _settled(self, process: Process, before: Item, after: Item, ended: Ended | None) -> None:
        """Check what became of an attempt that had been claimed."""
        key, deed = after.key, Deed(after.key, before.generation, before.attempt)
        if ended is None or ended.token != before.token:
            if deed in self._began:
                raise Broken(f"I5: attempt {before.attempt} of {key} had begun, and was given back as if it had not")
            return
        if ended.outcome not in FAILURES:
            return
        if before.cancel_ms is not None:
            raise Broken(f"I13: {key} was cancelled, and its attempt is recorded as {ended.outcome}")
        if self.is_workflow(after) and ended.outcome in ("LOST", "INTERRUPTED"):
            if ended.reason != Reason.REPLAYED or after.status not in (JobStatus.PENDING, JobStatus.STARTED):
                raise Broken(f"I26: {key} lost its worker, and is not replayed but {_words(after)} ({ended.reason})")
            return
        past = [each for _, each in sorted(self._attempts[key].items()) if each.generation == before.generation]
        whats = [seen.what if (seen := self._seen.get(Deed(key, each.generation, each.attempt))) else "" for each in past]
        version = self._versions[before.definition]
        wrong = wrong_decision(version, past, whats, before, after, process.clock.now_ms())
        poison = whats[-POISON:] == ["die"] * POISON and key not in self._progressed and ended.outcome == "FAILED"
        if wrong is None and poison and after.status is not JobStatus.FAILURE:
            wrong = f"goes on after {POISON} deaths in a row"
        self._say(wrong, f"I6: {key}")

    def _expired(self, process: Process, before: Item, after: Item) -> None:
        """Check that what fails while it waits had to."""
        if before.deadline_ms is None or before.deadline_ms > process.clock.now_ms():
            raise Broken(f"I16: {before.key} failed while it waited, and its deadline is {before.deadline_ms}")
        tried = any(each.generation == before.generation for each in self._attempts.get(before.key, {}).values())
        if after.reason is Reason.EXPIRED and tried:
            raise Broken(f"I16: {before.key} is said to have expired, and had been started in time")

    def _claimed(self, process: Process, before: Item, after: Item) -> None:
        key, now_ms = after.key, process.clock.now_ms()
        job = self._jobs_now[key.job]
        if before.cancel_ms is not None or (job.cancel_ms is not None and job.ended_ms is None):
            raise Broken(f"I13: {key} was claimed after its cancellation had been accepted")
        if after.task in self._paused:
            raise Broken(f"I15: {key} was claimed although its task is paused")
        if before.status in WAITING and before.due_ms > now_ms and before.wait is not Wait.PREDECESSOR:
            raise Broken(f"I16: {key} was claimed {before.due_ms - now_ms} ms before it was due")
        if before.status in WAITING and before.deadline_ms is not None and before.deadline_ms <= now_ms - process.link.stale_ms:
            raise Broken(f"I16: {key} was claimed after its deadline")
        if after.status is JobStatus.STARTED:
            self._claims[Deed(key, after.generation, after.attempt)] = after.worker or 0

    def _check_limits(self) -> None:
        running = Counter(self._tasks.get(item.task, "") for item in self.items.values() if item.status is JobStatus.STARTED)
        for task, limit in LIMITS.items():
            if running[task] > limit:
                raise Broken(f"I21: {running[task]} items of task {task} run at once, and {limit} may")


def _may_move(before: Item, after: Item) -> bool:
    if before.status is after.status:
        return True
    if (before.status, after.status) in STEPS:
        return True
    return any((before.status, between) in STEPS and (between, after.status) in STEPS for between in JobStatus)


def _words(item: Item) -> str:
    run = f", token {item.token} of worker {item.worker}" if item.status is JobStatus.STARTED else ""
    asked = ", cancel asked" if item.cancel_ms is not None and item.status not in TERMINAL else ""
    return f"{item.status} {item.generation}.{item.attempt} ({item.wait or item.reason}{run}{asked})"
