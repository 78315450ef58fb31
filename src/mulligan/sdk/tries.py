"""The life of one call in process: a work item that no store holds, moved by the same decisions. Holds no clock."""

from __future__ import annotations

import random
from collections.abc import Callable

from mulligan.core import events
from mulligan.core.events import AttemptEvent, Run
from mulligan.core.failure import Classification, Failure, Kind
from mulligan.core.job import WAITING, Attempt, Item, JobStatus, Reason, Wait
from mulligan.core.judged import failed
from mulligan.core.lifecycle import decide
from mulligan.core.retry import Policy

_HERE = 0
"""The number of the worker that all attempts in process belong to."""


class Tries:
    """One call and its attempts; times are milliseconds of any one clock, `chance` gives random numbers in [0, 1)."""

    def __init__(
        self, policy: Policy, now_ms: int, total_timeout_s: float | None = None, chance: Callable[[], float] = random.random
    ) -> None:
        self._policy = policy
        self._chance = chance
        self.attempts: list[Attempt] = []
        """Those that have ended."""
        self.item = _item(policy, now_ms, None if total_timeout_s is None else now_ms + round(total_timeout_s * 1000))

    @property
    def waits(self) -> bool:
        """Whether another attempt is due, now or later."""
        return self.item.status in WAITING

    def begin(self, now_ms: int) -> bool:
        """Begin the attempt that is due; returns False when the time for all of them is over, which ends the call."""
        begun = decide(self.item, events.Claimed(_HERE), self._policy, now_ms, 0.0)
        over = begun or decide(self.item, events.DeadlinePassed(), self._policy, now_ms, 0.0)
        if over is None:
            raise ValueError(f"no attempt is due at {now_ms}: {self.item}")
        self.item = over.after
        return begun is not None

    def succeed(self, now_ms: int, result: str = "null") -> None:
        """End the attempt that runs: it returned."""
        self._end(events.Succeeded(self._run(now_ms), result), now_ms)

    def snooze(self, delay_s: float, now_ms: int) -> None:
        """End the attempt that runs: it asked to be run later."""
        self._end(events.Snoozed(self._run(now_ms), delay_s), now_ms)

    def fail(self, failure: Failure, judged: Classification, now_ms: int) -> None:
        """End the attempt that runs: it failed."""
        run = self._run(now_ms)
        if failure.kind is Kind.LOST:
            self._end(events.WorkerLost(run, "here"), now_ms)
        elif failure.kind is Kind.STOPPED:
            self._end(events.Stopped(run), now_ms)
        else:
            self._end(failed(run, failure, judged, ""), now_ms)

    def _run(self, now_ms: int) -> Run:
        return Run(self.item.token, _HERE, now_ms, self.item.claimed_ms)

    def _end(self, event: AttemptEvent, now_ms: int) -> None:
        moved = decide(self.item, event, self._policy, now_ms, self._chance())
        if moved is None or moved.attempt is None:
            raise ValueError(f"no attempt runs that could end: {self.item}")
        self.item = moved.after
        self.attempts.append(moved.attempt)


def _item(policy: Policy, now_ms: int, cutoff_ms: int | None) -> Item:
    return Item(
        job=0,
        number=0,
        task=0,
        definition=0,
        once=policy.at_most_once,
        priority=3,
        status=JobStatus.PENDING,
        due_ms=now_ms,
        wait=Wait.READY,
        generation=1,
        attempt=0,
        token=0,
        version=0,
        worker=None,
        claimed_ms=None,
        cancel_ms=None,
        deadline_ms=cutoff_ms,
        cutoff_ms=cutoff_ms,
        charges=(),
        crashes=0,
        snoozes=0,
        keep_from=1,
        reason=Reason.SUBMITTED,
        failure_class=None,
        created_ms=now_ms,
        ended_ms=None,
    )
