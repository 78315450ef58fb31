"""What running something again would do."""

from __future__ import annotations

import pytest

from mulligan.core.failure import FailureClass
from mulligan.core.recovery import Verdict, judge_overwrite, recover_warnings
from mulligan.core.retry import Policy
from mulligan.testing.factories import a_definition

SAFE, UNKNOWN, UNSAFE = Verdict.SAFE, Verdict.UNKNOWN, Verdict.UNSAFE


@pytest.mark.parametrize(
    ("offline", "online", "rows", "verdict"),
    [
        (True, False, [10], SAFE),
        (True, False, [None], SAFE),
        (True, True, [10], UNSAFE),
        (None, True, [10], UNSAFE),
        (True, True, [None, 3], UNSAFE),
        (True, True, [0], SAFE),
        (None, None, [0, 0], SAFE),
        (True, True, [0, None], UNKNOWN),
        (True, True, [None], UNKNOWN),
        (True, True, [], UNKNOWN),
        (None, None, [10], UNKNOWN),
        (None, None, [], UNKNOWN),
        (True, None, [10], UNKNOWN),
        (None, False, [10], UNKNOWN),
        (False, False, [10], UNKNOWN),
    ],
)
def test_the_verdict_follows_from_flags_and_rows(
    offline: bool | None, online: bool | None, rows: list[int | None], verdict: Verdict
) -> None:
    task = a_definition(offline=offline, online=online)
    judged = judge_overwrite(task, task, rows, [])
    assert judged.verdict is verdict
    assert len(judged.evidence) == 1


@pytest.mark.parametrize("swap", [False, True])
def test_of_the_flags_then_and_now_the_worse_holds(swap: bool) -> None:
    offline, online = a_definition(offline=True, online=False), a_definition(online=True)
    judged = judge_overwrite(*((online, offline) if swap else (offline, online)), [5], [])
    assert judged.verdict is UNSAFE
    assert any("the worse holds" in each for each in judged.evidence)


def test_later_windows_that_were_written_since_are_named() -> None:
    task = a_definition(online=True)
    judged = judge_overwrite(task, task, [5], [f"2024-03-0{n}" for n in range(1, 8)])
    assert judged.verdict is UNSAFE
    assert "2024-03-01" in judged.evidence[-1]
    assert "and 2 more" in judged.evidence[-1]
    assert "forward=True" in judged.evidence[-1]


def test_later_windows_do_not_matter_to_what_is_offline_only() -> None:
    task = a_definition(offline=True, online=False)
    assert judge_overwrite(task, task, [5], ["2024-03-02"]).evidence == judge_overwrite(task, task, [5], []).evidence


def test_recover_says_what_changed_since_the_checkpoints_were_saved() -> None:
    then = a_definition(retries=2, code_digest="a")
    assert recover_warnings([then], then) == ()
    assert recover_warnings([], a_definition(code_digest="b")) == ()
    changes = {
        "code": a_definition(retries=2, code_digest="b"),
        "parameters": a_definition(retries=2, code_digest="a", parameters='{"x": 1}'),
        "policy": a_definition(retries=3, code_digest="a"),
        "rules": a_definition(retries=2, code_digest="a", classify=(("builtins.OSError", FailureClass.PERMANENT),)),
    }
    for word, now in changes.items():
        said = recover_warnings([then], now)
        assert word in said[0]
        assert "restart" in said[-1]


def test_one_checkpoint_of_an_older_version_is_enough_for_a_warning() -> None:
    now = a_definition(code_digest="b", policy=Policy.of(2))
    assert recover_warnings([now, a_definition(code_digest="a", policy=Policy.of(2))], now)
