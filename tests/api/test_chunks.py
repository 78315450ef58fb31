"""Jobs that come in chunks: opened, added to, sealed; whatever is sent again changes nothing more."""

from __future__ import annotations

from typing import Any

import pytest
from api_harness import ADD, Api

from mulligan.core.access import Role


def items(first: int, count: int) -> list[dict[str, Any]]:
    return [{"args": {"a": number}} for number in range(first, first + count)]


def opened(api: Api, count: int = 2, **more: Any) -> str:
    """Return a job to which can be added."""
    body = {"task": "add", "items": items(0, count), "args": {"b": 5}, "sealed": False, **more}
    return str(api.post("/api/jobs", body, status=201)["id"])


def refused(api: Api, path: str, body: Any, status: int = 409) -> str:
    found = api.post(path, body, status=status)
    return str(found["code"])


def test_a_job_comes_in_chunks_and_starts_when_it_is_sealed(both: Api) -> None:
    job = opened(both)
    worker = both.worker(ADD)
    found = both.get(f"/api/jobs/{job}")
    assert (found["sealed"], found["counts"]["total"], found["label"]) == (False, 2, "Waiting (being submitted)")
    assert both.post(f"/api/jobs/{job}/work-items", {"first": 2, "items": items(2, 3)})["counts"]["total"] == 5
    assert worker.claim(10) == []
    sealed = both.post(f"/api/jobs/{job}/seal", {"total": 5})
    assert (sealed["sealed"], sealed["counts"]["total"]) == (True, 5)
    assert len(worker.claim(10)) == 5
    rows = both.get(f"/api/jobs/{job}/work-items")["items"]
    assert [(each["key"], each["args"]) for each in rows] == [(str(at), {"a": at, "b": 5}) for at in range(5)]


def test_a_chunk_that_is_sent_again_is_not_added_twice(both: Api) -> None:
    job = opened(both)
    for _ in range(2):
        for first, count in ((2, 3), (2, 5), (0, 2)):
            both.post(f"/api/jobs/{job}/work-items", {"first": first, "items": items(first, count)})
    assert both.get(f"/api/jobs/{job}")["counts"]["total"] == 7
    assert both.post(f"/api/jobs/{job}/seal", {"total": 7})["sealed"]


def test_a_gap_is_refused_and_says_where_to_go_on(both: Api) -> None:
    job = opened(both)
    gap = both.post(f"/api/jobs/{job}/work-items", {"first": 3, "items": items(3, 1)}, status=409)
    assert gap["code"] == "chunk_gap"
    assert "begins at 2, not at 3" in gap["detail"]
    short = both.post(f"/api/jobs/{job}/seal", {"total": 3}, status=409)
    assert short["code"] == "chunk_gap"
    assert short["detail"].endswith("send what is missing, from 2 on")
    over = both.post(f"/api/jobs/{job}/seal", {"total": 1}, status=409)
    assert "missing" not in over["detail"]
    assert not both.get(f"/api/jobs/{job}")["sealed"]


def test_a_chunk_that_is_another_than_before_is_refused(both: Api) -> None:
    job = opened(both)
    other = [{"args": {"a": 9}}]
    assert refused(both, f"/api/jobs/{job}/work-items", {"first": 1, "items": other}) == "chunk_conflict"
    both.post(f"/api/jobs/{job}/work-items", {"first": 2, "items": [{"key": "k", "args": {"a": 2}}]})
    assert refused(both, f"/api/jobs/{job}/work-items", {"first": 2, "items": items(2, 1)}) == "chunk_conflict"
    again = {"first": 3, "items": [{"key": "k", "args": {"a": 3}}]}
    assert refused(both, f"/api/jobs/{job}/work-items", again, 422) == "arguments_invalid"
    assert both.get(f"/api/jobs/{job}")["counts"]["total"] == 3


def test_the_same_run_id_finds_the_job_as_far_as_it_has_come(both: Api) -> None:
    job = opened(both, run_id="nightly")
    both.post(f"/api/jobs/{job}/work-items", {"first": 2, "items": items(2, 2)})
    assert opened(both, run_id="nightly") == job
    assert opened(both, 0, run_id="nightly") == job
    for change in ({"args": {"b": 6}}, {"items": [{"args": {"a": 7}}]}):
        body = {"task": "add", "items": items(0, 2), "args": {"b": 5}, "sealed": False, "run_id": "nightly", **change}
        assert refused(both, "/api/jobs", body) in ("run_id_conflict", "chunk_conflict")
    whole = {"task": "add", "items": items(0, 4), "args": {"b": 5}, "run_id": "nightly"}
    assert "being submitted in chunks" in both.post("/api/jobs", whole, status=409)["detail"]
    both.post(f"/api/jobs/{job}/seal")
    assert opened(both, run_id="nightly") == job
    assert refused(both, "/api/jobs", whole) == "run_id_conflict"


def test_a_request_with_a_key_of_its_own_that_is_sent_again_opens_one_job(both: Api) -> None:
    body = {"task": "add", "items": items(0, 1), "sealed": False}
    found = [both.call("POST", "/api/jobs", body, headers={"Idempotency-Key": "k"}).json()["id"] for _ in range(2)]
    assert len(set(found)) == 1


def test_sealing_is_done_once_and_nothing_is_added_after(both: Api) -> None:
    job = opened(both)
    for _ in range(2):
        assert both.post(f"/api/jobs/{job}/seal", {"total": 2, "reason": "all there"})["sealed"]
    assert refused(both, f"/api/jobs/{job}/work-items", {"first": 2, "items": items(2, 1)}) == "refused"
    told = [(each["action"], each["actor"], each["changed"]) for each in both.audited()]
    assert told == [("seal", "the operator", 2), ("submit", "the operator", 2)]
    plain = both.post("/api/jobs", {"task": "add", "args": {"a": 1}}, status=201)["id"]
    assert refused(both, f"/api/jobs/{plain}/work-items", {"first": 1, "items": items(1, 1)}) == "refused"


def test_a_job_without_work_items_has_ended_when_it_is_sealed(both: Api) -> None:
    job = opened(both, 0)
    assert both.post(f"/api/jobs/{job}/seal")["status"] == "SUCCESS"


def test_one_that_is_cancelled_takes_no_more_and_ends_when_it_is_sealed(both: Api) -> None:
    job = opened(both)
    both.post(f"/api/jobs/{job}/cancel")
    assert refused(both, f"/api/jobs/{job}/work-items", {"first": 2, "items": items(2, 1)}) == "refused"
    assert both.post(f"/api/jobs/{job}/seal")["status"] == "REVOKED"


def test_one_that_nobody_adds_to_for_a_day_is_forgotten_and_the_audit_tells(both: Api) -> None:
    job = opened(both)
    both.harness.clock.pass_(20 * 3600)
    assert both.harness.submitting.drop_abandoned() == 0
    both.harness.clock.pass_(5 * 3600)
    assert both.harness.submitting.drop_abandoned() == 1
    assert both.call("GET", f"/api/jobs/{job}").status_code == 404
    assert both.call("POST", f"/api/jobs/{job}/seal").status_code == 404
    assert both.audited()[0]["action"] == "forget job"


@pytest.mark.parametrize(
    "change", [{"backfill": {"start": "2024-01-01", "end": "2024-01-02"}}, {"items": [{"args": {"a": "x"}}]}, {"sealed": "no"}]
)
def test_what_cannot_come_in_chunks_is_refused(api: Api, change: dict[str, Any]) -> None:
    assert api.call("POST", "/api/jobs", {"task": "add", "sealed": False, **change}).status_code == 422


def test_options_hold_for_all_chunks(both: Api) -> None:
    job = opened(both, priority=1, delay_s=60, total_timeout_s=3600)
    both.post(f"/api/jobs/{job}/work-items", {"first": 2, "items": items(2, 1)})
    both.harness.clock.pass_(10)
    both.post(f"/api/jobs/{job}/seal")
    rows = both.harness.items(int(job))
    assert {each.priority for each in rows} == {1}
    assert len({each.cutoff_ms for each in rows}) == 1
    assert {round((each.due_ms - each.created_ms) / 1000) for each in rows} == {60}


def test_chunks_are_for_operators_of_the_pipeline(both: Api) -> None:
    job = opened(both)
    body = {"first": 2, "items": items(2, 1)}
    assert both.call("POST", f"/api/jobs/{job}/work-items", body, apikey=both.texts[Role.VIEWER]).status_code == 403
    other = both.key(Role.OPERATOR, "features")
    assert both.call("POST", f"/api/jobs/{job}/work-items", body, apikey=other).status_code == 404
    assert both.call("POST", f"/api/jobs/{job}/seal", apikey=other).status_code == 404


def test_every_submit_is_in_the_audit_once(both: Api) -> None:
    for _ in range(2):
        both.post("/api/jobs", {"task": "add", "args": {"a": 1}, "run_id": "r"}, status=201)
    (told,) = both.audited()
    assert (told["action"], told["actor"], told["source"], told["changed"]) == ("submit", "the operator", "rest", 1)
    assert told["address"]


def test_what_was_cancelled_of_one_does_not_make_it_look_as_if_it_ran(both: Api) -> None:
    job = opened(both)
    both.post(f"/api/work-items/{job}-0/cancel")
    found = both.get(f"/api/jobs/{job}")
    assert (found["status"], found["progress"], found["label"]) == ("PENDING", 50.0, "Waiting (being submitted)")
    empty = both.get(f"/api/jobs/{opened(both, 0)}")
    assert (empty["status"], empty["progress"]) == ("PENDING", 0.0)
