"""What the command line shows of workflows: their calls as a tree, and whose call a work item is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_harness import checked, working


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which a worker has run a workflow."""
    store = tmp_path_factory.mktemp("called") / "runs.db"
    with working(store):
        checked(store, "submit", "many", "count=30", "--wait")
    return store


def test_a_workflow_is_shown_with_the_tree_of_its_calls_and_what_failed_among_them(called: Path) -> None:
    lines = checked(called, "show", "1-0").splitlines()
    tree = lines[lines.index("calls of work item 1-0") + 1 :]
    assert "loud()  2-0  Failed  [bold red]boo[/]" in tree[0]
    assert "add(a=0)  2-1  Success" in tree[1]
    assert tree[20].endswith("and 12 more, 12 of them with success")
    assert checked(called, "show", "1").count("  2-") == 20


def test_a_call_says_whose_it_is_and_has_no_job_of_its_own(called: Path) -> None:
    assert "called by  work item 1-0" in checked(called, "show", "2-0")
    shown = json.loads(checked(called, "show", "1-0", "--json"))
    assert (len(shown["calls"]), {each["parent"] for each in shown["calls"]}) == (32, {"1-0"})
    assert [each["id"] for each in json.loads(checked(called, "jobs", "--json"))] == ["1"]
    checked(called, "show", "2", code=1)


def test_a_call_is_retried_with_its_workflow(called: Path) -> None:
    checked(called, "retry", "2-0", code=1)
