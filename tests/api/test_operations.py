"""Bulk operations through the API: planned, begun, watched, aborted; and on servers that are killed, or several at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_harness import ASKER, FEATURES, Api
from api_tasks import add
from server_harness import running, until

from mulligan.client.client import Client, connect
from mulligan.core.access import Role
from mulligan.core.job import JobStatus
from mulligan.store.postgres import Place

BULK = "/api/work-items/bulk"
RETRY = {"action": "retry", "filter": {"task": "add"}, "reason": "the warehouse is back"}
MANY = 600


def finish(api: Api, made: str) -> dict[str, Any]:
    """Have the chore do all of an operation, and return it."""
    while api.harness.bulk_pages.run_due():
        api.harness.clock.pass_(1)
    found: dict[str, Any] = api.get(f"/api/operations/{made}")
    return found


class TestOverRest:
    def test_a_plan_is_asked_for_first_then_the_same_is_done_and_watched(self, both: Api) -> None:
        job = both.failed(30)
        plan = both.post(BULK, {**RETRY, "dry_run": True})
        assert (plan["matched"], plan["plan"]["total"], plan["plan"]["dry_run"]) == (30, 30, True)
        assert (plan["by_status"], plan["by_class"], plan["reused"]) == ({"FAILURE": 30}, {"PERMANENT": 30}, {})
        assert both.get("/api/operations")["items"] == []
        made = both.post(BULK, {**RETRY, "expected": 30, "type": "restart", "name": "after the repair"}, status=202)
        assert {name: made[name] for name in ("name", "action", "type", "filter", "state", "matched", "done", "progress")} == {
            "name": "after the repair",
            "action": "retry",
            "type": "restart",
            "filter": {"task": "add"},
            "state": "RUNNING",
            "matched": 30,
            "done": 0,
            "progress": 0,
        }
        assert (made["actor"], made["source"], made["reason"]) == ("the operator", "rest", "the warehouse is back")
        both.harness.bulk_pages.run_due()
        assert both.get(f"/api/operations/{made['id']}")["progress"] == 33.3
        found = finish(both, made["id"])
        assert (found["state"], found["done"], found["left_alone"], found["progress"]) == ("DONE", 30, {}, 100)
        assert None not in (found["started_at"], found["ended_at"])
        assert {item.generation for item in both.harness.items(job)} == {2}
        assert both.audited()[-1]["target"] == f'operation {made["id"]}: filter {{"task": "add"}}'

    def test_each_action_is_taken_and_each_finds_what_it_fits(self, both: Api) -> None:
        job = both.failed(2)
        for action, more in (("retry", {}), ("retry-now", {}), ("cancel", {}), ("overwrite", {"accept_risk": True})):
            made = both.post(BULK, {"action": action, "filter": {"job": str(job)}, **more}, status=202)
            finish(both, made["id"])
        assert [each["action"] for each in both.get("/api/operations")["items"]] == ["overwrite", "cancel", "retry-now", "retry"]
        assert both.get(f"/api/jobs/{job}")["counts"]["revoked"] == 2

    def test_it_is_aborted_and_says_how_far_it_had_come(self, both: Api) -> None:
        both.failed(30)
        made = both.post(BULK, RETRY, status=202)["id"]
        both.harness.bulk_pages.run_due()
        for _ in range(2):
            found = both.post(f"/api/operations/{made}/abort", {"reason": "the wrong ones"})
            assert (found["state"], found["done"]) == ("ABORTED", 10)
        assert finish(both, made)["done"] == 10
        assert both.audited()[1]["reason"] == "the wrong ones"

    def test_a_request_that_is_sent_again_makes_one_operation_and_is_answered_the_same(self, both: Api) -> None:
        both.failed(3)
        headers = {"Idempotency-Key": "one"}
        first = both.call("POST", BULK, RETRY, headers=headers)
        finish(both, first.json()["id"])
        again = both.call("POST", BULK, RETRY, headers=headers)
        assert (again.status_code, again.json()) == (202, first.json())
        other = both.call("POST", BULK, {**RETRY, "type": "restart"}, headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        assert len(both.get("/api/operations")["items"]) == 1

    def test_one_whose_server_died_before_it_answered_is_found_again(self, both: Api) -> None:
        both.failed(3)
        headers = {"Idempotency-Key": "one"}
        first = both.call("POST", BULK, RETRY, headers=headers).json()
        with both.harness.store.write() as session:
            session.access.prune_replies(2**62, 10)
        finish(both, first["id"])
        again = both.call("POST", BULK, RETRY, headers=headers).json()
        assert (again["id"], again["state"]) == (first["id"], "DONE")

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"action": "retry", "filter": {}}, 422, "config_invalid"),
            ({"action": "retry", "filter": {"colour": "red"}}, 422, "arguments_invalid"),
            ({"action": "retry", "filter": {"status": "SUCCESS"}}, 422, "arguments_invalid"),
            ({"action": "retry", "filter": {"task": ["add"]}}, 422, "arguments_invalid"),
            ({"action": "retry", "filter": {"job": "77"}}, 404, "not_found"),
            ({"action": "retry", "filter": {"parent": "77-0"}}, 404, "not_found"),
            ({"action": "again", "filter": {"task": "add"}}, 422, "request_invalid"),
            ({"action": "retry", "filter": {"task": "add"}, "expected": 1}, 409, "more_match"),
            ({"action": "overwrite", "filter": {"task": "features"}}, 409, "overwrite_unsafe"),
        ],
        ids=str,
    )
    def test_what_is_wrong_is_refused_and_leaves_nothing(self, api: Api, body: Any, status: int, code: str) -> None:
        api.failed(2)
        api.succeeded(FEATURES, rows=7)
        found = api.call("POST", BULK, body)
        assert (found.status_code, found.json()["code"]) == (status, code), found.text
        assert api.get("/api/operations")["items"] == []

    def test_operations_come_in_pages_newest_first_and_what_is_no_id_is_not_there(self, both: Api) -> None:
        ids = [both.post(BULK, RETRY, status=202)["id"] for _ in range(5)]
        assert both.all_ids("/api/operations", 2) == ids[::-1]
        for made in ("99", "x", "-1", "1" * 30):
            assert both.call("GET", f"/api/operations/{made}").status_code == 404
            assert both.call("POST", f"/api/operations/{made}/abort").status_code == 404

    def test_a_key_that_is_limited_reaches_its_own_pipelines_and_sees_the_operations_of_such_keys(self, both: Api) -> None:
        bad = both.failed(2)
        own, other = both.key(Role.OPERATOR, "add"), both.key(Role.OPERATOR, "features")
        both.post(BULK, RETRY, status=202)
        assert both.post(BULK, RETRY, status=202, apikey=other)["matched"] == 0
        assert both.post(BULK, {**RETRY, "dry_run": True}, apikey=other)["matched"] == 0
        made = both.post(BULK, {"action": "retry", "filter": {"job": str(bad)}}, status=202, apikey=own)
        assert made["matched"] == 2
        assert [each["id"] for each in both.get("/api/operations", apikey=own)["items"]] == [made["id"]]
        assert both.call("GET", f"/api/operations/{made['id']}", apikey=other).status_code == 404
        assert both.call("POST", f"/api/operations/{made['id']}/abort", apikey=other).status_code == 404
        assert len(both.get("/api/operations")["items"]) == 3


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Where a store is, and the settings by which it is found."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'runs.db'}", {}
        return
    place: Place = request.getfixturevalue("an_empty_place")()
    yield place.url, {"schema": place.schema}


def cancelled(client: Client) -> str:
    """Return a job with many work items, all of them cancelled: nobody runs them."""
    job = client.map(add, range(MANY))
    assert job.cancel() == MANY
    return job.id


def counts(client: Client, job: str) -> Counter[tuple[JobStatus, int]]:
    """Return how many items are in which status and generation."""
    return Counter((each.status, each.generation) for each in client.work_items(job=job))


def test_a_server_that_is_killed_in_the_middle_is_followed_by_another_which_retries_each_of_the_rest_once(
    store: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    url, settings = store
    with connect(url, **settings) as client:
        job = cancelled(client)
        key = client.services.keys.create("ann", Role.OPERATOR, None, ASKER).text
        with running(url, tmp_path, ends=None, bulk_rate="100", **settings) as first:
            made = first.post(BULK, key, {"action": "retry", "filter": {"job": job}}).json()["id"]
            until(lambda: 10 <= client.operation(made).done < MANY, "the first pages")
            first.process.kill()
        middle = client.operation(made)
        assert (middle.state, 0 < middle.done < MANY) == ("RUNNING", True)
        assert counts(client, job)[JobStatus.PENDING, 2] == middle.done, "what it says is what it did"
        with running(url, tmp_path, bulk_rate="0", **settings) as second:
            found = until(lambda: ended(second.get(f"/api/operations/{made}", key).json()), "its end")
        assert (found["state"], found["done"], found["left_alone"]) == ("DONE", MANY, {})
        assert counts(client, job) == {(JobStatus.PENDING, 2): MANY}
        assert client.verify() == []


def test_two_servers_share_an_operation_and_each_item_is_retried_once(store: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    url, settings = store
    with connect(url, **settings) as client:
        job = cancelled(client)
        key = client.services.keys.create("ann", Role.OPERATOR, None, ASKER).text
        with running(url, tmp_path, bulk_rate="0", **settings) as one, running(url, tmp_path, bulk_rate="0", **settings) as other:
            made = one.post(BULK, key, {"action": "retry", "filter": {"job": job}}).json()["id"]
            found = until(lambda: ended(other.get(f"/api/operations/{made}", key).json()), "its end")
        assert (found["state"], found["done"], found["left_alone"]) == ("DONE", MANY, {})
        assert counts(client, job) == {(JobStatus.PENDING, 2): MANY}


def ended(operation: dict[str, Any]) -> dict[str, Any] | None:
    return operation if operation["ended_at"] else None
