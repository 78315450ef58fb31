"""A task under its policy with failures that were asked for: nothing waits, nothing is stored."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kit_tasks import SchemaChanged, asynchronous, clock, did, ingest, nightly, once, parent, snoozing, wrong

from mulligan import FailureClass, JobStatus
from mulligan.core.errors import ConfigError, TaskError
from mulligan.core.job import Reason
from mulligan.testing import VirtualClock, run


def test_attempts_and_waits_are_those_of_the_policy() -> None:
    done = run(ingest, "a.csv", fail="503*5")
    assert done.value() == 3
    assert done.waits == [300, 375, 450, 525, 600]
    assert [each.at_s for each in done.attempts] == [0, 300, 675, 1125, 1650, 2250]
    assert [each.failure_class for each in done.attempts] == [FailureClass.TRANSIENT] * 5 + [None]
    assert done.status is JobStatus.SUCCESS
    assert did.count("download a.csv") == 1


def test_the_function_runs_where_nothing_was_asked_for() -> None:
    done = run(ingest, "a.csv", fail=[None])
    assert (done.succeeded, done.result, done.rows, done.cursor) == (True, 3, 3, 3)
    assert done.steps == [("download", [1, 2, 3])]
    assert len(done.attempts) == 1


def test_failures_are_exceptions_classes_or_words() -> None:
    done = run(nightly, fail=[ConnectionResetError("no"), TimeoutError, "429+retry-after:4000", "SchemaChanged", None])
    assert [each.rule for each in done.attempts[2:]] == ["http.429", "task.classify:kit_tasks.SchemaChanged", None]
    assert done.waits == [300, 600, 4000, 2400]
    assert done.value() == "done"
    assert run(nightly, fail=[SchemaChanged("new column")]).succeeded


def test_what_a_policy_gives_up_on_is_the_error() -> None:
    error = PermissionError("no")
    done = run(ingest, "a.csv", fail=[error])
    assert done.error is error
    assert done.reason is Reason.NOT_RETRIED
    assert done.result is None
    with pytest.raises(PermissionError):
        done.value()
    assert isinstance(run(wrong).error, ValueError)
    assert len(run(wrong).attempts) == 2
    assert run(once, fail="lost").reason is Reason.OUTCOME_UNKNOWN


def test_a_timeout_takes_as_long_as_an_attempt_may() -> None:
    done = run(nightly, fail="timeout")
    assert [(each.took_s, each.wait_s) for each in done.attempts] == [(900, 300), (0, None)]


def test_time_that_the_function_lets_pass_counts() -> None:
    done = run(nightly, takes=901, clock=clock)
    assert {each.failure_class for each in done.attempts} == {FailureClass.TIMEOUT}
    assert done.reason is Reason.CUTOFF
    assert isinstance(done.error, TimeoutError)
    assert run(nightly, takes=899, clock=clock).attempts[0].took_s == 899


def test_a_snooze_passes_its_time() -> None:
    turned = VirtualClock()
    assert run(snoozing, clock=turned).waits == [600, 600]
    assert turned.monotonic() == 1200


def test_jitter_is_what_the_test_says() -> None:
    assert run(nightly, fail="503").waits == [300]
    assert run(nightly, fail="503", chance=0.5).waits == [337.5]


def test_an_asynchronous_task_runs_in_a_loop_of_its_own() -> None:
    assert run(asynchronous, "a", fail="503").value() == "A"

    async def inside() -> None:
        run(asynchronous, "a")

    with pytest.raises(ConfigError, match="plain test"):
        asyncio.run(inside())


def test_what_it_submits_is_kept_and_goes_nowhere() -> None:
    done = run(parent, 3)
    assert [each.definition.name for each in done.submitted] == ["once"]
    assert len(list(done.submitted[0].items)) == 3
    assert done.value() == done.submitted[0].options.run_id


@pytest.mark.parametrize("wrong_call", [{"fail": [3]}, {"fail": "nonsense"}, {"fail": [object]}, {"chance": 1}, {"chance": True}])
def test_what_makes_no_sense_is_refused(wrong_call: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        run(once, **wrong_call)
    with pytest.raises(TaskError, match="expected a task"):
        run(print)  # type: ignore[arg-type]
