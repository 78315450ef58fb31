"""Root causes, as programs read them and keys may see them."""

from __future__ import annotations

import pytest
from api_harness import ADD, FEATURES, Api

from mulligan.core.access import Role
from mulligan.core.failure import ErrorFacts, Failure, Kind, failure_to_json
from mulligan.core.fingerprint import Fingerprint, fingerprint
from mulligan.core.job import FailureClass
from mulligan.core.submission import NewItem

TRACE = 'Traceback (most recent call last):\n  File "flow.py", line 3, in load\nKeyError: dep_delay\n'


def a_cause(name: str) -> tuple[Fingerprint, str]:
    """Return the fingerprint of an error and its facts as they are stored."""
    failure = Failure(Kind.EXCEPTION, (ErrorFacts((name, "Exception"), "row 12 is bad", frames=("flow.load",)),), traceback=TRACE)
    return fingerprint(failure), failure_to_json(failure)


def fail(api: Api, name: str, count: int = 1, task: object = ADD) -> str:
    """Have work items of a task fail for good; returns the id of the cause."""
    cause, facts = a_cause(name)
    api.harness.submit(task, [NewItem(str(number), "{}") for number in range(count)])  # type: ignore[arg-type]
    worker = api.worker(task)  # type: ignore[arg-type]
    for item in worker.claim(count):
        worker.fail(item, FailureClass.PERMANENT, cause=cause, failure=facts, error_type=name, error_message="row 12 is bad")
    return cause.cause


def test_causes_are_listed_with_their_counts_those_seen_first_last(both: Api) -> None:
    one = fail(both, "KeyError", 2)
    both.harness.clock.pass_(60)
    other = fail(both, "acme.Broken", 1, FEATURES)
    fail(both, "KeyError", 1, FEATURES)
    page = both.get("/api/causes")
    assert [each["id"] for each in page["items"]] == [other, one]
    shown = page["items"][1]
    assert {name: shown[name] for name in ("failure_class", "error_type", "title", "failed_now", "failures")} == {
        "failure_class": "PERMANENT",
        "error_type": "KeyError",
        "title": "row <number> is bad",
        "failed_now": 3,
        "failures": 3,
    }
    assert [(each["pipeline"], each["failed_now"]) for each in shown["pipelines"]] == [("features", 1), ("add", 2)]
    assert shown["first_seen_at"] < shown["last_seen_at"]


def test_causes_are_filtered_and_paged(both: Api) -> None:
    causes = [fail(both, f"acme.Error{letter}") for letter in "ABCDE"]
    fail(both, "acme.ErrorA", 1, FEATURES)
    for limit in (1, 2, 5, 500):
        assert sorted(both.all_ids("/api/causes", limit)) == sorted(causes)
    assert both.all_ids("/api/causes", 3, task="features") == causes[:1]
    assert both.get("/api/causes", task="features")["items"][0]["failures"] == 1, "counted for that task alone"
    assert both.get("/api/causes", failure_class="TIMEOUT")["items"] == []
    assert len(both.get("/api/causes", since="2000-01-01")["items"]) == 5
    assert both.get("/api/causes", since="2200-01-01")["items"] == []


def test_a_cause_says_why_failures_are_counted_as_it_and_shows_one(both: Api) -> None:
    cause = fail(both, "KeyError", 2)
    found = both.get(f"/api/causes/{cause}")
    assert found["why"] == [{"what": "error type", "value": "KeyError"}, {"what": "call", "value": "flow.load"}]
    assert found["version"] == 1
    sample = found["sample"]
    assert (sample["work_item"], sample["place"], sample["error_type"], sample["error_message"], sample["traceback"]) == (
        "1-1",
        1,
        "KeyError",
        "row 12 is bad",
        TRACE,
    )


def test_work_items_attempts_and_explanations_tell_their_cause(both: Api) -> None:
    cause, other = fail(both, "KeyError", 2), fail(both, "acme.Broken")
    assert both.all_ids("/api/work-items", 1, cause=cause) == ["1-0", "1-1"]
    assert both.all_ids("/api/work-items", 9, cause=other, status="FAILURE") == ["2-0"]
    assert both.get("/api/work-items", cause="nothing")["items"] == []
    assert both.get("/api/work-items/1-0")["cause"] == cause
    assert both.get("/api/work-items/1-0/attempts")["items"][0]["cause"] == cause
    lines = both.get("/api/work-items/1-0/explain")["lines"]
    assert f"    cause {cause}: all failures with error type KeyError; call flow.load" in lines


def test_a_key_that_is_limited_to_pipelines_sees_their_failures_alone(api: Api) -> None:
    both_have, theirs = fail(api, "KeyError", 2), fail(api, "acme.Broken")
    fail(api, "KeyError", 1, FEATURES)
    key = api.key(Role.VIEWER, "features")
    listed = api.get("/api/causes", apikey=key)["items"]
    assert [(each["id"], each["failures"], len(each["pipelines"])) for each in listed] == [(both_have, 1, 1)]
    found = api.get(f"/api/causes/{both_have}", apikey=key)
    assert (found["failures"], found["sample"]["work_item"]) == (1, "3-0")
    assert api.call("GET", f"/api/causes/{theirs}", apikey=key).status_code == 404
    assert api.get("/api/causes", apikey=key, task="add")["items"] == []


@pytest.mark.parametrize("query", [{"failure_class": "SAD"}, {"since": "then"}, {"limit": "0"}, {"cursor": "x"}], ids=str)
def test_filters_that_make_no_sense_are_refused(api: Api, query: dict[str, str]) -> None:
    assert api.call("GET", "/api/causes", params=query).status_code == 422


def test_a_cursor_of_another_list_is_refused(api: Api) -> None:
    for letter in "AB":
        fail(api, f"acme.Error{letter}")
    cursor = api.get("/api/causes", limit=1)["next"]
    for path, query in (("/api/causes", {"task": "add"}), ("/api/jobs", {}), ("/api/work-items", {})):
        assert api.call("GET", path, params={**query, "cursor": cursor}).status_code == 422


@pytest.mark.parametrize("cause", ["nothing", "%00", "a%2Fb", "x" * 300])
def test_a_cause_that_is_not_there_is_not_found(api: Api, cause: str) -> None:
    assert api.call("GET", f"/api/causes/{cause}").status_code in (404, 422)
