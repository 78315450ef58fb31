"""Definitions as JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mulligan.core.definition import Definition, definition_from_json, definition_to_json
from mulligan.core.job import FailureClass
from mulligan.core.retry import BATCH, Policy, Retry

FULL = Definition(
    name="flight_delays",
    module="flow",
    file="flow.py",
    policy=BATCH,
    timeout_s=900.0,
    total_timeout_s=172800.0,
    heartbeat_timeout_s=1.5,
    offline=True,
    online=False,
    idempotent=True,
    uses=("object-store", "warehouse"),
    classify=(("flow.SchemaChanged", FailureClass.PERMANENT), ("exit:3", FailureClass.TRANSIENT)),
    concurrency=4,
    priority=1,
    executor="async",
    memory_bytes=2_000_000_000,
    context="ctx",
    window="window",
    parameters='{"type": "object"}',
    code_digest="abc",
    runbook="https://example.org/runbook",
)


@pytest.mark.parametrize("definition", [FULL, Definition("f", "m", None)])
def test_a_definition_comes_back_the_same(definition: Definition) -> None:
    assert definition_from_json(definition_to_json(definition)) == definition


retries = st.builds(
    Retry,
    max_attempts=st.integers(1, 1000),
    delay=st.floats(0, 1000),
    factor=st.floats(0, 10),
    max_delay=st.none() | st.floats(0, 1e6),
    jitter=st.none() | st.sampled_from(["full", "equal"]) | st.floats(0, 1),
) | st.builds(Retry, delays=st.lists(st.floats(0, 1000), min_size=1, max_size=5), jitter=st.none())


@given(first=retries, second=retries)
def test_every_policy_comes_back_the_same(first: Retry, second: Retry) -> None:
    policy = Policy({FailureClass.TRANSIENT: first, (FailureClass.TIMEOUT, FailureClass.UNKNOWN): second})
    text = definition_to_json(Definition("f", "m", None, policy=policy))
    again = definition_from_json(text).policy
    assert again == policy
    assert again.delays(FailureClass.TIMEOUT) == policy.delays(FailureClass.TIMEOUT)


def test_equal_definitions_have_equal_json() -> None:
    assert definition_to_json(FULL) == definition_to_json(definition_from_json(definition_to_json(FULL)))
    assert json.loads(definition_to_json(FULL))["timeout_s"] == 900.0


def test_the_json_of_a_definition_has_its_fields_in_the_order_of_their_names() -> None:
    for fields in (json.loads(definition_to_json(FULL)), json.loads(definition_to_json(FULL))["policy"][0]):
        assert list(fields) == sorted(fields)
