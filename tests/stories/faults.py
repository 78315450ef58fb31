"""Faults of PostgreSQL and of the way to it under load; the tests run a short slice, `kill_loop --faults` a long one."""

from __future__ import annotations

import time
from typing import cast

import psycopg
from chaos import Chaos
from proxy import Cut, Proxy
from story_harness import World, until

from mulligan import JobStatus
from mulligan.core.errors import StoreAway
from mulligan.testing.postgres import PostgresServer

SLICE = ("restart", "terminate", "terminate", "terminate", "cut before commit", "cut during commit", "cut after commit")
WHOLE = {
    "restart": 20,
    "terminate": 100,
    "cut before commit": 50,
    "cut during commit": 50,
    "cut after commit": 100,
    "black hole": 10,
}
"""How often a long run breaks each of them at least, whatever chance has it break."""
NOTICED, BACK, NOTICED_S = "store is away", "store is back", 15.0


class Faults(Chaos):
    """The load of Chaos, whose workers live: what breaks is the server, sessions at work, and the answers of commits.

    So nothing may fail at all, and at most once is exactly once.
    """

    def __init__(
        self, world: World, server: PostgresServer, seed: int, workers: int = 2, least: dict[str, int] | None = None
    ) -> None:
        assert world.place is not None
        self._server = server
        self._least = least or {}
        self._proxy = Proxy(server.port)
        self._through = self._proxy.url(world.place.url)
        super().__init__(world, seed, 0)
        self._workers = [world.worker(lease=60, database=self._through) for _ in range(workers)]

    def _is_enough(self, kills: int) -> bool:
        return super()._is_enough(kills) and not self._missing()

    def _missing(self) -> list[str]:
        return [kind for kind, least in self._least.items() if self.report.kills[kind] < least]

    def _kill_something(self) -> None:
        kind = self._random.choice(self._missing() or SLICE)
        match kind:
            case "restart":
                self._server.restart(away_s=self._random.uniform(0, 1))
                self.report.kills[kind] += 1
            case "black hole":
                self._go_silent()
                self.report.kills[kind] += 1
            case "terminate":
                self.report.kills[kind] += self._terminate()
            case _:
                self.report.kills[kind] += self._cut(cast("Cut", kind.removeprefix("cut ")))
        until(lambda: is_up(self.world), "the store answers again", 30)
        self.world.check()

    def _terminate(self) -> int:
        """Terminate whatever is in the middle of a transaction; look for a moment, since transactions are short."""
        until_s = time.monotonic() + 0.5
        with psycopg.connect(self._server.url, autocommit=True) as connection:
            while time.monotonic() < until_s:
                if count := len(connection.execute(IN_THE_MIDDLE).fetchall()):
                    return count
        return 0

    def _go_silent(self) -> None:
        """Answer nothing, whatever the workers are in the middle of, until all of them have noticed."""
        self._until_back()
        before = [worker.said.count(NOTICED) for worker in self._workers]
        silent = time.monotonic()
        self._proxy.go_silent()
        for worker, count in zip(self._workers, before, strict=True):
            until(lambda: worker.said.count(NOTICED) > count, "a worker notices the silence", NOTICED_S)  # noqa: B023 - run here
        self.report.noticed_s.append(time.monotonic() - silent)
        self._proxy.go_on()
        self._until_back()

    def _until_back(self) -> None:
        for worker in self._workers:
            until(lambda: worker.said.count(BACK) == worker.said.count(NOTICED), "a worker is back", 30)  # noqa: B023 - run here

    def _cut(self, cut: Cut) -> int:
        before = len(self._proxy.cuts)
        self._proxy.cut_next(cut, 3)
        until_s = time.monotonic() + 5
        while time.monotonic() < until_s and len(self._proxy.cuts) < before + 3 and not self._ended():
            pass
        self._proxy.forget()
        return len(self._proxy.cuts) - before

    def _check_wave(self) -> None:
        for job in self._jobs:
            assert job.refresh().status is JobStatus.SUCCESS, [item.explain() for item in job.work_items(status="FAILURE")]
        super()._check_wave()

    def close(self) -> None:
        """End the proxy."""
        self._proxy.close()


IN_THE_MIDDLE = """select pg_terminate_backend(pid) from pg_stat_activity
where xact_start is not null and pid <> pg_backend_pid() and application_name = 'mulligan'"""


def is_up(world: World) -> bool:
    """Return whether the world's store answers."""
    try:
        world.client.jobs(limit=1)
    except StoreAway:
        return False
    return True
