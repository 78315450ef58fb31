"""Servers as users start them: keys, two on one store, kills in the middle of requests, and what they refuse to start without."""

from __future__ import annotations

import itertools
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import apsw
import httpx
import pytest
from server_harness import TASKS, a_key, cli, environment, publish_tasks, running, until

from mulligan.api.serving import Place as Bound
from mulligan.api.serving import _bound
from mulligan.client.client import Client, client_of
from mulligan.config.settings import load_settings
from mulligan.core.errors import ConfigError
from mulligan.store.postgres import Place

SUBMITS = 200


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Where a store of each kind is, and what else has to be set for it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'runs.db'}", {}
        return
    make: Callable[[], Place] = request.getfixturevalue("a_place")
    place = make()
    yield place.url, {"schema": place.schema}


def client_on(store: tuple[str, dict[str, str]]) -> Client:
    return client_of(load_settings(database=store[0], **store[1]))


def key_of(store: tuple[str, dict[str, str]], folder: Path, role: str = "operator", name: str = "ann") -> str:
    done = cli(store[0], folder, "keys", "create", "--role", role, "--name", name, **store[1])
    assert done.returncode == 0, done.stderr
    assert "not shown again" in done.stderr
    return done.stdout.strip()


def test_a_key_works_on_every_server_of_a_store_and_is_refused_by_all_within_a_second_of_its_end(
    store: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    key = key_of(store, tmp_path)
    with running(store[0], tmp_path, **store[1]) as one, running(store[0], tmp_path, **store[1]) as other:
        for each in (one, other):
            assert each.get("/api/jobs", key).status_code == 200
            assert each.get("/api/jobs").status_code == 401
            assert each.get("/readyz").json()["status"] == "ok"
        gone = threading.Event()

        def revoke() -> None:
            assert cli(store[0], tmp_path, "keys", "revoke", "ann", **store[1]).returncode == 0
            gone.set()

        revoking = threading.Thread(target=revoke)
        revoking.start()
        until(lambda: [each.get("/api/jobs", key).status_code for each in (one, other)] == [401, 401], "the key is refused")
        revoking.join()
        assert gone.is_set()
    assert key not in one.said + other.said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_answers_what_is_asked_and_then_ends_with_zero(tmp_path: Path, number: int) -> None:
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    with running(store, tmp_path) as server:
        assert "there are no keys yet" in server.said
        server.process.send_signal(number)
        server.process.wait(20)
    assert server.process.returncode == 0
    assert "server ended" in server.said
    with pytest.raises(httpx.TransportError):
        server.get("/healthz")


def test_each_of_many_submits_exists_once_although_the_server_is_killed_again_and_again(
    store: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    key = a_key(store[0], **store[1])
    publish_tasks(store[0], **store[1])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    answers: dict[int, set[str]] = {number: set() for number in range(SUBMITS)}
    numbers, over = itertools.count(), threading.Event()

    def submit() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"apikey": key}, timeout=10) as http:
            while (number := next(numbers)) < SUBMITS:
                while not over.is_set():
                    headers, body = {"Idempotency-Key": f"submit-{number}"}, {"task": "add", "args": {"a": number}}
                    try:
                        found = http.post("/api/jobs", json=body, headers=headers)
                    except httpx.TransportError:
                        over.wait(0.02)
                        continue
                    if found.status_code == 201:
                        answers[number].add(found.json()["id"])
                        break
                    assert found.status_code in (409, 503), found.text

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for each in threads:
        each.start()
    try:
        for share in (1, 2, 3):
            with running(store[0], tmp_path, ends=None, port=port, **store[1]) as server:
                until(lambda: sum(map(bool, answers.values())) >= SUBMITS * share // 4, "some submits", 60)  # noqa: B023
                server.process.kill()
        with running(store[0], tmp_path, port=port, **store[1]):
            for each in threads:
                each.join(60)
    finally:
        over.set()
    assert all(len(ids) == 1 for ids in answers.values())
    with client_on(store) as client:
        jobs = [job for job in _all_jobs(client) if job.task == "add"]
        assert sorted(item.args["a"] for job in jobs for item in job.work_items()) == list(range(SUBMITS))


def _all_jobs(client: Client) -> Iterator[object]:
    before = None
    while page := client.jobs(500, before=before):
        yield from page
        before = page[-1].id


class TestRefusals:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104 - what is tried
    def test_an_address_of_other_machines_is_not_served_in_the_clear(self, host: str) -> None:
        with pytest.raises(ConfigError, match="other machines, and keys would travel in the clear") as refused:
            Bound(host, 0).check(lambda: True)
        assert refused.value.code == "config_invalid"

    @pytest.mark.parametrize("arguments", [("server",), ("dev", str(TASKS))], ids=["server", "dev"])
    def test_other_machines_are_not_served_in_the_clear(self, arguments: tuple[str, ...], tmp_path: Path) -> None:
        refused = cli(f"sqlite:///{tmp_path / 'runs.db'}", tmp_path, *arguments, "--host", "0.0.0.0")  # noqa: S104
        assert refused.returncode == 1
        assert "other machines" in refused.stderr
        assert "(config_invalid)" in refused.stderr

    def test_other_machines_are_not_served_without_keys(self, tmp_path: Path) -> None:
        store = f"sqlite:///{tmp_path / 'runs.db'}"
        refused = cli(store, tmp_path, "server", "--host", "0.0.0.0", "--behind-proxy")  # noqa: S104
        assert refused.returncode == 1
        assert "there is no key yet" in refused.stderr
        a_key(store)
        with running(store, tmp_path, "server", "--host", "0.0.0.0", "--behind-proxy") as server:  # noqa: S104
            assert server.get("/api/jobs").status_code == 401

    def test_a_port_that_somebody_has_is_said_by_a_server_and_dev_takes_another(self, tmp_path: Path) -> None:
        store = f"sqlite:///{tmp_path / 'runs.db'}"
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            refused = cli(store, tmp_path, "server", "--port", port)
            assert refused.returncode == 1
            assert f"port {port} cannot be served" in refused.stderr
            with running(store, tmp_path, "dev", str(TASKS), port=port) as dev:
                assert not dev.url.endswith(f":{port}")

    def test_with_a_certificate_it_speaks_tls_and_a_client_with_another_refuses_it(self, tmp_path: Path) -> None:
        for name in ("one", "other"):
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "1",
                 "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
                cwd=tmp_path, capture_output=True, check=True,
            )  # fmt: skip
        store = f"sqlite:///{tmp_path / 'runs.db'}"
        half = cli(store, tmp_path, "server", tls_certificate=str(tmp_path / "one.crt"))
        assert half.returncode == 1
        assert "give both" in half.stderr
        files = {"tls_certificate": str(tmp_path / "one.crt"), "tls_key": str(tmp_path / "one.key")}
        with running(store, tmp_path, **files) as server:
            assert server.url.startswith("https://")
            trusted = {name: ssl.create_default_context(cafile=str(tmp_path / f"{name}.crt")) for name in ("one", "other")}
            found = httpx.get(f"{server.url}/healthz", verify=trusted["one"])
            assert "strict-transport-security" in found.headers
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{server.url}/healthz", verify=trusted["other"])


def test_dev_serves_with_a_key_of_its_own_that_ends_with_it(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    with running(store, tmp_path, "dev", str(TASKS)) as dev:
        key = dev.said.partition("Key:   ")[2].split()[0]
        job = dev.post("/api/jobs", key, {"task": "add", "args": {"a": 1}}).json()
        path = f"/api/jobs/{job['id']}"
        until(lambda: dev.get(path, key).json()["status"] == "SUCCESS", "the job has run")
        assert dev.get(f"/api/work-items/{job['id']}-0", key).json()["result"] == 3
    assert b"mlg_" not in (tmp_path / "runs.db").read_bytes()
    with running(store, tmp_path, "dev", str(TASKS)) as dev:
        assert dev.get(path, key).status_code == 401


def test_what_a_locked_store_cannot_answer_is_said_and_later_it_goes_on(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    key = a_key(store)
    with running(store, tmp_path, "dev", str(TASKS)) as dev:
        other = apsw.Connection(str(tmp_path / "runs.db"))
        other.execute("begin exclusive")
        began = time.monotonic()
        found = dev.post("/api/jobs", key, {"task": "add", "args": {"a": 1}})
        assert (found.status_code, found.json()["code"]) == (503, "store_busy")
        assert time.monotonic() > began
        assert dev.get("/healthz").status_code == 200
        other.execute("rollback")
        assert dev.post("/api/jobs", key, {"task": "add", "args": {"a": 1}}).status_code == 201
        other.close()


def test_what_does_not_serve_loads_nothing_of_it() -> None:
    asked = (
        "import sys, mulligan, mulligan.client, mulligan.app, mulligan.cli.worker, mulligan.worker.worker; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, env=environment())
    assert not {"fastapi", "uvicorn", "starlette", "httpx"} & set(done.stdout.split())


def test_what_is_being_asked_when_a_server_is_told_to_end_is_answered_first(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    key = a_key(store)
    publish_tasks(store)
    with running(store, tmp_path) as server:
        other = apsw.Connection(str(tmp_path / "runs.db"))
        other.execute("begin immediate")
        asking = HTTPConnection(server.url.removeprefix("http://"), timeout=20)
        headers = {"apikey": key, "Content-Type": "application/json"}
        asking.request("POST", "/api/jobs", '{"task": "add", "args": {"a": 1}}', headers)
        assert server.get("/healthz").status_code == 200, "what came before it has been read too"
        server.process.terminate()
        until(lambda: not _connects(server.url), "no more requests are taken")
        other.execute("rollback")
        other.close()
        assert asking.getresponse().status == 201
        asking.close()
        assert server.process.wait(20) == 0


def test_a_server_all_of_whose_threads_wait_for_the_store_still_says_that_it_lives(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    key = a_key(store)
    publish_tasks(store)
    with running(store, tmp_path) as server:
        other = apsw.Connection(str(tmp_path / "runs.db"))
        other.execute("begin immediate")
        asking = [HTTPConnection(server.url.removeprefix("http://"), timeout=20) for _ in range(60)]
        for each in asking:
            headers = {"apikey": key, "Content-Type": "application/json"}
            each.request("POST", "/api/jobs", '{"task": "add", "args": {"a": 1}}', headers)
        for _ in range(5):
            assert httpx.get(f"{server.url}/healthz", timeout=5).status_code == 200
        assert httpx.get(f"{server.url}/readyz", timeout=5).json()["store"] == "ok", "it can be read"
        other.execute("rollback")
        other.close()
        assert {each.getresponse().status for each in asking} == {201}
        for each in asking:
            each.close()


def test_an_answer_is_sent_at_once() -> None:
    with (
        _bound("127.0.0.1", 0) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert accepted.proto == socket.IPPROTO_TCP, "asyncio sets TCP_NODELAY for such only"


def _connects(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True
