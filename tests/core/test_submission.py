"""What may be a run id, how long an attempt may take, and what its failure is recorded as."""

from __future__ import annotations

import pytest

from mulligan.core.attempt import AttemptInfo, time_limit
from mulligan.core.events import Failed, Run
from mulligan.core.failure import Classification, ErrorFacts, Failure, Kind
from mulligan.core.job import FailureClass
from mulligan.core.judged import MESSAGE_LENGTH, failed
from mulligan.core.submission import is_run_id


@pytest.mark.parametrize("text", ["a", "7", "daily-2026-11-01", "Żółw 7", "...", ".a", "a" * 200])
def test_a_printable_text_of_one_to_two_hundred_characters_may_be_a_run_id(text: str) -> None:
    assert is_run_id(text) is True


@pytest.mark.parametrize("text", ["", "a" * 201, "a/b", "/", "a\nb", "a\x00", "\u2028", ".", ".."])
def test_what_cannot_be_a_folder_s_name_or_cannot_be_read_may_not(text: str) -> None:
    assert is_run_id(text) is False


@pytest.mark.parametrize(
    ("timeout_s", "cutoff_ms", "limit"),
    [
        (None, None, (None, False)),
        (5.0, None, (5.0, False)),
        (None, 11_500, (1.5, True)),
        (5.0, 11_500, (1.5, True)),
        (1.0, 11_500, (1.0, False)),
        (1.5, 11_500, (1.5, False)),
        (5.0, 9_000, (0.0, True)),
        (None, 10_500, (0.5, True)),
    ],
)
def test_an_attempt_may_take_its_timeout_or_what_is_left_until_the_cutoff(
    timeout_s: float | None, cutoff_ms: int | None, limit: tuple[float | None, bool]
) -> None:
    assert time_limit(timeout_s, cutoff_ms, now_ms=10_000) == limit


def test_an_attempt_of_what_is_no_workflow_is_told_of_no_call_and_no_generation_to_go_on_from() -> None:
    told = AttemptInfo("f", "r", "k", 0, 1, 1, None, None, ())
    assert (told.keep_from, told.path, told.round, told.calls) == (1, "", 0, ())


RUN = Run(token=3, worker=4, ended_ms=50, started_ms=10, rows=7, pid=99)
JUDGED = Classification(FailureClass.RATE_LIMITED, "http.429", "it said 429", 2.5)


def test_a_classified_failure_is_recorded_with_all_that_is_known_of_it() -> None:
    failure = Failure(Kind.EXCEPTION, (ErrorFacts(("flow.TooMany", "builtins.Exception"), "slow down"),))
    assert failed(RUN, failure, JUDGED, '{"kind": "exception"}') == Failed(
        run=RUN,
        failure_class=FailureClass.RATE_LIMITED,
        rule="http.429",
        error_type="flow.TooMany",
        error_message="slow down",
        failure='{"kind": "exception"}',
        retry_after_s=2.5,
    )


@pytest.mark.parametrize("kind", list(Kind))
def test_how_an_attempt_ended_is_recorded_beside_its_class(kind: Kind) -> None:
    event = failed(RUN, Failure(kind), JUDGED, "")
    assert event.timed_out is (kind in (Kind.TIMEOUT, Kind.HEARTBEAT, Kind.CUTOFF))
    assert event.cutoff is (kind is Kind.CUTOFF)
    assert event.interrupted is (kind in (Kind.LOST, Kind.STOPPED))
    assert event.crashed is False


def test_a_process_that_died_is_recorded_with_its_exit_code_and_signal() -> None:
    by_signal = failed(RUN, Failure(Kind.SIGNAL, signal=9, crashed=True), JUDGED, "")
    by_code = failed(RUN, Failure(Kind.EXIT, exit_code=3), JUDGED, "")
    assert (by_signal.signal, by_signal.exit_code, by_signal.crashed) == (9, None, True)
    assert (by_code.signal, by_code.exit_code, by_code.crashed) == (None, 3, False)


def test_a_long_message_is_cut_and_its_beginning_kept() -> None:
    event = failed(RUN, Failure(Kind.EXCEPTION, message="a" * MESSAGE_LENGTH + "b"), JUDGED, "")
    assert event.error_message == "a" * MESSAGE_LENGTH
