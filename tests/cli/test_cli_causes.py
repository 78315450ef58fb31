"""What the command line tells of root causes, on the failures of a real worker."""

from __future__ import annotations

import pytest
from cli_harness import FEATURES, LOUD, Run


def the_cause(mulligan: Run, word: str) -> str:
    (found,) = (each["id"] for each in mulligan("causes", "--json").data if word in each["title"])
    return str(found)


def test_causes_lists_what_failed_of_the_same_once(mulligan: Run) -> None:
    shown = mulligan("causes", "--json")
    by_title = {each["title"]: each for each in shown.data}
    column = by_title["a column is missing on <date>"]
    assert (shown.code, column["failed_now"], column["failures"], column["failure_class"]) == (0, 2, 2, "PERMANENT")
    assert [each["pipeline"] for each in column["pipelines"]] == ["features"]
    assert by_title["only once"]["failed_now"] == 0, "it has succeeded since"
    assert len(by_title) == 4


def test_the_table_shows_the_newest_first_and_what_to_do_next(mulligan: Run) -> None:
    shown = mulligan("causes")
    lines = shown.out.splitlines()
    assert shown.code == 0
    assert lines[0].split() == ["CAUSE", "CLASS", "FAILED", "NOW", "FAILURES", "PIPELINES", "FIRST", "LAST", "TITLE"]
    assert len(lines[1].split()[0]) == 12
    assert "mulligan retry --cause" in shown.out
    assert "\x1b" not in shown.out


def test_causes_are_filtered(mulligan: Run) -> None:
    for filters, count in (
        (["--task", "features"], 1),
        (["--class", "permanent"], 1),
        (["--class", "transient"], 2),
        (["--since", "2999-01-01"], 0),
        (["--limit", "2"], 2),
    ):
        assert len(mulligan("causes", *filters, "--json").data) == count, filters
    assert mulligan("causes", "--task", "unheard-of").out.startswith("No cause matches.")
    assert "and 3 more" in mulligan("causes", "--limit", "1").out


def test_one_cause_is_shown_with_why_and_the_traceback_of_its_newest_failure(mulligan: Run) -> None:
    cause = the_cause(mulligan, "column is missing")
    shown = mulligan("causes", cause)
    assert shown.code == 0
    for said in ("error type: mulligan.core.signals.PermanentError", "call: cli_tasks.features", "2 work items", "Traceback"):
        assert said in shown.out
    assert f"mulligan retry --cause {cause} --dry-run" in shown.out
    found = mulligan("causes", cause, "--json").data
    assert found["sample"]["error_type"] == "mulligan.core.signals.PermanentError"
    assert {"what": "call", "value": "cli_tasks.features"} in found["why"]


def test_what_failed_of_a_cause_is_retried_and_nothing_else(mulligan: Run) -> None:
    cause = the_cause(mulligan, "column is missing")
    assert mulligan("retry", "--cause", cause, "--dry-run", "--json").data["total"] == 2
    assert mulligan("retry", "--cause", cause, "--reason", "the column is back").code == 0
    assert mulligan("show", FEATURES, "--json").data["counts"]["FAILURE"] == 0
    assert mulligan("show", LOUD, "--json").data["counts"]["FAILURE"] == 1
    again = mulligan("causes", cause, "--json").data
    assert (again["failed_now"], again["failures"]) == (0, 2)
    assert mulligan("verify").code == 0


def test_a_work_item_is_shown_and_explained_with_its_cause(mulligan: Run) -> None:
    item = mulligan("show", f"{LOUD}-0", "--json").data
    assert item["cause"] == item["attempts"][0]["cause"]
    assert (
        f"cause {item['cause']}: all failures with error type RuntimeError; call cli_tasks.loud"
        in mulligan("explain", item["id"]).out
    )


@pytest.mark.parametrize(
    ("wrong", "code"), [(["nothing"], 1), (["--since", "then"], 2), (["--class", "sad"], 2), (["nothing", "--task", "x"], 2)]
)
def test_what_is_not_there_or_makes_no_sense_is_refused_in_words(mulligan: Run, wrong: list[str], code: int) -> None:
    shown = mulligan("causes", *wrong)
    assert (shown.code, shown.out) == (code, "")
    assert shown.err
