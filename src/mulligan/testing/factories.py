"""Values in any state, a line each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mulligan.core.definition import Definition
from mulligan.core.events import Failed, Run
from mulligan.core.failure import ErrorFacts, Failure, Kind
from mulligan.core.fingerprint import fingerprint
from mulligan.core.job import TERMINAL, FailureClass, Item, JobStatus, Reason, Wait
from mulligan.core.retry import Policy
from mulligan.core.submission import NewItem, Options, Submission
from mulligan.testing.clock import START_MS

_REASONS = {
    JobStatus.PENDING: Reason.SUBMITTED,
    JobStatus.STARTED: Reason.SUBMITTED,
    JobStatus.RETRY: Reason.WILL_RETRY,
    JobStatus.SUCCESS: Reason.SUCCEEDED,
    JobStatus.FAILURE: Reason.NOT_RETRIED,
    JobStatus.REVOKED: Reason.CANCELLED,
}
_WAITS = {JobStatus.PENDING: Wait.READY, JobStatus.RETRY: Wait.BACKOFF}


def an_item(status: JobStatus = JobStatus.PENDING, **changes: Any) -> Item:
    """Make the row of a work item in a status, valid as it stands: one that has run has run once."""
    ran = 0 if status is JobStatus.PENDING else 1
    item = Item(
        job=1,
        number=0,
        task=1,
        definition=1,
        once=False,
        priority=3,
        status=status,
        due_ms=START_MS,
        wait=_WAITS.get(status),
        generation=1,
        attempt=ran,
        token=ran,
        version=2 * ran,
        worker=1 if status is JobStatus.STARTED else None,
        claimed_ms=START_MS if status is JobStatus.STARTED else None,
        cancel_ms=None,
        deadline_ms=None,
        cutoff_ms=None,
        charges=(),
        crashes=0,
        snoozes=0,
        keep_from=1,
        reason=_REASONS[status],
        failure_class=FailureClass.TRANSIENT if status in (JobStatus.RETRY, JobStatus.FAILURE) else None,
        created_ms=START_MS,
        ended_ms=START_MS if status in TERMINAL else None,
    )
    return item._replace(**changes)


def a_run(item: Item, ended_ms: int = START_MS, **changes: Any) -> Run:
    """Name the attempt that an item is in the middle of."""
    return Run(**{"token": item.token, "worker": item.worker or 0, "ended_ms": ended_ms, **changes})


def a_failure(item: Item, failure_class: FailureClass = FailureClass.TRANSIENT, **changes: Any) -> Failed:
    """Make the event that an item's attempt has failed."""
    values: dict[str, Any] = {
        "run": a_run(item),
        "failure_class": failure_class,
        "rule": "test",
        "error_type": "builtins.OSError",
        "error_message": "it broke",
        "failure": "{}",
        "cause": fingerprint(Failure(Kind.EXCEPTION, (ErrorFacts(("OSError", "Exception"), "it broke"),))),
    }
    return Failed(**{**values, **changes})


def a_definition(name: str = "features", retries: Any = None, **changes: Any) -> Definition:
    """Make a published task; `retries` takes what `@task` takes."""
    return Definition(**{"name": name, "module": "flow", "file": None, "policy": Policy.of(retries), **changes})


def items_of(keys: Iterable[Any]) -> Iterable[NewItem]:
    """Make an item for each key, lazily."""
    return (NewItem(str(key), f'{{"x": {key}}}') for key in keys)


def daily(count: int, first_ms: int = START_MS) -> Iterable[NewItem]:
    """Make items for that many days, lazily."""
    day = 86_400_000
    return (NewItem(f"day-{n:06d}", "{}", (first_ms + n * day, first_ms + (n + 1) * day)) for n in range(count))


def a_submission(definition: Definition, items: Iterable[NewItem] | int = 1, **changes: Any) -> Submission:
    """Make a submission; keywords that Options has go there."""
    options = {name: changes.pop(name) for name in list(changes) if name in Options.__dataclass_fields__}
    kind = changes.pop("kind", "map")
    given = items_of(range(items)) if isinstance(items, int) else items
    return Submission(definition, kind, given, Options(**options), **changes)
