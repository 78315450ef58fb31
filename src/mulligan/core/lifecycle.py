"""The life of a work item: which status follows from which event, and why. The only place that names a next status."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple, assert_never

from mulligan.core.durations import MAX_SECONDS
from mulligan.core.events import (
    CancelRequested,
    Claimed,
    DeadlinePassed,
    Event,
    Failed,
    MadeDue,
    OverwriteRequested,
    Released,
    RetryRequested,
    Run,
    Snoozed,
    Stopped,
    Succeeded,
    Unsuccessful,
    WorkerLost,
)
from mulligan.core.failure import Kind
from mulligan.core.fingerprint import Fingerprint, of_kind, of_reason
from mulligan.core.job import (
    FAR_FUTURE_MS,
    TERMINAL,
    WAITING,
    Attempt,
    FailureClass,
    Item,
    JobStatus,
    Outcome,
    Reason,
    Wait,
)
from mulligan.core.retry import Policy

POISON_CRASHES = 3
"""So many deaths of the child process since the last checkpoint end a work item."""
MAX_SNOOZES = 1000
MAX_REPLAYS = 1000
"""So many attempts of a generation may the body of a workflow need."""
MAX_RETRY_AFTER_S = 6 * 3600.0
"""A Retry-After longer than this is taken for this, where the policy sets no max_delay of its own."""

PENDING, STARTED, RETRY = JobStatus.PENDING, JobStatus.STARTED, JobStatus.RETRY
SUCCESS, FAILURE, REVOKED = JobStatus.SUCCESS, JobStatus.FAILURE, JobStatus.REVOKED

MOVES: dict[type[Event], dict[JobStatus, frozenset[JobStatus]]] = {
    Claimed: {PENDING: frozenset({STARTED}), RETRY: frozenset({STARTED})},
    Succeeded: {STARTED: frozenset({SUCCESS})},
    Failed: {STARTED: frozenset({PENDING, RETRY, FAILURE, REVOKED})},
    Snoozed: {STARTED: frozenset({PENDING, FAILURE, REVOKED})},
    Stopped: {STARTED: frozenset({PENDING, RETRY, FAILURE, REVOKED})},
    WorkerLost: {STARTED: frozenset({PENDING, RETRY, FAILURE, REVOKED})},
    Released: {STARTED: frozenset({PENDING, RETRY, REVOKED})},
    CancelRequested: {
        PENDING: frozenset({REVOKED}),
        RETRY: frozenset({REVOKED}),
        STARTED: frozenset({STARTED}),
    },
    DeadlinePassed: {PENDING: frozenset({FAILURE}), RETRY: frozenset({FAILURE})},
    RetryRequested: {FAILURE: frozenset({PENDING}), REVOKED: frozenset({PENDING})},
    OverwriteRequested: {SUCCESS: frozenset({PENDING})},
    MadeDue: {PENDING: frozenset({PENDING}), RETRY: frozenset({RETRY})},
}
"""All moves there are: event, status before, statuses after. What is not here does not happen."""


class Transition(NamedTuple):
    """What an event did to an item: the row before and after, and the attempt that ended by it, if one did."""

    before: Item
    after: Item
    attempt: Attempt | None = None
    cause: Fingerprint | None = None
    """What the failure is counted as, if it was one."""

    @property
    def reason(self) -> Reason:
        return self.after.reason


def decide(
    item: Item, event: Event, policy: Policy, now_ms: int, fraction: float, *, workflow: bool = False
) -> Transition | None:
    """Return what an event does to an item, or None when it came too late to do anything.

    `policy` is the one of the item's generation, `fraction` a random number in [0, 1) for the jitter. The body of a `workflow`
    has no effects of its own: where its worker is stopped or lost it is replayed, and nothing is charged.
    """
    match event:
        case Succeeded():
            return _succeeded(item, event, now_ms) if is_current(item, event.run) else None
        case Claimed():
            return _claimed(item, event, now_ms)
        case Failed() | Snoozed() | Stopped() | WorkerLost() | Released():
            if not is_current(item, event.run):
                return None
            if workflow and _is_interrupted(event) and item.cancel_ms is None:
                return _replayed(item, event, now_ms)
            return _ended(item, event, policy, now_ms, fraction)
        case CancelRequested():
            return _cancel_requested(item, now_ms)
        case DeadlinePassed():
            return _deadline_passed(item, now_ms)
        case RetryRequested():
            return _retry_requested(item, event, now_ms)
        case OverwriteRequested():
            return _overwrite_requested(item, event, now_ms)
        case MadeDue():
            return _made_due(item, now_ms)
    assert_never(event)


def is_current(item: Item, run: Run) -> bool:
    """Return whether an attempt still owns its item: the fence that every write about an attempt must pass."""
    return item.status is STARTED and item.token == run.token and item.worker == run.worker


def _is_interrupted(event: Unsuccessful | Released) -> bool:
    """Return whether an attempt ended by what became of its worker."""
    return isinstance(event, Stopped | WorkerLost) or (isinstance(event, Failed) and event.interrupted)


def _ended(item: Item, event: Unsuccessful | Released, policy: Policy, now_ms: int, fraction: float) -> Transition:
    match event:
        case Released():
            return _released(item, now_ms)
        case _ if item.cancel_ms is not None:
            return _cancelled(item, event, now_ms)
        case Snoozed():
            return _snoozed(item, event, now_ms)
        case Failed():
            return _failed(item, event, policy, now_ms, fraction)
        case Stopped():
            return _failed(item, _interrupted(event), policy, now_ms, fraction, Outcome.INTERRUPTED)
        case WorkerLost():
            return _failed(item, _lost(event), policy, now_ms, fraction, Outcome.LOST)
    assert_never(event)


def _claimed(item: Item, event: Claimed, now_ms: int) -> Transition | None:
    if item.status not in WAITING or item.due_ms > now_ms or item.cancel_ms is not None:
        return None
    if item.deadline_ms is not None and item.deadline_ms <= now_ms:
        return None
    return Transition(item, started(item, event.worker, now_ms))


def started(item: Item, worker: int, claimed_ms: int) -> Item:
    """Return a waiting item as it is when a worker has taken it.

    This and `_succeeded` happen to every item. Taking it apart and putting it together costs a fourth of naming what changes.
    """
    job, number, task, definition, once, priority, _, due, _, generation, attempt, token, version, *_ = item
    opened = (STARTED, due, None, generation, attempt + 1, token + 1, version + 1, worker, claimed_ms)
    return tuple.__new__(Item, (job, number, task, definition, once, priority, *opened, *item[15:]))


def _succeeded(item: Item, event: Succeeded, now_ms: int) -> Transition:
    (job, number, task, definition, once, priority, _, due, _, generation, attempt, token, version, _, claimed_ms, cancel_ms,
     deadline, cutoff, charges, _, snoozes, keep_from, _, _, created, *_) = item  # fmt: skip
    reason = Reason.SUCCEEDED if cancel_ms is None else Reason.CANCEL_TOO_LATE
    run = event.run
    began_ms, started_ms, ended_ms = _times(claimed_ms, run, now_ms)
    after = (job, number, task, definition, once, priority, SUCCESS, due, None, generation, attempt, token, version + 1, None,
             None, cancel_ms, deadline, cutoff, charges, 0, snoozes, keep_from, reason, None, created, ended_ms,
             None)  # fmt: skip
    record = (job, number, token, generation, attempt, run.worker, Outcome.SUCCEEDED, reason, began_ms, started_ms, ended_ms,
              *(None,) * 10, run.rows, event.result, None, None, run.pid, None)  # fmt: skip
    return Transition(item, tuple.__new__(Item, after), tuple.__new__(Attempt, record))


def _failed(
    item: Item, event: Failed, policy: Policy, now_ms: int, fraction: float, outcome: Outcome | None = None
) -> Transition:
    if outcome is None:
        outcome = Outcome.INTERRUPTED if event.interrupted else Outcome.TIMED_OUT if event.timed_out else Outcome.FAILED
    crashes = item.crashes + event.crashed
    found = policy.find(event.failure_class)
    entry = found[0] if found and not policy.at_most_once else None
    charges = _charge(item.charges, entry, len(policy.entries))
    charged = None if entry is None else charges[entry]
    cause = None if event.cause is None else event.cause.cause
    planned_ms = delay_ms = None
    reason = _stop_reason(event, outcome, policy, crashes, charged)
    if reason is None and found:
        planned_ms, delay_ms = _delay(found[1].planned_s(charged or 1), event, policy, fraction)
        if item.cutoff_ms is not None and _since(item, now_ms) + delay_ms >= item.cutoff_ms:
            reason = Reason.CUTOFF
    attempt = _attempt(
        item,
        event.run,
        outcome,
        reason or Reason.WILL_RETRY,
        now_ms,
        failure_class=event.failure_class,
        rule=event.rule,
        error_type=event.error_type,
        error_message=event.error_message,
        failure=event.failure,
        entry=entry,
        charged=charged,
        delay_ms=delay_ms,
        planned_ms=planned_ms,
        retry_after_ms=None if event.retry_after_s is None else round(_asked_s(event.retry_after_s) * 1000),
        exit_code=event.exit_code,
        signal=event.signal,
        cause=cause,
    )
    after = item.but(
        status=RETRY if reason is None else FAILURE,
        reason=reason or Reason.WILL_RETRY,
        wait=Wait.BACKOFF if reason is None else None,
        due_ms=_next_due(item, event, outcome, delay_ms or 0, now_ms) if reason is None else item.due_ms,
        version=item.version + 1,
        worker=None,
        claimed_ms=None,
        crashes=crashes,
        charges=charges,
        failure_class=FailureClass.TIMEOUT if reason is Reason.CUTOFF else event.failure_class,
        cause=cause,
        deadline_ms=item.cutoff_ms,
        ended_ms=None if reason is None else attempt.ended_ms,
    )
    return Transition(item, after, attempt, event.cause)


def _stop_reason(event: Failed, outcome: Outcome, policy: Policy, crashes: int, charged: int | None) -> Reason | None:
    """Return why a failure ends the item, or None when its policy allows another attempt."""
    if event.cutoff:
        return Reason.CUTOFF
    if policy.at_most_once:
        unknown = outcome in (Outcome.LOST, Outcome.INTERRUPTED) or event.crashed
        return Reason.OUTCOME_UNKNOWN if unknown else Reason.AT_MOST_ONCE
    if event.crashed and crashes >= POISON_CRASHES:
        return Reason.POISON
    found = policy.find(event.failure_class)
    if found is None or found[1].max_attempts == 1:
        return Reason.NOT_RETRIED
    if charged is not None and charged >= found[1].max_attempts:
        return Reason.BUDGET_SPENT
    return None


def _delay(planned_s: float, event: Failed, policy: Policy, fraction: float) -> tuple[int, int]:
    """Return the planned wait and the real one in ms: with jitter, and as long as the other side asked for."""
    found = policy.find(event.failure_class)
    assert found is not None  # noqa: S101 - callers have looked
    retry = found[1]
    wait_s = retry.spread_s(planned_s, fraction)
    if event.retry_after_s is not None:
        cap = MAX_RETRY_AFTER_S if retry.max_delay is None else float(retry.max_delay)  # type: ignore[arg-type]
        wait_s = max(wait_s, min(_asked_s(event.retry_after_s), cap))
    return round(planned_s * 1000), round(wait_s * 1000)


def _next_due(item: Item, event: Failed, outcome: Outcome, delay_ms: int, now_ms: int) -> int:
    """Return when the next attempt is due; what the machine failed and need not wait keeps its place in the queue."""
    since_ms = _since(item, now_ms)
    if delay_ms or since_ms > now_ms or not _failed_by_machine(event, outcome):
        return since_ms + delay_ms
    return _place_kept(item, now_ms)


def _place_kept(item: Item, now_ms: int) -> int:
    """Return the due time of what goes back to where it stood in the queue."""
    since_ms = _since(item, now_ms)
    return since_ms if since_ms > now_ms else min(item.due_ms, now_ms)


def _failed_by_machine(event: Failed, outcome: Outcome) -> bool:
    """Return whether an attempt ended by what was under it: its worker, its process, the machine."""
    interrupted = outcome in (Outcome.LOST, Outcome.INTERRUPTED)
    return interrupted or event.crashed or event.failure_class is FailureClass.INFRASTRUCTURE


def _since(item: Item, now_ms: int) -> int:
    """Return when a wait begins: now, but not before the attempt did, should the clock have been set back."""
    return max(now_ms, item.claimed_ms or now_ms)


def _asked_s(retry_after_s: float) -> float:
    """Return what the other side asked for as a time that can be waited: it may have sent anything."""
    return min(retry_after_s, MAX_SECONDS) if retry_after_s > 0 else 0.0


@lru_cache(maxsize=256)
def _charge(charges: tuple[int, ...], entry: int | None, entries: int) -> tuple[int, ...]:
    if entry is None:
        return charges
    full = charges + (0,) * (entries - len(charges))
    return tuple(count + (place == entry) for place, count in enumerate(full))


def _interrupted(event: Stopped) -> Failed:
    return Failed(
        event.run,
        FailureClass.INFRASTRUCTURE,
        "interrupted",
        "interrupted",
        "the worker was stopped while this ran",
        "",
        cause=of_kind(Kind.STOPPED),
    )


def _lost(event: WorkerLost) -> Failed:
    message = f"worker {event.name} was lost while this ran; whether it had finished is unknown"
    return Failed(event.run, FailureClass.INFRASTRUCTURE, "lost", "worker lost", message, "", cause=of_kind(Kind.LOST))


def _snoozed(item: Item, event: Snoozed, now_ms: int) -> Transition:
    delay_ms = round(_asked_s(event.delay_s) * 1000)
    due_ms = _since(item, now_ms) + delay_ms
    changed = item.but(
        version=item.version + 1,
        worker=None,
        claimed_ms=None,
        snoozes=item.snoozes + 1,
        deadline_ms=item.cutoff_ms,
    )
    reason = Reason.SNOOZED
    if item.snoozes + 1 > MAX_SNOOZES:
        reason = Reason.SNOOZED_TOO_OFTEN
    elif item.cutoff_ms is not None and due_ms >= item.cutoff_ms:
        reason = Reason.CUTOFF
    attempt = _attempt(item, event.run, Outcome.SNOOZED, reason, now_ms, delay_ms=delay_ms)
    if reason is Reason.SNOOZED:
        return Transition(item, changed.but(status=PENDING, reason=reason, wait=Wait.SNOOZE, due_ms=due_ms), attempt)
    return _ended_without_error(item, changed, reason, FailureClass.TIMEOUT, attempt.ended_ms, attempt)


def _replayed(item: Item, event: Unsuccessful | Released, now_ms: int) -> Transition:
    """Have the body of a workflow run again, soon; one that takes its workers down with it must end some day."""
    outcome = Outcome.LOST if isinstance(event, WorkerLost) else Outcome.INTERRUPTED
    changed = item.but(version=item.version + 1, worker=None, claimed_ms=None, deadline_ms=item.cutoff_ms)
    if item.attempt >= MAX_REPLAYS:
        attempt = _attempt(item, event.run, outcome, Reason.POISON, now_ms)
        return _ended_without_error(item, changed, Reason.POISON, FailureClass.INFRASTRUCTURE, attempt.ended_ms, attempt)
    attempt = _attempt(item, event.run, outcome, Reason.REPLAYED, now_ms)
    after = changed.but(status=PENDING, reason=Reason.REPLAYED, wait=Wait.READY, due_ms=_place_kept(item, now_ms))
    return Transition(item, after, attempt)


def _released(item: Item, now_ms: int) -> Transition:
    changed = item.but(version=item.version + 1, worker=None, claimed_ms=None, attempt=item.attempt - 1)
    if item.cancel_ms is not None:
        revoked = changed.but(status=REVOKED, reason=Reason.CANCELLED, failure_class=None, cause=None, ended_ms=now_ms)
        return Transition(item, revoked)
    retrying = item.reason is Reason.WILL_RETRY
    after = changed.but(
        status=RETRY if retrying else PENDING,
        wait=Wait.BACKOFF if retrying else Wait.READY,
        due_ms=min(item.due_ms, now_ms),
    )
    return Transition(item, after)


def _cancelled(item: Item, event: Unsuccessful, now_ms: int) -> Transition:
    facts: dict[str, Any] = {}
    if isinstance(event, Failed):
        facts = {
            "failure_class": event.failure_class,
            "rule": event.rule,
            "error_type": event.error_type,
            "error_message": event.error_message,
            "failure": event.failure,
        }
    attempt = _attempt(item, event.run, Outcome.CANCELLED, Reason.CANCELLED, now_ms, **facts)
    after = item.but(
        status=REVOKED,
        reason=Reason.CANCELLED,
        version=item.version + 1,
        worker=None,
        claimed_ms=None,
        failure_class=None,
        cause=None,
        ended_ms=max(now_ms, attempt.ended_ms),
    )
    return Transition(item, after, attempt)


def _cancel_requested(item: Item, now_ms: int) -> Transition | None:
    if item.status in TERMINAL or item.cancel_ms is not None:
        return None
    changed = item.but(cancel_ms=now_ms, version=item.version + 1)
    if item.status is STARTED:
        return Transition(item, changed)
    revoked = changed.but(status=REVOKED, wait=None, reason=Reason.CANCELLED, failure_class=None, cause=None, ended_ms=now_ms)
    return Transition(item, revoked)


def _deadline_passed(item: Item, now_ms: int) -> Transition | None:
    if item.status not in WAITING or item.deadline_ms is None or item.deadline_ms > now_ms:
        return None
    reason = Reason.CUTOFF if item.deadline_ms == item.cutoff_ms else Reason.EXPIRED
    changed = item.but(wait=None, version=item.version + 1)
    return _ended_without_error(item, changed, reason, FailureClass.TIMEOUT, now_ms)


def _ended_without_error(
    before: Item, changed: Item, reason: Reason, kind: FailureClass, ended_ms: int, attempt: Attempt | None = None
) -> Transition:
    """Return the end of an item that no error of an attempt has brought about: what it failed of is why it ended."""
    cause = of_reason(reason)
    after = changed.but(status=FAILURE, reason=reason, failure_class=kind, cause=cause.cause, ended_ms=ended_ms)
    return Transition(before, after, attempt, cause)


def _retry_requested(item: Item, event: RetryRequested, now_ms: int) -> Transition | None:
    if item.status not in (FAILURE, REVOKED):
        return None
    if event.mode == "restart":
        return Transition(item, _new_generation(item, event, now_ms, Reason.RESTARTED, keep_from=item.generation + 1))
    return Transition(item, _new_generation(item, event, now_ms, Reason.RECOVERED, keep_from=item.keep_from))


def _overwrite_requested(item: Item, event: OverwriteRequested, now_ms: int) -> Transition | None:
    if item.status is not SUCCESS:
        return None
    return Transition(item, _new_generation(item, event, now_ms, Reason.OVERWRITTEN, keep_from=item.generation + 1))


def _new_generation(
    item: Item, event: RetryRequested | OverwriteRequested, now_ms: int, reason: Reason, *, keep_from: int
) -> Item:
    return item.but(
        reason=reason,
        keep_from=keep_from,
        definition=event.definition,
        once=event.once,
        status=PENDING,
        wait=Wait.PREDECESSOR if event.held else Wait.READY,
        due_ms=FAR_FUTURE_MS if event.held else max(now_ms, item.ended_ms or 0),
        generation=item.generation + 1,
        attempt=0,
        version=item.version + 1,
        cancel_ms=None,
        deadline_ms=event.cutoff_ms,
        cutoff_ms=event.cutoff_ms,
        charges=(),
        crashes=0,
        snoozes=0,
        failure_class=None,
        cause=None,
        ended_ms=None,
    )


def _made_due(item: Item, now_ms: int) -> Transition | None:
    if item.status not in WAITING or item.wait is Wait.SUBMITTING or item.due_ms <= now_ms:
        return None
    return Transition(item, item.but(due_ms=now_ms, wait=Wait.READY, version=item.version + 1))


def _attempt(item: Item, run: Run, outcome: Outcome, reason: Reason, now_ms: int, **facts: Any) -> Attempt:
    claimed_ms, started_ms, ended_ms = _times(item.claimed_ms, run, now_ms)
    return Attempt(
        job=item.job,
        number=item.number,
        token=item.token,
        generation=item.generation,
        attempt=item.attempt,
        worker=run.worker,
        outcome=outcome,
        reason=reason,
        claimed_ms=claimed_ms,
        started_ms=started_ms,
        ended_ms=ended_ms,
        rows=run.rows,
        pid=run.pid,
        **facts,
    )


def _times(claimed_ms: int | None, run: Run, now_ms: int) -> tuple[int, int | None, int]:
    """Return when an attempt was claimed, started and ended: in order, whatever the clocks of others said."""
    if claimed_ms is None:
        claimed_ms = run.ended_ms
    ended_ms = max(claimed_ms, min(run.ended_ms, now_ms))
    return claimed_ms, None if run.started_ms is None else min(max(claimed_ms, run.started_ms), ended_ms), ended_ms
