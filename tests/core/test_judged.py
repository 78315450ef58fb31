"""The event of a failure that was judged."""

from __future__ import annotations

import pytest

from mulligan.core.events import Run
from mulligan.core.failure import Classification, ErrorFacts, Failure, Kind
from mulligan.core.fingerprint import fingerprint
from mulligan.core.job import FailureClass
from mulligan.core.judged import MESSAGE_LENGTH, failed

RUN = Run(3, 7, 1_000)
JUDGED = Classification(FailureClass.RATE_LIMITED, "http.429", "why", 2.5)


def test_it_has_what_was_judged_what_was_seen_and_what_it_counts_as() -> None:
    failure = Failure(Kind.EXCEPTION, (ErrorFacts(("acme.SlowDown", "Exception"), "slow " * 2_000),))
    event = failed(RUN, failure, JUDGED, "{}", fingerprint(failure))
    assert (event.run, event.failure_class, event.rule, event.retry_after_s) == (RUN, FailureClass.RATE_LIMITED, "http.429", 2.5)
    assert (event.error_type, event.error_message) == ("acme.SlowDown", failure.text[:MESSAGE_LENGTH])
    assert (event.failure, event.cause) == ("{}", fingerprint(failure))
    assert failed(RUN, failure, JUDGED, "{}").cause is None


@pytest.mark.parametrize("kind", Kind)
def test_of_what_happened_from_outside_it_says_what(kind: Kind) -> None:
    event = failed(RUN, Failure(kind), JUDGED, "{}")
    assert event.timed_out is (kind in (Kind.TIMEOUT, Kind.HEARTBEAT, Kind.CUTOFF))
    assert event.cutoff is (kind is Kind.CUTOFF)
    assert event.interrupted is (kind in (Kind.LOST, Kind.STOPPED))
    assert event.crashed is Failure(kind).crashed


def test_it_says_with_what_a_process_ended() -> None:
    assert failed(RUN, Failure(Kind.EXIT, exit_code=3), JUDGED, "{}").exit_code == 3
    assert failed(RUN, Failure(Kind.SIGNAL, signal=9), JUDGED, "{}").signal == 9
