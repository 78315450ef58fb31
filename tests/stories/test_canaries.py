"""Secrets are planted wherever they may get out, and then looked for in all that is kept and said."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest
from story_harness import World, until

from mulligan.core.access import Role
from mulligan.engine.asking import Asker

TASKS = Path(__file__).parents[1] / "worker" / "secret_tasks.py"
ARGUMENT, FILED, REGISTERED = "canary/argument+8f", "canary in a file 9a", "canary:registered:7c"
WAYS = ("shout", "fail", "give", "last_words", "flow", "broken_flow")


def forms(value: str) -> Iterator[bytes]:
    """Yield what of a value would be recognized anywhere."""
    for text in (value, quote(value, safe=""), json.dumps(value)[1:-1], repr(value)[1:-1]):
        yield text.encode()
    yield base64.b64encode(value.encode())[:-4]
    yield base64.b64encode(f"ann:{value}".encode())[6:-4]


def found(data: bytes) -> list[bytes]:
    """Return the canaries that are in some data."""
    return [form for value in (ARGUMENT, FILED, REGISTERED) for form in forms(value) if form in data]


def stored(world: World) -> Iterator[tuple[str, bytes]]:
    """Yield all that the store keeps: its files, or every text of every table."""
    if world.place is None:
        for file in world.folder.glob("store.db*"):
            if file.is_file():
                yield file.name, file.read_bytes()
        return
    with psycopg.connect(world.place.url) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = %s", [world.place.schema]).fetchall()
        for (table,) in tables:
            rows = connection.execute(f'select t::text from {world.place.schema}."{table}" t'.encode()).fetchall()  # noqa: S608
            yield table, "\n".join(row[0] for row in rows).encode()


class Rest:
    """The API of a server, as an operator uses it; keeps all answers."""

    def __init__(self, world: World, server: Any) -> None:
        key = world.client.services.keys.create("ann", Role.OPERATOR, None, Asker("story", "tests")).text
        url = until(lambda: re.search(r"url='(http://[^']+)'", server.said), "the address")[1]
        self._url, self._headers = url, {"apikey": key}
        self.answers: list[bytes] = []

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        found = httpx.request(method, self._url + path, json=body, headers={**self._headers, **headers}, timeout=20)
        self.answers.append(found.content)
        return found

    def read_all(self, jobs: list[str]) -> None:
        """Read whatever the API tells of jobs."""
        for job in jobs:
            items = self.call("GET", f"/api/jobs/{job}/work-items").json()["items"]
            for item in items:
                for more in ("", "/attempts", "/logs", "/explain"):
                    assert self.call("GET", f"/api/work-items/{item['id']}{more}").status_code == 200
        for path in ("/api/jobs", "/api/audit", "/api/pipelines", "/api/workers"):
            assert self.call("GET", path).status_code == 200


def test_no_secret_is_in_the_store_nor_in_what_anybody_says(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    file = world.folder / "token"
    file.write_text(FILED + "\n", "utf-8")
    monkeypatch.setenv("STORY_ARGUMENT", ARGUMENT)
    monkeypatch.setenv("STORY_REGISTERED", REGISTERED)
    settings = {"secrets": "env:STORY_REGISTERED, env:STORY_NOWHERE"}
    worker, server = world.worker(TASKS, **settings), world.server(**settings)
    rest = Rest(world, server)
    jobs = []
    for reference in ("env:STORY_ARGUMENT", f"file:{file}"):
        for way in WAYS:
            body = {"task": way, "args": {"password": {"secret": reference}}}
            made = rest.call("POST", "/api/jobs", body, **{"Idempotency-Key": f"{way}-{reference[:4]}"})
            assert made.status_code == 201, made.text
            jobs.append(made.json()["id"])
    body = {"task": "from_the_environment", "args": {"name": "STORY_REGISTERED"}}
    jobs += [rest.call("POST", "/api/jobs", body).json()["id"]]
    for form in (REGISTERED, f"postgres://ann:{quote(REGISTERED, safe='')}@host"):
        for body in ({"task": "plain", "args": {"text": form}}, {"task": "nowhere", "labels": {"a": form}}):
            refused = rest.call("POST", "/api/jobs", body)
            assert (refused.status_code, refused.json()["code"]) == (422, "secret_in_clear")
    reasons = rest.call("POST", f"/api/jobs/{jobs[0]}/cancel", {"reason": f"it is {REGISTERED}"})
    assert reasons.json()["code"] == "secret_in_clear"
    wrong = rest.call("POST", "/api/jobs", {"task": "shout", "args": {"password": ARGUMENT}})
    assert wrong.status_code == 422
    for job in jobs:
        world.client.job(job).wait(timeout=20)
    statuses = [str(world.client.job(each).status) for each in jobs]
    assert statuses[: len(WAYS)] == ["SUCCESS", "FAILURE", "FAILURE", "FAILURE", "SUCCESS", "FAILURE"]
    rest.read_all(jobs)
    logs = b"".join(rest.answers)
    assert b"printed ***" in logs
    assert b"fatal: ***" in logs
    assert b"cannot log in with ***" in logs
    assert "registered secret cannot be hidden" in worker.said
    assert "env:STORY_NOWHERE" in server.said
    assert (worker.stop(), server.stop()) == (0, 0)
    assert {name: found(data) for name, data in stored(world) if found(data)} == {}
    assert found(logs) == []
    assert found(worker.said.encode() + server.said.encode()) == []
    assert found(f"printed {ARGUMENT}".encode()), "what looks for canaries finds them"
