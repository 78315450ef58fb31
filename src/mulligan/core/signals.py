"""What users' code raises to say what a failure is, or to ask for a wait; not errors of Mulligan itself."""

from __future__ import annotations

from mulligan.core.durations import Duration, seconds


class TransientError(Exception):
    """The failure will likely pass by itself."""


class RateLimited(Exception):
    """The other side asked for fewer requests; `retry_after` says how long to wait at least."""

    def __init__(self, *args: object, retry_after: Duration | None = None) -> None:
        super().__init__(*args)
        self.retry_after: float | None = None if retry_after is None else seconds(retry_after, "retry_after")


class InfrastructureError(Exception):
    """The machine or platform under the task failed, not the task."""


class PermanentError(Exception):
    """Trying again cannot help."""


class Snooze(Exception):
    """Run this work item again after `delay`, without charging an attempt."""

    def __init__(self, delay: Duration) -> None:
        self.delay: float = seconds(delay, "Snooze")
        super().__init__(f"snoozed for {self.delay:g} s")


class Stopped(BaseException):
    """The attempt was asked to stop; raised by the first call on `ctx` after that. `cause` says why."""

    def __init__(self, cause: str) -> None:
        self.cause = cause
        super().__init__(f"stopped: {cause}")
