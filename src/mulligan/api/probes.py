"""Probes: whether the process answers, and whether the store and the supervisor work. They need no key and tell nothing else."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Response

from mulligan.api.models import Alive, Ready
from mulligan.api.served import Served
from mulligan.core.errors import MulliganError

PROBES = 8
"""So many probes at once look at the store; further ones wait for these."""
STORE_S = 2.0
"""A store that does not answer for so long counts as away."""


class Probes:
    """The routes without a key. They need none of the threads that answer requests, all of which may wait for the store."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._thread = ThreadPoolExecutor(1, "mulligan probe")
        self._asked: Future[bool] | None = None
        self._limiter = CapacityLimiter(PROBES)

    def add_to(self, router: APIRouter) -> None:
        """Register the routes."""
        router.get("/healthz", response_model=Alive, tags=["probes"], operation_id="healthz")(self.healthz)
        failing: dict[int | str, dict[str, Any]] = {503: {"model": Ready, "description": "A part of it does not work."}}
        router.get("/readyz", response_model=Ready, responses=failing, tags=["probes"], operation_id="readyz")(self.readyz)

    async def healthz(self) -> Alive:
        """Say that the process answers, whatever the store and the supervisor do: restart it when it does not."""
        return Alive()

    async def readyz(self, response: Response) -> Ready:
        """Say which part works: 503 where one does not."""
        store = "ok" if await to_thread.run_sync(self._store_answers, limiter=self._limiter) else "away"
        supervisor = "ok" if self._served.supervisor_is_well() else "stuck"
        status = "ok" if store == supervisor == "ok" else "failing"
        response.status_code = 200 if status == "ok" else 503
        return Ready(status=status, store=store, supervisor=supervisor)

    def _store_answers(self) -> bool:
        """Ask in a thread of its own: a store that is away would hold this one for long, and one such thread is enough."""
        asked = self._asked
        if asked is None or asked.done():
            asked = self._asked = self._thread.submit(self._ask)
        try:
            return asked.result(STORE_S)
        except TookTooLong:
            return False

    def _ask(self) -> bool:
        try:
            self._served.keys.any()
        except MulliganError:
            return False
        return True
