"""What must be so, whatever happens: compares what the store holds after each commit with what people and tasks saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from sim_executor import Deed

from mulligan.core.attempt import AttemptInfo
from mulligan.core.job import TERMINAL, WAITING, Item, ItemKey, JobStatus, Wait
from mulligan.core.lifecycle import MOVES
from mulligan.engine.verify import verify
from mulligan.store.rows import item_of
from mulligan.store.store import Store

if TYPE_CHECKING:
    from sim_process import Process

STEPS = {(before, after) for moves in MOVES.values() for before, afters in moves.items() for after in afters}
"""Moves that one event makes; a worker's commit may settle an attempt and claim the item again."""
REOPENS = ("recover", "restart", "overwrite")

_ITEMS = """
select job, number, task, definition, once, priority, status, due_ms, wait, generation, attempt, token, version, worker,
    claimed_ms, cancel_ms, deadline_ms, cutoff_ms, charges, crashes, snoozes, keep_from, reason, failure_class, created_ms,
    ended_ms
from items"""
_JOBS = "select id, cancel_ms, ended_ms from jobs"
_PAUSED = "select id from tasks where paused_ms is not null"
_CHECKPOINTS = "select job, number, key, generation, token from checkpoints"
_RESULTS = "select job, number, generation, attempt, result from attempts where outcome = 'SUCCEEDED'"


class Broken(BaseException):
    """A promise was broken, the message says which, and by what; the product must not catch it, as it does what tasks raise."""


class Oracle:
    """Watches a world: a witness of what attempts do, and told of every commit."""

    def __init__(self, store: Store, tell: Callable[[str], None]) -> None:
        self._store = store
        self._tell = tell
        self.items: dict[ItemKey, Item] = {}
        self.jobs: dict[int, int] = {}
        """Accepted jobs, and how many items each has."""
        self.limits: dict[str, int] = {}
        self.tasks: dict[int, str] = {}
        self._cancelled: set[int] = set()
        self._paused: set[int] = set()
        self._checkpoints: set[tuple[ItemKey, str, int, int]] = set()
        self._claims: dict[Deed, int] = {}
        """By whom which attempt was claimed, as committed."""
        self._began: set[Deed] = set()
        self._runs: Counter[tuple[ItemKey, int]] = Counter()
        self._results: dict[Deed, str] = {}
        self._saved: dict[ItemKey, dict[str, str]] = {}
        self._saving: dict[tuple[Deed, str], str] = {}
        self._maybe: dict[ItemKey, dict[str, set[str]]] = {}

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
        if self.items[deed.key].once and self._runs[deed.key, deed.generation] > 1:
            raise Broken(f"I7: {deed.key} runs at most once, and began twice in generation {deed.generation}")
        given, kept = dict(info.steps), self._saved.get(deed.key, {})
        for step, value in kept.items():
            if given.get(step) != value and given.get(step) not in self._maybe.get(deed.key, {}).get(step, ()):
                raise Broken(f"I10: {deed.key} had saved {step} as {value} and is given {given.get(step)}")
        for step, value in given.items():
            if step not in kept and value not in self._maybe.get(deed.key, {}).get(step, ()):
                raise Broken(f"I11: {deed.key} is given {step} as {value}, which nobody saved for it")

    def saving(self, deed: Deed, step: str, value: str) -> None:
        """Take note that an attempt wants a step saved."""
        self._saving[deed, step] = value
        self._maybe.setdefault(deed.key, {}).setdefault(step, set()).add(value)

    def saved(self, deed: Deed, step: str) -> None:
        """Take note that an attempt was told that its step is saved."""
        item = self.items[deed.key]
        if item.generation == deed.generation:
            self._saved.setdefault(deed.key, {})[step] = self._saving[deed, step]

    def ended(self, deed: Deed, how: str, result: str | None) -> None:
        """Take note of how an attempt ended."""
        self._tell(f"item {deed.key} ends: {how} (attempt {deed.attempt})")
        if result is not None:
            self._results[deed] = result
        if how == "Snoozed":
            self._runs[deed.key, deed.generation] -= 1

    # what is committed

    def saw(self, process: Process) -> None:
        """Compare what a commit of a process has made of the store."""
        with self._store.read():
            query = self._store.database.text_in_reader
            rows = {item.key: item for item in (item_of(row) for row in query(_ITEMS, {}))}
            cancelled = {job for job, cancel_ms, ended_ms in query(_JOBS, {}) if cancel_ms is not None and ended_ms is None}
            paused = {row[0] for row in query(_PAUSED, {})}
            changed = [item for key, item in rows.items() if self.items.get(key) != item]
            checkpoints = {(ItemKey(row[0], row[1]), *row[2:]) for row in query(_CHECKPOINTS, {})}
            results = {Deed(ItemKey(row[0], row[1]), row[2], row[3]): row[4] for row in query(_RESULTS, {})} if changed else {}
        gone = {key for key in self.items.keys() - rows.keys() if key.job in self.jobs}  # what was never complete may go
        if gone:
            raise Broken(f"H1: item {min(gone)} is gone")
        for key, step, _, token in checkpoints - self._checkpoints:
            owned = self.items[key]
            if (owned.status, owned.token) != (JobStatus.STARTED, token):
                raise Broken(f"I4: {process.name} saved {step} of {key} for token {token}, and the item is {_words(owned)}")
        self._checkpoints = checkpoints
        for item in changed:
            self._compare(process, self.items.get(item.key), item)
            if item.status is JobStatus.SUCCESS:
                self._check_result(item, results)
        self.items, self._cancelled, self._paused = rows, cancelled, paused
        self._check_limits()
        if changed and (found := verify(self._store)):
            raise Broken(str(found[0]))

    def accepted(self, job: int, count: int) -> None:
        """Take note that a submission was answered."""
        self.jobs[job] = count
        there = sum(key.job == job for key in self.items)
        if there != count:
            raise Broken(f"H1: job {job} was accepted with {count} items and has {there}")

    def _compare(self, process: Process, before: Item | None, after: Item) -> None:
        if before is None:
            if (after.status, after.token, after.generation) != (JobStatus.PENDING, 0, 1):
                raise Broken(f"I1: {after.key} appeared as {after.status}")
            return
        key = after.key
        self._tell(f"{process.name}: item {key} {_words(before)} -> {_words(after)}")
        if not before.token <= after.token <= before.token + 1:
            raise Broken(f"I3: the token of {key} went from {before.token} to {after.token}")
        if not before.generation <= after.generation <= before.generation + 1:
            raise Broken(f"I9: {key} went from generation {before.generation} to {after.generation}")
        if after.generation > before.generation:
            if process.doing not in REOPENS or before.status not in TERMINAL:
                raise Broken(
                    f"I8: {process.name} began a generation of {key}, which was {before.status}, while it did {process.doing!r}"
                )
            if process.doing != "recover":
                self._saved.pop(key, None)
                self._maybe.pop(key, None)
        elif before.status in TERMINAL:
            raise Broken(f"I8: {key} had ended as {before.status} and was changed by {process.name}")
        elif not _may_move(before, after):
            raise Broken(f"I1: {key} went from {before.status} to {after.status}")
        if after.token > before.token:
            self._claimed(process, before, after)

    def _claimed(self, process: Process, before: Item, after: Item) -> None:
        key, now_ms = after.key, process.clock.now_ms()
        if before.cancel_ms is not None or key.job in self._cancelled:
            raise Broken(f"I13: {key} was claimed after its cancellation had been accepted")
        if after.task in self._paused:
            raise Broken(f"I15: {key} was claimed although its task is paused")
        if before.status in WAITING and before.due_ms > now_ms and before.wait is not Wait.PREDECESSOR:
            raise Broken(f"I16: {key} was claimed {before.due_ms - now_ms} ms before it was due")
        if before.status in WAITING and before.deadline_ms is not None and before.deadline_ms <= now_ms:
            raise Broken(f"I16: {key} was claimed after its deadline")
        if after.status is JobStatus.STARTED:
            self._claims[Deed(key, after.generation, after.attempt)] = after.worker or 0

    def _check_result(self, item: Item, results: dict[Deed, str | None]) -> None:
        deed = Deed(item.key, item.generation, item.attempt)
        if results.get(deed) != self._results.get(deed) or deed not in self._results:
            raise Broken(f"I8: {item.key} is said to have returned {results.get(deed)}, and returned {self._results.get(deed)}")

    def _check_limits(self) -> None:
        running = Counter(self.tasks.get(item.task, "") for item in self.items.values() if item.status is JobStatus.STARTED)
        for task, limit in self.limits.items():
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
