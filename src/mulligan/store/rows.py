"""Rows of the store to domain values, and back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from functools import lru_cache
from typing import Any, NamedTuple

from mulligan.core.job import (
    Attempt,
    Counts,
    FailureClass,
    Item,
    ItemKey,
    Job,
    JobStatus,
    Outcome,
    Reason,
    Wait,
)
from mulligan.core.lifecycle import Transition, started
from mulligan.core.replay import Past

Row = Sequence[Any]
ITEM_COLUMNS = 27

STATUS = {each.value: each for each in JobStatus}
_WAIT: dict[str | None, Wait | None] = {each.value: each for each in Wait} | {None: None}
_REASON = {each.value: each for each in Reason}
_CLASS: dict[str | None, FailureClass | None] = {each.value: each for each in FailureClass} | {None: None}
_text = str.__str__
"""A word of an enum as a plain text: writing the word itself as JSON takes ten times as long."""


class Input(NamedTuple):
    """What a work item is for."""

    key: str
    arguments: str
    window: tuple[int, int] | None


class Head(NamedTuple):
    """The earliest due time among the waiting items of a task, a kind and a priority."""

    task: int
    once: bool
    priority: int
    due_ms: int


class TaskRow(NamedTuple):
    """A published task; `body` is its newest definition as JSON."""

    id: int
    name: str
    module: str
    definition: int | None
    paused_ms: int | None
    body: str | None


class WorkerRow(NamedTuple):
    """A worker that lives, or has ended and still holds work items."""

    id: int
    instance: str
    name: str
    pid: int
    lock: str
    lease_ms: int
    beat: int
    started_ms: int
    seen_ms: int
    ended: int


class CheckpointRow(NamedTuple):
    """Something an attempt saved."""

    kind: str
    key: str
    generation: int
    value: str
    token: int
    definition: int
    at_ms: int


class AuditRow(NamedTuple):
    """Who asked for what, what was expected, and what was found."""

    id: int
    at_ms: int
    actor: str
    source: str
    action: str
    target: str
    reason: str
    expected: str
    found: str
    changed: int
    address: str = ""
    """Where a request came from, where it came over the network."""
    operation: str | None = None
    """The request's own key, where it had one."""


def item_of(row: Row) -> Item:
    """Make an item of the 27 columns that every statement on items returns."""
    return Item(
        row[0], row[1], row[2], row[3], bool(row[4]), row[5], STATUS[row[6]], row[7], _WAIT[row[8]], row[9], row[10],
        row[11], row[12], row[13], row[14], row[15], row[16], row[17],
        _charges_of(row[18]),
        row[19], row[20], row[21], _REASON[row[22]], _CLASS[row[23]], row[24], row[25], row[26],
    )  # fmt: skip


@lru_cache(maxsize=256)
def _charges_of(text: str) -> tuple[int, ...]:
    return tuple(json.loads(text))


def input_of(row: Row) -> Input:
    """Make an input of key, arguments, window start and end."""
    return Input(row[0], row[1], None if row[2] is None else (row[2], row[3]))


class Taken:
    """A work item that a worker has just started. Made of its row when it is asked for, which is when nobody waits for it."""

    __slots__ = ("_row", "_worker")

    def __init__(self, row: Row, worker: int) -> None:
        """`row`: an item as it was, its input, since when it is claimed; its job: run id, time zone, whether it holds calls."""
        self._row = row
        self._worker = worker

    @property
    def definition(self) -> int:
        return int(self._row[3])

    @property
    def is_first(self) -> bool:
        """Whether it had never been started before."""
        return not self._row[11]

    @property
    def keeps(self) -> tuple[int, int, int]:
        """Its job and number, and the generation from which on its checkpoints count."""
        return self._row[0], self._row[1], self._row[21]

    @property
    def item(self) -> Item:
        """The item as it is now."""
        return started(item_of(self._row), self._worker, self._row[31])

    @property
    def input(self) -> Input:
        """What it is for."""
        return input_of(self._row[ITEM_COLUMNS:31])

    @property
    def run_id(self) -> str:
        return str(self._row[32])

    @property
    def tz(self) -> str:
        """Name of the time zone of its job."""
        return str(self._row[33])

    @property
    def is_call(self) -> bool:
        """Whether a workflow called it."""
        return bool(self._row[34])


def past_of(row: Row) -> Past:
    """Make a call of the twelve columns that the statements on calls return."""
    place, job, number, task, digest, round_, status, reason, failure_class, *rest = row[:12]
    key = str(ItemKey(job, number))
    return Past(place, key, task, digest, round_, STATUS[status], _REASON[reason], _CLASS[failure_class], *rest)


def changed_item(item: Item, expected: int) -> list[Any]:
    """Return the columns of an item for `apply_items`."""
    return [
        item.job, item.number, expected, item.definition, int(item.once), _text(item.status), item.due_ms,
        item.wait and _text(item.wait),
        item.generation, item.attempt, item.token, item.worker, item.claimed_ms, item.cancel_ms, item.deadline_ms,
        item.cutoff_ms, _charges(item.charges), item.crashes, item.snoozes, item.keep_from,
        _text(item.reason), item.failure_class and _text(item.failure_class), item.ended_ms, item.cause,
    ]  # fmt: skip


def _charges(charges: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, charges))}]"


def settled_item(item: Item, expected: int) -> tuple[Any, ...]:
    """Return the columns of an item that succeeded for `settle_items`."""
    return item.job, item.number, expected, _text(item.reason), item.ended_ms


def attempt_row(attempt: Attempt) -> tuple[Any, ...]:
    """Return the columns of an attempt for `add_attempts`."""
    return (
        attempt.job, attempt.number, attempt.token, attempt.generation, attempt.attempt, attempt.worker,
        _text(attempt.outcome), _text(attempt.reason), attempt.claimed_ms, attempt.started_ms, attempt.ended_ms,
        attempt.failure_class and _text(attempt.failure_class), attempt.rule, attempt.error_type, attempt.error_message,
        attempt.failure, attempt.entry, attempt.charged, attempt.delay_ms, attempt.planned_ms,
        attempt.retry_after_ms, attempt.rows, attempt.result, attempt.exit_code, attempt.signal, attempt.pid,
        attempt.cause,
    )  # fmt: skip


def success_row(attempt: Attempt) -> tuple[Any, ...]:
    """Return the columns of a successful attempt for `add_successes`."""
    return (
        attempt.job, attempt.number, attempt.token, attempt.generation, attempt.attempt, attempt.worker,
        _text(attempt.reason), attempt.claimed_ms, attempt.started_ms, attempt.ended_ms, attempt.rows, attempt.result,
        attempt.pid,
    )  # fmt: skip


def success_at_once(transition: Transition) -> tuple[Any, ...]:
    """Return an item that succeeded and its attempt as one row, for `settle_at_once`."""
    return (
        *settled_item(transition.after, transition.before.version),
        *(success_row(transition.attempt)[2:] if transition.attempt else ()),
    )


def move_at_once(transition: Transition) -> list[Any]:
    """Return an item, what its status was, and its attempt if one ended, as one row for `apply_at_once`."""
    ended = attempt_row(transition.attempt)[2:] if transition.attempt else ()
    return [*changed_item(transition.after, transition.before.version), _text(transition.before.status), *ended]


def attempt_of(row: Row) -> Attempt:
    """Make an attempt of the columns of `read_attempts`."""
    values = list(row)
    values[6] = Outcome(values[6])
    values[7] = Reason(values[7])
    values[11] = _CLASS[values[11]]
    return Attempt(*values)


def job_of(row: Row) -> Job:
    """Make a job of the columns of `read_job`."""
    return Job(
        id=row[0], namespace=row[1], task=row[2], task_name=row[3], run_id=row[4], kind=row[5], tz=row[6],
        labels=json.loads(row[7]), sealed=bool(row[8]), cancel_ms=row[9], created_ms=row[10], ended_ms=row[11],
        counts=Counts(*row[12:18]), pruned_ms=row[18], parent=None if row[19] is None else ItemKey(row[19], row[20]),
    )  # fmt: skip


_PLACE = {status: place for place, status in enumerate(JobStatus)}


def moves(pairs: Iterable[tuple[int, JobStatus | None, JobStatus]]) -> list[list[int]]:
    """Sum up (job, status before, status after) to one row of counter changes for each job, for `count_moves`."""
    sums: dict[int, list[int]] = {}
    for (job, before, after), count in Counter(pairs).items():
        row = sums.setdefault(job, [job, 0, 0, 0, 0, 0, 0])
        if before is not None:
            row[1 + _PLACE[before]] -= count
        row[1 + _PLACE[after]] += count
    return list(sums.values())


def counts_row(counts: Counts) -> tuple[int, ...]:
    """Return the counts in the order of the statuses."""
    return tuple(astuple(counts))
