"""Keys that are made, listed and revoked over REST; the last one of an admin stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from api_harness import ASKER, Api

from mulligan.api.access import Authenticator
from mulligan.core.access import Role
from mulligan.core.errors import Refused
from mulligan.store.postgres import Place, PostgresDatabase

WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'mulligan'"


def as_admin(api: Api, method: str, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
    found = api.call(method, path, body, apikey=api.texts[Role.ADMIN], **more)
    assert found.status_code == status, found.text
    return found.json()


def test_a_key_is_answered_once_works_at_once_and_is_kept_as_a_digest_only(both: Api) -> None:
    made = both.call("POST", "/api/keys", {"name": "ann", "role": "operator"}, apikey=both.texts[Role.ADMIN])
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    key = made.json()["key"]
    assert both.call("GET", "/api/jobs", apikey=key).status_code == 200
    listed = as_admin(both, "GET", "/api/keys")["items"]
    assert {each["name"]: each["role"] for each in listed}["ann"] == "operator"
    with both.harness.store.read() as session:
        kept = repr(session.access.every()) + repr(session.records.audit(limit=500)) + repr(listed)
    assert key.split("_", 2)[2] not in kept


def test_it_may_be_limited_to_pipelines_and_to_a_time(both: Api) -> None:
    body = {"name": "bob", "role": "viewer", "pipelines": ["features"], "expires_s": 60, "reason": "an audit"}
    key = as_admin(both, "POST", "/api/keys", body, status=201)["key"]
    assert both.call("GET", "/api/partitions?task=add", apikey=key).status_code == 403
    (line,) = [each for each in both.get("/api/audit")["items"] if each["target"] == "key bob"]
    assert (line["actor"], line["source"], line["reason"], line["action"]) == ("the admin", "rest", "an audit", "create key")
    both.harness.clock.pass_(61)
    assert Authenticator(both.keys).find(key) is None


def test_a_key_that_is_sent_again_under_one_idempotency_key_is_not_kept_for_that(both: Api) -> None:
    headers = {"Idempotency-Key": "once"}
    as_admin(both, "POST", "/api/keys", {"name": "ann", "role": "viewer"}, status=201, headers=headers)
    again = as_admin(both, "POST", "/api/keys", {"name": "ann", "role": "viewer"}, status=409, headers=headers)
    assert "a key 'ann' already" in again["detail"]


def test_a_revoked_key_is_refused_and_listed_as_such(both: Api) -> None:
    made = as_admin(both, "POST", "/api/keys", {"name": "ann", "role": "viewer"}, status=201)
    assert as_admin(both, "DELETE", f"/api/keys/{made['id']}?reason=she+left") == {"name": "ann", "revoked": True}
    assert Authenticator(both.keys).find(made["key"]) is None
    assert {each["name"]: each["revoked_at"] is not None for each in as_admin(both, "GET", "/api/keys")["items"]}["ann"]
    as_admin(both, "DELETE", f"/api/keys/{made['id']}", status=404)
    (line,) = [each for each in both.get("/api/audit")["items"] if each["action"] == "revoke key"]
    assert (line["reason"], line["changed"]) == ("she left", 1)


def test_the_last_key_of_an_admin_is_not_revoked_by_accident(both: Api) -> None:
    as_admin(both, "POST", "/api/keys", {"name": "soon gone", "role": "admin", "expires_s": 60}, status=201)
    assert "last key of an admin" in as_admin(both, "DELETE", "/api/keys/the%20admin", status=409)["detail"]
    both.keys.create("limited", Role.ADMIN, ["features"], ASKER)
    both.keys.create("short", Role.ADMIN, None, ASKER, expires_s=5)
    both.harness.clock.pass_(6)
    as_admin(both, "DELETE", "/api/keys/the%20admin", status=409)
    as_admin(both, "DELETE", "/api/keys/limited")
    as_admin(both, "DELETE", "/api/keys/short")
    both.keys.create("second", Role.ADMIN, None, ASKER)
    as_admin(both, "DELETE", "/api/keys/second")
    assert as_admin(both, "DELETE", "/api/keys/the%20admin?last=true")["name"] == "the admin"


def test_a_key_that_is_named_as_the_id_of_another_does_not_end_with_it(both: Api) -> None:
    first = both.keys.create("first", Role.VIEWER, None, ASKER).principal
    both.keys.create(first.id, Role.VIEWER, None, ASKER)
    assert both.keys.revoke(first.id, ASKER) == "first"
    assert {row.name for row in both.keys.all() if row.revoked_ms is not None} == {"first"}
    assert both.keys.revoke(first.id, ASKER) == first.id, "by its name, now that no key has that id"


def test_two_who_revoke_each_others_key_at_one_moment_leave_one(an_empty_place: Callable[[], Place]) -> None:
    place = an_empty_place()
    api = Api(PostgresDatabase(place))
    api.keys.create("second", Role.ADMIN, None, ASKER)
    with ThreadPoolExecutor(1) as pool:
        with api.harness.store.write() as session:
            assert session.access.revoke("second", api.harness.clock.now_ms()) is not None
            other = pool.submit(api.keys.revoke, "the admin", ASKER)
            until_it_waits(place, other)
        with pytest.raises(Refused, match="the last key of an admin"):
            other.result(30)
    api.harness.store.close()


def until_it_waits(place: Place, other: Future[str]) -> None:
    """Wait until another thread waits for what this one has locked, or does not have to."""
    until, pause = time.monotonic() + 30, threading.Event()
    with psycopg.connect(place.url, autocommit=True) as connection:
        while not other.done() and not (connection.execute(WAITING).fetchone() or [0])[0]:
            assert time.monotonic() < until, "it neither ended nor waited"
            pause.wait(0.01)


@pytest.mark.parametrize(
    "wrong", [{"role": "king"}, {"name": "a\nb"}, {"pipelines": []}, {"expires_s": 0}, {"expires_s": -1}, {"colour": 1}]
)
def test_what_can_be_no_key_is_refused_with_why(api: Api, wrong: dict[str, Any]) -> None:
    as_admin(api, "POST", "/api/keys", {"name": "ann", "role": "viewer", **wrong}, status=422)
    assert "ann" not in [each["name"] for each in as_admin(api, "GET", "/api/keys")["items"]]


def test_a_key_that_is_limited_to_pipelines_makes_and_sees_no_others(api: Api) -> None:
    key = api.key(Role.ADMIN, "features")
    for method, path, body in (
        ("GET", "/api/keys", None),
        ("POST", "/api/keys", {"name": "x", "role": "admin"}),
        ("DELETE", "/api/keys/the%20viewer", None),
    ):
        assert api.call(method, path, body, apikey=key).status_code == 403
