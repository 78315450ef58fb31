"""What operators ask for through the API, on jobs, on work items, and by lists of ids."""

from __future__ import annotations

import uuid

import pytest
from api_harness import ADD, FEATURES, Api

from mulligan.core.job import FailureClass, JobStatus
from mulligan.core.submission import NewCall, NewItem, Options
from mulligan.testing.factories import a_definition

RETRY = "/api/pipelines/work-items/retry"


def retried(api: Api, ids: list[str], type: str = "restart") -> int:
    found = api.call("PUT", RETRY, {"work_item_ids": ids}, params={"type": type})
    assert found.status_code == 200, found.text
    assert set(found.json()) == {"total"}
    return int(found.json()["total"])


class TestRetryingByIds:
    """Requirement R2.4."""

    @pytest.mark.parametrize("type", ["restart", "recover"])
    def test_those_whose_retry_was_started_are_counted_and_a_second_call_starts_none(self, both: Api, type: str) -> None:
        job = both.failed(3)
        ids = [f"{job}-{number}" for number in range(3)]
        assert retried(both, ids[:2], type) == 2
        assert retried(both, ids[:2], type) == 0
        assert [item.generation for item in both.harness.items(job)] == [2, 2, 1]
        assert both.audited()[0]["action"] == type

    def test_ids_that_are_not_there_that_run_or_have_succeeded_are_not_counted(self, both: Api) -> None:
        good, bad = both.succeeded(), both.failed(2)
        running = both.harness.submit(ADD, 1)
        both.worker(ADD).take()
        ids = [f"{good}-0", f"{bad}-0", f"{running}-0", f"{bad}-77", "99999-0", "none", "", str(uuid.uuid4()), "-", "1-2-3"]
        assert retried(both, ids) == 1
        assert both.harness.item(running).status is JobStatus.STARTED
        assert both.harness.item(good).generation == 1

    def test_an_id_that_is_given_twice_counts_once(self, api: Api) -> None:
        job = api.failed()
        assert retried(api, [f"{job}-0", f"{job}-0"]) == 1

    def test_for_a_call_of_a_workflow_the_workflow_is_recovered_and_nothing_is_restarted(self, both: Api) -> None:
        flow = a_definition("flow", executor="workflow")
        job = both.harness.submit(flow, 1)
        worker = both.worker(flow, ADD)
        body = worker.take()
        worker.call(body, NewCall("add#1", "d", NewItem("0", "{}"), ADD, Options()))
        call = worker.take()
        worker.fail(call, FailureClass.PERMANENT)
        worker.fail(body, FailureClass.PERMANENT)
        ids = [str(call.key), f"{job}-0"]
        assert retried(both, ids[:1], "restart") == 0
        assert retried(both, ids, "recover") == 1, "of the two it is one retry"
        assert retried(both, ids, "recover") == 0
        assert both.harness.item(job).generation == 2
        worker.succeed(worker.take())
        assert retried(both, ids, "recover") == 0, "the workflow has succeeded without it"

    def test_no_ids_are_none(self, api: Api) -> None:
        assert retried(api, []) == 0

    def test_another_type_is_refused_and_it_is_said_which_there_are(self, api: Api) -> None:
        job = api.failed()
        for query in ({"type": "again"}, {}):
            found = api.call("PUT", RETRY, {"work_item_ids": [f"{job}-0"]}, params=query)
            assert found.status_code == 422
            assert found.json()["code"] == "request_invalid"
        assert (
            "'restart' or 'recover'" in api.call("PUT", RETRY, {"work_item_ids": []}, params={"type": "again"}).json()["detail"]
        )
        assert api.harness.item(job).generation == 1

    def test_for_a_key_that_is_limited_other_pipelines_are_not_there(self, api: Api) -> None:
        job = api.failed()
        for name, total in (("features", 0), ("add", 1)):
            key = api.key(api.keys.find(api.texts["operator"]).role, name)  # type: ignore[union-attr, index]
            found = api.call("PUT", RETRY, {"work_item_ids": [f"{job}-0"]}, apikey=key, params={"type": "recover"})
            assert found.json() == {"total": total}


class TestActions:
    def test_a_job_is_cancelled_and_the_audit_says_who_from_where_and_why(self, both: Api) -> None:
        job = both.harness.submit(ADD, 3)
        done = both.post(f"/api/jobs/{job}/cancel", {"reason": "wrong input"})
        assert done["total"] == 3
        assert both.get(f"/api/jobs/{job}")["label"] == "Manually Cancelled"
        line = both.audited()[0]
        assert {
            name: line[name] for name in ("actor", "source", "address", "action", "target", "reason", "expected", "changed")
        } == {
            "actor": "the operator",
            "source": "rest",
            "address": "testclient",
            "action": "cancel",
            "target": f"job {job}",
            "reason": "wrong input",
            "expected": "not ended",
            "changed": 3,
        }

    def test_a_dry_run_says_what_would_be_done_and_does_nothing(self, both: Api) -> None:
        job = both.failed(2)
        done = both.post(f"/api/jobs/{job}/retry", {"dry_run": True}, params={"type": "restart"})
        assert (done["total"], done["dry_run"]) == (2, True)
        assert done["examples"] == [f"restart {job}-0 (FAILURE)", f"restart {job}-1 (FAILURE)"]
        assert both.harness.item(job).generation == 1
        assert both.audited() == []

    def test_a_job_is_retried_without_any_body(self, both: Api) -> None:
        job = both.failed(2)
        assert both.post(f"/api/jobs/{job}/retry")["total"] == 2
        again = both.post(f"/api/jobs/{job}/retry")
        assert (again["total"], again["left_alone"]) == (0, {"is PENDING": 2})

    def test_a_single_work_item_is_cancelled_retried_and_made_due(self, both: Api) -> None:
        job = both.harness.submit(FEATURES, 2)
        worker = both.worker(FEATURES)
        for item in worker.claim(2):
            worker.fail(item, FailureClass.TRANSIENT)
        assert both.get(f"/api/work-items/{job}-0")["label"] == "Retrying (in 5 minutes)"
        assert both.post(f"/api/work-items/{job}-0/retry-now")["total"] == 1
        assert both.get(f"/api/work-items/{job}-0")["label"] == "Retrying (in 0 minutes)"
        assert both.post(f"/api/work-items/{job}-1/cancel")["total"] == 1
        assert both.get(f"/api/work-items/{job}-1")["status"] == "REVOKED"
        assert both.post(f"/api/work-items/{job}-1/retry", params={"type": "restart"})["total"] == 1
        assert both.get(f"/api/jobs/{job}")["counts"] == {
            "total": 2, "pending": 1, "started": 0, "retry": 1, "success": 0, "failure": 0, "revoked": 0,
        }  # fmt: skip

    def test_an_overwrite_that_is_not_known_to_be_safe_is_refused_with_the_evidence(self, both: Api) -> None:
        job = both.succeeded(FEATURES, rows=7)
        refused = both.post(f"/api/work-items/{job}-0/overwrite", status=409)
        assert refused["code"] == "overwrite_unsafe"
        assert "UNSAFE" in refused["detail"]
        planned = both.post(f"/api/jobs/{job}/overwrite", {"dry_run": True})
        assert planned["unsafe"][f"{job}-0"]["verdict"] == "UNSAFE"
        assert both.harness.item(job).generation == 1
        done = both.post(f"/api/jobs/{job}/overwrite", {"accept_risk": True, "reason": "they were wrong anyway"})
        assert done["total"] == 1
        assert both.harness.item(job).generation == 2

    def test_of_a_backfill_the_windows_in_a_range_are_overwritten(self, both: Api) -> None:
        day = 86_400_000
        items = [NewItem(str(each), "{}", (each * day, (each + 1) * day)) for each in range(4)]
        job = both.harness.submit(FEATURES, items)
        worker = both.worker(FEATURES)
        for item in worker.claim(4):
            worker.succeed(item, rows=0)
        done = both.post(f"/api/jobs/{job}/overwrite", {"start": "1970-01-02", "end": "1970-01-04"})
        assert done["total"] == 2
        assert [item.generation for item in both.harness.items(job)] == [1, 2, 2, 1]
        wrong = both.post(f"/api/jobs/{job}/overwrite", {"start": "1970-01-04", "end": "1970-01-02"}, status=422)
        assert wrong["code"] == "window_invalid"

    @pytest.mark.parametrize("act", ["cancel", "retry", "retry-now", "overwrite"])
    @pytest.mark.parametrize("what", ["jobs/77", "jobs/x", "work-items/77-0", "work-items/1", "work-items/%2e%2e%2f1"])
    def test_what_is_not_there_is_not_found(self, api: Api, act: str, what: str) -> None:
        found = api.call("POST", f"/api/{what}/{act}")
        assert found.status_code == 404
        assert found.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize(
        "body", [{"dry_run": 1}, {"reason": 5}, {"reason": "x" * 2001}, {"why": "x"}, [], "x", {"reason": "\0"}]
    )
    def test_a_body_that_says_something_else_is_refused(self, api: Api, body: object) -> None:
        job = api.failed()
        assert api.post(f"/api/jobs/{job}/retry", body, status=422)["code"] == "request_invalid"
        assert api.harness.item(job).generation == 1

    def test_a_pipeline_is_paused_and_resumed(self, both: Api) -> None:
        assert both.post("/api/pipelines/add/pause", {"reason": "schema change"}) == {"paused": True, "changed": True}
        assert both.post("/api/pipelines/add/pause") == {"paused": True, "changed": False}
        shown = {each["name"]: each["paused_at"] for each in both.get("/api/pipelines")["items"]}
        assert shown["add"]
        assert not shown["features"]
        assert both.post("/api/pipelines/add/resume") == {"paused": False, "changed": True}
        assert both.post("/api/pipelines/none/pause", status=404)["code"] == "not_found"
        assert [each["reason"] for each in both.audited()] == ["", "", "schema change"]
