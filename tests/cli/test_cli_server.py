"""The command line on a server: how one is named, and what says that it works on a store only."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_harness import ADDED, Run, serving

KEY = "mk_0123456789abcdef_secret"


@pytest.mark.parametrize("before", [True, False])
def test_a_server_is_named_before_the_command_or_after_it(
    bare: Run, store: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    with serving(store) as (url, key):
        monkeypatch.setenv("MULLIGAN_API_KEY", key)
        given = ["--server", url]
        found = bare(*given, "show", ADDED, "--json") if before else bare("show", ADDED, "--json", *given)
    assert (found.code, found.data["id"], found.data["status"]) == (0, ADDED, "SUCCESS")


def test_work_is_submitted_to_a_server_and_listed_there(bare: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(store) as (url, key):
        monkeypatch.setenv("MULLIGAN_SERVER", url)
        monkeypatch.setenv("MULLIGAN_API_KEY", key)
        one = bare("submit", "add", "a=1", "--run-id", "mine", "--label", "team=ads", "--json").data
        days = bare("backfill", "features", "2025-01-01", "2025-01-04", "--arg", "bad=[]", "--json").data
        assert (one["run_id"], one["labels"], days["counts"]["total"]) == ("mine", {"team": "ads"}, 3)
        assert [each["id"] for each in bare("jobs", "--limit", "2", "--json").data] == [days["id"], one["id"]]
        assert [each["id"] for each in bare("jobs", "--label", "team=ads", "--run-id", "mine", "--json").data] == [one["id"]]
        assert {each["source"] for each in bare("audit", "--limit", "2", "--json").data} == {"rest"}
        assert bare("submit", "add", "a=x").code == 1


def test_a_bulk_operation_of_a_server_is_planned_begun_shown_and_aborted(
    bare: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(store) as (url, key):
        monkeypatch.setenv("MULLIGAN_SERVER", url)
        monkeypatch.setenv("MULLIGAN_API_KEY", key)
        job = bare("submit", "add", "a=1", "--json").data["id"]
        assert bare("cancel", "--job", job).code == 0
        planned = bare("bulk", "retry", "--job", job, "--dry-run", "--json").data
        assert (planned["matched"], planned["total"], planned["by_status"]) == (1, 1, {"REVOKED": 1})
        made = bare("bulk", "retry", "--job", job, "--expect", "1", "--reason", "after all", "--json").data
        assert (made["state"], made["matched"], made["reason"]) == ("RUNNING", 1, "after all")
        assert [each["id"] for each in bare("operations", "list", "--json").data] == [made["id"]]
        assert bare("operations", "abort", made["id"], "--json").data["state"] == "ABORTED"
        assert "ABORTED" in bare("operations", "show", made["id"]).out


def test_a_store_that_the_command_line_names_counts_for_more_than_a_server_that_a_variable_names(
    bare: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MULLIGAN_SERVER", "https://nowhere.invalid")
    assert bare("show", ADDED, "--database", f"sqlite:///{store}").code == 0


@pytest.mark.parametrize("command", [["worker", "worked_on.py"], ["server"], ["dev", "developed.py"], ["verify"], ["migrate"]])
def test_what_works_on_the_store_itself_says_so(
    bare: Run, outside: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in [each for each in command if each.endswith(".py")]:
        (outside / file).write_text("from mulligan import task\n\n@task\ndef x() -> int:\n    return 1\n")
    named = bare(*command, "--server", "https://mulligan.example.org")
    assert (named.code, "works on the store itself" in named.err) == (2, True), named.err
    monkeypatch.setenv("MULLIGAN_SERVER", "https://mulligan.example.org")
    monkeypatch.setenv("MULLIGAN_API_KEY", KEY)
    told = bare(*command)
    assert (told.code, "works on the store itself" in told.err) == (1, True), told.err
    assert not (outside / ".mulligan").exists(), "and no store is made by the way"


@pytest.mark.parametrize("other", [["--database", "sqlite:///x.db"], ["--namespace", "team"]])
def test_a_server_and_something_of_a_store_are_not_both_named(bare: Run, other: list[str]) -> None:
    refused = bare("jobs", "--server", "https://mulligan.example.org", *other)
    assert (refused.code, "use one of them" in refused.err) == (2, True)


def test_without_a_key_it_is_said_where_to_get_one(bare: Run) -> None:
    refused = bare("jobs", "--server", "https://mulligan.example.org")
    assert (refused.code, "mulligan keys create" in refused.err) == (1, True)
