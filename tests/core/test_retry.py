"""Policies in every form, and the waits they amount to."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mulligan.core.definition import policy_of_values, policy_values
from mulligan.core.errors import PolicyError
from mulligan.core.job import FailureClass
from mulligan.core.retry import BATCH, MAX_ATTEMPTS, MAX_LISTED, NEVER, Policy, Retry, describe

TRANSIENT, RATE_LIMITED, INFRASTRUCTURE = FailureClass.TRANSIENT, FailureClass.RATE_LIMITED, FailureClass.INFRASTRUCTURE
TIMEOUT, PERMANENT, UNKNOWN = FailureClass.TIMEOUT, FailureClass.PERMANENT, FailureClass.UNKNOWN
RETRIED = (TRANSIENT, RATE_LIMITED, INFRASTRUCTURE, TIMEOUT, UNKNOWN)


def test_without_retries_a_task_runs_at_most_once() -> None:
    assert Policy.of(None).at_most_once
    assert Policy.of(0).at_most_once
    assert Policy({TRANSIENT: NEVER}).at_most_once
    assert not Policy.of(1).at_most_once


@pytest.mark.parametrize(
    ("form", "waits"),
    [
        (2, [0, 0]),
        ((2, 300), [300, 300]),
        ((5, 300, 600), [300, 375, 450, 525, 600]),
        ((1, 300, 600), [300]),
        ((2, "5m"), [300, 300]),
        ((3, timedelta(minutes=1), "2m"), [60, 90, 120]),
        (Retry(max_attempts=5, delay=1, factor=2, max_delay=20), [1, 2, 4, 8]),
        (Retry(max_attempts=7, delay=1, factor=2, max_delay=20), [1, 2, 4, 8, 16, 20]),
        (Retry(max_attempts=4, delays=[1, "10s"]), [1, 10, 10]),
        (Retry.linear(3, 10, 20), [10, 15, 20]),
    ],
)
def test_each_form_lists_its_waits(form: Any, waits: list[float]) -> None:
    policy = Policy.of(form)
    assert [policy.delays(each) for each in RETRIED] == [waits] * 5
    assert policy.delays(PERMANENT) == []


def test_growing_evenly_puts_attempts_where_the_requirement_says_to_the_second() -> None:
    waits = Policy.of((5, 300, 600)).delays(TRANSIENT)
    assert list(accumulate(waits, initial=0)) == [0, 300, 675, 1125, 1650, 2250]


@pytest.mark.parametrize("form", [2, (2, 300), (5, 300, 600)])
def test_short_forms_have_no_jitter_and_one_budget_for_all(form: Any) -> None:
    policy = Policy.of(form)
    found = {policy.find(each) for each in RETRIED}
    assert len(found) == 1
    place, retry = found.pop() or (9, NEVER)
    assert place == 0
    assert retry.spread_s(300, 0.99) == 300
    assert policy.find(PERMANENT) is None


def test_batch_is_what_materialization_asks_for() -> None:
    lost, others = BATCH.find(INFRASTRUCTURE), BATCH.find(TRANSIENT)
    assert lost is not None
    assert others is not None
    assert (lost[1].max_attempts, BATCH.delays(INFRASTRUCTURE)[:3]) == (100, [0, 0, 0])
    assert others[1].max_attempts == 10
    assert BATCH.delays(TRANSIENT) == [300, 600, 1200, 2400, 4800, 9600, 19200, 21600, 21600]
    assert {BATCH.find(each) for each in (TRANSIENT, RATE_LIMITED, TIMEOUT, UNKNOWN)} == {others}
    assert BATCH.delays(PERMANENT) == []


@pytest.mark.parametrize(
    ("jitter", "low", "high"), [(None, 100, 100), (0.25, 100, 125), (0.0, 100, 100), ("full", 0, 100), ("equal", 50, 100)]
)
def test_jitter_keeps_to_its_band(jitter: Any, low: float, high: float) -> None:
    retry = Retry(jitter=jitter)
    assert retry.spread_s(100, 0.0) == low
    assert retry.spread_s(100, 0.999999) == pytest.approx(high, rel=1e-4)


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1))
def test_jitter_never_shortens_a_wait_unless_asked_to(fraction: float, jitter: float) -> None:
    assert 60 <= Retry(jitter=jitter).spread_s(60, fraction) <= 60 * (1 + jitter)


def test_waits_grow_without_bound_only_up_to_ten_years() -> None:
    assert Retry(MAX_ATTEMPTS, 300, 2).planned_s(MAX_ATTEMPTS) == 10 * 366 * 86400
    assert Retry(MAX_ATTEMPTS, 300, 2, max_delay="6h").planned_s(MAX_ATTEMPTS) == 21600
    assert Retry(MAX_ATTEMPTS, 300, 0.5).planned_s(MAX_ATTEMPTS) == 0
    assert Retry(MAX_ATTEMPTS, 0, 1000).planned_s(MAX_ATTEMPTS) == 0
    assert len(Retry(MAX_ATTEMPTS).delays()) == 1000


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Policy([(TRANSIENT, Retry()), ((UNKNOWN, TRANSIENT), Retry())]), "TRANSIENT stands in two entries"),
        (lambda: Policy({(TRANSIENT, TRANSIENT): Retry()}), "TRANSIENT stands in two entries"),
        (lambda: Policy({(): Retry()}), "no failure class"),
        (lambda: Policy({"FLAKY": Retry()}), "expected failure classes"),
        (lambda: Policy({TRANSIENT: 3}), "expected a Retry or NEVER"),
        (lambda: Policy.of(True), "give the number of retries"),
        (lambda: Policy.of(-1), "cannot be negative"),
        (lambda: Policy.of((True, 5)), "at least 1"),
        (lambda: Policy.of((0, 5)), "at least 1"),
        (lambda: Policy.of((-2, 5, 9)), "at least 1"),
        (lambda: Policy.of((2, -1)), "zero or more"),
        (lambda: Policy.of((2, 5, "soon")), "not a duration"),
        (lambda: Policy.of((2, 5, 9, 9)), "give a number"),
        (lambda: Policy.of("twice"), "give a number"),
        (lambda: Policy.of(2.0), "give a number"),
        (lambda: Policy.of(10**9), "from 1 to 1,000,000"),
        (lambda: Policy.of((10**9, 1, 2)), "from 1 to 1,000"),
        (lambda: Retry(0), "max_attempts"),
        (lambda: Retry(MAX_ATTEMPTS + 1), "max_attempts"),
        (lambda: Retry(True), "max_attempts"),
        (lambda: Retry(2.5), "max_attempts"),
        (lambda: Retry(delay=-1), "delay"),
        (lambda: Retry(delay=True), "delay"),
        (lambda: Retry(delay="11y"), "delay"),
        (lambda: Retry(delay=10**400), "delay"),
        (lambda: Retry(delay=float("nan")), "delay"),
        (lambda: Retry(delay="4000d"), "longer than ten years"),
        (lambda: Retry(max_delay=-1), "max_delay"),
        (lambda: Retry(factor=-1), "factor"),
        (lambda: Retry(factor=True), "factor"),
        (lambda: Retry(factor=float("nan")), "factor"),
        (lambda: Retry(jitter=-0.1), "jitter"),
        (lambda: Retry(jitter=1.1), "jitter"),
        (lambda: Retry(jitter="half"), "jitter"),
        (lambda: Retry(jitter=True), "jitter"),
        (lambda: Retry(delays=[]), "delays"),
        (lambda: Retry(delays=[1, -1]), "delays"),
        (lambda: Retry(delays=[1] * MAX_LISTED), "delays"),
        (lambda: Retry(delay=1, delays=[1]), "not both"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_with_what_is_wrong(make: Callable[[], object], said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        make()


def test_policies_survive_being_stored() -> None:
    for policy in (BATCH, Policy.of(None), Policy.of((5, 300, 600)), Policy({TRANSIENT: Retry(3, "5m", jitter="full")})):
        assert policy_of_values(policy_values(policy)) == policy


def test_policies_with_equal_entries_are_equal() -> None:
    assert Policy.of((2, 300)) == Policy.of((2, "5m"))
    assert Policy.of(2) != Policy.of(3)
    assert len({Policy.of(2), Policy.of(2)}) == 1


def test_a_retry_is_said_in_one_line() -> None:
    assert describe(NEVER) == "never retried"
    assert "3 failures" in describe(Retry(3, 300))
    assert "5 min" in describe(Retry(3, 300))
    assert describe(Retry(10, 1, 2)).endswith("…")


class Unsayable:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


PAIRS = "expected a mapping such as {TRANSIENT: Retry(5), PERMANENT: NEVER}, not "


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Retry(0), "max_attempts: expected a whole number from 1 to 1,000,000, not 0"),
        (lambda: Retry(delays="5m"), "delays: expected a list of 1 to 1,000 waits such as [10, '5m'], not '5m'"),
        (lambda: Retry(delays=[1, -1]), "delays: -1 is not a duration of zero or more"),
        (lambda: Retry(delay=-1), "delay: -1 is not a duration of zero or more"),
        (lambda: Retry(max_delay=-1), "max_delay: -1 is not a duration of zero or more"),
        (lambda: Retry(delay=1, delays=[1]), "give either delay or delays, not both"),
        (lambda: Retry(factor=1001), "factor: expected a number from 0 to 1000, not 1001"),
        (lambda: Retry(jitter=2), "jitter: expected a share from 0 to 1, 'full', 'equal' or None, not 2"),
        (lambda: Retry.linear("2", 1, 2), "linear: expected a number of retries from 1 to 1,000, not '2'"),
        (lambda: Retry.linear(True, 1, 2), "linear: expected a number of retries from 1 to 1,000, not True"),
        (lambda: Retry.linear(0, 1, 2), "linear: expected a number of retries from 1 to 1,000, not 0"),
        (lambda: Retry.linear(MAX_LISTED, 1, 2), "linear: expected a number of retries from 1 to 1,000, not 1001"),
        (lambda: Retry.linear(2, -1, 2), "first: -1 is not a duration of zero or more"),
        (lambda: Retry.linear(2, 1, -2), "last: -2 is not a duration of zero or more"),
        (lambda: Policy(7), PAIRS + "7"),
        (lambda: Policy([TRANSIENT]), PAIRS + "[<FailureClass.TRANSIENT: 'TRANSIENT'>]"),
        (lambda: Policy(["ab"]), PAIRS + "['ab']"),
        (lambda: Policy([(TRANSIENT,)]), PAIRS + "[(<FailureClass.TRANSIENT: 'TRANSIENT'>,)]"),
        (lambda: Policy({(): Retry()}), "an entry of the policy has no failure class: name at least one"),
        (
            lambda: Policy({"FLAKY": Retry()}),
            "'FLAKY': expected failure classes (TRANSIENT, RATE_LIMITED, INFRASTRUCTURE, TIMEOUT, PERMANENT, UNKNOWN)",
        ),
        (lambda: Policy({TRANSIENT: 5}), "5: expected a Retry or NEVER"),
    ],
)
def test_a_refusal_names_what_was_given_and_what_is_expected(make: Callable[[], object], said: str) -> None:
    with pytest.raises(PolicyError, match=f"^{re.escape(said)}$"):
        make()


@pytest.mark.parametrize(("value", "kind"), [(Unsayable(), "Unsayable"), (10**5000, "int")], ids=["broken", "huge"])
def test_what_cannot_be_shown_is_named_by_its_type(value: object, kind: str) -> None:
    with pytest.raises(PolicyError, match=rf"^<{kind}\b.*: expected a Retry or NEVER$"):
        Policy({TRANSIENT: value})  # type: ignore[dict-item]


def test_what_is_just_allowed_is_taken() -> None:
    assert Retry().max_attempts == 3
    assert Retry(factor=1000).factor == 1000
    assert Retry(jitter=1).spread_s(60, 0.5) == 90
    assert len(Retry.linear(MAX_LISTED - 1, 0, 1).delays()) == MAX_LISTED - 1
    assert Retry.linear(1, 5, 9).delays() == [5]
    assert Retry.linear(2, 5, 9).delays() == [5, 9]


def test_where_a_wait_outgrows_all_numbers_it_is_ten_years_and_where_it_shrinks_none() -> None:
    assert Retry(MAX_ATTEMPTS, 1, 1000).planned_s(MAX_ATTEMPTS) == 10 * 366 * 86400
    assert Retry(MAX_ATTEMPTS, 1, 1).planned_s(MAX_ATTEMPTS) == 1
    assert Retry(MAX_ATTEMPTS, 1, 0).planned_s(1) == 1
    assert Retry(MAX_ATTEMPTS, 1, 0).planned_s(2) == 0


def test_a_policy_or_a_retry_is_taken_as_it_is() -> None:
    policy, retry = Policy({TRANSIENT: Retry(5)}), Retry(7, 1)
    assert Policy.of(policy) is policy
    assert Policy.of(retry).find(UNKNOWN) == (0, retry)
