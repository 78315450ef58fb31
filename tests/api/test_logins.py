"""Logging in with a browser: cookies, what a page must prove to change something, and how login sessions end."""

from __future__ import annotations

from typing import Any

import pytest
from api_harness import ADD, ASKER, Api
from fastapi.responses import HTMLResponse
from fastapi.testclient import TestClient
from test_access import DECLARED, called_by

from mulligan.api.access import KNOWN_S, Authenticator, Routes
from mulligan.api.application import application
from mulligan.api.browsers import csrf_token_for, form_of
from mulligan.api.errors import Problem
from mulligan.api.logins import NOTED, TRIES
from mulligan.api.throttle import ADDRESSES, Throttle
from mulligan.core.access import Principal, Role
from mulligan.engine.keys import digest_of, random_key
from mulligan.engine.logins import LONGEST_MS, ONCE_S, LoginOnce, Logins, csrf_token_of
from mulligan.store.postgres import PostgresDatabase
from mulligan.supervisor.retention import Retention

HERE = {"origin": "http://127.0.0.1:7878", "sec-fetch-site": "same-origin"}
JOB = {"task": "add", "args": {"a": 1}}
IDLE_S = 43_200.0


def browser(api: Api, key: str | None = None, **form: str) -> TestClient:
    """Return a browser that is logged in with a key, an operator's unless one is given."""
    made = api.client("", follow_redirects=False)
    found = made.post("/login", data={"key": api.texts[Role.OPERATOR] if key is None else key, **form}, headers=HERE)
    assert found.status_code == 303, found.text
    return made


def token_of(client: TestClient) -> str:
    (cookie,) = client.cookies.jar
    return str(cookie.value)


def proof(client: TestClient) -> dict[str, str]:
    return {**HERE, "x-csrf-token": csrf_token_of(token_of(client))}


class Page:
    """Pages of their own, as another package would bring them."""

    open_paths = frozenset({"/style.css"})

    def add_to(self, routes: Routes) -> None:
        from fastapi import Request
        from fastapi.responses import HTMLResponse

        def show(request: Request) -> HTMLResponse:
            return HTMLResponse(f"token={csrf_token_for(request)} root={request.scope['root_path']}")

        def change(request: Request) -> HTMLResponse:
            return HTMLResponse(f"changed {form_of(request)['what']}")

        # The annotations are names of this function, which FastAPI cannot look up.
        show.__annotations__, change.__annotations__ = {"request": Request}, {"request": Request}
        routes.get("/jobs", Role.VIEWER, include_in_schema=False)(show)
        routes.post("/jobs", Role.OPERATOR, include_in_schema=False)(change)
        routes.get("/style.css", Role.VIEWER, include_in_schema=False)(lambda: None)

    def problem_page(self, request: Any, problem: Problem) -> HTMLResponse:
        return HTMLResponse(problem.detail, problem.status)

    def login_page(self, request: Any, following: str, wrong: str) -> str:
        return f"my page: {following} {wrong}"


class TestLoggingIn:
    def test_a_key_becomes_a_cookie_that_no_script_and_no_other_site_can_use(self, both: Api) -> None:
        found = both.client("", follow_redirects=False).post(
            "/login", data={"key": both.texts[Role.VIEWER], "next": "/jobs?state=failed"}, headers=HERE
        )
        assert (found.status_code, found.headers["location"]) == (303, "/jobs?state=failed")
        name, _, rest = found.headers["set-cookie"].partition("=")
        assert name == "mulligan-7878"
        assert {each.strip().lower() for each in rest.split(";")[1:]} == {"httponly", "path=/", "samesite=strict"}
        client = browser(both, both.texts[Role.VIEWER])
        assert client.get("/api/jobs").status_code == 200
        assert client.post("/api/jobs", json=JOB, headers=proof(client)).json()["code"] == "forbidden"
        assert len(token_of(client)) >= 43
        assert token_of(client) != token_of(browser(both, both.texts[Role.VIEWER]))

    def test_where_tls_is_the_cookie_travels_in_no_other_way_and_nobody_else_can_set_it(self) -> None:
        for more, expected in (
            ({"tls": True}, "__Host-mulligan"),
            ({"behind_proxy": True}, "__Host-mulligan"),
            ({"behind_proxy": True, "root_path": "/flow"}, "__Secure-mulligan"),
        ):
            api = Api(**more)
            root = str(more.get("root_path", ""))
            found = api.client("", follow_redirects=False).post("/login", data={"key": api.texts[Role.ADMIN]}, headers=HERE)
            cookie = found.headers["set-cookie"]
            assert cookie.startswith(f"{expected}=")
            assert "; Secure" in cookie
            assert f"; Path={root or '/'};" in cookie
            assert found.headers["location"] == f"{root}/"

    def test_the_store_keeps_a_digest_and_the_audit_who_came_went_and_failed(self, both: Api) -> None:
        client = browser(both)
        assert both.client("").post("/login", json={"key": "mlg_wrong"}).json()["code"] == "key_invalid"
        assert client.post("/logout", headers=proof(client)).status_code == 204
        token = token_of(browser(both))
        lines = both.audited()
        assert [(each["action"], each["actor"], each["changed"]) for each in lines] == [
            ("login", "the operator", 1), ("logout", "the operator", 1), ("login", "unknown", 0), ("login", "the operator", 1)
        ]  # fmt: skip
        assert {each["address"] for each in lines} == {"testclient"}
        with both.harness.store.read() as session:
            row = session.access.login(digest_of(token))
        assert row is not None
        assert token not in repr(row) + repr(lines)
        assert both.texts[Role.OPERATOR].split("_", 2)[2] not in repr(lines)

    def test_a_program_logs_in_with_json_and_is_told_the_token_for_changes(self, api: Api) -> None:
        client = api.client("")
        found = client.post("/login", json={"key": api.texts[Role.OPERATOR]}).json()
        assert found == {"name": "the operator", "role": "operator", "csrf_token": csrf_token_of(token_of(client))}
        assert client.post("/api/jobs", json=JOB, headers={**HERE, "x-csrf-token": found["csrf_token"]}).status_code == 201
        for wrong in ({}, {"key": 1}, [], None, {"key": ""}, {"key": "x" * 10_000}):
            assert api.client("").post("/login", json=wrong).status_code == 401

    def test_a_page_of_another_site_cannot_log_anybody_in(self, api: Api) -> None:
        for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
            found = api.client("").post("/login", data={"key": api.texts[Role.ADMIN]}, headers=headers)
            assert (found.status_code, found.json()["code"]) == (403, "origin_not_allowed")

    @pytest.mark.parametrize(
        "wrong",
        ["//evil.example", "https://evil.example/", "/\\evil.example", "/a\r\nset-cookie: b", "javascript:x", "", "/\t/x"],
    )
    def test_nobody_is_sent_on_to_another_site(self, api: Api, wrong: str) -> None:
        found = api.client("", follow_redirects=False).post(
            "/login", data={"key": api.texts[Role.ADMIN], "next": wrong}, headers=HERE
        )
        assert found.headers["location"] == "/"

    def test_a_login_ends_the_session_that_was_there(self, api: Api) -> None:
        client = browser(api)
        before = token_of(client)
        client.post("/login", data={"key": api.texts[Role.VIEWER]}, headers=HERE)
        assert token_of(client) != before
        assert api.client("", cookies={"mulligan-7878": before}).get("/api/jobs").json()["code"] == "login_ended"

    def test_what_is_wrong_is_shown_as_text(self, api: Api) -> None:
        found = api.client("").get("/login", params={"next": '/"><script>alert(1)</script>'})
        assert (found.status_code, found.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "<script>" not in found.text
        assert "&lt;script&gt;" in found.text
        assert api.client("").post("/login", data={"key": "<b>"}, headers=HERE).text.count("this key is not valid") == 1


class TestOnce:
    def test_a_link_logs_in_once(self) -> None:
        own = random_key("dev", Role.ADMIN)
        once = LoginOnce(own.principal)
        api = Api(own_key=own, once=once)
        client = api.client("", follow_redirects=False)
        assert client.get("/login", params={"once": "wrong"}).status_code == 401
        found = client.get("/login", params={"once": once.text})
        assert (found.status_code, found.headers["location"]) == (303, "/")
        assert once.text not in found.headers["location"]
        assert client.get("/api/audit").status_code == 200
        again = api.client("", follow_redirects=False).get("/login", params={"once": once.text})
        assert again.status_code == 401
        assert "this link was used" in again.text
        assert once.text not in repr(api.told) + again.text

    def test_it_is_too_old_after_a_minute(self) -> None:
        now = [0.0]
        once = LoginOnce(Principal("", "dev", Role.ADMIN), lambda: now[0])
        now[0] = ONCE_S
        assert once.take(once.text) is None
        now[0] = 0.0
        assert once.take(once.text) is None, "it was used"

    def test_a_server_without_one_takes_none(self, api: Api) -> None:
        assert api.client("").get("/login", params={"once": ""}).status_code == 401

    def test_who_is_logged_in_with_a_key_of_one_process_is_known_to_that_process_alone(self, api: Api) -> None:
        own = random_key("dev", Role.ADMIN)
        token = Logins(api.harness.engine, IDLE_S, own.principal).begin(own.principal, ASKER)
        assert Logins(api.harness.engine, IDLE_S, own.principal).find(token) == own.principal
        assert Logins(api.harness.engine, IDLE_S).find(token) is None


class TestEnds:
    def test_a_revoked_key_ends_its_login_sessions_on_every_server_within_a_second(self, both: Api) -> None:
        made = both.keys.create("ann", Role.VIEWER, None, ASKER)
        logins = Logins(both.harness.engine, IDLE_S)
        token = logins.begin(made.principal, ASKER)
        here = Authenticator(both.keys, None, logins)
        assert here.find_login(token) == made.principal
        both.keys.revoke("ann", ASKER)
        here._known = {what: (at - KNOWN_S, whose) for what, (at, whose) in here._known.items()}
        assert here.find_login(token) is None
        assert Authenticator(both.keys, None, Logins(both.harness.engine, IDLE_S)).find_login(token) is None

    def test_who_logs_out_is_out_at_once_and_the_browser_forgets_the_cookie(self, both: Api) -> None:
        client = browser(both)
        token = token_of(client)
        csrf = csrf_token_of(token)
        assert client.post("/logout", headers=HERE).json()["code"] == "csrf_token_invalid"
        found = client.post("/logout", data={"csrf_token": csrf}, headers=HERE)
        assert (found.status_code, found.headers["location"]) == (303, "/login")
        assert not list(client.cookies.jar)
        again = both.client("", cookies={"mulligan-7878": token}).get("/api/jobs")
        assert (again.status_code, again.json()["code"]) == (401, "login_ended")

    def test_it_ends_when_nothing_was_asked_for_long_enough_and_in_any_case_after_a_week(self, both: Api) -> None:
        clock = both.harness.clock
        logins = Logins(both.harness.engine, IDLE_S)
        whose = both.keys.find(both.texts[Role.VIEWER])
        assert whose is not None
        token = logins.begin(whose, ASKER)
        for _ in range(LONGEST_MS // round(IDLE_S * 900)):
            clock.pass_(IDLE_S * 0.9)
            assert logins.find(token) == whose
        clock.pass_(IDLE_S * 0.9)
        assert logins.find(token) is None, "a week is over"
        other = logins.begin(whose, ASKER)
        clock.pass_(IDLE_S)
        assert logins.find(other) is None

    def test_what_is_over_is_removed_from_the_store(self, both: Api) -> None:
        logins = Logins(both.harness.engine, IDLE_S)
        whose = both.keys.find(both.texts[Role.VIEWER])
        assert whose is not None
        old = logins.begin(whose, ASKER)
        both.harness.clock.pass_(LONGEST_MS / 1000 + 1)
        new = logins.begin(whose, ASKER)
        assert Retention(both.harness.engine, 0).remove_logins() == 1
        with both.harness.store.read() as session:
            assert session.access.login(digest_of(old)) is None
            assert session.access.login(digest_of(new)) is not None


class TestChanges:
    @pytest.mark.parametrize("route", DECLARED, ids=lambda each: f"{min(each.methods)} {each.path}")
    def test_every_route_takes_a_cookie_and_for_a_change_the_proof_that_a_page_of_ours_asks(self, api: Api, route: Any) -> None:
        api.failed()
        needed = Role(route.openapi_extra["x-role"])
        for role in Role:
            client = browser(api, api.texts[role])
            if route.methods != {"GET"}:
                wrong = {**HERE, "x-csrf-token": csrf_token_of("another")}
                for headers, code in (
                    ({}, "origin_not_allowed"),
                    (HERE, "csrf_token_invalid"),
                    (wrong, "csrf_token_invalid"),
                    ({**proof(client), "origin": "http://evil.example"}, "origin_not_allowed"),
                    ({**proof(client), "sec-fetch-site": "same-site"}, "origin_not_allowed"),
                ):
                    found = called_by(client, route, headers)
                    assert (found.status_code, found.json()["code"]) == (403, code)
            found = called_by(client, route, proof(client))
            assert (found.status_code not in (401, 403)) is Principal("", "", role).may(needed), found.text

    def test_a_key_needs_no_proof_also_where_there_is_a_cookie(self, api: Api) -> None:
        client = browser(api, api.texts[Role.VIEWER])
        assert client.post("/api/jobs", json=JOB, headers={"apikey": api.texts[Role.OPERATOR]}).status_code == 201
        assert client.post("/api/jobs", json=JOB, headers={"apikey": "wrong"}).status_code == 401

    def test_a_page_of_another_site_may_open_what_is_here_and_nothing_else(self, api: Api) -> None:
        client = browser(api)
        opened = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
        assert client.get("/api/jobs", headers=opened).status_code == 200
        for mode in ("cors", "no-cors", "same-origin"):
            found = client.get("/api/jobs", headers={"sec-fetch-site": "same-site", "sec-fetch-mode": mode})
            assert (found.status_code, found.json()["code"]) == (403, "origin_not_allowed")

    def test_the_api_takes_no_forms_and_pages_do(self) -> None:
        api = Api(pages=Page())
        client = browser(api)
        form = {"csrf_token": csrf_token_of(token_of(client)), "what": "it"}
        assert client.post("/api/jobs", data=form, headers=HERE).json()["code"] == "body_not_json"
        assert client.post("/jobs", data=form, headers=HERE).text == "changed ['it']"
        assert client.post("/jobs", data={"what": "it"}, headers=HERE).json()["code"] == "csrf_token_invalid"
        broken = {**proof(client), "content-type": "application/x-www-form-urlencoded"}
        for body in (b"a=%ff", b"\xff=1", b"a=1&" * 30_000):
            assert client.post("/jobs", content=body, headers=broken).json()["code"] == "request_invalid"


class TestPages:
    def test_who_looks_at_a_page_is_sent_to_the_login_and_back_and_a_program_is_told(self) -> None:
        api = Api(pages=Page())
        client = api.client("", follow_redirects=False)
        html = {"accept": "text/html,*/*"}
        found = client.get("/jobs?state=failed&x=1", headers=html)
        assert (found.status_code, found.headers["location"]) == (303, "/login?next=%2Fjobs%3Fstate%3Dfailed%26x%3D1")
        assert client.get(found.headers["location"]).text == "my page: /jobs?state=failed&x=1 "
        assert client.get("/jobs").status_code == 401
        assert client.get("/api/jobs", headers=html).status_code == 401
        assert client.get("/style.css").status_code == 403, "it takes no key here, and its route does"
        inside = browser(api)
        assert inside.get("/jobs", headers=html).text.startswith(f"token={csrf_token_of(token_of(inside))} ")
        assert api.call("GET", "/jobs").text.startswith("token= "), "a key needs none"

    @pytest.mark.parametrize("prefix", ["", "/flow"], ids=["taken off by the proxy", "left on"])
    def test_under_a_prefix_everything_is_found_with_and_without_it(self, prefix: str) -> None:
        api = Api(pages=Page(), root_path="/flow")
        client = api.client("", follow_redirects=False)
        assert client.get(f"{prefix}/healthz").status_code == 200
        found = client.get(f"{prefix}/jobs", headers={"accept": "text/html"})
        assert found.headers["location"] == "/flow/login?next=%2Fjobs"
        assert client.get(f"{prefix}/api/jobs").status_code == 401
        client.post(f"{prefix}/login", data={"key": api.texts[Role.VIEWER]}, headers=HERE)
        assert "Path=/flow" in str(client.post(f"{prefix}/login", data={"key": api.texts[Role.VIEWER]}).headers["set-cookie"])
        key = {"apikey": api.texts[Role.VIEWER]}
        assert "root=/flow" in client.get(f"{prefix}/jobs", headers=key).text
        assert client.get(f"{prefix}/api/jobs", headers=key).status_code == 200
        assert client.get("/flowing/api/jobs", headers=key).status_code == 404


class TestGuessing:
    def test_wrong_keys_are_slowed_down_by_address_and_then_not_even_noted(self, api: Api) -> None:
        codes = [api.client("").post("/login", json={"key": "x"}).status_code for _ in range(TRIES + 3)]
        assert codes == [401] * TRIES + [429] * 3
        found = api.client("").post("/login", data={"key": api.texts[Role.ADMIN]}, headers=HERE)
        assert found.status_code == 429
        assert 0 < int(found.headers["retry-after"]) <= 7
        assert len([each for each in api.audited() if each["action"] == "login"]) == TRIES

    def test_behind_a_proxy_they_count_for_whom_the_proxy_has_seen(self) -> None:
        api = Api(behind_proxy=True)

        def tried(forwarded: str) -> int:
            return int(api.client("").post("/login", json={"key": "x"}, headers={"x-forwarded-for": forwarded}).status_code)

        assert [tried(f"192.0.2.{number}, 198.51.100.7") for number in range(TRIES + 1)] == [401] * TRIES + [429]
        assert tried("198.51.100.8") == 401
        assert tried("no address") == 401

    def test_the_audit_is_not_filled_by_guesses_from_everywhere(self) -> None:
        api = Api(behind_proxy=True)
        for number in range(NOTED + 20):
            api.client("").post("/login", json={"key": "x"}, headers={"x-forwarded-for": f"192.0.2.{number}"})
        assert len(api.get("/api/audit", limit=200)["items"]) - len(Role) == NOTED

    def test_an_address_gets_its_tries_back_one_by_one_and_few_are_kept_in_mind(self) -> None:
        now = [100.0]
        throttle = Throttle(3, 6.0, lambda: now[0])
        for _ in range(3):
            assert throttle.wait_s("2001:db8::1") == 0
            throttle.count("2001:db8::1")
        assert throttle.wait_s("2001:db8::ffff") == 6.0, "one customer has all of a /64"
        assert throttle.wait_s("2001:db8:0:1::1") == 0
        now[0] += 6.0
        assert throttle.wait_s("2001:db8::1") == 0
        throttle.count("2001:db8::1")
        assert throttle.wait_s("2001:db8::1") == 6.0
        for number in range(ADDRESSES + 50):
            throttle.count(f"host {number}")
        assert len(throttle._full_at) == ADDRESSES


def test_every_page_comes_with_what_keeps_browsers_careful(api: Api) -> None:
    headers = api.client("").get("/login").headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert headers["referrer-policy"] == "same-origin", "with no-referrer browsers say Origin: null of our own forms"
    assert "camera=()" in headers["permissions-policy"]
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


def test_login_routes_are_in_no_document_of_the_api(api: Api) -> None:
    paths = application(api.served).routes
    assert {"/login", "/logout"} <= {each.path for each in paths}  # type: ignore[attr-defined]
    assert not [path for path in api.get("/api/openapi.json")["paths"] if "log" in path.rpartition("/")[2] and "logs" not in path]


def test_login_sessions_are_known_to_every_server_of_a_store(both: Api) -> None:
    assert isinstance(both.harness.database, PostgresDatabase) or both.harness.database.dialect == "sqlite"
    client = browser(both)
    assert Authenticator(both.keys, None, Logins(both.harness.engine, IDLE_S)).find_login(token_of(client)) is not None
    assert both.harness.submit(ADD, 1)
