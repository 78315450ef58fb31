"""The API over a whole engine with a clock to turn, called in this process as each role."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
from fastapi.testclient import TestClient
from httpx2 import Response

from mulligan.api.application import Pages, guarded
from mulligan.api.served import Served
from mulligan.core.access import Role
from mulligan.core.definition import Definition
from mulligan.core.job import FailureClass
from mulligan.core.submission import NewItem
from mulligan.engine.asking import Asker
from mulligan.engine.keys import Keys
from mulligan.engine.uploading import Uploading
from mulligan.store.interface import Database
from mulligan.telemetry import Tell
from mulligan.testing.factories import a_definition
from mulligan.testing.harness import Hand, Harness

ASKER = Asker("tester", "tests")
ADD = a_definition(
    "add",
    parameters=json.dumps(
        {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a"],
            "additionalProperties": False,
        }
    ),
)
FEATURES = a_definition("features", retries=(2, 300), window="window", online=True, offline=True)
TASKS = (ADD, FEATURES)


def served_of(harness: Harness, keys: Keys, tell: Tell, **changes: Any) -> Served:
    """Return what the API serves of an engine in this process."""
    return Served(
        **{
            "engine": harness.engine,
            "commands": harness.commands,
            "submitting": harness.submitting,
            "uploading": Uploading(harness.engine, harness.submitting),
            "reading": harness.reading,
            "bulk": harness.bulk,
            "bulk_pages": harness.bulk_pages,
            "keys": keys,
            "is_free": harness.locks.is_free,
            "supervisor_is_well": lambda: True,
            "tell": tell,
            **changes,
        }
    )


class Api:
    """A store, a worker that does as it is told, and the API with a key of each role."""

    def __init__(self, database: Database | None = None, pages: Pages | None = None, **changes: Any) -> None:
        self.harness = Harness(database=database)
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.keys = Keys(self.harness.engine)
        self.served = served_of(self.harness, self.keys, lambda event, **facts: self.told.append((event, facts)), **changes)
        self.app = guarded(self.served, pages)
        self.texts = {role: self.keys.create(f"the {role}", role, None, ASKER).text for role in Role}
        for each in TASKS:
            self.harness.publish(each)

    def key(self, role: Role = Role.OPERATOR, *pipelines: str) -> str:
        """Make a further key that is limited to pipelines."""
        return self.keys.create(f"{role} of {' and '.join(pipelines)}", role, pipelines, ASKER).text

    def client(self, key: str | None = None, **more: Any) -> TestClient:
        """Return a client with a key; an operator's unless one is given, none for an empty one."""
        key = self.texts[Role.OPERATOR] if key is None else key
        headers = {"apikey": key} if key else {}
        made = TestClient(self.app, "http://127.0.0.1:7878", raise_server_exceptions=False, headers=headers, **more)
        made.headers.pop("user-agent", None)
        return made

    def call(self, method: str, path: str, body: Any = None, *, apikey: str | None = None, **more: Any) -> Response:
        """Make one request as an operator."""
        given = {} if body is None else {"json": body}
        return self.client(apikey).request(method, path, **given, **more)

    def at_once(self, times: int, method: str, path: str, **more: Any) -> list[httpx.Response]:
        """Make the same request so many times at one moment as an operator, in one event loop as a server has."""

        async def all_of_them() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            given = {"base_url": "http://127.0.0.1:7878", "headers": {"apikey": self.texts[Role.OPERATOR]}}
            async with httpx.AsyncClient(transport=transport, **given) as client:
                return await asyncio.gather(*(client.request(method, path, **more) for _ in range(times)))

        return asyncio.run(all_of_them())

    def get(self, path: str, *, apikey: str | None = None, **query: Any) -> Any:
        """Read something that must be there."""
        found = self.call("GET", path, apikey=apikey, params=query)
        assert found.status_code == 200, found.text
        return found.json()

    def post(self, path: str, body: Any = None, *, status: int = 200, **more: Any) -> Any:
        """Ask for something."""
        found = self.call("POST", path, body, **more)
        assert found.status_code == status, found.text
        return found.json()

    def all_ids(self, path: str, limit: int, **query: Any) -> list[str]:
        """Return the ids of a whole list, read by pages."""
        found: list[str] = []
        cursor = None
        while True:
            page = self.get(path, limit=limit, **query, **({} if cursor is None else {"cursor": cursor}))
            found += [each["id"] for each in page["items"]]
            cursor = page["next"]
            if cursor is None:
                return found

    def worker(self, *definitions: Definition) -> Hand:
        return self.harness.worker(*(definitions or TASKS))

    def failed(self, count: int = 1, task: Definition = ADD) -> int:
        """Return a job all of whose work items have failed for good."""
        job = self.harness.submit(task, [NewItem(str(number), "{}") for number in range(count)])
        worker = self.worker(task)
        for item in worker.claim(count):
            worker.fail(item, FailureClass.PERMANENT, error_message=f"it broke at {item.number}", failure=None)
        return job

    def succeeded(self, task: Definition = ADD, count: int = 1, rows: int | None = None) -> int:
        """Return a job all of whose work items have succeeded."""
        job = self.harness.submit(task, [NewItem(str(number), "{}") for number in range(count)])
        worker = self.worker(task)
        for item in worker.claim(count):
            worker.succeed(item, "3", rows)
        return job

    def audited(self) -> list[dict[str, Any]]:
        """Return the audit without the making of keys, newest first."""
        rows = self.get("/api/audit")["items"]
        return [each for each in rows if each["action"] != "create key"]
