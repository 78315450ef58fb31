"""What must follow when an attempt ends, by a model that knows the tasks of the world, and nothing of how the product decides."""

from __future__ import annotations

from typing import Any, NamedTuple

from mulligan.core.job import Item, JobStatus, Reason
from mulligan.core.retry import Policy, Retry

POLICIES: dict[str, tuple[Any, ...]] = {
    "once": (None, None),
    "retried": (2, (3, 2)),
    "patient": (Retry(6, 0, jitter=None), Policy({"TRANSIENT": Retry(4, 1, 2, jitter=0.5), "INFRASTRUCTURE": Retry(9)})),
    "crowd": (1, (2, 4)),
    "flow": (None, 2),
    "flows": (2, (2, 1)),
}
"""What each task allows, in its first and its second version."""
FLOWS = ("flow", "flows")
"""The workflows; `flows` calls `flow`, too."""
PLAIN = tuple(each for each in POLICIES if each not in FLOWS)
LIMITS = {"patient": 2}
CROWD = "crowd"
"""The task whose attempts share one process."""
ANY = frozenset({"TRANSIENT", "RATE_LIMITED", "INFRASTRUCTURE", "TIMEOUT", "UNKNOWN"})
RETRY_AFTER_S = 3.0
CLASSES = {
    "transient": "TRANSIENT", "permanent": "PERMANENT", "limited": "RATE_LIMITED", "unknown": "UNKNOWN", "timeout": "TIMEOUT",
    "cutoff": "TIMEOUT", **{f"call {each}": each for each in (*ANY, "PERMANENT")},
}  # fmt: skip
"""How what an attempt did must be classified."""
ENDS = {
    "SUCCEEDED": ("Succeeded",), "FAILED": ("Failed",), "TIMED_OUT": ("Failed",), "SNOOZED": ("Snoozed",),
    "INTERRUPTED": ("Stopped",),
}  # fmt: skip
"""What the executor must have said of an attempt with each outcome; of others nobody need have heard."""
FAILURES = frozenset({"FAILED", "TIMED_OUT", "LOST", "INTERRUPTED"})
POISON = 3


class Budget(NamedTuple):
    """So many failures of these classes end an item; the waits before."""

    classes: frozenset[str]
    most: int
    waits_s: tuple[float, ...]
    jitter: float = 0.0


BUDGETS: dict[tuple[str, str], tuple[Budget, ...]] = {
    ("once", "0"): (),
    ("once", "1"): (),
    ("retried", "0"): (Budget(ANY, 3, (0, 0)),),
    ("retried", "1"): (Budget(ANY, 4, (2, 2, 2)),),
    ("patient", "0"): (Budget(ANY, 6, (0,) * 5),),
    ("patient", "1"): (
        Budget(frozenset({"TRANSIENT"}), 4, (1, 2, 4), 0.5),
        Budget(frozenset({"INFRASTRUCTURE"}), 9, (0,) * 8, 0.25),
    ),
    ("crowd", "0"): (Budget(ANY, 2, (0,)),),
    ("crowd", "1"): (Budget(ANY, 3, (4, 4)),),
    ("flow", "0"): (),
    ("flow", "1"): (Budget(ANY, 3, (0, 0)),),
    ("flows", "0"): (Budget(ANY, 3, (0, 0)),),
    ("flows", "1"): (Budget(ANY, 3, (1, 1)),),
}


class Ended(NamedTuple):
    """An attempt as it was recorded."""

    token: int
    generation: int
    attempt: int
    outcome: str
    reason: str
    failure_class: str | None
    ended_ms: int
    result: str | None


class Seen(NamedTuple):
    """How an attempt ended, as its executor reported it, and what it had done."""

    how: str
    what: str
    result: str | None


def wrong_record(ended: Ended, seen: Seen | None) -> str | None:
    """Say what is wrong with what was recorded of an attempt, after what was seen of it."""
    allowed = ENDS.get(ended.outcome)
    if allowed is not None and (seen is None or seen.how not in allowed):
        return f"is recorded as {ended.outcome}, and was seen to end as {seen.how if seen else 'nothing yet'}"
    if seen is None or allowed is None:
        return None
    if ended.outcome == "SUCCEEDED" and ended.result != seen.result:
        return f"is said to have returned {ended.result}, and returned {seen.result}"
    wanted = CLASSES.get(seen.what)
    if ended.outcome in FAILURES and wanted is not None and ended.failure_class != wanted:
        return f"failed as {seen.what}, which is {wanted}, and was taken for {ended.failure_class}"
    return None


def wrong_decision(
    version: tuple[str, str], past: list[Ended], whats: list[str], before: Item, after: Item, now_ms: int
) -> str | None:
    """Say what is wrong with what followed the last of a generation's recorded attempts, which failed.

    `whats` is what each attempt of the generation was seen to do; `now_ms` may be later than what the decision was made by.
    """
    last = past[-1]
    place = next((n for n, each in enumerate(BUDGETS[version]) if last.failure_class in each.classes), None)
    budget = None if place is None else BUDGETS[version][place]
    spent = sum(each.outcome in FAILURES and budget is not None and each.failure_class in budget.classes for each in past)
    must_end = budget is None or spent >= budget.most
    wait_s = 0.0 if budget is None or must_end else budget.waits_s[spent - 1]
    limited = RETRY_AFTER_S if whats[-1] == "limited" and last.outcome == "FAILED" else 0.0
    low, high = (max(wait_s * (1 + sign * (budget.jitter if budget else 0)), limited) for sign in (-1, 1))
    latest_ms = max(now_ms, before.claimed_ms or 0) + round(high * 1000) + 1
    if after.status is JobStatus.FAILURE:
        match last.reason:
            case Reason.CUTOFF:
                fair = after.cutoff_ms is not None and (whats[-1] == "cutoff" or latest_ms >= after.cutoff_ms)
                return None if fair else "was ended by a cutoff that was not near"
            case Reason.POISON:
                return None if whats.count("die") >= POISON else f"was ended as poison after {whats.count('die')} deaths"
        return None if must_end else f"was given up after {spent} failures of {last.failure_class} ({last.reason})"
    if must_end:
        return f"goes on after {spent} failures, the last one {last.failure_class}"
    if after.status is not JobStatus.RETRY:
        return None if low == 0 or after.status is not JobStatus.STARTED else "was claimed again without a wait"
    early = wait_s + limited > 0 and after.due_ms < last.ended_ms + int(low * 1000)
    if early or after.due_ms > latest_ms:
        return f"is due {(after.due_ms - last.ended_ms) / 1000:g} s after it ended, and should wait {low:g} to {high:g} s"
    return None
