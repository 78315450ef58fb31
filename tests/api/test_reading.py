"""Lists, pages, filters and details, as programs read them."""

from __future__ import annotations

import json
from datetime import datetime
from urllib.parse import quote

import pytest
from api_harness import ADD, FEATURES, Api

from mulligan.core.job import FailureClass
from mulligan.core.submission import NewCall, NewItem, Options
from mulligan.engine.exchanging import Notes
from mulligan.testing.factories import a_definition

DAY_MS = 86_400_000


def days(count: int, first: int = 0) -> list[NewItem]:
    return [NewItem(f"day {each}", "{}", (each * DAY_MS, (each + 1) * DAY_MS)) for each in range(first, first + count)]


class TestPages:
    def test_every_job_is_on_one_page_once_also_where_some_are_added_in_between(self, both: Api) -> None:
        jobs = [str(both.harness.submit(ADD, 1)) for _ in range(7)]
        first = both.get("/api/jobs", limit=3)
        both.harness.submit(ADD, 1)
        second = both.get("/api/jobs", limit=3, cursor=first["next"])
        both.harness.submit(ADD, 1)
        third = both.get("/api/jobs", limit=3, cursor=second["next"])
        found = [each["id"] for page in (first, second, third) for each in page["items"]]
        assert found == jobs[::-1]
        assert third["next"] is None

    def test_work_items_of_all_jobs_come_in_order_whatever_the_size_of_a_page(self, both: Api) -> None:
        jobs = [both.harness.submit(ADD, [NewItem(str(each), "{}") for each in range(count)]) for count in (3, 1, 4)]
        expected = [f"{job}-{number}" for job, count in zip(jobs, (3, 1, 4), strict=True) for number in range(count)]
        for limit in (1, 3, 8, 500):
            assert both.all_ids("/api/work-items", limit) == expected
        assert both.all_ids(f"/api/jobs/{jobs[2]}/work-items", 3) == expected[4:]

    def test_a_cursor_is_for_the_list_it_came_from(self, api: Api) -> None:
        for _ in range(2):
            api.harness.submit(ADD, 1)
        cursor = api.get("/api/jobs", limit=1)["next"]
        for query in (
            {"task": "add", "cursor": cursor},
            {"cursor": "x"},
            {"cursor": "W10"},
            {"cursor": "A" * 201},
            {"cursor": "é"},
        ):
            assert api.call("GET", "/api/jobs", params=query).status_code == 422
        assert api.call("GET", "/api/work-items", params={"cursor": cursor}).status_code == 422

    @pytest.mark.parametrize("limit", ["0", "501", "-1", "x", "1e3"])
    def test_a_page_has_1_to_500_rows(self, api: Api, limit: str) -> None:
        assert api.call("GET", "/api/jobs", params={"limit": limit}).status_code == 422


class TestFilters:
    def test_jobs_are_found_by_status_task_run_id_and_label(self, both: Api) -> None:
        bad, good = both.failed(), both.succeeded()
        ads = both.harness.submit(FEATURES, 1, run_id="of ads", labels={"team": "ads=1"})

        def found(**query: object) -> set[str]:
            return {each["id"] for each in both.get("/api/jobs", **query)["items"]}

        assert found(status="FAILURE") == {str(bad)}
        assert found(status=["FAILURE", "SUCCESS"]) == {str(bad), str(good)}
        assert found(task="features") == found(run_id="of ads") == found(label="team=ads=1") == {str(ads)}
        assert found(task="none") == found(label="team=") == set()

    def test_work_items_are_found_by_everything_that_is_known_of_them(self, both: Api) -> None:
        job = both.harness.submit(FEATURES, days(4), run_id="r")
        worker = both.worker(FEATURES)
        first, second, *_ = worker.claim(2)
        worker.fail(first, FailureClass.PERMANENT, error_message="no column 100%_'x'")
        worker.succeed(second)

        def found(**query: object) -> list[int]:
            return [int(each["id"].partition("-")[2]) for each in both.get("/api/work-items", **query)["items"]]

        assert found(job=job) == found(run_id="r") == found(task="features") == [0, 1, 2, 3]
        assert found(status="FAILURE") == found(failure_class="PERMANENT") == found(error="100%_'x") == [0]
        assert found(job=job, key="day 2") == [2]
        assert found(window_start="1970-01-02", window_end="1970-01-04") == [1, 2]
        assert found(error="other") == found(run_id="none") == found(task="add") == []
        assert both.call("GET", "/api/work-items", params={"job": "77"}).status_code == 404

    @pytest.mark.parametrize(
        "query",
        ["status=none", "failure_class=none", "window_start=none", "error=%00", "task=%00", "run_id=%ed%a0%80", "label=x"],
    )
    @pytest.mark.parametrize("path", ["/api/jobs", "/api/work-items"])
    def test_a_filter_that_is_none_is_refused(self, both: Api, path: str, query: str) -> None:
        name = query.partition("=")[0]
        known = {"/api/jobs": ("status", "task", "run_id", "label"), "/api/work-items": ("label",)}
        found = both.call("GET", f"{path}?{query}")
        wanted = name in known[path] if path == "/api/jobs" else name not in known[path]
        assert found.status_code in ((422,) if wanted and "%ed" not in query else (200, 422))


class TestDetails:
    def test_a_work_item_shows_what_it_is_for_and_how_it_goes(self, both: Api) -> None:
        job = both.harness.submit(FEATURES, [NewItem("a", '{"x": [1]}', (0, DAY_MS))], tz="Europe/Zurich")
        worker = both.worker(FEATURES)
        item = worker.take()
        worker.exchange(notes=Notes(progress=[(job, 0, item.token, 1, 4)], logs=[(job, 0, item.token, 0, "héllo\x1b[1m\n")]))
        shown = both.get(f"/api/work-items/{job}-0")
        assert (shown["status"], shown["label"], shown["progress"], shown["worker"]) == ("STARTED", "Running", 25.0, worker.name)
        window = {"start": "1970-01-01T01:00:00+01:00", "end": "1970-01-02T01:00:00+01:00", "tz": "Europe/Zurich"}
        assert shown["window"] == window
        assert shown["args"] == {"x": [1]}
        assert both.get(f"/api/jobs/{job}")["progress"] == 25.0
        worker.fail(item, FailureClass.TRANSIENT, error_message="away", failure=None)
        shown = both.get(f"/api/work-items/{job}-0")
        assert (shown["status"], shown["failure_class"], shown["error_message"]) == ("RETRY", "TRANSIENT", "away")
        assert shown["due_at"] > shown["created_at"]
        both.post(f"/api/work-items/{job}-0/retry-now")
        worker.succeed(worker.take(), '{"rows": 3}', rows=3)
        shown = both.get(f"/api/work-items/{job}-0")
        assert (shown["status"], shown["result"], shown["rows"], shown["progress"]) == ("SUCCESS", {"rows": 3}, 3, 100.0)

        attempts = both.get(f"/api/work-items/{job}-0/attempts")["items"]
        assert [(each["place"], each["outcome"], each["decision"], each["charged"]) for each in attempts] == [
            (1, "FAILED", "will_retry", True),
            (2, "SUCCEEDED", "succeeded", False),
        ]
        logs = both.call("GET", f"/api/work-items/{job}-0/logs")
        assert logs.text == "héllo\x1b[1m\n"
        assert logs.headers["content-type"] == "text/plain; charset=utf-8"
        assert both.call("GET", f"/api/work-items/{job}-0/logs?attempt=1").text == logs.text
        assert both.call("GET", f"/api/work-items/{job}-0/logs?attempt=2").text == ""
        assert both.call("GET", f"/api/work-items/{job}-0/logs?attempt=3").status_code == 404
        lines = both.get(f"/api/work-items/{job}-0/explain")["lines"]
        assert lines[0] == f"Work item {job}-0 (a) of task features: Success"

    def test_a_work_item_says_since_when_it_runs_and_when_its_time_is_over(self, both: Api) -> None:
        soon_ms = both.harness.clock.now_ms() + 60_000
        job = both.harness.submit(FEATURES, expires_ms=soon_ms, total_timeout_s=3600)
        worker = both.worker(FEATURES)

        def times() -> tuple[str | None, float | None]:
            shown = both.get(f"/api/work-items/{job}-0")
            created, deadline = (datetime.fromisoformat(shown[each]) for each in ("created_at", "deadline_at"))
            return shown["claimed_at"], (deadline - created).total_seconds()

        assert times() == (None, 60)
        item = worker.take()
        claimed, deadline = times()
        assert claimed is not None
        assert deadline == 3600
        worker.fail(item)
        assert times() == (None, 3600)

    def test_long_logs_come_whole(self, api: Api) -> None:
        job = api.harness.submit(ADD, 1)
        worker = api.worker(ADD)
        item = worker.take()
        pieces = [(job, 0, item.token, part, f"line {part}\n") for part in range(2_500)]
        worker.exchange(notes=Notes(logs=pieces))
        worker.succeed(item)
        for query in ("", "?attempt=1"):
            assert api.call("GET", f"/api/work-items/{job}-0/logs{query}").text == "".join(each[4] for each in pieces)

    def test_the_attempts_of_a_much_tried_item_come_in_pages(self, api: Api) -> None:
        job = api.failed()
        for _ in range(4):
            api.post(f"/api/jobs/{job}/retry")
            worker = api.worker(ADD)
            worker.fail(worker.take(), FailureClass.PERMANENT)
        first = api.get(f"/api/work-items/{job}-0/attempts", limit=3)
        rest = api.get(f"/api/work-items/{job}-0/attempts", limit=3, cursor=first["next"])
        assert [each["place"] for each in first["items"] + rest["items"]] == [1, 2, 3, 4, 5]
        assert rest["next"] is None

    def test_the_calls_of_a_workflow_are_listed_under_it_and_nowhere_else(self, both: Api) -> None:
        flow = a_definition("flow", executor="workflow")
        job = both.harness.submit(flow, 1)
        worker = both.worker(flow, ADD)
        body = worker.take()
        calls = [NewCall(f"add#{each}", "d", NewItem(str(each), '{"a": 1}'), ADD, Options()) for each in range(3)]
        worker.call(body, *calls)
        listed = both.get(f"/api/work-items/{job}-0/calls", limit=2)
        more = both.get(f"/api/work-items/{job}-0/calls", limit=2, cursor=listed["next"])
        found = listed["items"] + more["items"]
        assert [(each["task"], each["parent"]) for each in found] == [("add", f"{job}-0")] * 3
        assert both.get("/api/work-items", parent=f"{job}-0")["items"] == found
        assert [each["id"] for each in both.get("/api/work-items")["items"]] == [f"{job}-0"]
        assert [each["id"] for each in both.get("/api/jobs")["items"]] == [str(job)]
        assert both.call("GET", f"/api/jobs/{found[0]['job']}").status_code == 404
        assert both.get(f"/api/work-items/{found[0]['id']}")["parent"] == f"{job}-0"
        assert both.get(f"/api/work-items/{found[0]['id']}/calls")["items"] == []

    def test_what_retention_has_removed_says_so(self, both: Api) -> None:
        job = both.harness.submit(ADD, 1, run_id="kept")
        worker = both.worker(ADD)
        worker.succeed(worker.take())
        both.harness.clock.pass_(10 * 86_400)
        while both.harness.retention.run_once():
            pass
        assert both.get(f"/api/jobs/{job}")["details_removed_at"]
        for path in (f"/api/jobs/{job}/work-items", f"/api/work-items/{job}-0", f"/api/work-items/{job}-0/logs"):
            gone = both.call("GET", path)
            assert gone.status_code == 404
            assert "retention" in gone.json()["detail"]


class TestOverview:
    def test_pipelines_say_what_they_take(self, both: Api) -> None:
        both.worker(ADD)
        add, features = both.get("/api/pipelines")["items"]
        assert (add["name"], add["kind"], add["has_worker"], add["takes_window"]) == ("add", "task", True, False)
        assert add["parameters"] == json.loads(ADD.parameters)
        assert (features["name"], features["has_worker"], features["takes_window"]) == ("features", False, True)
        names = [each["name"] for each in both.get("/api/pipelines", limit=1)["items"]]
        rest = both.get("/api/pipelines", limit=1, cursor=both.get("/api/pipelines", limit=1)["next"])
        assert names + [each["name"] for each in rest["items"]] == ["add", "features"]
        assert rest["next"] is None

    def test_partitions_are_the_windows_of_a_task_with_the_newest_item_of_each(self, both: Api) -> None:
        old = both.harness.submit(FEATURES, days(3))
        worker = both.worker(FEATURES)
        for item in worker.claim(3):
            worker.succeed(item)
        new = both.harness.submit(FEATURES, days(1, first=1))
        found = both.get("/api/partitions", task="features", limit=2)
        rest = both.get("/api/partitions", task="features", limit=2, cursor=found["next"])
        assert [(each["work_item"], each["status"]) for each in found["items"] + rest["items"]] == [
            (f"{old}-0", "SUCCESS"),
            (f"{new}-0", "PENDING"),
            (f"{old}-2", "SUCCESS"),
        ]
        some = both.get("/api/partitions", task="features", start="1970-01-02", end="1970-01-03")["items"]
        assert [each["window"]["start"] for each in some] == ["1970-01-02T00:00:00Z"]
        assert both.call("GET", "/api/partitions", params={"task": "none"}).status_code == 404
        assert both.call("GET", "/api/partitions", params={"task": "features", "tz": "Nowhere"}).status_code == 422
        assert both.call("GET", "/api/partitions").status_code == 422

    def test_workers_say_how_they_are(self, both: Api) -> None:
        one, other = both.worker(), both.worker()
        one.die()
        assert {each["name"]: each["state"] for each in both.get("/api/workers")["items"]} == {
            one.name: "dead",
            other.name: "living",
        }

    def test_the_audit_is_read_newest_first_by_pages_and_by_target(self, both: Api) -> None:
        jobs = [both.failed() for _ in range(3)]
        for job in jobs:
            both.post(f"/api/jobs/{job}/retry", {"reason": f"because of {job}"})
        pages = both.all_ids("/api/audit", 2)
        assert pages == sorted(pages, key=int, reverse=True)
        assert len(pages) == 6, "three of the keys, and three of these"
        (line,) = both.get("/api/audit", target=f"job {jobs[1]}")["items"]
        assert line["reason"] == f"because of {jobs[1]}"


@pytest.mark.parametrize("name", ["../../etc/passwd", "%2e%2e%2f", "a\0b", "a'; drop table jobs; --", "x" * 5000])
@pytest.mark.parametrize("path", ["/api/jobs/{}", "/api/work-items/{}", "/api/work-items/{}/logs", "/api/pipelines/{}"])
def test_whatever_stands_in_a_path_is_an_id_that_is_not_there(api: Api, path: str, name: str) -> None:
    found = api.call("GET", path.format(quote(name, safe="")))
    assert found.status_code in (404, 405)
    assert found.headers["content-type"] == "application/problem+json"
