"""From the facts of a failure and their class to the event that an attempt has failed: the same wherever it ran."""

from __future__ import annotations

from mulligan.core.events import Failed, Run
from mulligan.core.failure import Classification, Failure, Kind
from mulligan.core.fingerprint import Fingerprint

MESSAGE_LENGTH = 5_000


def failed(run: Run, failure: Failure, judged: Classification, facts: str, cause: Fingerprint | None = None) -> Failed:
    """Return the event of a classified failure; `facts` is it as JSON, and `cause` its fingerprint, where they are kept."""
    return Failed(
        run=run,
        failure_class=judged.failure_class,
        rule=judged.rule,
        error_type=failure.error_type,
        error_message=failure.text[:MESSAGE_LENGTH],
        failure=facts,
        retry_after_s=judged.retry_after_s,
        timed_out=failure.kind in (Kind.TIMEOUT, Kind.HEARTBEAT, Kind.CUTOFF),
        cutoff=failure.kind is Kind.CUTOFF,
        crashed=failure.crashed,
        interrupted=failure.kind in (Kind.LOST, Kind.STOPPED),
        exit_code=failure.exit_code,
        signal=failure.signal,
        cause=cause,
    )
