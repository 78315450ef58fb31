"""What people read, word for word: warnings, verdicts, messages, durations, and the page of the life cycle."""

from __future__ import annotations

import re
from copy import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mulligan.core import labels
from mulligan.core.durations import words
from mulligan.core.errors import PolicyError, TaskCancelled, TaskFailed, WindowInvalid
from mulligan.core.job import FailureClass, ItemKey, JobStatus, Reason, Wait
from mulligan.core.lifecycle_table import lifecycle_table
from mulligan.core.recovery import Verdict, judge_overwrite, recover_warnings
from mulligan.core.retry import NEVER, Policy, Retry, describe
from mulligan.core.schedule import from_ms, instant_ms, windows
from mulligan.core.signals import RateLimited, Snooze, Stopped
from mulligan.testing.factories import a_definition

DOCS = Path(__file__).parents[2] / "docs"
NOW = 1_700_000_000_000


@pytest.mark.parametrize(
    ("flags", "rows", "verdict", "why"),
    [
        ((True, True), [0, 0], Verdict.SAFE, "every attempt since the success before said that it wrote no rows"),
        ((True, False), [3], Verdict.SAFE, "the task is offline only (offline=True, online=False)"),
        ((True, True), [1_000, 234], Verdict.UNSAFE, "the task writes to the online store (online=True) and wrote 1,234 rows"),
        (
            (True, True),
            [None],
            Verdict.UNKNOWN,
            "the task writes to the online store and did not say how many rows it wrote (ctx.output)",
        ),
        ((True, None), [3], Verdict.UNKNOWN, "the task does not say where it writes (offline=, online=)"),
        ((False, False), [3], Verdict.UNKNOWN, "the task does not say that it is offline only (offline=True, online=False)"),
    ],
)
def test_a_verdict_gives_its_evidence(flags: tuple[Any, Any], rows: list[int | None], verdict: Verdict, why: str) -> None:
    task = a_definition(offline=flags[0], online=flags[1])
    judged = judge_overwrite(task, task, rows, [])
    assert (judged.verdict, judged.evidence) == (verdict, (why,))


def test_where_flags_have_changed_the_worse_verdict_holds_and_is_said() -> None:
    safe, unsafe = a_definition(offline=True, online=False), a_definition(online=True)
    changed = "the task's flags changed since: then {}, now {}; the worse holds"
    wrote = "the task writes to the online store (online=True) and wrote 5 rows"
    assert judge_overwrite(safe, unsafe, [5], []).evidence == (wrote, changed.format("SAFE", "UNSAFE"))
    assert judge_overwrite(unsafe, safe, [5], []).evidence == (wrote, changed.format("UNSAFE", "SAFE"))
    one, other = a_definition(offline=True), a_definition(offline=False, online=False)
    assert judge_overwrite(one, other, [5], []).evidence == ("the task does not say where it writes (offline=, online=)",)


@pytest.mark.parametrize(("count", "named"), [(1, "w0"), (5, "w0, w1, w2, w3, w4"), (6, "w0, w1, w2, w3, w4 and 1 more")])
def test_later_windows_are_named_five_at_most(count: int, named: str) -> None:
    task = a_definition(offline=True, online=True)
    judged = judge_overwrite(task, task, [0], [f"w{n}" for n in range(count)])
    assert judged.verdict is Verdict.SAFE
    assert judged.evidence[1] == (
        f"later windows were written since ({named}): online values would go back in time; "
        "forward=True runs them again too, in order"
    )


def test_later_windows_make_what_was_written_unsure_where_values_go_online() -> None:
    offline = a_definition(offline=True, online=False)
    assert judge_overwrite(offline, offline, [5], ["w1"]).evidence == ("the task is offline only (offline=True, online=False)",)
    moved = a_definition(offline=True, online=None)
    assert judge_overwrite(offline, offline, [5], ["w1"]).verdict is Verdict.SAFE
    assert judge_overwrite(offline, moved, [0], ["w1"]).verdict is Verdict.SAFE
    assert judge_overwrite(offline, moved, [5], ["w1"]).verdict is Verdict.UNKNOWN


def test_what_changed_since_the_checkpoints_is_said() -> None:
    task = a_definition(code_digest="a", retries=1, parameters="{}")
    end = "if what was saved no longer fits, use restart"
    assert recover_warnings([task], task) == ()
    assert recover_warnings([a_definition(code_digest="b", retries=1)], task) == (
        "the task's code changed since its checkpoints were saved",
        end,
    )
    assert recover_warnings([a_definition(code_digest="a", retries=1, parameters='{"a": 1}')], task) == (
        "the task's parameters changed since its checkpoints were saved",
        end,
    )
    policy = "the task's retry policy or rules changed since its checkpoints were saved"
    assert recover_warnings([task, a_definition(code_digest="a", retries=2)], task) == (policy, end)
    ruled = a_definition(code_digest="a", retries=1, classify=(("ValueError", FailureClass.TRANSIENT),))
    assert recover_warnings([ruled], task) == (policy, end)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.0006, "1 ms"),
        (0.5, "500 ms"),
        (0.9994, "999 ms"),
        (1, "1 s"),
        (1.6, "1.6 s"),
        (9.94, "9.9 s"),
        (9.95, "10 s"),
        (10.4, "10 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3_600, "1 h"),
        (3_661, "1 h 1 min"),
        (86_400, "1 d"),
        (90_061, "1 d 1 h"),
        (172_800, "2 d"),
    ],
)
def test_durations_are_said_in_two_units(seconds: float, said: str) -> None:
    assert words(seconds) == said


def test_a_removed_job_says_when_by_the_day_in_utc() -> None:
    late = int(datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC).timestamp() * 1000)
    assert labels.removed(12, late) == "the details of job 12 were removed on 2026-03-01 by retention"
    assert labels.removed(12, late + 1_000) == "the details of job 12 were removed on 2026-03-02 by retention"


@pytest.mark.parametrize("reason", list(Reason))
def test_a_failure_is_said_by_its_error_where_that_is_the_reason(reason: Reason) -> None:
    by_error = reason in (Reason.WILL_RETRY, Reason.AT_MOST_ONCE, Reason.NOT_RETRIED, Reason.BUDGET_SPENT)
    said = labels.REASONS[reason]
    assert labels.failure_message(reason, "boom") == ("boom" if by_error else f"{said}; last error: boom")
    assert labels.failure_message(reason, None) == said


def test_a_job_that_retries_or_waits_says_what_for() -> None:
    def said(status: JobStatus, next_ms: int | None, waits_for: str | None = None, wait: Wait | None = None) -> str:
        return labels.job_label(status, False, next_ms, NOW, waits_for, wait)

    assert said(JobStatus.RETRY, NOW + 120_000, "no capable worker") == "Retrying (in 2 minutes)"
    assert said(JobStatus.RETRY, NOW, "no capable worker") == "Waiting (no capable worker)"
    assert said(JobStatus.RETRY, None, "no capable worker") == "Waiting (no capable worker)"
    assert said(JobStatus.PENDING, NOW, None, Wait.SCHEDULE) == "Pending"
    assert said(JobStatus.PENDING, NOW + 1, None, Wait.SCHEDULE).startswith("Waiting (scheduled, due in ")
    assert said(JobStatus.PENDING, None, "no capable worker", Wait.READY) == "Waiting (no capable worker)"


def test_what_tasks_raise_says_what_it_holds() -> None:
    limited = RateLimited("slow down", retry_after="2m")
    assert (limited.args, limited.retry_after) == (("slow down",), 120.0)
    assert RateLimited("x").retry_after is None
    with pytest.raises(Exception, match=r"^retry_after: "):
        RateLimited(retry_after=-1)
    snooze = Snooze("90s")
    assert (snooze.delay, str(snooze)) == (90.0, "snoozed for 90 s")
    with pytest.raises(Exception, match=r"^Snooze: "):
        Snooze(-1)
    stopped = Stopped("cancel")
    assert (stopped.cause, str(stopped)) == ("cancel", "stopped: cancel")


def test_a_failed_task_says_which_item_and_why() -> None:
    error = TaskFailed("12-3", "app.Boom", "TRANSIENT", "it broke")
    assert (error.item_id, error.error_type, error.failure_class, error.message) == ("12-3", "app.Boom", "TRANSIENT", "it broke")
    assert str(error) == "work item 12-3 failed (TRANSIENT): it broke"
    assert str(TaskFailed("12-3", None, None, "it broke")) == "work item 12-3 failed (no class): it broke"
    kind, values = error.__reduce__()
    assert vars(kind(*values)) == vars(error)


def test_a_cancelled_work_item_says_so_and_keeps_what_is_known_of_it_on_its_way_to_another_process() -> None:
    error = copy(TaskCancelled("12-3", "app.Boom", "TRANSIENT", "it broke"))
    assert (type(error), str(error)) == (TaskCancelled, "work item 12-3 was cancelled")
    assert (error.item_id, error.error_type, error.failure_class, error.message) == ("12-3", "app.Boom", "TRANSIENT", "it broke")


def test_the_key_of_a_work_item_is_read_as_it_is_written() -> None:
    assert ItemKey.of("12-3") == ItemKey(12, 3)
    assert str(ItemKey(12, 3)) == "12-3"


@pytest.mark.parametrize(
    ("retry", "said"),
    [
        (NEVER, "never retried"),
        (Retry(2, 5, jitter=None), "up to 2 failures, waits 5 s"),
        (Retry(4, 5, jitter=None), "up to 4 failures, waits 5 s, 5 s, 5 s"),
        (Retry(5, 5, jitter=None), "up to 5 failures, waits 5 s, 5 s, 5 s, …"),
        (Retry(6, 5, jitter=None), "up to 6 failures, waits 5 s, 5 s, 5 s, …"),
    ],
)
def test_a_retry_is_described_by_its_first_waits(retry: Retry, said: str) -> None:
    assert describe(retry) == said


def test_policies_compare_hash_and_print_by_their_entries() -> None:
    one, same, other = (Policy({("TRANSIENT", "TIMEOUT"): Retry(n)}) for n in (3, 3, 4))  # type: ignore[dict-item]  # plain words do
    assert one == same != other
    assert hash(one) == hash(same) != hash(other)
    assert repr(one) == f"Policy({{(TRANSIENT, TIMEOUT): {Retry(3)!r}}})"
    two = Policy({FailureClass.TRANSIENT: NEVER, FailureClass.TIMEOUT: NEVER})
    assert repr(two) == f"Policy({{(TRANSIENT): {NEVER!r}, (TIMEOUT): {NEVER!r}}})"


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (True, "retries=True: give the number of retries"),
        (-1, "retries=-1: the number of retries cannot be negative"),
        ("x", "retries='x': give a number, (n, seconds), (n, first, last), a Retry or a Policy"),
        ((0, 5), "the number of retries must be at least 1 where waits are given, not 0"),
    ],
)
def test_a_wrong_form_of_retries_is_named(form: Any, said: str) -> None:
    with pytest.raises(PolicyError, match=f"^{re.escape(said)}$"):
        Policy.of(form)


def test_no_retries_are_no_entries() -> None:
    assert Policy.of(0).entries == Policy.of(None).entries == ()
    assert Policy.of(1).entries[0][1].max_attempts == 2
    assert Policy.of(1).entries[0][1].jitter is None


def test_moments_keep_their_milliseconds() -> None:
    assert from_ms(1_700_000_000_123).isoformat() == "2023-11-14T22:13:20.123000+00:00"
    assert from_ms(1_700_000_000_000).microsecond == 0
    assert from_ms(1_700_000_000_123, "Europe/Zurich").isoformat() == "2023-11-14T23:13:20.123000+01:00"
    assert instant_ms("2023-11-14T22:13:20.123") == 1_700_000_000_123
    assert instant_ms("2023-11-14T23:13:20", "Europe/Zurich") == 1_700_000_000_000
    with pytest.raises(WindowInvalid, match=r"^time: 'nonsense' is not a date"):
        instant_ms("nonsense")
    with pytest.raises(WindowInvalid, match=r"^start_at: 2023.* is finer than a millisecond"):
        instant_ms("2023-11-14T22:13:20.000001", name="start_at")


def test_a_step_that_does_not_fit_says_both_ends_that_would() -> None:
    said = (
        "every '6h' does not divide the range: 2:00:00 are left over after 4 windows; "
        "end at 2024-01-02T00:00:00+00:00 or 2024-01-02T06:00:00+00:00 instead"
    )
    with pytest.raises(WindowInvalid, match=f"^{re.escape(said)}$"):
        windows("2024-01-01", "2024-01-02T02:00", "6h")
    said = (
        "every '1d' does not divide the range: 2:00:00 are left over after 1 windows; "
        "end at 2024-03-31T00:00:00+01:00 or 2024-04-01T00:00:00+02:00 instead"
    )
    with pytest.raises(WindowInvalid, match=f"^{re.escape(said)}$"):
        windows("2024-03-30", "2024-03-31T02:00", "1d", "Europe/Zurich")


def test_the_page_of_the_life_cycle_is_what_the_table_says() -> None:
    assert lifecycle_table() == (DOCS / "lifecycle.md").read_text("utf-8")
