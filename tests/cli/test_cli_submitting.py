"""Submitting from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_harness import ADDED, Run, checked, cli, working


def test_submit_says_the_job_and_what_to_look_at(mulligan: Run) -> None:
    done = mulligan("submit", "add", "a=4", "b=5", "--run-id", "mine")
    assert done.code == 0
    assert "Job 6 (add, run id mine): 1 work item" in done.out
    assert "mulligan show 6" in done.out
    assert mulligan("show", "6-0", "--json").data["args"] == {"a": 4, "b": 5}


def test_the_same_run_id_gives_the_same_job_and_other_input_is_refused(mulligan: Run) -> None:
    first = mulligan("submit", "add", "a=4", "--run-id", "mine", "--json").data["id"]
    assert mulligan("submit", "add", "a=4", "--run-id", "mine", "--json").data["id"] == first
    refused = mulligan("submit", "add", "a=5", "--run-id", "mine")
    assert refused.code == 1
    assert refused.err.endswith("(run_id_conflict)\n")


def test_options_of_a_submission_reach_the_job(mulligan: Run) -> None:
    asked = ["--delay", "2h", "--priority", "1", "--label", "team=ads", "--label", "why=a=b", "--total-timeout", "1d"]
    job = mulligan("submit", "add", "a=1", *asked, "--json").data
    assert job["labels"] == {"team": "ads", "why": "a=b"}
    assert "due in 120 minutes" in mulligan("show", f"{job['id']}-0").out


def test_a_start_in_the_past_and_an_end_to_wait_are_taken(mulligan: Run) -> None:
    assert mulligan("submit", "add", "a=1", "--start-at", "2024-03-07T06:00").code == 0
    assert mulligan("submit", "add", "a=1", "--expires", "2h").code == 0
    assert mulligan("submit", "add", "a=1", "--expires", "2099-01-01").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["add", "a"], 2, "expected KEY=JSON"),
        (["add", "a=1", "a=2"], 2, "given twice"),
        (["add", 'a={"b":'], 2, "begins like JSON"),
        (["add", "a=[NaN]"], 2, "NaN"),
        (["add", "a=1", "--priority", "9"], 2, "--priority"),
        (["add", "a=1", "--delay", "soon"], 2, "soon"),
        (["add", "a=1", "--start-at", "soon"], 2, "soon"),
        (["add", "a=1", "--label", "team"], 2, "team=ads"),
        (["add", "a=1", "--delay", "1h", "--start-at", "2099-01-01"], 2, "either delay or start_at"),
        (["add", "a=1", "--run-id", "a/b"], 2, "part of paths"),
        (["add", "a=1", "--total-timeout", "0"], 2, "longer than nothing"),
        (["features", "window=2024-06-02/2024-06-01"], 2, "must end after it starts"),
        (["add"], 1, "needs a"),
        (["add", "a=one"], 1, "expected integer"),
        (["add", "a=1", "c=1"], 1, "no parameter 'c'"),
        (["unheard-of"], 1, "no task 'unheard-of'"),
        (["features"], 2, "use backfill"),
    ],
)
def test_a_wrong_submission_is_refused_and_submits_nothing(mulligan: Run, arguments: list[str], code: int, said: str) -> None:
    refused = mulligan("submit", *arguments)
    assert (refused.code, refused.out) == (code, "")
    assert said in refused.err
    assert len(mulligan("jobs", "--json").data) == 5


def test_a_task_with_a_window_can_be_submitted_for_one(mulligan: Run) -> None:
    job = mulligan("submit", "features", "window=2024-06-01/2024-06-02", "--json").data
    assert mulligan("show", f"{job['id']}-0", "--json").data["window"]["end"] == "2024-06-02T00:00:00+00:00"


def test_a_backfill_takes_only_missing_windows_unless_told(mulligan: Run) -> None:
    missing = mulligan("backfill", "features", "2024-01-01", "2024-01-08", "--json").data
    assert missing["counts"]["total"] == 1
    whole = mulligan("backfill", "features", "2025-01-01", "2025-01-03", "--every", "6h", "--tz", "Europe/Zurich", "--json").data
    assert whole["counts"]["total"] == 8
    assert mulligan("show", f"{whole['id']}-0", "--json").data["window"]["start"] == "2025-01-01T00:00:00+01:00"


def test_a_backfill_of_all_windows_needs_the_risk_accepted(mulligan: Run) -> None:
    refused = mulligan("backfill", "features", "2024-02-28", "2024-03-01", "--only", "all")
    assert refused.code == 1
    assert refused.err.endswith("(overwrite_unsafe)\n")
    assert "--accept-risk" in refused.err
    all_of_them = ("backfill", "features", "2024-02-28", "2024-03-01", "--only", "all", "--accept-risk", "--json")
    accepted = mulligan(*all_of_them)
    assert accepted.data["counts"]["total"] == 2
    twice = mulligan(*all_of_them)
    assert twice.code == 1
    assert f"{accepted.data['id']}-0, which is PENDING" in twice.err
    assert "--only missing" in twice.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["features", "2024-01-02", "2024-01-01"], 2, "window_invalid"),
        (["features", "2024-01-01", "soon"], 2, "not a date or time"),
        (["features", "2024-01-01", "2024-01-03", "--every", "7h"], 2, "does not divide"),
        (["features", "2024-01-01", "2024-01-03", "--every", "often"], 2, "not a duration"),
        (["features", "2024-01-01", "2024-01-03", "--tz", "Mars/Olympus"], 2, "no known time zone"),
        (["features", "2024-01-01", "2024-01-03", "--arg", "good=[]"], 1, "no parameter 'good'"),
        (["features", "2024-01-01", "2024-01-03", "--only", "some"], 2, "some"),
        (["features", "2024-01-01", "2024-01-03", "--arg", "bad"], 2, "K=JSON"),
        (["features", "2024-01-01"], 2, "Missing argument"),
        (["add", "2024-01-01", "2024-01-03"], 1, "takes no Window"),
    ],
)
def test_a_wrong_backfill_is_refused(mulligan: Run, arguments: list[str], code: int, said: str) -> None:
    refused = mulligan("backfill", *arguments)
    assert (refused.code, refused.out) == (code, "")
    assert said in refused.err


def test_waiting_ends_with_one_when_the_job_failed_and_with_zero_when_it_succeeded(store: Path) -> None:
    with working(store):
        succeeded = cli(store, "submit", "add", "a=40", "--wait")
        failed = cli(store, "submit", "loud", "--wait", "--json")
    assert (succeeded.returncode, "Result: 42" in succeeded.stdout) == (0, True)
    assert failed.returncode == 1
    assert '"status": "FAILURE"' in failed.stdout


def test_waiting_without_a_worker_says_how_to_start_one(store: Path) -> None:
    import signal
    import subprocess
    import sys

    from cli_harness import environment

    command = [sys.executable, "-m", "mulligan.cli.main", "submit", "add", "a=1", "--wait"]
    pipe = subprocess.PIPE
    waiting = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment(store), cwd=store.parent)
    assert waiting.stderr is not None
    assert "no worker knows task 'add'" in waiting.stderr.readline()
    waiting.send_signal(signal.SIGINT)
    _, errors = waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert "Job 6 goes on without you: mulligan show 6" in errors
    assert "Traceback" not in errors


def test_recovering_a_job_runs_it_again(store: Path) -> None:
    with working(store):
        checked(store, "overwrite", f"{ADDED}-0", "--accept-risk")
        again = cli(store, "logs", f"{ADDED}-0", "--follow")
    assert again.stdout == "--- attempt 1 ---\nadding 1 and 2\n--- attempt 2 ---\nadding 1 and 2\n"
