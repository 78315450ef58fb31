"""A client of a server: what it sends, how long it goes on, what it refuses, and what it never shows."""

from __future__ import annotations

import json
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import client_tasks
import pytest
from client_server import serving

from mulligan import Window, connect
from mulligan.client.client import Client
from mulligan.core.access import Role
from mulligan.core.errors import (
    ConfigError,
    Forbidden,
    MulliganError,
    NotFound,
    Refused,
    RunIdConflict,
    ServerAway,
    ServerError,
    StoreFull,
    Unauthorized,
    UnknownTask,
    ValueTooLarge,
    WaitTimeout,
)

KEY = "mk_0123456789abcdef_secret"
TASKS = str(client_tasks.__file__)
JOB = {
    "id": "7", "task": "add", "run_id": "r", "kind": "submit", "tz": "UTC", "status": "SUCCESS", "label": "Success",
    "progress": 100.0, "labels": {}, "cancel_requested": False, "error_message": None, "ended_at": None,
    "counts": {"total": 1, "pending": 0, "started": 0, "retry": 0, "success": 1, "failure": 0, "revoked": 0},
    "created_at": "2026-01-01T00:00:00Z", "details_removed_at": None,
}  # fmt: skip

Answer = tuple[int, dict[str, str], Any]


class Scripted:
    """A server that answers as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer | None] = []
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.url = ""
        self.answers_at = 0.0
        """By the monotonic clock: it has so much to do that nobody is answered before."""

    def client(self, **more: Any) -> Client:
        return connect(self.url, KEY, **{"request_timeout": 5, **more})


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    made = Scripted()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            if self.path.startswith("/api/stream"):  # this server has none, so whoever waits looks by itself
                self.send_error(404)
                return
            made.asked.append((self.command, self.path, dict(self.headers), body))
            told = made.answers.pop(0) if made.answers else (200, {}, JOB)
            threading.Event().wait(max(0.0, made.answers_at - time.monotonic()))
            if told is None:  # the connection breaks before an answer
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            status, headers, content = told
            sent = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(sent)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = answer

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def problem(status: int, code: str, detail: str = "as it is", **headers: str) -> Answer:
    said = {"code": code, "detail": detail, "status": status, "request_id": "9f2c"}
    return status, {"Content-Type": "application/problem+json", **headers}, said


def test_what_changes_something_carries_one_key_however_often_it_is_sent(scripted: Scripted) -> None:
    scripted.answers = [None, problem(503, "store_away"), problem(409, "request_in_progress")]
    with scripted.client() as client:
        assert client.take(_submission()).id == "7"
        client.take(_submission())
    posts = [headers["Idempotency-Key"] for method, _, headers, _ in scripted.asked if method == "POST"]
    assert len(posts) == 5
    assert len(set(posts[:4])) == 1
    assert posts[4] != posts[0]


def test_whoever_waits_goes_on_where_the_server_wants_to_be_asked_less_often(scripted: Scripted) -> None:
    later = problem(429, "too_many_requests", "come later", **{"Retry-After": "0"})
    scripted.answers = [(200, {}, {**JOB, "status": "STARTED"}), later, (200, {}, JOB)]
    with scripted.client() as client:
        assert client.job(7).wait(10).status == "SUCCESS"


def test_a_retry_after_is_waited_for_and_one_beyond_the_time_that_is_left_is_not(scripted: Scripted) -> None:
    scripted.answers = [problem(429, "too_many_requests", "come later", **{"Retry-After": "3600"})]
    with scripted.client() as client, pytest.raises(ServerError, match="429 come later"):
        client.job("7")
    assert len(scripted.asked) == 1


def test_whoever_has_to_wait_is_told_once(scripted: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    scripted.answers = [problem(429, "too_many_requests", "this key asks too often")] * 3
    with scripted.client() as client:
        assert client.job("7").id == "7"
    said = capsys.readouterr().err
    assert said.count("waiting for the server") == 1
    assert scripted.url in said
    assert "this key asks too often" in said
    assert "developer.mozilla.org" not in said


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "key_invalid", Unauthorized),
        (403, "forbidden", Forbidden),
        (404, "not_found", NotFound),
        (404, "task_unknown", UnknownTask),
        (409, "refused", Refused),
        (421, "host_not_allowed", ServerError),
        (422, "of_tomorrow", ServerError),
    ],
)
def test_a_problem_is_the_error_that_a_store_would_raise(scripted: Scripted, status: int, code: str, kind: type) -> None:
    scripted.answers = [problem(status, code)]
    with scripted.client() as client, pytest.raises(kind, match="as it is") as raised:
        client.job("7")
    assert type(raised.value) is kind
    assert len(scripted.asked) == 1, "it is not asked for again"


def test_what_does_not_pass_by_itself_in_time_is_raised_as_what_it_is(scripted: Scripted) -> None:
    scripted.answers = [problem(503, "store_full", "no room")] * 100
    with scripted.client(request_timeout=0.3) as client, pytest.raises(StoreFull, match="no room"):
        client.job("7")


def test_a_server_that_answers_when_the_time_is_over_is_not_taken_for_one_that_is_away(scripted: Scripted) -> None:
    scripted.answers = [(200, {}, {**JOB, "status": "STARTED"})] * 9
    with scripted.client() as client:
        job = client.job("7")
        scripted.answers_at = time.monotonic() + 0.7
        with pytest.raises(WaitTimeout, match="job 7 has not ended yet"):
            job.wait(0.6)


def test_a_redirect_is_not_followed_since_the_key_would_be_sent_along(scripted: Scripted) -> None:
    scripted.answers = [(307, {"Location": "http://elsewhere.example/"}, {})]
    with scripted.client() as client, pytest.raises(ServerError, match=r"elsewhere\.example"):
        client.job("7")
    assert len(scripted.asked) == 1


def test_what_is_no_server_of_ours_is_said_to_be_none(scripted: Scripted) -> None:
    scripted.answers = [(200, {"Content-Type": "text/html"}, b"<html>hello"), (404, {"Content-Type": "text/html"}, b"<html>")]
    with scripted.client() as client:
        for said in ("no server of Mulligan", "404"):
            with pytest.raises(ServerError, match=said):
                client.job("7")


def test_nobody_is_there_is_said_after_the_time_that_was_given() -> None:
    with connect(f"http://127.0.0.1:{_closed_port()}", KEY, request_timeout=0.2) as client:
        for ask in (lambda: client.job("1"), lambda: client.take(_submission())):
            with pytest.raises(ServerAway, match="cannot be reached, tried for"):
                ask()


def test_the_key_is_in_no_error_and_in_no_repr(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted.answers = [problem(401, "key_invalid"), (500, {}, b"?")] + [None] * 100
    said = []
    with scripted.client(request_timeout=0.2) as client:
        for _ in range(3):
            with pytest.raises(MulliganError) as raised:
                client.job("7")
            said += traceback.format_exception(raised.value)
            error: BaseException | None = raised.value
            while error is not None:
                request = getattr(error, "_request", None)
                said += [repr(error), repr(request), repr(getattr(request, "headers", None))]
                error = error.__cause__
        said += [repr(client), repr(client.gateway), repr(client.gateway.__dict__)]
    for bad in ("http://elsewhere.example", "https://u:p@h", "https://h?x=1"):
        with pytest.raises(ConfigError) as refused:
            connect(bad, KEY)
        said.append(str(refused.value))
    with pytest.raises(ConfigError) as refused:
        connect("https://h", KEY + "\n\ud800")
    said.append(str(refused.value))
    assert KEY not in "".join(said)
    assert scripted.asked[0][2]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("url", ["http://mulligan.example.org", "http://10.0.0.1:7878", "http://127.0.0.1.example.org"])
def test_a_key_goes_to_another_machine_in_the_clear_only_where_that_is_accepted(url: str) -> None:
    with pytest.raises(ConfigError, match="everybody between could read the key"):
        connect(url, KEY)
    connect(url, KEY, insecure=True).close()


@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.0.0.9", "http://[::1]:7878/", "https://far.example/prefix"])
def test_a_key_goes_to_this_machine_and_by_tls_to_any(url: str) -> None:
    connect(url, KEY).close()


def test_without_a_key_it_is_said_where_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MULLIGAN_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="mulligan keys create"):
        connect("https://mulligan.example.org")
    with pytest.raises(ConfigError, match="a key is for a server"):
        connect("sqlite:///x.db", KEY)


def test_no_proxy_is_asked_in_the_clear(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{_closed_port()}")
    with scripted.client() as client:
        assert client.job("7").id == "7"


def test_what_works_on_the_store_itself_says_that_there_is_none(scripted: Scripted) -> None:
    with scripted.client() as client:
        for ask in (client.verify, lambda: client.services):
            with pytest.raises(Refused, match="name the store"):
                ask()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Client, Client]]:
    """A client of a store, and one of its server."""
    with connect(f"sqlite:///{tmp_path / 'store.db'}") as beside, serving(beside.services, TASKS) as made:
        yield beside, made


def test_one_run_id_is_one_job_from_either_side(served: tuple[Client, Client]) -> None:
    """What is stored is the same, wherever the arguments were turned into JSON."""
    window = Window(datetime(2024, 3, 7, tzinfo=UTC), datetime(2024, 3, 8, tzinfo=UTC))
    asked: list[Callable[[Client], Any]] = [
        lambda c: c.submit(client_tasks.add.options(run_id="one"), 1, 2),
        lambda c: c.submit(client_tasks.report.options(run_id="two"), window.start.date(), 5),
        lambda c: c.submit(client_tasks.offline.options(run_id="three"), window),
        lambda c: c.map(client_tasks.add.options(run_id="four"), [3, 1], args={"b": 1}, key=lambda a: f"é {a}"),
        lambda c: c.map(client_tasks.online.options(run_id="five"), [window]),
        lambda c: c.backfill(client_tasks.online.options(run_id="six"), "2024-03-30", "2024-04-02", tz="Europe/Zurich"),
        lambda c: c.backfill(client_tasks.offline.options(run_id="7"), "2024-03-01", "2024-03-02", every="6h", order="newest"),
    ]
    for each in asked:
        here, there = each(served[0]), each(served[1])
        assert (there.id, there.counts, there.tz) == (here.id, here.counts, here.tz)
        shown = [[(one.key, one.args, one.window, one.label) for one in job.work_items()] for job in (here, there)]
        assert shown[0] == shown[1]


def test_a_map_that_no_request_can_carry_goes_in_chunks(served: tuple[Client, Client], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mulligan.gateway.bodies.MAX_ITEMS", 40)
    task = client_tasks.same.options(run_id="large")
    job = served[1].map(task, range(100))
    assert [(each.key, each.args["number"]) for each in job.work_items()] == [(str(n), n) for n in range(100)]
    assert (job.counts.total, job.kind) == (100, "map")
    assert served[1].map(task, range(100)).id == job.id
    with pytest.raises(RunIdConflict):
        served[1].map(task, range(101))


def test_windows_that_no_request_can_carry_are_refused_with_how_many_fit(
    served: tuple[Client, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mulligan.gateway.bodies.MAX_ITEMS", 2)
    days = [Window(datetime(2024, 3, day, tzinfo=UTC), datetime(2024, 3, day + 1, tzinfo=UTC)) for day in (1, 2, 3)]
    with pytest.raises(ValueTooLarge, match="2 of these fit"):
        served[1].map(client_tasks.offline, days)
    assert served[1].jobs() == []


def test_a_key_may_do_what_its_role_may(served: tuple[Client, Client]) -> None:
    with serving(served[0].services, role=Role.VIEWER) as viewer:
        assert viewer.jobs() == []
        with pytest.raises(Forbidden, match="operator"):
            viewer.submit("add", a=1, b=2)


def test_a_task_that_no_worker_has_published_is_unknown_to_a_server(served: tuple[Client, Client]) -> None:
    with serving(served[0].services) as made, pytest.raises(UnknownTask, match="start a worker"):
        made.submit("nothing")


def test_settings_name_the_server_for_who_names_nothing(
    served: tuple[Client, Client], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gateway: Any = served[1].gateway
    monkeypatch.setenv("MULLIGAN_SERVER", gateway._requests.url)
    monkeypatch.setenv("MULLIGAN_API_KEY", gateway._requests._http.headers["authorization"].removeprefix("Bearer "))
    monkeypatch.chdir(tmp_path)
    with connect() as client:
        job = client.submit(client_tasks.add, 1, 2)
    assert served[0].job(job.id).run_id == job.run_id
    assert served[0].jobs()[0].id == job.id


def _submission() -> Any:
    taken: list[Any] = []

    class Keeper:
        def take(self, submission: Any) -> Any:
            taken.append(submission)

    with _running(Keeper()):
        client_tasks.add.submit(1, 2)
    return taken[0]


@contextmanager
def _running(backend: Any) -> Iterator[None]:
    from mulligan.sdk.ports import RUNNING

    token = RUNNING.set(backend)
    yield
    RUNNING.reset(token)


def _closed_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])
