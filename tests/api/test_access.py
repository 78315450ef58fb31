"""Who may do what: every route as every role, keys that are limited, keys that are revoked."""

from __future__ import annotations

import re
from typing import Any

import pytest
from api_harness import ADD, ASKER, FEATURES, Api
from fastapi import FastAPI
from fastapi.routing import APIRoute

from mulligan.api.access import KNOWN_S, OPEN, Authenticator, refuse_undeclared
from mulligan.api.application import application
from mulligan.core.access import Principal, Role
from mulligan.core.errors import ArgumentsInvalid, MulliganError, NotFound, Refused
from mulligan.core.submission import NewCall, NewItem, Options
from mulligan.engine.keys import digest_of, random_key
from mulligan.testing.factories import a_definition

BODIES: dict[str, Any] = {
    "/api/jobs": {"task": "add", "args": {"a": 1}},
    "/api/pipelines/work-items/retry": {"work_item_ids": []},
    "/api/work-items/bulk": {"action": "retry", "filter": {"task": "add"}},
    "POST /api/keys": {"name": "ann", "role": "viewer"},
}


def routes() -> list[Any]:
    api = Api()
    found = list(application(api.served).routes)
    api.harness.store.close()
    return found


ALL = routes()
DECLARED = [each for each in ALL if isinstance(each, APIRoute) and each.path not in OPEN]


def called(api: Api, route: APIRoute, key: str) -> Any:
    return called_by(api.client(key), route, {})


def called_by(client: Any, route: APIRoute, headers: dict[str, str]) -> Any:
    (method,) = route.methods
    path = re.sub(
        r"\{\w+\}", lambda found: {"{name}": "add"}.get(found[0], "1-0" if "work-items" in route.path else "1"), route.path
    )
    query = {"type": "recover", "task": "features"} if "partitions" in path or "pipelines/work-items" in path else {}
    query |= {"id": "1-0"} if path == "/api/call-counts" else {}
    query |= {"follow": "false"} if path == "/api/stream" else {}
    body = BODIES.get(f"{method} {route.path}", BODIES.get(route.path))
    given = {} if body is None else {"json": body}
    return client.request(method, path, params=query, headers=headers, **given)


class TestEveryRoute:
    def test_there_are_as_many_as_the_design_has(self) -> None:
        assert len(DECLARED) > 28

    @pytest.mark.parametrize("route", DECLARED, ids=lambda each: f"{min(each.methods)} {each.path}")
    def test_it_is_for_the_roles_it_declares_and_for_nobody_else(self, api: Api, route: APIRoute) -> None:
        api.failed()
        needed = Role(route.openapi_extra["x-role"])  # type: ignore[index]
        assert called(api, route, "").status_code == 401
        assert called(api, route, "mlg_0123456789abcdef_" + "x" * 43).status_code == 401
        for role in Role:
            found = called(api, route, api.texts[role])
            allowed = Principal("", "", role).may(needed)
            assert (found.status_code not in (401, 403)) is allowed, found.text
            if not allowed:
                assert found.json()["code"] == "forbidden"

    @pytest.mark.parametrize("route", DECLARED, ids=lambda each: f"{min(each.methods)} {each.path}")
    def test_what_changes_something_is_not_for_viewers_and_what_they_read_changes_nothing(
        self, api: Api, route: APIRoute
    ) -> None:
        needed = Role(route.openapi_extra["x-role"])  # type: ignore[index]
        assert (needed is not Role.VIEWER) or route.methods == {"GET"} or route.path == "/logout"
        if route.methods == {"GET"}:
            api.failed()
            database = api.harness.database
            before = database._writer.total_changes()  # type: ignore[attr-defined]
            called(api, route, api.texts[Role.ADMIN])
            assert database._writer.total_changes() == before  # type: ignore[attr-defined]

    def test_only_the_probes_and_the_login_need_no_key_and_by_their_exact_paths(self, api: Api) -> None:
        assert {each.path for each in ALL} - {each.path for each in DECLARED} == OPEN == {"/healthz", "/readyz", "/login"}
        for path in OPEN:
            assert api.call("GET", path, apikey="").status_code == 200
        for path in (
            "/api/healthz",
            "/x/healthz",
            "/healthz/",
            "/healthz/x",
            "//healthz",
            "/readyz%2f",
            "/login/",
            "/api/login",
            "/login%2f..",
            "/HEALTHZ",
            "/api/jobs/healthz",
        ):
            assert api.call("GET", path, apikey="").status_code == 401, path

    def test_what_is_not_there_looks_like_what_is_without_a_key(self, api: Api) -> None:
        for path in ("/api/none", "/", "/api/jobs/1", "/docs", "/api/openapi.json"):
            assert api.call("GET", path, apikey="").status_code == 401
        assert api.call("GET", "/api/none").json()["code"] == "no_such_route"

    def test_a_route_that_declares_no_role_is_not_served(self) -> None:
        app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
        app.get("/api/new")(lambda: None)
        with pytest.raises(MulliganError, match="declares no role"):
            refuse_undeclared(app)


class TestKeys:
    def test_a_key_is_taken_in_either_header_and_two_that_differ_in_none(self, api: Api) -> None:
        key, other = api.texts[Role.VIEWER], api.texts[Role.ADMIN]
        for headers in ({"apikey": key}, {"Authorization": f"Bearer {key}"}, {"authorization": f"bearer {key}", "apikey": key}):
            assert api.call("GET", "/api/jobs", apikey="", headers=headers).status_code == 200
        for headers in (
            {"Authorization": f"Basic {key}"},
            {"Authorization": key},
            {"apikey": key, "Authorization": f"Bearer {other}"},
            {"cookie": f"apikey={key}"},
            {"apikey": key[:-1]},
            {"apikey": key[:-1] + ("A" if key[-1] != "A" else "B")},
            {"apikey": "_".join((key[:20], other.split("_", 2)[2]))},
            {"apikey": f"{key}x"},
            {"apikey": key.upper()},
            {"apikey": "mlg_' or 1=1 --"},
        ):
            found = api.call("GET", "/api/jobs", apikey="", headers=headers)
            assert found.status_code == 401
            assert found.headers["www-authenticate"] == "Bearer"
        assert api.call("GET", f"/api/jobs?apikey={key}", apikey="").status_code == 401

    def test_keys_are_random_and_kept_as_digests_only(self, both: Api) -> None:
        one, other = (random_key("x", Role.ADMIN).text for _ in range(2))
        assert one != other
        assert len(one.rpartition("_")[2]) >= 43 or one.count("_") > 2
        key = both.texts[Role.ADMIN]
        secret = key.split("_", 2)[2]
        with both.harness.store.read() as session:
            kept = repr(session.access.every()) + repr(session.records.audit(limit=500))
        assert secret not in kept
        assert digest_of(key) in kept

    def test_a_revoked_key_is_refused_within_a_second_also_where_it_was_just_used(self, both: Api) -> None:
        made = both.keys.create("ann", Role.VIEWER, None, ASKER)
        here = Authenticator(both.keys)
        assert here.find(made.text) == made.principal
        both.keys.revoke("ann", ASKER)
        assert KNOWN_S <= 0.5
        here._known = {digest: (at - KNOWN_S, whose) for digest, (at, whose) in here._known.items()}
        assert here.find(made.text) is None
        assert Authenticator(both.keys).find(made.text) is None
        with pytest.raises(NotFound):
            both.keys.revoke("ann", ASKER)
        assert [each["action"] for each in both.get("/api/audit")["items"][:2]] == ["revoke key", "create key"]

    def test_a_key_that_has_expired_is_refused(self, both: Api) -> None:
        made = both.keys.create("ann", Role.VIEWER, None, ASKER, expires_s=90 * 86_400)
        assert Authenticator(both.keys).find(made.text) == made.principal
        both.harness.clock.pass_(90 * 86_400)
        assert Authenticator(both.keys).find(made.text) is None
        with pytest.raises(ArgumentsInvalid, match="more than 0 s"):
            both.keys.create("bob", Role.VIEWER, None, ASKER, expires_s=0)

    def test_a_key_of_the_process_itself_is_in_no_store(self, api: Api) -> None:
        own = random_key("dev", Role.ADMIN)
        found = Authenticator(api.keys, own)
        assert found.find(own.text) == own.principal
        assert api.keys.find(own.text) is None
        assert found.find(api.texts[Role.VIEWER]) is not None

    def test_what_is_kept_in_mind_of_keys_does_not_grow_without_end(self, api: Api) -> None:
        found = Authenticator(api.keys)
        for number in range(1_500):
            assert found.find(f"mlg_{number}") is None
        assert len(found._known) <= 1_000

    def test_names_are_unique_until_revoked_and_pipelines_not_empty(self, both: Api) -> None:
        both.keys.create("ann", Role.VIEWER, None, ASKER)
        with pytest.raises(Refused, match="a key 'ann' already"):
            both.keys.create("ann", Role.ADMIN, None, ASKER)
        both.keys.revoke("ann", ASKER)
        both.keys.create("ann", Role.ADMIN, ["add"], ASKER)
        for name, pipelines in (("", None), ("a\nb", None), ("bob", [])):
            with pytest.raises(ArgumentsInvalid):
                both.keys.create(name, Role.VIEWER, pipelines, ASKER)


class TestLimitedKeys:
    def test_a_key_sees_its_own_pipelines_and_nothing_of_the_others(self, both: Api) -> None:
        mine, other = both.failed(task=FEATURES), both.failed(task=ADD)
        key = both.key(Role.OPERATOR, "features", "feature", "featuresx")
        assert [each["id"] for each in both.get("/api/jobs", apikey=key)["items"]] == [str(mine)]
        assert [each["id"] for each in both.get("/api/work-items", apikey=key)["items"]] == [f"{mine}-0"]
        assert [each["name"] for each in both.get("/api/pipelines", apikey=key)["items"]] == ["features"]
        assert both.get(f"/api/work-items/{mine}-0", apikey=key)["id"] == f"{mine}-0"
        for path in ("", "/attempts", "/logs", "/explain", "/calls"):
            assert both.call("GET", f"/api/work-items/{other}-0{path}", apikey=key).status_code == 404
        for path in ("", "/work-items"):
            assert both.call("GET", f"/api/jobs/{other}{path}", apikey=key).status_code == 404
        assert both.get("/api/work-items", job=other, apikey=key)["items"] == []
        for act in ("cancel", "retry", "retry-now", "overwrite"):
            for what in (f"jobs/{other}", f"work-items/{other}-0"):
                assert both.call("POST", f"/api/{what}/{act}", apikey=key).status_code == 404
        assert both.harness.item(other).generation == 1
        for path in ("/api/partitions?task=add", "/api/audit", "/api/workers"):
            assert both.call("GET", path, apikey=key).status_code == 403
        assert both.call("POST", "/api/pipelines/add/pause", apikey=key).status_code == 403
        assert both.post(f"/api/jobs/{mine}/retry", apikey=key)["total"] == 1

    def test_what_a_workflow_calls_belongs_to_the_workflow(self, both: Api) -> None:
        flow = a_definition("flow", executor="workflow")
        job = both.harness.submit(flow, 1)
        worker = both.worker(flow, ADD)
        worker.call(worker.take(), NewCall("add#1", "d", NewItem("0", "{}"), ADD, Options()))
        (call,) = both.get(f"/api/work-items/{job}-0/calls")["items"]
        for name, status in (("flow", 200), ("add", 404)):
            key = both.key(Role.VIEWER, name)
            assert both.call("GET", f"/api/work-items/{call['id']}", apikey=key).status_code == status
            assert both.call("GET", "/api/work-items", apikey=key, params={"parent": f"{job}-0"}).status_code == status
