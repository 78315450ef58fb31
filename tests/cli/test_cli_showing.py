"""What the command line shows of jobs and work items."""

from __future__ import annotations

import re

import pytest
from cli_harness import ADDED, FEATURES, FLAKY, LOUD, TWICE, Run
from rich.cells import cell_len


def test_show_of_a_backfill_draws_a_cell_for_each_window_in_rows_of_months(either: Run) -> None:
    lines = either("show", FEATURES).out.splitlines()
    assert f"2024-01  {'■' * 4}✗{'■' * 26}" in lines
    assert f"2024-02  {'■' * 6}✗{'■' * 22}" in lines
    assert "■ succeeded  ✗ failed" in lines


def test_the_strip_is_made_of_letters_where_the_terminal_knows_only_ascii(either: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mulligan.cli.shell.Shell.fancy", False)
    lines = either("show", FEATURES).out.splitlines()
    assert f"2024-01  {'S' * 4}F{'S' * 26}" in lines
    assert "S succeeded  F failed" in lines


def test_show_of_a_failed_job_names_the_failed_items_with_class_and_message_and_what_to_do(either: Run) -> None:
    shown = either("show", FEATURES).out
    assert f"{FEATURES}-4" in shown
    assert "PERMANENT" in shown
    assert "a column is missing on 2024-01-05" in shown
    assert f"mulligan explain {FEATURES}-4" in shown
    assert f"mulligan retry {FEATURES}\n" in shown
    assert "team=ads" in shown


def test_show_of_a_job_of_one_item_shows_its_result(either: Run) -> None:
    assert f"{ADDED}-0" in either("show", ADDED).out
    assert either("show", f"{ADDED}-0").out.count("\nresult     3\n") == 1


def test_show_of_an_item_draws_its_attempts_and_says_each_decision(either: Run) -> None:
    lines = either("show", f"{TWICE}-0").out.splitlines()
    first, second = (next(line for line in lines if line.startswith(f"#{place} ")) for place in (1, 2))
    assert "█T" in first
    assert first.endswith("TRANSIENT")
    assert "█S" in second
    assert second.endswith("success")
    assert any("only once" in line for line in lines)
    assert any("the policy allows another attempt" in line for line in lines)
    assert any("T transient" in line and "S succeeded" in line for line in lines)


def test_show_of_a_waiting_item_draws_the_wait_and_says_what_happens_next(either: Run) -> None:
    shown = either("show", f"{FLAKY}-0").out
    assert "░" in shown
    assert re.search(r"due in \d+ min", shown), shown
    assert f"mulligan retry {FLAKY}-0 --now" in shown


def test_show_as_json_is_one_document_for_one_id_and_a_list_for_several(either: Run) -> None:
    item = either("show", f"{TWICE}-0", "--json").data
    assert (item["id"], item["job"], item["status"], item["result"], item["attempt"]) == (
        f"{TWICE}-0",
        TWICE,
        "SUCCESS",
        "done",
        2,
    )
    assert [(each["place"], each["failure_class"], each["decision"]) for each in item["attempts"]] == [
        (1, "TRANSIENT", "will_retry"),
        (2, None, "succeeded"),
    ]
    several = either("show", ADDED, f"{FEATURES}-4", "--json").data
    assert [each["id"] for each in several] == [ADDED, f"{FEATURES}-4"]
    assert several[1]["window"]["start"] == "2024-01-05T00:00:00+00:00"


@pytest.mark.parametrize("id", [ADDED, FEATURES, FLAKY, LOUD, f"{TWICE}-0", f"{FLAKY}-0", f"{LOUD}-0"])
def test_what_is_shown_fits_eighty_columns(either: Run, id: str) -> None:
    shown = either("show", id)
    assert shown.code == 0
    assert max(cell_len(line) for line in shown.out.splitlines()) <= 80


@pytest.mark.parametrize("command", [["show", LOUD], ["show", f"{LOUD}-0"], ["explain", f"{LOUD}-0"], ["jobs"]])
def test_errors_of_users_are_shown_as_they_are_and_steer_no_terminal(either: Run, command: list[str]) -> None:
    shown = either(*command).out
    assert not set(shown) & set("\x1b\x07\u202e\r")
    if command != ["jobs"]:
        assert "[bold red]boo[/] \\x1b[2J\\u202e" in shown


def test_logs_are_those_of_all_attempts_in_order(either: Run) -> None:
    assert either("logs", f"{ADDED}-0").out == "adding 1 and 2\n"
    assert either("logs", f"{TWICE}-0").out == ("--- attempt 1 ---\nthis is attempt 1\n--- attempt 2 ---\nthis is attempt 2\n")


def test_logs_of_one_attempt(either: Run) -> None:
    assert either("logs", f"{TWICE}-0", "--attempt", "2").out == "this is attempt 2\n"
    refused = either("logs", f"{TWICE}-0", "--attempt", "3")
    assert refused.code == 2
    assert "there is no attempt 3" in refused.err


def test_logs_lose_terminal_control_unless_raw(either: Run) -> None:
    assert either("logs", f"{LOUD}-0").out == "red text\nover\n"
    assert either("logs", f"{LOUD}-0", "--raw").out == "\x1b[31mred\x1b[0m\x1b]0;a title\x07 text\rover\n"


def test_logs_as_json(either: Run) -> None:
    pieces = either("logs", f"{TWICE}-0", "--json").data
    assert "".join(each["text"] for each in pieces if each["attempt"] == 2) == "this is attempt 2\n"


def test_following_an_item_that_has_ended_ends_too(either: Run) -> None:
    shown = either("logs", f"{ADDED}-0", "-f")
    assert (shown.code, shown.out) == (0, "adding 1 and 2\n")
    assert either("logs", f"{ADDED}-0", "-f", "--json").code == 2


def test_logs_of_an_item_that_wrote_nothing_say_so_apart_from_the_output(either: Run) -> None:
    shown = either("logs", f"{FLAKY}-0")
    assert (shown.code, shown.out) == (0, "")
    assert "has written nothing yet" in shown.err


def test_logs_of_an_item_that_ended_without_a_word_do_not_promise_more(either: Run) -> None:
    for more, said in (
        ([], f"Work item {FEATURES}-4 wrote nothing"),
        (["--attempt", "1"], f"Attempt 1 of work item {FEATURES}-4 wrote"),
    ):
        shown = either("logs", f"{FEATURES}-4", *more)
        assert (shown.code, shown.out) == (0, "")
        assert said in shown.err
        assert "yet" not in shown.err


def test_explain_tells_the_rule_and_the_decision(either: Run) -> None:
    shown = either("explain", f"{FEATURES}-4")
    assert shown.code == 0
    assert "class PERMANENT by rule" in shown.out
    assert "[not_retried]" in shown.out
    document = either("explain", f"{FEATURES}-4", "--json").data
    assert document["lines"] == shown.out.splitlines()


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["show", "999"], 1, "there is no job 999"),
        (["show", "1-999"], 1, "there is no work item 1-999"),
        (["show", "1", "999"], 1, "there is no job 999"),
        (["show", "one"], 2, "jobs are like 12"),
        (["show", "1-2-3"], 2, "jobs are like 12"),
        (["show", "99999999999999999999"], 2, "jobs are like 12"),
        (["show"], 2, "Missing argument"),
        (["logs", "1"], 2, "name one of its work items"),
        (["explain", "1"], 2, "name one of its work items"),
        (["explain", "1-999"], 1, "there is no work item 1-999"),
        (["logs", "1-999"], 1, "there is no work item 1-999"),
    ],
)
def test_what_does_not_exist_is_said_and_nothing_else(either: Run, command: list[str], code: int, said: str) -> None:
    shown = either(*command)
    assert (shown.code, shown.out) == (code, "")
    assert said in shown.err
    if code == 1:
        assert shown.err.startswith("mulligan: ")
        assert shown.err.count("\n") == 1
        assert shown.err.endswith("(not_found)\n")
