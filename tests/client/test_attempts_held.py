"""An attempt as users hold it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mulligan.core.job import FailureClass, Outcome, Reason
from mulligan.gateway.interface import Attempt

CLAIMED = datetime(2024, 3, 7, tzinfo=UTC)
ONE = Attempt(
    generation=1,
    number=1,
    outcome=Outcome.LOST,
    failure_class=FailureClass.INFRASTRUCTURE,
    rule=None,
    error_type=None,
    error_message=None,
    decision=Reason.WILL_RETRY,
    claimed_at=CLAIMED,
    started_at=None,
    ended_at=CLAIMED + timedelta(seconds=4),
    charged=True,
    delay_s=0.0,
    cause=None,
    rows=None,
    exit_code=None,
    signal=None,
)


def test_what_ran_when_its_worker_was_killed_had_run_since_it_was_claimed() -> None:
    assert ONE.began_at == CLAIMED
    started = CLAIMED + timedelta(seconds=1)
    assert replace(ONE, started_at=started).began_at == started
