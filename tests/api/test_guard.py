"""What stands before every request: names, origins, sizes, forms; and what every answer carries."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from api_harness import ADD, Api

from mulligan.api.guard import MAX_BODY
from mulligan.core.access import Role
from mulligan.core.masking import Known
from mulligan.sdk.ports import AMBIENT

JOB = json.dumps({"task": "add", "args": {"a": 1}})
JSON = {"content-type": "application/json"}


def sent(api: Api, content: bytes | str, headers: dict[str, str] | None = None, path: str = "/api/jobs") -> Any:
    return api.client().post(path, content=content, headers=JSON if headers is None else headers)


class TestNames:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost:7878", "LOCALHOST", "[::1]:7878", "mulligan.example:443"])
    def test_its_own_names_are_taken(self, host: str) -> None:
        api = Api(hosts=["Mulligan.example"])
        assert api.call("GET", "/healthz", apikey="", headers={"host": host}).status_code == 200

    @pytest.mark.parametrize(
        "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7878", "", "[::2]", "[::1"]
    )
    def test_any_other_is_refused_since_a_page_elsewhere_may_point_here(self, api: Api, host: str) -> None:
        for path in ("/healthz", "/api/jobs"):
            found = api.call("GET", path, headers={"host": host})
            assert (found.status_code, found.json()["code"]) == (421, "host_not_allowed")

    def test_a_page_of_another_site_may_not_ask_for_anything_that_changes(self, api: Api) -> None:
        for headers in (
            {"origin": "http://evil.example"},
            {"origin": "null"},
            {"origin": "http://127.0.0.1:9999"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
        ):
            refused = sent(api, JOB, JSON | headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed")
        for headers in ({}, {"origin": "http://127.0.0.1:7878", "sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}):
            assert sent(api, JOB, JSON | headers).status_code == 201

    def test_no_other_site_may_read_an_answer(self, api: Api) -> None:
        found = api.call("GET", "/api/jobs", headers={"origin": "http://evil.example"})
        assert not [name for name in found.headers if name.startswith("access-control-")]
        asked = api.client().options(
            "/api/jobs", headers={"origin": "http://evil.example", "access-control-request-method": "POST"}
        )
        assert asked.status_code == 405


class TestBodies:
    def test_a_form_that_a_page_can_send_without_asking_is_refused(self, api: Api) -> None:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
            found = sent(api, JOB, {"content-type": kind})
            assert (found.status_code, found.json()["code"]) == (415, "body_not_json")
        assert sent(api, JOB, JSON | {"content-encoding": "br"}).status_code == 415
        assert sent(api, JOB, {"content-type": "application/json; charset=utf-8"}).status_code == 201

    def test_a_body_may_have_a_mebibyte_and_not_a_byte_more(self, api: Api) -> None:
        fits = '{"task": "none", "args": {"a": "'
        text = fits + "x" * (MAX_BODY - len(fits) - 3) + '"}}'
        assert len(text) == MAX_BODY
        assert sent(api, text).status_code == 404
        over = sent(api, text + " ")
        assert (over.status_code, over.json()["code"]) == (413, "body_too_large")

    def test_a_body_may_be_compressed_and_is_unpacked_to_a_mebibyte_at_most(self, api: Api) -> None:
        packed = JSON | {"content-encoding": "gzip"}
        assert sent(api, gzip.compress(JOB.encode()), packed).status_code == 201
        bomb = gzip.compress(b" " * (300 * MAX_BODY))
        assert len(bomb) < MAX_BODY
        over = sent(api, bomb, packed)
        assert (over.status_code, over.json()["code"]) == (413, "body_too_large")
        for broken in (JOB.encode(), gzip.compress(JOB.encode())[:-4], gzip.compress(JOB.encode()) + b"{}"):
            found = sent(api, broken, packed)
            assert (found.status_code, found.json()["code"]) == (422, "request_invalid")

    @pytest.mark.parametrize(
        "body",
        [
            {"task": "add", "args": {"a": 1, "b": "canary-registered"}},
            {"task": "nowhere", "labels": {"x": "is canary-registered"}},
            {"task": "add", "args": {"canary-registered": 1}},
        ],
    )
    def test_a_registered_secret_in_the_clear_is_refused_and_not_repeated(self, api: Api, body: Any) -> None:
        before = AMBIENT.mask
        AMBIENT.hide(Known("env:REGISTERED", "canary-registered"))
        try:
            for text in (json.dumps(body), json.dumps(body).replace("canary", "\\u0063anary")):
                for path in ("/api/jobs", "/api/pipelines/add/pause"):
                    found = sent(api, text, path=path)
                    assert (found.status_code, found.json()["code"]) == (422, "secret_in_clear")
                    assert "canary" not in found.text
                    assert "env:REGISTERED" in found.json()["detail"]
        finally:
            AMBIENT.mask = before

    def test_a_body_that_does_not_say_its_size_is_not_read_to_its_end(self, api: Api) -> None:
        given = []

        def pieces() -> Any:
            for _ in range(1_000):
                given.append(1)
                yield b"x" * 65_536

        found = api.client().post("/api/jobs", content=pieces(), headers=JSON)
        assert found.status_code == 413

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[" * 100_000,
            "[" * 300 + "]" * 300,
            '{"a":' * 5_000,
            '{"task": NaN}',
            '{"task": "add", "args": {"a": Infinity}}',
            '{"task": "add", "args": {"a": "\\ud800"}}',
            b"\xff\xfe",
            "9" * 10_000,
            "null",
        ],
        ids=lambda text: repr(text[:20]),
    )
    def test_what_is_no_json_is_refused_and_never_an_error_of_ours(self, api: Api, text: str | bytes) -> None:
        found = sent(api, text)
        assert (found.status_code, found.json()["code"]) == (422, "request_invalid")

    def test_many_who_send_the_largest_body_at_once_are_all_answered(self, api: Api) -> None:
        text = '{"task": "none", "args": {"a": "' + "x" * (MAX_BODY - 40) + '"}}'
        found = api.at_once(20, "POST", "/api/jobs", content=text, headers=JSON)
        assert [each.status_code for each in found] == [404] * 20

    def test_a_read_that_takes_too_long_ends(self, api: Api) -> None:
        for _ in range(3):
            api.harness.submit(ADD, 4_000)
        assert api.get("/api/work-items", error="never")["items"] == []
        api.harness.database.read_at_most(0.0)
        found = api.call("GET", "/api/work-items", params={"error": "never"})
        assert (found.status_code, found.json()["code"], found.headers["retry-after"]) == (503, "store_busy", "1")
        assert "was ended" in found.json()["detail"]
        assert api.get("/api/jobs", limit=1)["items"], "what is quick is answered"

    def test_what_a_proxy_could_say_is_ignored(self, api: Api) -> None:
        job = api.failed()
        headers = {
            "x-forwarded-for": "10.9.8.7",
            "forwarded": "for=10.9.8.7",
            "x-forwarded-host": "evil.example",
            "x-real-ip": "10.9.8.7",
        }
        assert api.call("POST", f"/api/jobs/{job}/retry", headers=headers).status_code == 200
        assert api.audited()[0]["address"] == "testclient"


class TestAnswers:
    def test_every_answer_carries_what_keeps_browsers_careful_and_an_id(self, api: Api) -> None:
        for path, key in (("/healthz", ""), ("/api/jobs", None), ("/api/none", None), ("/api/jobs", "")):
            headers = api.call("GET", path, apikey=key).headers
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert headers["referrer-policy"] == "same-origin"
            assert "server" not in headers
            assert "strict-transport-security" not in headers
            assert len(headers["x-request-id"]) == 16
        with_tls = Api(tls=True)
        assert "max-age" in with_tls.call("GET", "/healthz", apikey="").headers["strict-transport-security"]

    def test_a_request_id_that_is_given_is_kept_where_it_is_harmless(self, api: Api) -> None:
        assert api.call("GET", "/healthz", headers={"x-request-id": "my-1.2_3"}).headers["x-request-id"] == "my-1.2_3"
        for wrong in ("a b", "x" * 65, "a\tb", "<b>"):
            assert api.call("GET", "/healthz", headers={"x-request-id": wrong}).headers["x-request-id"] != wrong
        missing = api.call("GET", "/api/jobs/9", headers={"x-request-id": "mine"})
        assert missing.json()["request_id"] == "mine"

    def test_a_long_answer_is_compressed_for_who_takes_that(self, api: Api) -> None:
        for _ in range(20):
            api.post("/api/jobs", {"task": "add", "args": {"a": 1}}, status=201)
        assert api.call("GET", "/api/jobs", headers={"accept-encoding": "gzip"}).headers["content-encoding"] == "gzip"
        assert "content-encoding" not in api.call("GET", "/api/jobs", headers={"accept-encoding": "identity"}).headers

    def test_a_mistake_of_ours_is_told_here_and_says_nothing_there(self, api: Api) -> None:
        def broken(*args: object, **kwargs: object) -> None:
            raise RuntimeError("a secret place")

        api.served.reading.jobs = broken  # type: ignore[method-assign, assignment]
        found = api.call("GET", "/api/jobs")
        assert (found.status_code, found.json()["code"]) == (500, "internal_error")
        assert "secret" not in found.text
        ((event, facts),) = api.told
        assert event == "request failed"
        assert facts["request_id"] == found.json()["request_id"]
        assert "a secret place" in facts["error"]

    def test_a_method_that_is_not_there_says_which_are(self, api: Api) -> None:
        found = api.call("DELETE", "/api/jobs")
        assert (found.status_code, found.json()["code"]) == (405, "method_not_allowed")
        assert found.headers["allow"]

    def test_logs_are_plain_text_that_no_browser_takes_for_a_page(self, api: Api) -> None:
        job = api.failed()
        headers = api.call("GET", f"/api/work-items/{job}-0/logs").headers
        assert headers["content-type"].startswith("text/plain")
        assert headers["x-content-type-options"] == "nosniff"


class TestProbes:
    def test_the_parts_are_told_apart(self, api: Api) -> None:
        well = {"status": "ok", "process": "ok", "store": "ok", "supervisor": "ok"}
        assert api.call("GET", "/readyz", apikey="").json() == well
        stuck = Api(supervisor_is_well=lambda: False).call("GET", "/readyz", apikey="")
        assert (stuck.status_code, stuck.json()) == (503, {**well, "status": "failing", "supervisor": "stuck"})
        api.harness.store.close()
        away = api.call("GET", "/readyz", apikey="")
        assert (away.status_code, away.json()) == (503, {**well, "status": "failing", "store": "away"})
        assert api.call("GET", "/healthz", apikey="").status_code == 200
        assert api.call("GET", "/api/jobs", apikey=api.texts[Role.VIEWER]).status_code == 503


def test_a_key_that_asks_too_often_is_told_when_to_come_again_and_others_are_answered() -> None:
    api = Api(requests_per_second=1)  # four at once
    mine, other = api.texts[Role.VIEWER], api.texts[Role.OPERATOR]
    assert [api.call("GET", "/api/jobs", apikey=mine).status_code for _ in range(4)] == [200] * 4
    refused = api.call("GET", "/api/jobs", apikey=mine)
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (429, "too_many_requests", "1")
    assert refused.headers["content-type"] == "application/problem+json"
    assert api.call("GET", "/api/jobs", apikey=other).status_code == 200
    assert {api.call("GET", "/healthz", apikey="").status_code for _ in range(6)} == {200}
    unlimited = Api(requests_per_second=0)
    assert {unlimited.call("GET", "/api/jobs").status_code for _ in range(6)} == {200}


def test_a_path_that_is_asked_in_a_way_it_does_not_take_says_which_it_takes(api: Api) -> None:
    for path, taken in (("/api/jobs", "GET, POST"), ("/api/keys/ann", "DELETE"), ("/api/pipelines/work-items/retry", "PUT")):
        found = api.call("PATCH", path)
        assert (found.status_code, found.headers["allow"], found.json()["code"]) == (405, taken, "method_not_allowed")
        assert found.json()["detail"] == f"PATCH cannot be asked of this path, which takes {taken}"
