"""What the command line shows of the whole store."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from cli_harness import ADDED, FEATURES, FLAKY, LOUD, TWICE, Run
from rich.cells import cell_len


def test_jobs_lists_every_job_newest_first_with_its_status_in_words(mulligan: Run) -> None:
    shown = mulligan("jobs")
    rows = [line.split()[0] for line in shown.out.splitlines()[1:6]]
    assert (shown.code, shown.err, rows) == (0, "", [TWICE, LOUD, FLAKY, FEATURES, ADDED])
    assert "Retrying (in" in shown.out.splitlines()[3] or "Waiting (no capable worker)" in shown.out.splitlines()[3]
    assert "60/60" in shown.out
    assert shown.out.rstrip().endswith(f"Next: mulligan show {TWICE}")


def test_jobs_as_json_has_stable_keys_and_counts(mulligan: Run) -> None:
    jobs = mulligan("jobs", "--json").data
    features = next(job for job in jobs if job["id"] == FEATURES)
    assert set(features) == {
        "id", "task", "run_id", "kind", "status", "label", "progress", "counts", "labels", "cancel_requested", "error_message",
        "created_at", "ended_at", "details_removed_at",
    }  # fmt: skip
    assert (features["status"], features["run_id"], features["labels"]) == ("FAILURE", "early-2024", {"team": "ads"})
    assert features["counts"] == {
        "total": 60, "PENDING": 0, "STARTED": 0, "RETRY": 0, "SUCCESS": 58, "FAILURE": 2, "REVOKED": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--status", "failure"], [LOUD, FEATURES]),
        (["--status", "SUCCESS", "--status", "RETRY"], [TWICE, FLAKY, ADDED]),
        (["--task", "add"], [ADDED]),
        (["--label", "team=ads"], [FEATURES]),
        (["--run-id", "early-2024"], [FEATURES]),
        (["--limit", "2"], [TWICE, LOUD]),
        (["--task", "unheard-of"], []),
    ],
)
def test_jobs_are_filtered(mulligan: Run, filters: list[str], expected: list[str]) -> None:
    assert [job["id"] for job in mulligan("jobs", *filters, "--json").data] == expected


def test_jobs_says_when_nothing_matches(mulligan: Run) -> None:
    assert mulligan("jobs", "--task", "unheard-of").out.startswith("No job matches.")


@pytest.mark.parametrize(
    "wrong", [["--status", "sleepy"], ["--limit", "0"], ["--limit", "many"], ["--label", "team"], ["--colour"]]
)
def test_a_wrong_option_is_a_usage_error(mulligan: Run, wrong: list[str]) -> None:
    shown = mulligan("jobs", *wrong)
    assert (shown.code, shown.out) == (2, "")
    assert wrong[0].lstrip("-") in shown.err or wrong[-1] in shown.err


@pytest.mark.parametrize("command", ["jobs", "workers", "audit"])
def test_tables_fit_eighty_columns(mulligan: Run, command: str) -> None:
    mulligan("retry", FEATURES, "--reason", "a reason as long as the patience of those who wait for the warehouse to come back")
    shown = mulligan(command, *(["--all"] if command == "workers" else []))
    assert shown.code == 0
    assert max(cell_len(line) for line in shown.out.splitlines()) <= 80


def test_workers_shows_those_that_have_ended_only_when_asked(mulligan: Run) -> None:
    assert mulligan("workers").out.startswith("No worker is running.")
    (ended,) = mulligan("workers", "--all", "--json").data
    assert (ended["state"], ended["refused_writes"]) == ("stopped", 0)


def test_audit_tells_who_did_what_and_why(mulligan: Run) -> None:
    mulligan("cancel", FLAKY, "--reason", "not needed")
    line = mulligan("audit", "--json").data[0]
    assert (line["action"], line["target"], line["reason"], line["changed"]) == ("cancel", f"job {FLAKY}", "not needed", 1)
    assert line["source"] in ("cli", "rest")
    assert "not needed" in mulligan("audit").out
    assert mulligan("audit", "--target", "job 99", "--json").data == []


def test_verify_finds_nothing_in_a_sound_store(mulligan: Run) -> None:
    assert mulligan("verify").code == 0
    assert mulligan("verify", "--json").data == []


def test_verify_ends_with_one_when_a_counter_is_wrong(mulligan: Run, store: Path) -> None:
    connection = apsw.Connection(str(store))
    connection.execute("update jobs set success = success + 1 where id = 1")
    connection.close()
    found = mulligan("verify")
    assert found.code == 1
    assert found.out
    assert len(mulligan("verify", "--json").data) == len(found.out.splitlines())
