"""Stories about many work items at once, and about keys: by the command line, and by a server that is asked over HTTP."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import crash_tasks
import httpx
from crash_story import TIMEOUT_S, Asked, Served, World
from story_harness import WorkerProcess

from mulligan.client.job import Job
from mulligan.core.access import Role
from mulligan.core.bulk import BulkState
from mulligan.core.job import JobStatus
from mulligan.engine.asking import Asker

MANY = 25
"""Work items: pages of 10 and 15."""


def revoked(world: World) -> Job[Any]:
    """Return a job that nobody runs, all of it cancelled, so that it can be retried."""
    job = world.client.map(crash_tasks.broken, map(str, range(MANY)), args={"file": world.path()})
    assert job.cancel() == MANY
    return job


def check_retried_once(world: World, job: Job[Any], at: str | None) -> None:
    """See that each of the job's work items was retried, and no more than once, also if what was left is gone on with."""
    for each in world.client.operations():
        if each.state is BulkState.RUNNING:
            each.wait(TIMEOUT_S)
    world.check()
    found = Counter((each.status, each.generation) for each in job.refresh().work_items())
    assert found == {(JobStatus.PENDING, 2): MANY}, (at, found)
    assert sum(each.done for each in world.client.operations()) == MANY, at


class AskedForMany(Asked):
    """A bulk operation, and keys, of an operator who dies at a point; asked again, all is done once."""

    def run(self) -> None:
        """Retry many, make a key and revoke it, each again where it was killed."""
        job = revoked(self.world)
        self._twice("bulk", "retry", "--job", job.id, "--follow")
        check_retried_once(self.world, job, self.at)
        if self.ask("keys", "create", "--name", "ann", "--role", "operator") < 0 and not self._keys():
            self.ask("keys", "create", "--name", "ann", "--role", "operator")
        assert self._keys() == ["ann"], self.at
        if self.ask("keys", "revoke", "ann") < 0 and self._keys():
            self.ask("keys", "revoke", "ann")
        assert self._keys() == [], self.at
        actions = Counter(each["action"] for each in self._audit())
        assert (actions["create key"], actions["revoke key"]) == (1, 1), self.at
        self.world.check()

    def _keys(self) -> list[str]:
        return [each.name for each in self.world.client.services.keys.all() if each.revoked_ms is None]

    def _audit(self) -> list[dict[str, Any]]:
        with self.world.client.services.store.read() as session:
            return [each._asdict() for each in session.records.audit()]


class ServedMany(Served):
    """A server that is asked over HTTP and dies at a point; another one is asked the same again, and does it once."""

    retention_s = 86_400

    def __init__(self, world: World, at: str | None = None, record: Path | None = None) -> None:
        super().__init__(world, at, record)
        self._set["CRASH_ROLE"] = "REST server"
        made = world.client.services.keys.create("ann", Role.ADMIN, None, Asker("story"))
        self._key = made.text

    def run(self) -> None:
        """Have many retried, a job submitted and a key revoked over HTTP, each sent again until it is answered."""
        client, job = self.world.client, revoked(self.world)
        other = client.services.keys.create("bob", Role.VIEWER, None, Asker("story"))
        self.server()
        bulk = {"action": "retry", "filter": {"job": job.id}}
        made = self._answered("POST", "/api/work-items/bulk", bulk)["id"]
        self._until(lambda: client.operation(made).state is BulkState.DONE, "the operation ends")
        check_retried_once(self.world, job, self.at)
        given = {"task": "broken", "args": {"file": self.world.path(), "key": "new"}}
        submitted = self._answered("POST", "/api/jobs", given)["id"]
        assert [each.id for each in client.jobs(task="broken")] == [submitted, job.id], self.at
        self._answered("DELETE", f"/api/keys/{other.principal.id}", done=404)
        assert client.services.keys.find(other.text) is None, self.at
        self.world.workers[-1].stop()
        self.world.check()

    def _answered(self, method: str, path: str, body: Any = None, done: int = 200) -> Any:
        """Ask the server that is there, again and again, until one has answered; `done` says that it was done before."""
        headers = {"apikey": self._key, "Idempotency-Key": path.replace("/", "-")}

        def ask() -> httpx.Response | None:
            try:
                found = httpx.request(method, self._url() + path, json=body, headers=headers, timeout=TIMEOUT_S)
            except httpx.TransportError:
                return None
            return found if found.is_success or found.status_code == done else None

        found = self._until(ask, f"{method} {path} is answered")
        return found.json() if found.content else None

    def _url(self) -> str:
        server: WorkerProcess = self.world.workers[-1]
        found = re.search(r"url='?(http://[^'\s]+)", server.said)
        return found[1] if found else "http://127.0.0.1:1"
