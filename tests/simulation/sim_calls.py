"""What must hold between workflows and their calls: one call for a place and a round, nothing that succeeded is done again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from mulligan.core.job import TERMINAL, Item, ItemKey, JobStatus, Reason
from mulligan.core.replay import MANY, Past

UNSUCCESSFUL = (JobStatus.FAILURE, JobStatus.REVOKED)


class JobSeen(NamedTuple):
    """What the oracle looks at of a job."""

    cancel_ms: int | None
    ended_ms: int | None
    sealed: int
    pruned_ms: int | None
    parent: ItemKey | None
    """The workflow whose calls it holds."""
    epoch: int | None

    @classmethod
    def of(cls, *columns: Any) -> JobSeen:
        """Make it of a row."""
        *plain, job, number, epoch = columns
        return cls(*plain, None if job is None else ItemKey(job, number), epoch)


class Made(NamedTuple):
    """A call as it stands at a place."""

    key: ItemKey
    digest: str
    round: int


class Calls:
    """Which calls workflows have made, and where."""

    def __init__(self) -> None:
        self._parents: dict[int, ItemKey] = {}
        self._jobs: Mapping[int, JobSeen] = {}
        self._made: dict[tuple[int, str], Made] = {}
        self._begun: dict[ItemKey, tuple[Made | None, Made]] = {}
        """What a commit has begun: how the place was before, and how it is."""

    def is_call(self, key: ItemKey) -> bool:
        """Return whether a work item is a call of a workflow."""
        return key.job in self._parents

    def parent(self, key: ItemKey) -> ItemKey:
        """Return the workflow that made a call."""
        return self._parents[key.job]

    def root(self, key: ItemKey) -> ItemKey:
        """Return the work item at the top of all that called each other."""
        while key.job in self._parents:
            key = self._parents[key.job]
        return key

    def any_open(self, workflow: ItemKey, items: Mapping[ItemKey, Item]) -> bool:
        """Return whether a call of a workflow has not ended."""
        return any(self._parents.get(key.job) == workflow and each.status not in TERMINAL for key, each in items.items())

    def not_cancelled(self, workflow: Item, items: Mapping[ItemKey, Item], jobs: Mapping[int, JobSeen]) -> ItemKey | None:
        """Return a call of a cancelled workflow that has not ended, and that nobody wants cancelled."""
        for key in self._below(workflow.key, items):
            call = items[key]
            if call.status not in TERMINAL and call.cancel_ms is None and jobs[key.job].cancel_ms is None:
                return key
        return None

    def committed(
        self,
        calls: Iterable[tuple[int, str, int, str, int]],
        before: Mapping[ItemKey, Item],
        items: Mapping[ItemKey, Item],
        jobs: Mapping[int, JobSeen],
        worker: int | None,
    ) -> str | None:
        """Take note of a commit, of a worker's or of somebody else's; say what is wrong with the calls that it began."""
        self._parents |= {job: seen.parent for job, seen in jobs.items() if seen.parent is not None}
        self._jobs = jobs
        made = {(job, place): Made(ItemKey(job, number), *made) for job, place, number, *made in calls}
        changed = {where: each for where, each in made.items() if self._made.get(where) != each}
        self._begun = {each.key: (self._made.get(where), each) for where, each in changed.items()}
        self._made = made
        for (job, place), each in changed.items():
            wrong = self._wrong_call(*self._begun[each.key], before, items, worker)
            if wrong is not None:
                return f"call {each.key} at place {place} of {self._parents[job]} {wrong}"
        unknown = [key for key in items.keys() - before.keys() if self.is_call(key) and key not in self._begun]
        return f"{unknown[0]} is a call, and was called nowhere" if unknown else None

    def wrong_again(self, call: Item) -> str | None:
        """Say what is wrong with running a call again that had ended as given."""
        was, now = self._begun.get(call.key, (None, None))
        if was is None or now is None:
            return f"call {call.key}, which is {call.status}, is begun again, and no workflow has called it again"
        if call.status not in UNSUCCESSFUL:
            return f"call {call.key} is begun again, and it is {call.status}"
        if now.round <= was.round:
            return f"call {call.key} is begun again in round {now.round}, and was called in {was.round} before"
        if call.reason is Reason.OUTCOME_UNKNOWN and now.round // MANY == was.round // MANY:
            return f"call {call.key} runs at most once, nobody knows whether it did, and nobody asked to run it again"
        return None

    def wrong_overlap(self, items: Mapping[ItemKey, Item]) -> str | None:
        """Say which call runs although what was called at its place before, and was forgotten, still runs."""
        running: dict[tuple[ItemKey, str], ItemKey] = {}
        for (job, place), each in sorted(self._made.items()):
            call = items.get(each.key)
            if call is not None and call.status is JobStatus.STARTED:
                other = running.setdefault((self._parents[job], place), each.key)
                if other != each.key:
                    return f"{other} and {each.key} run at once, both for place {place} of {self._parents[job]}"
        return None

    def wrong_history(self, workflow: Item, given: Iterable[Past]) -> str | None:
        """Say what is wrong with the calls that a body is given, which is run again."""
        known = {
            (place, str(each.key), each.digest, each.round)
            for (job, place), each in self._made.items()
            if self._parents[job] == workflow.key and self._jobs[job].epoch == workflow.keep_from
        }
        told = {(each.place, each.item, each.digest, each.round) for each in given}
        return None if told == known else f"{workflow.key} has called {sorted(known)}, and its body is told of {sorted(told)}"

    def _wrong_call(
        self, was: Made | None, now: Made, before: Mapping[ItemKey, Item], items: Mapping[ItemKey, Item], worker: int | None
    ) -> str | None:
        parent = self._parents[now.key.job]
        workflow, owned = before.get(parent), items.get(parent)
        if workflow is None or workflow.status is not JobStatus.STARTED or worker is None or workflow.worker != worker:
            return f"is made by worker {worker}, and its workflow is {workflow}"
        if workflow.cancel_ms is not None or owned is None or owned.token != workflow.token:
            return "is made although its workflow was cancelled, or was settled just before"
        rounds = workflow.generation * MANY + sum(
            workflow.charges
        )  # grows with what people ask for, and with failures of its own
        if now.round != rounds:
            return f"is made for round {now.round}, and its workflow is in round {rounds}"
        if was is None:
            return None if now.key in items and now.key not in before else "is new, and its item is not"
        replaced = before.get(was.key)
        if replaced is None or replaced.status not in UNSUCCESSFUL:
            return f"takes the place of {was.key}, which is {replaced and replaced.status}"
        if now.key != was.key:
            return None if now.key not in before and now.digest != was.digest else f"takes the place of {was.key}, the same call"
        return None if items[now.key].generation == replaced.generation + 1 else "is called again, and is not begun again"

    def _below(self, key: ItemKey, items: Mapping[ItemKey, Item]) -> Iterator[ItemKey]:
        for each in items:
            parent = self._parents.get(each.job)
            if parent == key:
                yield each
                yield from self._below(each, items)
