"""Replaying the body of a workflow: what a call comes to, by what is known of the one that was made at the same place before."""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from mulligan.core.job import TERMINAL, FailureClass, Item, JobStatus, Reason

MANY = 1_000_000


class Past(NamedTuple):
    """A call of a workflow as it stands; a success has a `result`, anything else that has ended an error."""

    place: str
    """Where the body made it: see `sdk.calls`."""
    item: str
    """Id of the work item."""
    task: str
    digest: str
    """Of the arguments."""
    round: int
    """In which round of the workflow it was started last."""
    status: JobStatus
    reason: Reason
    failure_class: FailureClass | None = None
    result: str | None = None
    error_type: str | None = None
    error_message: str | None = None

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL


class Step(Enum):
    """What a call comes to."""

    START = "start"
    """Nothing was called there yet, or it has failed and the call has changed since."""
    RUN_AGAIN = "run again"
    """It failed in an earlier round: the workflow is retried, and this call with it."""
    WAIT = "wait"
    ANSWER = "answer"
    """It has ended in this round, or with success: what it ended with is the answer."""
    MISMATCH = "mismatch"
    """It is bound by what was called there before, and is not the same call."""
    UNKNOWN = "unknown"
    """It runs at most once, and nobody knows whether it did: only a person can say that it shall run again."""


_SUFFIX = re.compile(r"(?:@(\d+))?(?:~\d+-\d+)?$")


def call_key(path: str, epoch: int, task: str, place: str, replaced: str | None) -> str:
    """Return the key of a call: the path to its workflow, what it is, then what tells it from earlier ones at its place.

    `epoch` is the generation from which on the calls of the workflow at the top count, `replaced` the work item that was there.
    """
    bare = f"{path}.{task}-{place}"
    told = f"@{epoch}" if epoch > 1 or _SUFFIX.search(bare)[0] else ""  # type: ignore[index]  # it matches nothing at least
    return f"{bare}{told}~{replaced}" if replaced else f"{bare}{told}"


def path_of(key: str) -> tuple[str, int]:
    """Return the path of a call by its key, the same whenever it is made again, and the epoch in which it was made."""
    found = _SUFFIX.search(key)
    assert found is not None  # noqa: S101 - it matches nothing at least
    return key[: found.start()], int(found[1] or 1)


def round_of(item: Item) -> int:
    """Return the number of a workflow's round: one more for each retry, by its policy or by a person."""
    return item.generation * MANY + sum(item.charges)


def resolve(past: Past | None, task: str, digest: str, round: int) -> Step:
    """Return what a call of a task comes to in a round of its workflow.

    Only calls that succeeded, or may still do so, bind the body; one that failed may have changed, since that may be the fix.
    """
    if past is None:
        return Step.START
    if (past.task, past.digest) != (task, digest):
        return Step.START if past.status in (JobStatus.FAILURE, JobStatus.REVOKED) else Step.MISMATCH
    if not past.ended:
        return Step.WAIT
    if past.status is JobStatus.SUCCESS or past.round == round:
        return Step.ANSWER
    if past.reason is Reason.OUTCOME_UNKNOWN and past.round // MANY == round // MANY:
        return Step.UNKNOWN
    return Step.RUN_AGAIN
