"""The calendar of windows, the newest of each window, the plan of a backfill, counts of calls."""

from __future__ import annotations

from typing import Any

import pytest
from api_harness import ADD, FEATURES, Api

from mulligan.core.access import Role
from mulligan.core.definition import Definition
from mulligan.core.job import FailureClass
from mulligan.core.schedule import instant_ms
from mulligan.core.submission import NewCall, NewItem, Options
from mulligan.engine import calendars
from mulligan.testing.factories import a_definition

DAY = 86_400_000
HOUR = 3_600_000


def days(first: str, count: int, length: int = DAY, tz: str = "UTC") -> list[NewItem]:
    """Return items for windows that follow one another."""
    start = instant_ms(first, tz)
    return [NewItem(f"{n}", "{}", (start + n * length, start + (n + 1) * length)) for n in range(count)]


def done(api: Api, items: list[NewItem], fails: tuple[int, ...] = (), task: Definition = FEATURES) -> int:
    """Return a job over items of which some have failed for good, and all others succeeded."""
    job = api.harness.submit(task, items, kind="backfill")
    worker = api.worker(task)
    for item in worker.claim(len(items)):
        if item.number in fails:
            worker.fail(item, FailureClass.PERMANENT, failure=None)
        else:
            worker.succeed(item, "3", None)
    return job


def calendar(api: Api, **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = api.get("/api/partitions/calendar", task="features", **query)
    return found


class TestCalendar:
    def test_it_shows_the_newest_year_and_leads_to_the_others_over_years_without_windows(self, both: Api) -> None:
        done(both, days("2019-12-30", 3))
        done(both, days("2023-12-30", 3), fails=(2,))
        newest = calendar(both)
        assert (newest["at"], newest["earlier"], newest["later"]) == ("2024", "2023", None)
        assert [each["status"] for each in newest["items"]] == ["FAILURE"]
        older = calendar(both, at="2023")
        assert (older["at"], older["earlier"], older["later"]) == ("2023", "2020", "2024")
        assert older["counts"] == {"total": 2, "success": 2, "failure": 0, "pending": 0, "started": 0, "retry": 0, "revoked": 0}
        empty = calendar(both, at="2021")
        assert (empty["at"], empty["earlier"], empty["later"], empty["items"]) == ("2021", "2020", "2023", [])

    def test_a_year_is_that_of_the_time_zone_asked_for(self, both: Api) -> None:
        done(both, days("2024-01-01", 1, tz="Europe/Zurich"))
        assert calendar(both)["at"] == "2023"
        there = calendar(both, tz="Europe/Zurich")
        assert (there["at"], there["items"][0]["window"]["start"]) == ("2024", "2024-01-01T00:00:00+01:00")

    def test_a_window_stands_with_its_newest_work_item_and_a_job_with_its_own(self, both: Api) -> None:
        first = done(both, days("2024-01-01", 2), fails=(0, 1))
        again = done(both, days("2024-01-01", 1))
        assert [each["work_item"] for each in calendar(both)["items"]] == [f"{again}-0", f"{first}-1"]
        assert [each["status"] for each in calendar(both, job=first)["items"]] == ["FAILURE", "FAILURE"]
        assert calendar(both, job=again)["counts"]["total"] == 1

    def test_a_period_with_too_many_gives_way_to_the_last_one_in_it_that_has_not(
        self, both: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(calendars, "MOST", 30)
        done(both, days("2024-01-30", 72, HOUR))
        newest = calendar(both)
        assert (newest["at"], newest["counts"]["total"], newest["earlier"]) == ("2024-02", 24, "2024-01")
        older = calendar(both, at="2024-01")
        assert (older["at"], older["counts"]["total"], older["later"]) == ("2024-01-31", 24, "2024-02-01")
        assert not older["more"]
        monkeypatch.setattr(calendars, "MOST", 10)
        done(both, days("2024-03-01", 12, 60_000))
        crowded = calendar(both)
        assert (crowded["at"], crowded["more"], len(crowded["items"])) == ("2024-03-01T00", True, 10)

    def test_windows_whose_details_were_removed_are_there(self, both: Api) -> None:
        done(both, days("2024-01-01", 2))
        both.harness.clock.pass_(400 * 86_400)
        both.harness.retention.run_once()
        assert both.get("/api/jobs")["items"] == []
        assert calendar(both)["counts"]["success"] == 2

    def test_without_windows_there_is_no_period(self, both: Api) -> None:
        assert calendar(both) == {
            **dict.fromkeys(("at", "start", "end", "earlier", "later")),
            "tz": "UTC",
            "more": False,
            "items": [],
            "counts": dict.fromkeys(("total", "success", "failure", "pending", "started", "retry", "revoked"), 0),
        }

    @pytest.mark.parametrize("wrong", [{"at": "winter"}, {"tz": "Mars"}, {"at": "2024\0"}, {"job": "999"}])
    def test_what_is_wrong_is_said(self, api: Api, wrong: dict[str, str]) -> None:
        assert api.call("GET", "/api/partitions/calendar", params={"task": "features", **wrong}).status_code in (404, 422)

    def test_it_is_not_for_keys_of_other_pipelines(self, api: Api) -> None:
        key = api.key(Role.VIEWER, "add")
        assert api.call("GET", "/api/partitions/calendar?task=features", apikey=key).status_code == 403


class TestLatest:
    def test_of_the_work_items_for_one_window_only_the_newest_is_listed_and_retried(self, both: Api) -> None:
        first = done(both, days("2024-01-01", 3), fails=(0, 1, 2))
        again = done(both, days("2024-01-01", 1))
        later = both.harness.submit(FEATURES, days("2024-01-02", 1))
        assert both.all_ids("/api/work-items", 100, task="features", latest=True) == [f"{first}-2", f"{again}-0", f"{later}-0"]
        assert len(both.all_ids("/api/work-items", 100, task="features", latest=False)) == 5
        asked = {"action": "retry", "filter": {"task": "features", "latest": True}}
        assert both.post("/api/work-items/bulk", {**asked, "dry_run": True})["matched"] == 1
        both.post("/api/work-items/bulk", asked, status=202)
        assert both.post("/api/work-items/retry", {"filter": {"task": "features", "latest": True}})["total"] == 1
        assert both.harness.item(first, 2).generation == 2

    def test_a_failure_before_a_success_whose_details_were_removed_is_not_the_newest(self, both: Api) -> None:
        old = both.harness.submit(FEATURES, days("2024-01-01", 2))
        worker = both.worker(FEATURES)
        worker.fail(worker.take(), FailureClass.PERMANENT, failure=None)
        both.harness.clock.pass_(10)
        worker.take()  # the other one is under way for as long as this takes
        done(both, days("2024-01-01", 1))
        both.harness.clock.pass_(400 * 86_400)
        both.harness.retention.run_once()
        assert both.all_ids("/api/work-items", 100, task="features") == [f"{old}-0", f"{old}-1"]
        assert both.all_ids("/api/work-items", 100, task="features", latest=True) == [f"{old}-1"]

    def test_work_items_without_a_window_are_all_the_newest(self, both: Api) -> None:
        job = both.failed(2)
        assert both.all_ids("/api/work-items", 100, latest=True) == [f"{job}-0", f"{job}-1"]

    def test_by_itself_it_chooses_everything_and_is_refused(self, api: Api) -> None:
        for path, body in (("bulk", {"action": "retry"}), ("retry", {})):
            for latest in (True, False):
                found = api.call("POST", f"/api/work-items/{path}", {**body, "filter": {"latest": latest}})
                assert found.status_code == 422, found.text


class TestPlanOfABackfill:
    @pytest.fixture
    def past(self, both: Api) -> Api:
        """Six days: two succeeded, one failed, one is in flight, two were never submitted."""
        done(both, days("2024-01-01", 3), fails=(2,))
        both.harness.submit(FEATURES, days("2024-01-04", 1))
        return both

    def planned(self, api: Api, only: str, status: int = 200) -> dict[str, Any]:
        asked = {"start": "2024-01-01", "end": "2024-01-07", "only": only}
        found: dict[str, Any] = api.post("/api/jobs", {"task": "features", "backfill": asked, "dry_run": True}, status=status)
        return found

    def test_it_says_which_windows_are_missing_and_why_others_are_left_alone(self, past: Api) -> None:
        jobs = past.all_ids("/api/jobs", 100)
        found = self.planned(past, "missing")
        assert (found["total"], found["dry_run"]) == (3, True)
        assert found["examples"] == ["2024-01-03 (FAILURE)", "2024-01-05 (never submitted)", "2024-01-06 (never submitted)"]
        assert found["left_alone"] == {"succeeded before": 2, "in flight": 1}
        assert past.all_ids("/api/jobs", 100) == jobs, "nothing was submitted"

    def test_it_does_what_it_says(self, past: Api) -> None:
        asked = {"start": "2024-01-01", "end": "2024-01-07", "only": "missing"}
        made = past.post("/api/jobs", {"task": "features", "backfill": asked}, status=201)
        assert made["counts"]["total"] == 3
        assert self.planned(past, "missing")["left_alone"] == {"succeeded before": 2, "in flight": 4}

    def test_of_those_that_failed_only_these_are_taken(self, past: Api) -> None:
        found = self.planned(past, "failed")
        assert found["examples"] == ["2024-01-03 (FAILURE)"]
        assert found["left_alone"] == {"is SUCCESS": 2, "in flight": 1, "never submitted": 2}

    def test_of_all_it_has_the_verdicts_on_what_would_be_overwritten(self, past: Api) -> None:
        found = self.planned(past, "all")
        assert (found["total"], found["unsafe_total"]) == (5, 2)
        assert {each["verdict"] for each in found["unsafe"].values()} <= {"UNSAFE", "UNKNOWN"}
        assert found["left_alone"] == {"in flight, for which all of it would be refused": 1}

    def test_only_a_backfill_has_a_plan(self, api: Api) -> None:
        found = api.call("POST", "/api/jobs", {"task": "add", "args": {"a": 1}, "dry_run": True})
        assert (found.status_code, "backfill" in found.json()["detail"]) == (422, True)


def test_calls_of_several_workflows_are_counted_at_once(both: Api) -> None:
    flow = a_definition("flow", executor="workflow")
    job = both.harness.submit(flow, 3)
    worker = both.worker(flow, ADD)
    first, second, _ = worker.claim(3)
    for item, count in ((first, 2), (second, 1)):
        worker.call(item, *(NewCall(f"add#{n}", "d", NewItem(str(n), "{}"), ADD, Options()) for n in range(count)))
    found = both.get("/api/call-counts", id=[f"{job}-{n}" for n in range(3)] + ["999-0"])
    assert {item: each["pending"] for item, each in found.items()} == {f"{job}-0": 2, f"{job}-1": 1}
    other = both.key(Role.VIEWER, "features")
    assert both.get("/api/call-counts", apikey=other, id=f"{job}-0") == {}
