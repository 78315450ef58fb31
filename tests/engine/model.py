"""A simple model of the life of work items, against which the real engine is compared. It knows nothing of `decide`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mulligan.core.definition import Definition
from mulligan.core.events import Run
from mulligan.core.job import FAR_FUTURE_MS, FailureClass, Item, ItemKey
from mulligan.core.retry import Policy, Retry
from mulligan.testing.factories import a_definition
from mulligan.testing.harness import Hand

TRANSIENT, INFRASTRUCTURE, TIMEOUT = FailureClass.TRANSIENT, FailureClass.INFRASTRUCTURE, FailureClass.TIMEOUT
ENDED = ("SUCCESS", "FAILURE", "REVOKED")
WAITS = ("PENDING", "RETRY")
CHANCE = 0.5


@dataclass(frozen=True)
class Budget:
    """One entry of a policy, said once more in plain numbers."""

    classes: tuple[FailureClass, ...]
    failures: int
    wait_ms: int
    """After the first failure, with the jitter that CHANCE gives."""
    factor: int = 1

    def wait(self, failure: int) -> int:
        return self.wait_ms * int(self.factor ** (failure - 1))


ALL = tuple(each for each in FailureClass if each is not FailureClass.PERMANENT)
POLICIES: dict[str, tuple[object, tuple[Budget, ...]]] = {
    "once": (None, ()),
    "twice": (1, (Budget(ALL, 2, 0),)),
    "fixed": ((2, 300), (Budget(ALL, 3, 300_000),)),
    "apart": (
        Policy({INFRASTRUCTURE: Retry(4), (TRANSIENT, TIMEOUT): Retry(3, 60, 2, jitter=0.5)}),
        (Budget((INFRASTRUCTURE,), 4, 0), Budget((TRANSIENT, TIMEOUT), 3, 75_000, 2)),
    ),
    "patient": (Retry(6, 0, jitter=None), (Budget(ALL, 6, 0),)),
}
LIMITS_S = (None, None, 200, 10_000)


@dataclass(frozen=True)
class Version:
    """A task as somebody declared it."""

    task: str
    policy: str
    limit_s: int | None

    @property
    def once(self) -> bool:
        return self.policy == "once"

    @property
    def budgets(self) -> tuple[Budget, ...]:
        return POLICIES[self.policy][1]

    def definition(self) -> Definition:
        return a_definition(self.task, POLICIES[self.policy][0], total_timeout_s=self.limit_s, code_digest=f"{self}")


class Tried(NamedTuple):
    """An attempt that some worker believes to be running."""

    hand: Hand
    item: Item

    def run(self, now_ms: int) -> Run:
        return Run(self.item.token, self.hand.id, now_ms, self.item.claimed_ms)


@dataclass
class ModelItem:
    """What should be so of a work item."""

    key: ItemKey
    version: Version
    due_ms: int
    deadline_ms: int | None
    cutoff_ms: int | None
    priority: int
    window: int | None = None
    own_limit_s: int | None = None
    """Given with the submission, for every generation."""
    status: str = "PENDING"
    before: str = "PENDING"
    held: bool = False
    generation: int = 1
    attempt: int = 0
    token: int = 0
    worker: int | None = None
    asked: bool = False
    ended_ms: int | None = None
    charges: Counter[int] = field(default_factory=Counter)
    crashes: int = 0
    keep_from: int = 1
    recorded: int = 0
    too_late: str | None = None
    """Why its deadline passed in vain, where that is how it ended."""
    runs: int = 0
    """Of this generation, without those that were snoozed."""
    saved: dict[tuple[str, int], str] = field(default_factory=dict)

    def claimable(self, now_ms: int) -> bool:
        in_time = self.deadline_ms is None or self.deadline_ms > now_ms
        return self.status in WAITS and self.due_ms <= now_ms and in_time

    def claim(self, worker: int) -> None:
        self.before = self.status
        self.status, self.worker = "STARTED", worker
        self.token += 1
        self.attempt += 1
        self.runs += 1

    def steps(self) -> dict[str, str]:
        newest: dict[str, str] = {}
        for (key, generation), value in sorted(self.saved.items(), key=lambda each: each[0][1]):
            if generation >= self.keep_from:
                newest[key] = value
        return newest

    def end(self, status: str, now_ms: int) -> None:
        self.status, self.worker = status, None
        self.recorded += 1
        if status in ENDED:
            self.ended_ms = now_ms

    def succeed(self, now_ms: int) -> None:
        self.end("SUCCESS", now_ms)
        self.crashes = 0
        if self.generation > 1:
            self.saved = {place: value for place, value in self.saved.items() if place[1] >= self.keep_from}

    def interrupt(self, now_ms: int) -> None:
        """End through no fault of its own."""
        self.fail(INFRASTRUCTURE, now_ms)

    def expire(self, now_ms: int) -> bool:
        if self.status not in WAITS or self.deadline_ms is None or self.deadline_ms > now_ms:
            return False
        self.status, self.ended_ms, self.held = "FAILURE", now_ms, False
        self.too_late = "cutoff" if self.deadline_ms == self.cutoff_ms else "expired"
        return True

    def fail(self, failure_class: FailureClass, now_ms: int, *, crashed: bool = False, cutoff: bool = False) -> None:
        if self.asked:
            self.end("REVOKED", now_ms)
            return
        self.crashes += crashed
        found = [place for place, budget in enumerate(self.version.budgets) if failure_class in budget.classes]
        if found:
            self.charges[found[0]] += 1
        why = self._why_it_stops(found, now_ms, crashed=crashed, cutoff=cutoff)
        if why is None:
            self.end("RETRY", now_ms)
            wait_ms = self._wait(found[0])
            keeps_its_place = not wait_ms and (crashed or failure_class is INFRASTRUCTURE)
            self.due_ms = self.due_ms if keeps_its_place else now_ms + wait_ms
            self.deadline_ms = self.cutoff_ms
        else:
            self.end("FAILURE", now_ms)
            self.too_late = why or None

    def _wait(self, entry: int) -> int:
        return self.version.budgets[entry].wait(self.charges[entry])

    def _why_it_stops(self, found: list[int], now_ms: int, *, crashed: bool, cutoff: bool) -> str | None:
        if cutoff:
            return "cutoff"
        if not found or (crashed and self.crashes >= 3):
            return ""
        if self.charges[found[0]] >= self.version.budgets[found[0]].failures:
            return ""
        in_time = self.cutoff_ms is None or now_ms + self._wait(found[0]) < self.cutoff_ms
        return None if in_time else "cutoff"

    def snooze(self, delay_ms: int, now_ms: int) -> None:
        self.runs -= 1
        if self.asked:
            self.end("REVOKED", now_ms)
        elif self.cutoff_ms is not None and now_ms + delay_ms >= self.cutoff_ms:
            self.end("FAILURE", now_ms)
            self.too_late = "cutoff"
        else:
            self.end("PENDING", now_ms)
            self.due_ms, self.deadline_ms = now_ms + delay_ms, self.cutoff_ms

    def release(self, now_ms: int) -> None:
        self.worker = None
        self.attempt -= 1
        self.runs -= 1
        self.status = self.before
        if self.asked:
            self.status, self.ended_ms = "REVOKED", now_ms

    def cancel(self, now_ms: int) -> bool:
        if self.status in ENDED or self.asked:
            return False
        self.asked = True
        if self.status in WAITS:
            self.status, self.ended_ms, self.held = "REVOKED", now_ms, False
        return True

    def is_later_than(self, first: ModelItem) -> bool:
        """Return whether this window comes later and was written since."""
        same = self.version.task == first.version.task
        return same and (self.window or 0) > (first.window or 0) and (self.ended_ms or 0) > (first.ended_ms or 0)

    def is_beside(self, other: ModelItem) -> bool:
        """Return whether another item is for the same window."""
        same = self.window is not None and self.window == other.window
        return same and self.version.task == other.version.task and self.key != other.key

    def age(self) -> tuple[int, ItemKey]:
        return self.ended_ms or 0, self.key

    def begin(self, version: Version, now_ms: int, *, anew: bool, held: bool = False) -> None:
        limit_s = version.limit_s if self.own_limit_s is None else self.own_limit_s
        self.generation += 1
        self.version, self.status, self.before = version, "PENDING", "PENDING"
        self.due_ms, self.held = (FAR_FUTURE_MS, True) if held else (now_ms, False)
        self.cutoff_ms = None if limit_s is None else now_ms + limit_s * 1000
        self.deadline_ms = self.cutoff_ms
        self.attempt = self.crashes = self.runs = 0
        self.charges.clear()
        self.asked, self.ended_ms, self.too_late = False, None, None
        if anew:
            self.keep_from = self.generation


def seen(row: Item) -> dict[str, Any]:
    """Say what is so of a row, in the words of the model."""
    waiting = row.status in WAITS
    return {
        "status": str(row.status),
        "generation": row.generation,
        "attempt": row.attempt,
        "token": row.token,
        "worker": row.worker,
        "asked": row.cancel_ms is not None,
        "crashes": row.crashes,
        "keep_from": row.keep_from,
        "charges": {place: count for place, count in enumerate(row.charges) if count},
        "due": row.due_ms if waiting else None,
        "deadline": row.deadline_ms if waiting else None,
        "once": row.once,
        "ended": row.ended_ms,
        "too late": str(row.reason) if row.status == "FAILURE" and row.reason in ("cutoff", "expired") else None,
    }


def expected(item: ModelItem) -> dict[str, Any]:
    """Say what should be so."""
    waiting = item.status in WAITS
    return {
        "status": item.status,
        "generation": item.generation,
        "attempt": item.attempt,
        "token": item.token,
        "worker": item.worker,
        "asked": item.asked,
        "crashes": item.crashes,
        "keep_from": item.keep_from,
        "charges": {place: count for place, count in item.charges.items() if count},
        "due": item.due_ms if waiting else None,
        "deadline": item.deadline_ms if waiting else None,
        "once": item.version.once,
        "ended": item.ended_ms,
        "too late": item.too_late,
    }
