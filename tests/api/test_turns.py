"""Many requests at once: so many are worked on, the others wait their turn, and too many are told to come again."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest
from api_harness import Api
from server_harness import a_key, running
from starlette.types import Receive, Scope, Send

from mulligan.api.access import Authenticator
from mulligan.api.browsers import LoginCookie
from mulligan.api.errors import RequestRefused
from mulligan.api.gate import AT_ONCE, Gate
from mulligan.api.guard import Before, Guard
from mulligan.core.access import Role


class Work:
    """Requests that take a turn and work until they are told to end."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.begun: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}

    async def do(self, name: str) -> None:
        self.ends[name] = asyncio.Event()
        async with self._gate.turn():
            self.begun.append(name)
            await self.ends[name].wait()


async def settled() -> None:
    """Let everything that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_who_came_first_is_first_when_a_turn_ends() -> None:
    async def story() -> None:
        work = Work(Gate(at_once=2, waiting=10, wait_s=60))
        tasks = [asyncio.create_task(work.do(name)) for name in "abcde"]
        await settled()
        assert work.begun == ["a", "b"]
        for ended, begun in (("b", "abc"), ("a", "abcd"), ("d", "abcde")):
            work.ends[ended].set()
            await settled()
            assert "".join(work.begun) == begun
        for each in work.ends.values():
            each.set()
        await asyncio.gather(*tasks)

    asyncio.run(story())


def test_who_goes_away_while_it_waits_is_passed_over() -> None:
    async def story() -> None:
        work = Work(Gate(at_once=1, waiting=2, wait_s=60))
        first, gone, last = (asyncio.create_task(work.do(name)) for name in ("first", "gone", "last"))
        await settled()
        gone.cancel()
        with suppress(asyncio.CancelledError):
            await gone
        again = asyncio.create_task(work.do("again"))  # there is room for two who wait
        await settled()
        work.ends["first"].set()
        await settled()
        assert work.begun == ["first", "last"]
        work.ends["last"].set()
        await settled()
        work.ends["again"].set()
        await asyncio.gather(first, last, again)
        assert work.begun == ["first", "last", "again"]

    asyncio.run(story())


def test_one_that_waits_for_too_long_or_behind_too_many_is_told_to_come_again() -> None:
    async def story() -> None:
        work = Work(Gate(at_once=1, waiting=1, wait_s=0.01))
        first = asyncio.create_task(work.do("first"))
        await settled()
        waits = asyncio.create_task(work.do("waits"))
        await settled()
        with pytest.raises(RequestRefused, match="1 requests wait for their turn; nothing was changed") as many:
            await work.do("too many")
        with pytest.raises(RequestRefused, match="it was not this request's turn for") as long:
            await waits
        for refused in (many.value, long.value):
            assert (refused.status, refused.code, refused.headers) == (503, "server_busy", {"Retry-After": "2"})
        work.ends["first"].set()
        await first
        assert work.begun == ["first"]

    asyncio.run(story())


def test_a_probe_is_answered_although_no_turn_is_free(api: Api) -> None:
    begun, ends = asyncio.Event(), asyncio.Event()

    async def at_work(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/healthz":
            begun.set()
            await ends.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def story() -> None:
        before = Before(LoginCookie(secure=False, root_path=""))
        guard = Guard(at_work, Authenticator(api.keys), before, lambda *_, **__: None, lambda: None, Gate(1, 0, 60))
        key = api.texts[Role.VIEWER]
        transport = httpx.ASGITransport(guard)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers={"apikey": key}) as client:
            held = asyncio.create_task(client.get("/api/jobs"))
            await asyncio.wait_for(begun.wait(), 30)
            refused = await client.get("/api/overview")
            assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "server_busy", "2")
            assert refused.headers["content-type"] == "application/problem+json"
            assert (await client.get("/healthz")).status_code == 200
            ends.set()
            assert (await held).status_code == 200

    asyncio.run(story())


def test_those_who_listen_keep_nobody_from_being_answered(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/runs.db"
    key = a_key(store)
    with running(store, tmp_path) as server, ExitStack() as streams:
        listeners = httpx.Client(base_url=server.url, headers={"apikey": key}, timeout=30.0)
        for _ in range(AT_ONCE + 1):
            answer = streams.enter_context(listeners.stream("GET", "/api/stream"))
            assert answer.status_code == 200
        assert server.get("/api/jobs", key).status_code == 200
