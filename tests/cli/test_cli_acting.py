"""What operators do from the command line."""

from __future__ import annotations

import pytest
from cli_harness import ADDED, FEATURES, FLAKY, LOUD, TWICE, Run

FAILED = f"{FEATURES}-4"


def status(either: Run, id: str) -> str:
    found: str = either("show", id, "--json").data["status"]
    return found


def test_retry_of_a_job_recovers_its_failed_items_and_says_what_to_look_at(either: Run) -> None:
    done = either("retry", FEATURES)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("2 work items recovered (left alone: 58 SUCCESS).")
    assert f"mulligan show {FEATURES}" in done.out
    assert status(either, FAILED) == "PENDING"
    assert either("show", FAILED, "--json").data["reason"] == "recovered"


def test_retry_of_items_restarts_only_those(either: Run) -> None:
    done = either("retry", FAILED, f"{LOUD}-0", "--type", "restart", "--json")
    assert done.code == 0
    assert (done.data["total"], done.data["by_id"]) == (2, {FAILED: 1, f"{LOUD}-0": 1})
    assert either("show", FAILED, "--json").data["reason"] == "restarted"
    assert status(either, f"{FEATURES}-37") == "FAILURE"


@pytest.mark.parametrize(
    ("filters", "total"),
    [
        (["--job", FEATURES], 2),
        (["--task", "features", "--class", "permanent"], 2),
        (["--error", "missing on 2024-02-07"], 1),
        (["--status", "FAILURE"], 3),
        (["--run-id", "early-2024"], 2),
        (["--class", "TIMEOUT"], 0),
        (["--job", ADDED], 0),
    ],
)
def test_retry_of_all_that_match_a_filter(either: Run, filters: list[str], total: int) -> None:
    done = either("retry", *filters, "--json")
    assert (done.data["total"], done.code) == (total, 0 if total else 1)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(either: Run) -> None:
    audited = either("audit", "--json").data
    done = either("retry", FEATURES, "--dry-run")
    assert done.code == 0
    assert "2 work items would be recovered" in done.out
    assert f"recover {FAILED}" in done.out
    assert status(either, FAILED) == "FAILURE"
    assert either("audit", "--json").data == audited


def test_a_retry_that_starts_nothing_ends_with_one_and_says_what_it_found(either: Run) -> None:
    done = either("retry", ADDED)
    assert (done.code, done.out) == (1, "Nothing to retry: 1 SUCCESS.\n")


def test_when_one_of_several_cannot_be_retried_the_others_are_and_the_code_is_one(either: Run) -> None:
    done = either("retry", FAILED, f"{ADDED}-0")
    assert done.code == 1
    assert f"left as it is: {ADDED}-0" in done.err
    assert status(either, FAILED) == "PENDING"


def test_when_one_of_several_does_not_exist_nothing_is_done(either: Run) -> None:
    done = either("retry", FAILED, "2-999")
    assert (done.code, done.out) == (1, "")
    assert "there is no work item 2-999" in done.err
    assert status(either, FAILED) == "FAILURE"


def test_retry_now_makes_a_waiting_item_due(either: Run) -> None:
    before = either("show", f"{FLAKY}-0", "--json").data
    assert either("retry", FLAKY, "--now").code == 0
    after = either("show", f"{FLAKY}-0", "--json").data
    assert after["due_at"] < before["due_at"]
    assert after["generation"] == before["generation"]
    assert either("retry", ADDED, "--now").code == 1


def test_cancel_ends_what_waits(either: Run) -> None:
    done = either("cancel", FLAKY, "--reason", "nobody needs it")
    assert done.code == 0
    assert status(either, FLAKY) == "REVOKED"
    again = either("cancel", FLAKY)
    assert again.code == 1
    assert again.out.startswith("Nothing to cancel: 1 ended already")


def test_cancel_by_filter_takes_only_what_has_not_ended(either: Run) -> None:
    assert either("cancel", "--task", "flaky", "--json").data["total"] == 1
    assert either("cancel", "--task", "features").code == 1
    assert status(either, FEATURES) == "FAILURE"


def test_overwrite_that_is_not_safe_is_refused_with_the_evidence_and_how_to_go_on(either: Run) -> None:
    refused = either("overwrite", f"{FEATURES}-58")
    assert (refused.code, refused.out) == (1, "")
    assert f"{FEATURES}-58: overwriting it is UNSAFE" in refused.err
    assert "wrote 3 rows" in refused.err
    assert "--accept-risk" in refused.err
    assert "accept_risk=" not in refused.err
    assert refused.err.splitlines()[-1].endswith("(overwrite_unsafe)")
    assert status(either, f"{FEATURES}-58") == "SUCCESS"
    assert either("audit", "--json").data[0]["action"] == "overwrite refused"


def test_overwrite_starts_nothing_when_one_of_several_is_not_safe(either: Run) -> None:
    assert either("overwrite", FEATURES, f"{ADDED}-0").code == 1
    assert (status(either, FEATURES), status(either, f"{ADDED}-0")) == ("FAILURE", "SUCCESS")


def test_overwrite_with_the_risk_accepted_takes_the_windows_of_a_range(either: Run) -> None:
    done = either("overwrite", FEATURES, "--start", "2024-02-01", "--end", "2024-02-04", "--accept-risk", "--json")
    assert (done.code, done.data["total"]) == (0, 3)
    assert set(done.data["unsafe"]) == {f"{FEATURES}-{number}" for number in (31, 32, 33)}
    assert [status(either, f"{FEATURES}-{number}") for number in (30, 31, 33, 34)] == [
        "SUCCESS",
        "PENDING",
        "PENDING",
        "SUCCESS",
    ]


def test_overwrite_forward_takes_the_later_windows_too(either: Run) -> None:
    done = either("overwrite", f"{FEATURES}-57", "--accept-risk", "--forward", "--json")
    assert done.data["total"] >= 1
    assert status(either, f"{FEATURES}-57") == "PENDING"


def test_a_refused_overwrite_counts_all_that_is_not_safe_and_shows_the_first(either: Run) -> None:
    refused = either("overwrite", FEATURES)
    assert refused.code == 1
    assert refused.err.count("is UNSAFE") == 20
    assert "and 38 more that are not known to be safe" in refused.err
    assert "not known to be safe for 58 work items" in refused.err


def test_overwrite_dry_run_shows_the_verdicts_and_starts_nothing(either: Run) -> None:
    done = either("overwrite", f"{FEATURES}-58", "--dry-run")
    assert done.code == 0
    assert "1 work item would be started again." in done.out
    assert "UNSAFE" in done.err
    assert status(either, f"{FEATURES}-58") == "SUCCESS"


def test_overwrite_of_a_failed_item_ends_with_one(either: Run) -> None:
    done = either("overwrite", FAILED)
    assert (done.code, done.out) == (1, "Nothing to overwrite: 1 FAILURE.\n")


def test_pause_and_resume_say_whether_that_changed_anything(either: Run) -> None:
    assert "is paused." in either("pause", "features").out
    again = either("pause", "features")
    assert (again.code, "it was before" in again.out) == (0, True)
    assert either("resume", "features", "--json").data == [{"task": "features", "paused": False, "changed": True}]
    assert "was not before" in either("resume", "features").out


def test_a_paused_task_is_what_its_items_wait_for(either: Run) -> None:
    either("pause", "add")
    either("submit", "add", "a=5")
    assert "paused" in either("jobs", "--task", "add").out


def test_pause_of_an_unknown_task_pauses_none(either: Run) -> None:
    refused = either("pause", "features", "unheard-of")
    assert refused.code == 1
    assert "no task 'unheard-of'" in refused.err
    assert either("resume", "features", "--json").data[0]["changed"] is False


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["retry"], "give ids, or filters"),
        (["cancel"], "give ids, or filters"),
        (["overwrite"], "Missing argument"),
        (["retry", TWICE, "--task", "twice"], "not both"),
        (["retry", "--type", "again", TWICE], "again"),
        (["retry", "--job", "x"], "jobs are like 12"),
        (["retry", "--class", "SAD"], "SAD"),
        (["overwrite", f"{FEATURES}-1", "--start", "2024-01-01"], "choose windows of a job"),
        (["overwrite", FEATURES, "--sart", "2024-01-01"], "--sart"),
        (["overwrite", FEATURES, "--start", "soon"], "'soon' is not a date or time"),
        (["overwrite", FEATURES, "--start", "2024-02-02", "--end", "2024-02-01"], "before it has begun"),
    ],
)
def test_a_call_that_makes_no_sense_is_a_usage_error(either: Run, command: list[str], said: str) -> None:
    refused = either(*command)
    assert (refused.code, refused.out) == (2, "")
    assert said in refused.err


def test_retry_by_a_job_that_does_not_exist_is_not_found(either: Run) -> None:
    refused = either("retry", "--job", "999")
    assert refused.code == 1
    assert "there is no job 999" in refused.err
