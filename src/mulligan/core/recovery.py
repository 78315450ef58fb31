"""What running something again would do: whether overwriting is safe, and what a recover should know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mulligan.core.definition import Definition


class Verdict(StrEnum):
    """Whether running a successful item again can do harm; in rising order of concern."""

    SAFE = "SAFE"
    UNKNOWN = "UNKNOWN"
    UNSAFE = "UNSAFE"


CONCERN = {Verdict.SAFE: 0, Verdict.UNKNOWN: 1, Verdict.UNSAFE: 2}


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its evidence, in sentences for people."""

    verdict: Verdict
    evidence: tuple[str, ...]


def judge_overwrite(
    stored: Definition, declared: Definition, rows: Sequence[int | None], later_written: Sequence[str]
) -> Judgement:
    """Judge running a successful item again.

    `stored` is the task as it was when the item succeeded, `declared` as it is now: the worse of both holds. `rows` is
    what each attempt since the success before this one said it wrote, None where it said nothing; `later_written` names
    later windows of the same task that were written since.
    """
    then, why_then = _judge(stored, rows)
    now, why_now = _judge(declared, rows)
    worse, why = (now, why_now) if CONCERN[now] > CONCERN[then] else (then, why_then)
    evidence = [why]
    if then is not now:
        evidence.append(f"the task's flags changed since: then {then}, now {now}; the worse holds")
    if later_written and declared.online is not False:
        some = ", ".join(later_written[:5])
        more = f" and {len(later_written) - 5} more" if len(later_written) > 5 else ""
        evidence.append(
            f"later windows were written since ({some}{more}): online values would go back in time; "
            "forward=True runs them again too, in order"
        )
    return Judgement(worse, tuple(evidence))


def _judge(task: Definition, rows: Sequence[int | None]) -> tuple[Verdict, str]:
    if rows and all(count == 0 for count in rows):
        return Verdict.SAFE, "every attempt since the success before said that it wrote no rows"
    if task.offline and task.online is False:
        return Verdict.SAFE, "the task is offline only (offline=True, online=False)"
    written = sum(count or 0 for count in rows)
    if task.online and written:
        return Verdict.UNSAFE, f"the task writes to the online store (online=True) and wrote {written:,} rows"
    if task.online:
        return Verdict.UNKNOWN, "the task writes to the online store and did not say how many rows it wrote (ctx.output)"
    if task.online is None:
        return Verdict.UNKNOWN, "the task does not say where it writes (offline=, online=)"
    return Verdict.UNKNOWN, "the task does not say that it is offline only (offline=True, online=False)"


def recover_warnings(saved_with: Sequence[Definition], current: Definition) -> tuple[str, ...]:
    """Say what changed since the checkpoints that a recover would go on from were made."""
    found = []
    if any(each.code_digest != current.code_digest for each in saved_with):
        found.append("the task's code changed since its checkpoints were saved")
    if any(each.parameters != current.parameters for each in saved_with):
        found.append("the task's parameters changed since its checkpoints were saved")
    if any((each.policy, each.classify) != (current.policy, current.classify) for each in saved_with):
        found.append("the task's retry policy or rules changed since its checkpoints were saved")
    if found:
        found.append("if what was saved no longer fits, use restart")
    return tuple(found)
