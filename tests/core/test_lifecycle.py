"""What follows from what: the table of moves, and what holds for every decision whatever came before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mulligan.core import labels
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
    Snoozed,
    Stopped,
    Succeeded,
    WorkerLost,
)
from mulligan.core.job import FAR_FUTURE_MS, TERMINAL, WAITING, FailureClass, Item, JobStatus, Outcome, Reason, Wait
from mulligan.core.lifecycle import MAX_REPLAYS, MAX_SNOOZES, MOVES, POISON_CRASHES, Transition, decide, is_current
from mulligan.core.lifecycle_table import lifecycle_table
from mulligan.core.retry import BATCH, NEVER, Policy, Retry
from mulligan.testing.clock import START_MS
from mulligan.testing.factories import a_failure, a_run, an_item

NOW = START_MS + 1000
ONCE = Policy()
PENDING, STARTED, RETRY = JobStatus.PENDING, JobStatus.STARTED, JobStatus.RETRY
SUCCESS, FAILURE, REVOKED = JobStatus.SUCCESS, JobStatus.FAILURE, JobStatus.REVOKED
INFRASTRUCTURE, TRANSIENT, PERMANENT = FailureClass.INFRASTRUCTURE, FailureClass.TRANSIENT, FailureClass.PERMANENT


def event_for(kind: type[Event], item: Item) -> Event:
    run = a_run(item, NOW)
    events: dict[type[Any], Event] = {
        Claimed: Claimed(2),
        Succeeded: Succeeded(run, "1"),
        Failed: a_failure(item),
        Snoozed: Snoozed(run, 5),
        Stopped: Stopped(run),
        WorkerLost: WorkerLost(run, "w"),
        Released: Released(run),
        CancelRequested: CancelRequested(),
        DeadlinePassed: DeadlinePassed(),
        RetryRequested: RetryRequested("recover", 2, False, None),
        OverwriteRequested: OverwriteRequested(2, False, None),
        MadeDue: MadeDue(),
    }
    return events[kind]


def ready_for(kind: type[Event], status: JobStatus) -> Item:
    """An item to which nothing but its status can be an obstacle."""
    changes: dict[type[Any], dict[str, Any]] = {
        DeadlinePassed: {"deadline_ms": NOW - 1},
        MadeDue: {"due_ms": NOW + 60_000},
    }
    return an_item(status, **changes.get(kind, {}))


def moved(item: Item, event: Event, policy: Policy = BATCH, now_ms: int = NOW, fraction: float = 0.5) -> Transition:
    found = decide(item, event, policy, now_ms, fraction)
    assert found is not None
    return found


@pytest.mark.parametrize("status", JobStatus)
@pytest.mark.parametrize("kind", MOVES)
def test_an_event_moves_an_item_only_as_the_table_says(kind: type[Event], status: JobStatus) -> None:
    item = ready_for(kind, status)
    found = decide(item, event_for(kind, item), BATCH, NOW, 0.5)
    allowed = MOVES[kind].get(status)
    if allowed is None:
        assert found is None
    else:
        assert found is not None
        assert found.after.status in allowed


def test_the_table_covers_every_event() -> None:
    assert set(MOVES) == set(Event.__args__)  # type: ignore[attr-defined]


def test_every_move_of_the_table_can_happen() -> None:
    def run(kind: type[Event], item: Item, policy: Policy = BATCH, **changes: Any) -> tuple[type[Event], JobStatus, JobStatus]:
        event = event_for(kind, item)
        if changes:
            event = event._replace(**changes) if isinstance(event, Failed) else replace(event, **changes)
        return kind, item.status, moved(item, event, policy).after.status

    asked = an_item(STARTED, cancel_ms=NOW)
    again = an_item(STARTED, reason=Reason.WILL_RETRY)
    seen = {run(kind, ready_for(kind, status)) for kind, moves in MOVES.items() for status in moves}
    for kind in (Failed, Stopped, WorkerLost):
        seen |= {run(kind, an_item(STARTED), ONCE), run(kind, asked)}
    interrupted = event_for(Failed, an_item(STARTED))._replace(interrupted=True)
    for event in (interrupted, event_for(Stopped, an_item(STARTED)), event_for(WorkerLost, an_item(STARTED))):
        seen.add((type(event), STARTED, replayed(an_item(STARTED), event).status))
    seen |= {run(Snoozed, asked), run(Snoozed, an_item(STARTED, snoozes=MAX_SNOOZES)), run(Released, again), run(Released, asked)}
    table = {(kind, before, after) for kind, moves in MOVES.items() for before, all_after in moves.items() for after in all_after}
    assert seen == table


def replayed(item: Item, event: Event) -> Item:
    found = decide(item, event, ONCE, NOW, 0.5, workflow=True)
    assert found is not None
    return found.after


@pytest.mark.parametrize("kind", [Stopped, WorkerLost])
def test_a_workflow_whose_worker_is_gone_is_replayed_at_once_and_charged_nothing(kind: type[Event]) -> None:
    item = an_item(STARTED, due_ms=NOW - 500, claimed_ms=NOW - 100, attempt=3, charges=(1,))
    found = decide(item, event_for(kind, item), ONCE, NOW, 0.5, workflow=True)
    assert found is not None
    assert found.attempt is not None
    assert (found.after.status, found.after.reason, found.after.due_ms) == (PENDING, Reason.REPLAYED, NOW - 500)
    assert (found.after.charges, found.attempt.charged, found.attempt.reason) == ((1,), None, Reason.REPLAYED)


def test_a_workflow_that_takes_its_workers_down_a_thousand_times_ends() -> None:
    item = an_item(STARTED, attempt=MAX_REPLAYS)
    after = replayed(item, event_for(WorkerLost, item))
    assert (after.status, after.reason) == (FAILURE, Reason.POISON)


def test_a_workflow_that_somebody_wants_cancelled_is_not_replayed() -> None:
    item = an_item(STARTED, cancel_ms=NOW - 1)
    assert replayed(item, event_for(WorkerLost, item)).status is REVOKED


def test_what_the_body_of_a_workflow_raises_is_judged_by_its_policy() -> None:
    item = an_item(STARTED)
    assert replayed(item, event_for(Failed, item)).reason is Reason.AT_MOST_ONCE


def test_the_printed_page_names_every_event_status_and_reason() -> None:
    page = lifecycle_table()
    names = [each.__name__ for each in MOVES] + list(JobStatus) + [f"`{each}`" for each in Reason]
    assert [name for name in names if name not in page] == []


def test_a_claim_needs_an_item_that_is_due_and_wanted() -> None:
    assert decide(an_item(due_ms=NOW + 1), Claimed(2), BATCH, NOW, 0) is None
    assert decide(an_item(deadline_ms=NOW), Claimed(2), BATCH, NOW, 0) is None
    assert decide(an_item(RETRY, due_ms=FAR_FUTURE_MS), Claimed(2), BATCH, NOW, 0) is None
    after = moved(an_item(deadline_ms=NOW + 1), Claimed(2)).after
    assert (after.token, after.attempt, after.worker, after.claimed_ms, after.wait) == (1, 1, 2, NOW, None)


def test_only_the_attempt_that_runs_may_speak() -> None:
    item = an_item(STARTED, token=3, worker=7)
    assert is_current(item, a_run(item))
    for wrong in ({"token": 2}, {"token": 4}, {"worker": 8}):
        late = a_run(item, **wrong)
        for event in (Succeeded(late, "1"), a_failure(item, run=late), Snoozed(late, 1), Stopped(late), Released(late)):
            assert decide(item, event, BATCH, NOW, 0) is None
        assert decide(item, WorkerLost(late, "w"), BATCH, NOW, 0) is None


def test_a_success_before_the_cancel_arrives_stays_a_success() -> None:
    item = an_item(STARTED, cancel_ms=NOW - 1)
    found = moved(item, Succeeded(a_run(item, NOW), "1"))
    assert (found.after.status, found.reason) == (SUCCESS, Reason.CANCEL_TOO_LATE)


DUE_BEFORE = an_item(STARTED, due_ms=NOW - 500, claimed_ms=NOW - 100)


@pytest.mark.parametrize(
    "event",
    [
        event_for(Stopped, DUE_BEFORE),
        event_for(WorkerLost, DUE_BEFORE),
        a_failure(DUE_BEFORE, INFRASTRUCTURE),
        a_failure(DUE_BEFORE, FailureClass.UNKNOWN, crashed=True),
        a_failure(DUE_BEFORE, interrupted=True),
    ],
)
def test_what_the_machine_failed_and_need_not_wait_keeps_its_place_in_the_queue(event: Event) -> None:
    assert moved(DUE_BEFORE, event, Policy.of(2), fraction=0).after.due_ms == NOW - 500
    assert moved(DUE_BEFORE, event, Policy.of((2, 60)), fraction=0).after.due_ms == NOW + 60_000


@pytest.mark.parametrize("failure_class", set(FailureClass) - {INFRASTRUCTURE, PERMANENT})
def test_any_other_failure_that_need_not_wait_goes_behind_what_is_due_by_now(failure_class: FailureClass) -> None:
    assert moved(DUE_BEFORE, a_failure(DUE_BEFORE, failure_class), Policy.of(2), fraction=0).after.due_ms == NOW


def test_what_had_not_started_in_time_has_expired_and_what_had_is_cut_off() -> None:
    late = {"deadline_ms": NOW - 1}
    for cutoff_ms in (None, NOW + 10, NOW - 0):
        assert moved(an_item(**late, cutoff_ms=cutoff_ms), DeadlinePassed()).reason is Reason.EXPIRED
    for status in (PENDING, RETRY):
        found = moved(an_item(status, **late, cutoff_ms=NOW - 1), DeadlinePassed())
        assert (found.reason, found.after.failure_class) == (Reason.CUTOFF, FailureClass.TIMEOUT)
    snoozed = moved(an_item(STARTED, **late, cutoff_ms=NOW + 5000), Snoozed(a_run(an_item(STARTED)), 1)).after
    assert moved(snoozed, DeadlinePassed(), now_ms=NOW + 5000).reason is Reason.CUTOFF


@pytest.mark.parametrize("kind", [Failed, Snoozed, Stopped, WorkerLost, Released])
def test_what_was_cancelled_is_never_run_again(kind: type[Event]) -> None:
    item = an_item(STARTED, cancel_ms=NOW - 1)
    found = moved(item, event_for(kind, item))
    assert (found.after.status, found.reason, found.after.charges) == (REVOKED, Reason.CANCELLED, ())


def test_without_retries_nothing_runs_twice() -> None:
    for policy in (ONCE, Policy({PERMANENT: NEVER}), Policy.of(0)):
        item = an_item(STARTED, once=True)
        lost = moved(item, WorkerLost(a_run(item), "w"), policy)
        assert (lost.after.status, lost.reason) == (FAILURE, Reason.OUTCOME_UNKNOWN)
        assert lost.attempt is not None
        assert "unknown" in (lost.attempt.error_message or "")
        assert moved(item, Stopped(a_run(item)), policy).reason is Reason.OUTCOME_UNKNOWN
        assert moved(item, a_failure(item, crashed=True), policy).reason is Reason.OUTCOME_UNKNOWN
        assert moved(item, a_failure(item), policy).reason is Reason.AT_MOST_ONCE


def test_a_lost_worker_is_charged_to_infrastructure() -> None:
    item = an_item(STARTED)
    found = moved(item, WorkerLost(a_run(item), "w"))
    assert found.attempt is not None
    assert (found.after.status, found.after.charges, found.after.crashes) == (RETRY, (1, 0, 0), 0)
    assert (found.attempt.outcome, found.attempt.failure_class) == (Outcome.LOST, INFRASTRUCTURE)


def test_the_third_death_since_the_last_checkpoint_is_poison() -> None:
    item = an_item(STARTED)
    for deaths in range(1, POISON_CRASHES):
        after = moved(item._replace(crashes=deaths - 1), a_failure(item, INFRASTRUCTURE, crashed=True)).after
        assert (after.status, after.crashes) == (RETRY, deaths)
    last = moved(item._replace(crashes=POISON_CRASHES - 1), a_failure(item, INFRASTRUCTURE, crashed=True))
    assert (last.after.status, last.reason) == (FAILURE, Reason.POISON)


def test_each_entry_has_a_budget_of_its_own() -> None:
    policy = Policy({TRANSIENT: Retry(3, jitter=None), INFRASTRUCTURE: Retry(2, jitter=None)})
    item = an_item(STARTED, charges=(2, 0))
    assert moved(item, a_failure(item, TRANSIENT), policy).reason is Reason.BUDGET_SPENT
    other = moved(item, a_failure(item, INFRASTRUCTURE), policy)
    assert (other.after.status, other.after.charges) == (RETRY, (2, 1))


def test_a_class_that_is_absent_or_never_retried_ends_the_item() -> None:
    item = an_item(STARTED)
    absent = moved(item, a_failure(item, FailureClass.UNKNOWN), Policy({TRANSIENT: Retry(3)}))
    assert (absent.reason, absent.after.charges) == (Reason.NOT_RETRIED, ())
    assert moved(item, a_failure(item, PERMANENT), BATCH).reason is Reason.NOT_RETRIED


def test_a_retry_after_is_waited_for_up_to_a_limit() -> None:
    item = an_item(STARTED)

    def wait_s(policy: Policy, asked: float) -> float:
        return (moved(item, a_failure(item, retry_after_s=asked), policy, fraction=0).after.due_ms - NOW) / 1000

    assert wait_s(Policy.of((3, 10)), 60) == 60
    assert wait_s(Policy.of((3, 10)), 5) == 10
    assert wait_s(Policy.of((3, 10)), 1e9) == 6 * 3600
    assert wait_s(Policy.of(Retry(3, 10, max_delay=20)), 60) == 20
    for nonsense in (-5.0, float("inf"), float("nan")):
        assert wait_s(Policy.of(Retry(3, 10, max_delay=20)), nonsense) in (10, 20)


def test_when_the_next_attempt_would_come_too_late_the_item_fails_at_once() -> None:
    policy = Policy.of((5, 300))
    item = an_item(STARTED, cutoff_ms=NOW + 300_000)
    found = moved(item, a_failure(item), policy)
    assert (found.after.status, found.reason, found.after.failure_class) == (FAILURE, Reason.CUTOFF, FailureClass.TIMEOUT)
    assert moved(item._replace(cutoff_ms=NOW + 300_001), a_failure(item), policy).after.status is RETRY
    assert moved(item, a_failure(item, cutoff=True), policy).reason is Reason.CUTOFF


def test_a_snooze_waits_uncharged_a_thousand_times_at_most() -> None:
    item = an_item(STARTED)
    after = moved(item, Snoozed(a_run(item), 60)).after
    assert (after.status, after.wait, after.due_ms, after.charges) == (PENDING, Wait.SNOOZE, NOW + 60_000, ())
    assert moved(item._replace(snoozes=MAX_SNOOZES - 1), Snoozed(a_run(item), 60)).after.status is PENDING
    assert moved(item._replace(snoozes=MAX_SNOOZES), Snoozed(a_run(item), 60)).reason is Reason.SNOOZED_TOO_OFTEN
    assert moved(item._replace(cutoff_ms=NOW + 60_000), Snoozed(a_run(item), 60)).reason is Reason.CUTOFF


def test_what_is_given_back_unstarted_is_as_if_it_had_not_been_claimed() -> None:
    for before in (an_item(deadline_ms=NOW + 5), an_item(RETRY, token=4, attempt=2), an_item(reason=Reason.SNOOZED)):
        claimed = moved(before, Claimed(3)).after
        back = moved(claimed, Released(a_run(claimed, NOW))).after
        expected = before._replace(token=before.token + 1, version=before.version + 2, wait=back.wait)
        assert back == expected
        assert back.wait in (Wait.READY, Wait.BACKOFF)


def test_a_deadline_for_starting_is_over_once_an_attempt_has_started() -> None:
    item = an_item(STARTED, deadline_ms=NOW + 5, cutoff_ms=NOW + 10**9)
    assert moved(item, a_failure(item), Policy.of(2)).after.deadline_ms == NOW + 10**9
    assert moved(item, Snoozed(a_run(item), 1)).after.deadline_ms == NOW + 10**9


def test_a_new_generation_begins_with_clean_books() -> None:
    spent = an_item(FAILURE, charges=(3, 1), crashes=2, snoozes=9, attempt=4, token=9, keep_from=1, cutoff_ms=1, deadline_ms=1)
    recover = moved(spent, RetryRequested("recover", 5, True, NOW + 7)).after
    assert (recover.generation, recover.attempt, recover.charges, recover.crashes, recover.snoozes) == (2, 0, (), 0, 0)
    assert (recover.definition, recover.once, recover.cutoff_ms, recover.deadline_ms) == (5, True, NOW + 7, NOW + 7)
    assert (recover.token, recover.keep_from, recover.reason) == (9, 1, Reason.RECOVERED)
    restart = moved(spent, RetryRequested("restart", 5, True, None)).after
    assert (restart.keep_from, restart.reason) == (2, Reason.RESTARTED)


def test_an_overwrite_in_order_waits_for_the_one_before() -> None:
    after = moved(an_item(SUCCESS), OverwriteRequested(2, False, None, held=True)).after
    assert (after.wait, after.due_ms, after.keep_from) == (Wait.PREDECESSOR, FAR_FUTURE_MS, 2)
    assert moved(after, MadeDue()).after.due_ms == NOW


def test_an_item_that_is_still_submitted_cannot_be_made_due() -> None:
    item = an_item(wait=Wait.SUBMITTING, due_ms=FAR_FUTURE_MS)
    assert decide(item, MadeDue(), BATCH, NOW, 0) is None


def test_times_of_an_attempt_are_in_order_whatever_clocks_say() -> None:
    item = an_item(STARTED, claimed_ms=NOW)
    for started, ended in ((NOW - 9999, NOW - 8888), (NOW + 10**9, NOW + 10**9), (None, NOW - 1), (NOW + 5, NOW + 1)):
        found = moved(item, Succeeded(a_run(item, ended, started_ms=started), "1"), now_ms=NOW + 10)
        assert found.attempt is not None
        assert NOW <= (found.attempt.started_ms or NOW) <= found.attempt.ended_ms <= NOW + 10


STATUSES = st.sampled_from(JobStatus)
CLASSES = st.sampled_from(FailureClass)
MOMENTS = st.integers(NOW - 10**7, NOW + 10**7)
JITTERS = st.one_of(st.none(), st.floats(0, 1), st.sampled_from(["full", "equal"]))
RETRIES = st.one_of(
    st.builds(
        Retry,
        max_attempts=st.integers(1, 6),
        delay=st.floats(0, 1e8),
        factor=st.floats(0, 1000),
        max_delay=st.one_of(st.none(), st.floats(0, 1e8)),
        jitter=JITTERS,
    ),
    st.builds(Retry, max_attempts=st.integers(1, 6), delays=st.lists(st.floats(0, 1e8), min_size=1, max_size=4), jitter=JITTERS),
)
POLICIES = st.one_of(
    st.just(ONCE),
    st.just(BATCH),
    st.builds(lambda one, other: Policy([((TRANSIENT, FailureClass.UNKNOWN), one), (INFRASTRUCTURE, other)]), RETRIES, RETRIES),
)


@st.composite
def items(draw: st.DrawFn) -> Item:
    status = draw(STATUSES)
    waiting = status in WAITING
    generation = draw(st.integers(1, 3))
    attempt = draw(st.integers(1, 5))
    return an_item(
        status,
        due_ms=draw(st.one_of(MOMENTS, st.just(FAR_FUTURE_MS))),
        wait=draw(st.sampled_from(Wait)) if waiting else None,
        generation=generation,
        attempt=attempt,
        token=attempt + draw(st.integers(0, 5)),
        version=draw(st.integers(0, 100)),
        cancel_ms=None if waiting else draw(st.one_of(st.none(), MOMENTS)),
        deadline_ms=draw(st.one_of(st.none(), MOMENTS)),
        cutoff_ms=draw(st.one_of(st.none(), MOMENTS)),
        claimed_ms=draw(MOMENTS) if status is STARTED else None,
        charges=draw(st.sampled_from([(), (1, 0, 0), (2, 3, 1), (0, 5, 0)])),
        crashes=draw(st.integers(0, 3)),
        snoozes=draw(st.sampled_from([0, 5, MAX_SNOOZES])),
        keep_from=draw(st.integers(1, generation)),
        ended_ms=draw(MOMENTS) if status in TERMINAL else None,
    )


@st.composite
def events(draw: st.DrawFn, item: Item) -> Event:
    kind = draw(st.sampled_from(sorted(MOVES, key=lambda each: each.__name__)))
    event = event_for(kind, item)
    if isinstance(event, Failed):
        asked = draw(st.one_of(st.none(), st.floats()))
        flags = {name: draw(st.booleans()) for name in ("timed_out", "cutoff", "crashed")}
        return event._replace(failure_class=draw(CLASSES), retry_after_s=asked, **flags)
    if isinstance(event, Snoozed):
        return replace(event, delay_s=draw(st.floats(allow_nan=False)))
    if isinstance(event, OverwriteRequested):
        return replace(event, held=draw(st.booleans()))
    return event


@st.composite
def cases(draw: st.DrawFn) -> tuple[Item, Event, Policy, int, float]:
    item = draw(items())
    return item, draw(events(item)), draw(POLICIES), draw(MOMENTS), draw(st.floats(0, 1, exclude_max=True))


OPERATORS = (RetryRequested, OverwriteRequested)
ENDINGS = (Succeeded, Failed, Snoozed, Stopped, WorkerLost)


def is_well_formed(item: Item) -> bool:
    return (
        (item.status is STARTED) == (item.worker is not None) == (item.claimed_ms is not None)
        and (item.status in TERMINAL) == (item.ended_ms is not None)
        and (item.status in WAITING) == (item.wait is not None)
        and (item.cancel_ms is None or item.status not in WAITING)
        and 0 <= item.attempt <= item.token
        and 1 <= item.keep_from <= item.generation
        and abs(item.due_ms) < 2**62
    )


@given(cases())
@example((an_item(STARTED, charges=(0, 3, 0)), a_failure(an_item(STARTED)), BATCH, NOW, 0.999))
def test_every_decision_keeps_the_books(case: tuple[Item, Event, Policy, int, float]) -> None:
    item, event, policy, now_ms, fraction = case
    found = decide(item, event, policy, now_ms, fraction)
    if found is None:
        return
    after = found.after
    assert found.before == item
    assert after.status in MOVES[type(event)][item.status]
    assert is_well_formed(after)
    assert after.version == item.version + 1
    assert after.token == item.token + isinstance(event, Claimed)
    assert after.generation == item.generation + isinstance(event, OPERATORS)
    assert (found.attempt is not None) == isinstance(event, ENDINGS)
    if item.status in TERMINAL:
        assert isinstance(event, OPERATORS)
    if item.cancel_ms is not None and not isinstance(event, OPERATORS):
        assert after.status in TERMINAL


@given(cases())
def test_charges_grow_by_one_for_the_entry_of_the_class_and_by_nothing_else(case: tuple[Item, Event, Policy, int, float]) -> None:
    item, event, policy, now_ms, fraction = case
    found = decide(item, event, policy, now_ms, fraction)
    if found is None or isinstance(event, OPERATORS):
        return
    grown = sum(found.after.charges) - sum(item.charges)
    failure_class = event.failure_class if isinstance(event, Failed) else INFRASTRUCTURE
    failed = isinstance(event, (Failed, Stopped, WorkerLost)) and item.cancel_ms is None
    chargeable = failed and policy.find(failure_class) is not None and not policy.at_most_once
    assert grown == chargeable
    if chargeable:
        entry, retry = policy.find(failure_class) or (0, NEVER)
        assert found.attempt is not None
        assert (found.attempt.entry, found.attempt.charged) == (entry, found.after.charges[entry])
        assert found.after.status is FAILURE or found.after.charges[entry] < retry.max_attempts


@given(cases())
def test_a_wait_is_within_its_band_and_never_past_the_cutoff(case: tuple[Item, Event, Policy, int, float]) -> None:
    item, event, policy, now_ms, fraction = case
    found = decide(item, event, policy, now_ms, fraction)
    if found is None or found.attempt is None or found.attempt.delay_ms is None or not isinstance(event, Failed):
        return
    attempt, retry = found.attempt, (policy.find(event.failure_class) or (0, NEVER))[1]
    planned_ms = attempt.planned_ms or 0
    low = {"full": 0.0, "equal": 0.5}.get(str(retry.jitter), 1.0) * planned_ms
    high = (1 + retry.jitter if isinstance(retry.jitter, float) else 1.0) * planned_ms
    asked_ms = attempt.retry_after_ms or 0
    assert low - 1 <= attempt.delay_ms <= max(high, asked_ms) + 1
    assert planned_ms <= 10 * 366 * 86_400_000
    if found.after.status is RETRY:
        kept = not attempt.delay_ms and (event.crashed or event.interrupted or event.failure_class is INFRASTRUCTURE)
        assert found.after.due_ms >= (min(now_ms, item.due_ms) if kept else now_ms)
        assert item.cutoff_ms is None or found.after.due_ms < item.cutoff_ms


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True), RETRIES)
@example(10**6, 0.999, Retry(10**6, 300, 2))
@example(10**6, 0.0, Retry(10**6, 300, 1000, jitter="full"))
def test_the_millionth_failure_still_has_a_wait(failures: int, fraction: float, retry: Retry) -> None:
    policy = Policy({TRANSIENT: Retry(10**6, retry.delay, retry.factor, retry.max_delay, retry.jitter)})
    item = an_item(STARTED, charges=(failures - 2 if failures > 1 else 0,))
    found = moved(item, a_failure(item), policy, fraction=fraction)
    assert found.after.status is RETRY
    assert NOW <= found.after.due_ms < FAR_FUTURE_MS


@given(cases())
def test_the_same_decision_twice_is_the_same(case: tuple[Item, Event, Policy, int, float]) -> None:
    assert decide(*case) == decide(*case)


@given(cases())
def test_every_reason_can_be_said_in_words(case: tuple[Item, Event, Policy, int, float]) -> None:
    found = decide(*case)
    if found is not None:
        assert labels.REASONS[found.reason]
        assert labels.item_label(found.after, case[3])
