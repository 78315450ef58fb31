"""Submitting through the API: one work item, several, a range of time; and sending a request again."""

from __future__ import annotations

from typing import Any

import pytest
from api_harness import ADD, FEATURES, Api

from mulligan.core.access import Role
from mulligan.core.errors import StoreAway
from mulligan.core.job import ItemKey

JANUARY = {"start": "2024-01-01", "end": "2024-02-01"}


def args_of(api: Api, job: str) -> list[dict[str, Any]]:
    return [each["args"] for each in api.get(f"/api/jobs/{job}/work-items", limit=500)["items"]]


class TestSubmitting:
    def test_one_work_item_with_its_options(self, both: Api) -> None:
        body = {"task": "add", "args": {"a": 1}, "run_id": "r 1", "labels": {"team": "ads"}, "priority": 1, "delay_s": 60}
        job = both.post("/api/jobs", body, status=201)
        assert (job["task"], job["run_id"], job["kind"], job["labels"]) == ("add", "r 1", "submit", {"team": "ads"})
        assert job["label"] == "Waiting (scheduled, due in 1 minute)"
        assert both.get(f"/api/jobs/{job['id']}") == job
        assert args_of(both, job["id"]) == [{"a": 1}]
        assert both.harness.item(int(job["id"])).priority == 1

    @pytest.mark.parametrize("place", ["garbage", f"00-{'0' * 32}-{'0' * 16}-01", f"cc-{'1' * 32}-{'2' * 16}-01-{'x' * 1_000}"])
    def test_a_traceparent_that_is_none_is_ignored(self, both: Api, place: str) -> None:
        both.post("/api/jobs", {"task": "add", "args": {"a": 1}}, status=201, headers={"traceparent": place})

    def test_several_work_items_share_arguments_and_have_keys(self, both: Api) -> None:
        items = [{"key": "one", "args": {"a": 1}}, {"args": {"a": 2, "b": 9}}]
        job = both.post("/api/jobs", {"task": "add", "items": items, "args": {"b": 5}}, status=201)
        assert job["counts"]["total"] == 2
        assert args_of(both, job["id"]) == [{"a": 1, "b": 5}, {"a": 2, "b": 9}]
        found = both.get(f"/api/jobs/{job['id']}/work-items")["items"]
        assert [each["key"] for each in found] == ["one", "1"]

    def test_a_backfill_takes_what_is_missing(self, both: Api) -> None:
        job = both.post("/api/jobs", {"task": "features", "backfill": JANUARY}, status=201)
        assert (job["kind"], job["counts"]["total"]) == ("backfill", 31)
        more = {"start": "2024-01-31", "end": "2024-02-03", "tz": "UTC", "every": "1d", "order": "newest"}
        again = both.post("/api/jobs", {"task": "features", "backfill": more}, status=201)
        found = both.get(f"/api/jobs/{again['id']}/work-items")["items"]
        assert [each["key"] for each in found] == ["2024-02-02", "2024-02-01"]

    def test_a_single_window(self, both: Api) -> None:
        window = {"start": "2024-03-07", "end": "2024-03-08", "tz": "Europe/Zurich"}
        job = both.post("/api/jobs", {"task": "features", "window": window}, status=201)
        (item,) = both.get(f"/api/jobs/{job['id']}/work-items")["items"]
        assert item["window"] == {"start": "2024-03-07T00:00:00+01:00", "end": "2024-03-08T00:00:00+01:00", "tz": "Europe/Zurich"}

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"task": "none"}, 404, "task_unknown"),
            ({"task": "add"}, 422, "arguments_invalid"),
            ({"task": "add", "args": {"a": "x"}}, 422, "arguments_invalid"),
            ({"task": "add", "args": {"a": 1, "c": 1}}, 422, "arguments_invalid"),
            ({"task": "add", "items": [{"args": {"a": 1}}, {"args": {}}]}, 422, "arguments_invalid"),
            (
                {"task": "add", "items": [{"key": "k", "args": {"a": 1}}, {"key": "k", "args": {"a": 2}}]},
                422,
                "arguments_invalid",
            ),
            ({"task": "add", "args": {"a": 1}, "backfill": JANUARY}, 422, "arguments_invalid"),
            ({"task": "add", "args": {"a": 1}, "window": JANUARY}, 422, "arguments_invalid"),
            ({"task": "features"}, 422, "arguments_invalid"),
            ({"task": "features", "items": [{}]}, 422, "arguments_invalid"),
            ({"task": "add", "items": [{"window": {"start": "2024-01-01", "end": "2024-01-02"}}]}, 422, "arguments_invalid"),
            ({"task": "features", "items": [], "backfill": JANUARY}, 422, "arguments_invalid"),
            ({"task": "features", "backfill": {"start": "2024-02-01", "end": "2024-01-01"}}, 422, "window_invalid"),
            ({"task": "features", "backfill": {**JANUARY, "every": "1x"}}, 422, "window_invalid"),
            ({"task": "features", "backfill": {**JANUARY, "tz": "../etc/passwd"}}, 422, "window_invalid"),
            ({"task": "features", "backfill": {**JANUARY, "only": "some"}}, 422, "request_invalid"),
            ({"task": "add", "args": {"a": 1}, "run_id": "a/b"}, 422, "config_invalid"),
            ({"task": "add", "args": {"a": 1}, "priority": 9}, 422, "request_invalid"),
            ({"task": "add", "args": {"a": 1}, "priority": "1"}, 422, "request_invalid"),
            ({"task": "add", "args": {"a": 1}, "labels": {"": "x"}}, 422, "config_invalid"),
            ({"task": "add", "args": {"a": 1}, "labels": {"x": 1}}, 422, "request_invalid"),
            ({"task": "add", "args": {"a": 1}, "start_at": "2024-01-01T00:00:00"}, 422, "config_invalid"),
            ({"task": "add", "args": {"a": 1}, "delay_s": 1, "start_at": "2024-01-01T00:00:00Z"}, 422, "config_invalid"),
            ({"task": "add", "args": {"a": 1}, "total_timeout_s": 0}, 422, "request_invalid"),
            ({"task": "add", "args": {"a": 1}, "retries": 3}, 422, "request_invalid"),
            ({"args": {"a": 1}}, 422, "request_invalid"),
            ({"task": "a\0b"}, 422, "request_invalid"),
        ],
        ids=str,
    )
    def test_what_is_wrong_is_refused_whole_and_says_why(self, api: Api, body: Any, status: int, code: str) -> None:
        said = api.post("/api/jobs", body, status=status)
        assert said["code"] == code, said
        assert said["detail"]
        assert api.get("/api/jobs")["items"] == []

    def test_arguments_that_are_too_large_are_refused(self, api: Api) -> None:
        large = {"task": "add", "args": {"a": 1, "b": "x" * 300_000}}
        assert api.post("/api/jobs", large, status=413)["code"] == "value_too_large"

    def test_a_run_id_is_one_job_and_for_other_input_a_conflict(self, both: Api) -> None:
        body = {"task": "add", "args": {"a": 1}, "run_id": "r"}
        first, again = (both.post("/api/jobs", body, status=201) for _ in range(2))
        assert first["id"] == again["id"]
        assert both.post("/api/jobs", {**body, "args": {"a": 2}}, status=409)["code"] == "run_id_conflict"

    def test_a_key_that_is_limited_submits_for_its_pipelines_only(self, api: Api) -> None:
        key = api.key(Role.OPERATOR, "features")
        assert api.post("/api/jobs", {"task": "add", "args": {"a": 1}}, status=403, apikey=key)["code"] == "forbidden"
        assert api.post("/api/jobs", {"task": "features", "backfill": JANUARY}, status=201, apikey=key)


class TestSendingAgain:
    def test_a_submit_that_is_sent_again_is_one_job_and_is_answered_the_same(self, both: Api) -> None:
        body, headers = {"task": "add", "args": {"a": 1}}, {"Idempotency-Key": "k-1"}
        first = both.call("POST", "/api/jobs", body, headers=headers)
        worker = both.worker(ADD)
        worker.succeed(worker.take())
        again = both.call("POST", "/api/jobs", body, headers=headers)
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.content == again.content
        assert "idempotency-replayed" not in first.headers
        assert again.headers["idempotency-replayed"] == "true"
        assert len(both.get("/api/jobs")["items"]) == 1

    def test_a_submit_whose_server_died_before_it_answered_is_still_one_job(self, both: Api) -> None:
        body, headers = {"task": "add", "args": {"a": 1}}, {"Idempotency-Key": "k-1"}
        first = both.call("POST", "/api/jobs", body, headers=headers).json()
        unanswered(both, "k-1")
        again = both.call("POST", "/api/jobs", body, headers=headers).json()
        assert again["id"] == first["id"]

    def test_the_key_of_another_request_is_refused(self, both: Api) -> None:
        headers = {"Idempotency-Key": "k-1"}
        both.call("POST", "/api/jobs", {"task": "add", "args": {"a": 1}}, headers=headers)
        for path, body in (("/api/jobs", {"task": "add", "args": {"a": 2}}), ("/api/pipelines/add/pause", None)):
            refused = both.call("POST", path, body, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
        other = both.call("POST", "/api/jobs", {"task": "add", "args": {"a": 2}}, headers=headers, apikey=both.texts[Role.ADMIN])
        assert other.status_code == 201, "somebody else's key is another one"

    def test_a_retry_that_is_sent_again_starts_nothing_more_also_when_it_failed_again_meanwhile(self, both: Api) -> None:
        job = both.failed(2)
        ids = {"work_item_ids": [f"{job}-0", f"{job}-1"]}
        sent: dict[str, Any] = {"headers": {"Idempotency-Key": "k"}, "params": {"type": "restart"}}
        assert both.call("PUT", "/api/pipelines/work-items/retry", ids, **sent).json() == {"total": 2}
        worker = both.worker(ADD)
        for item in worker.claim(2):
            worker.fail(item)
        assert both.call("PUT", "/api/pipelines/work-items/retry", ids, **sent).json() == {"total": 2}
        assert {item.generation for item in both.harness.items(job)} == {2}

    def test_an_overwrite_whose_server_died_before_it_answered_is_not_done_again(self, both: Api) -> None:
        job = both.succeeded(FEATURES, rows=0)
        headers = {"Idempotency-Key": "k"}
        assert both.post(f"/api/jobs/{job}/overwrite", headers=headers)["total"] == 1
        worker = both.worker(FEATURES)
        worker.succeed(worker.take(), rows=0)
        unanswered(both, "k")
        waits = both.call("POST", f"/api/jobs/{job}/overwrite", headers=headers)
        assert (waits.status_code, waits.json()["code"]) == (409, "request_in_progress")
        assert waits.headers["retry-after"] == "1"
        both.harness.clock.pass_(31)
        again = both.post(f"/api/jobs/{job}/overwrite", headers=headers)
        assert again["total"] == 1
        assert "the server was stopped" in again["warnings"][0]
        assert both.harness.item(ItemKey(job, 0)).generation == 2
        assert both.post(f"/api/jobs/{job}/overwrite", headers=headers) == again

    def test_what_was_refused_may_be_tried_again_under_the_same_key(self, both: Api) -> None:
        job = both.succeeded(FEATURES, rows=3)
        headers = {"Idempotency-Key": "k"}
        for _ in range(2):
            assert both.post(f"/api/jobs/{job}/overwrite", status=409, headers=headers)["code"] == "overwrite_unsafe"

    def test_many_who_send_one_request_at_once_get_one_job(self, both: Api) -> None:
        body = {"task": "add", "args": {"a": 1}}
        found = both.at_once(8, "POST", "/api/jobs", json=body, headers={"Idempotency-Key": "k"})
        assert {each.status_code for each in found} <= {201, 409}
        assert {each.json()["id"] for each in found if each.status_code == 201} == {both.get("/api/jobs")["items"][0]["id"]}
        assert len(both.get("/api/jobs")["items"]) == 1

    @pytest.mark.parametrize("key", ["", "a b", "x" * 201])
    def test_a_key_that_is_none_is_refused(self, api: Api, key: str) -> None:
        found = api.call("POST", "/api/jobs", {"task": "add", "args": {"a": 1}}, headers={"Idempotency-Key": key})
        assert found.status_code == 422

    def test_a_store_that_is_away_is_said_and_the_request_may_be_sent_again(self, api: Api) -> None:
        body, headers = {"task": "add", "args": {"a": 1}}, {"Idempotency-Key": "k"}
        api.get("/api/jobs")
        with api.harness.failing(StoreAway("it is away")):
            away = api.call("POST", "/api/jobs", body, headers=headers)
        assert (away.status_code, away.json()["code"], away.headers["retry-after"]) == (503, "store_away", "5")
        assert api.call("POST", "/api/jobs", body, headers=headers).status_code == 201


def unanswered(api: Api, key: str) -> None:
    """Make a request as if its server had been killed after it was carried out, before it was answered."""
    principal = api.keys.find(api.texts[Role.OPERATOR])
    assert principal is not None
    with api.harness.store.write() as session:
        found = session.access.reply(principal.id, key)
        assert found is not None
        api.harness.store.database.in_writer("prune_replies", {"before": 2**62, "limit": 10})
        session.access.begin_reply(principal.id, key, found.digest, api.harness.clock.now_ms())
