"""The route of the stream: server-sent events, from a place on, until the listener goes."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Annotated

from anyio import to_thread
from fastapi import Query, Request, Response
from starlette.types import Receive, Scope, Send

from mulligan.api.access import Caller, Routes, Sight
from mulligan.api.errors import RETRY_AFTER_S, problem, request_id_of
from mulligan.api.feeding import Feeding
from mulligan.api.listeners import Listener, Wish, id_of, message, message_of, moment
from mulligan.api.served import Served
from mulligan.core.access import Role
from mulligan.core.errors import ArgumentsInvalid, MulliganError
from mulligan.engine.feed import OperationTold, Told
from mulligan.engine.filters import text
from mulligan.engine.keys import digest_of
from mulligan.store.verbs.records import EventPlace

MOST = 2_000
"""So many may listen at one server."""
HEARTBEAT_S = 15.0
RETRY_MS = 2_000
PAGE = 500
CUT_S = 1.0
_END = {"type": "http.response.body", "body": b"", "more_body": False}
_ID = re.compile(r"(\d{1,18})-(\d{1,18})-(\d{1,15})")
_EXAMPLE = "id: 0-17-1790000000000\nevent: job_ended\ndata: {…}\n\n"
_CONTENT = {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}}


class Kind(StrEnum):
    """What a message tells of."""

    ITEM_FAILED = "item_failed"
    JOB_ENDED = "job_ended"
    ACTED = "acted"
    OPERATION_ENDED = "operation_ended"
    CHANGED = "changed"


class StreamRoutes:
    """The stream."""

    def __init__(self, served: Served, feeding: Feeding) -> None:
        self._served = served
        self._feeding = feeding
        self._sight = Sight(served.engine)

    def add_to(self, routes: Routes) -> None:
        """Register the route."""
        routes.get(
            "/api/stream",
            Role.VIEWER,
            response_class=EventStream,
            status_code=200,
            responses={200: {"content": _CONTENT}},
            tags=["stream"],
        )(self.stream)

    async def stream(
        self,
        request: Request,
        caller: Caller,
        after: Annotated[
            str | None,
            Query(max_length=64, description="The id of an event: go on after it. Last-Event-ID comes first."),
        ] = None,
        kind: Annotated[list[Kind] | None, Query(description="These kinds only; may be given several times.")] = None,
        task: Annotated[str | None, Query(max_length=200, description="A pipeline, or a task that one calls.")] = None,
        job: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="A job, with all that it calls.")] = None,
        follow: Annotated[bool, Query(description="false: tell what there is after `after`, and end.")] = True,
    ) -> Response:
        """Follow what happens, as server-sent events: failures, ends of jobs and bulk operations, actions, and what has changed.

        Ids of events are places to go on from; none is skipped, and none comes twice.
        """
        named = None if task is None else self._sight.task(caller, text(task, "task"))
        wish = Wish(caller, frozenset(kind or ()), named, job)
        place, at_ms = _place_of(after, request.headers.get("last-event-id"))
        if len(self._feeding.hub.listeners) >= MOST:
            headers = {"Retry-After": str(max(RETRY_AFTER_S.values()))}
            return problem(503, "too_many_streams", f"{MOST:,} listen already", request_id_of(request), headers=headers)
        loop = asyncio.get_running_loop()
        if follow and not await to_thread.run_sync(self._feeding.begin, loop):
            return problem(503, "server_stopping", "the server ends: ask again", request_id_of(request))
        end = await to_thread.run_sync(self._feeding.feed.end)
        login = request.scope.get("mulligan.login")
        listener = Listener(wish, digest_of(login) if isinstance(login, str) else None)
        lost = self._reset(place, at_ms, end)
        start = end if place is None or lost else place
        now_ms = self._now_ms()
        first = message("reset" if lost else "ready", {"reason": lost, "at": moment(now_ms)}, id_of(start, now_ms))
        return EventStream(self, listener, start, f"retry: {RETRY_MS}\n\n".encode() + first, follow=follow)

    def join(self, listener: Listener) -> None:
        """Have somebody listen."""
        self._feeding.hub.listeners.add(listener)

    def leave(self, listener: Listener) -> None:
        """Have somebody listen no more."""
        self._feeding.hub.listeners.discard(listener)

    def told_up_to(self, place: EventPlace) -> str:
        """Return the id of what a listener has heard of, to whom nothing waits to be sent."""
        hub = self._feeding.hub
        return id_of(max(place, hub.place), max(hub.at_ms, 1))

    async def page(self, place: EventPlace) -> tuple[list[Told | OperationTold], EventPlace, bool]:
        """Return some of the events after a place."""
        return await to_thread.run_sync(self._feeding.feed.after, place, PAGE)

    def tell_cut(self, listener: Listener) -> None:
        """Note that somebody was cut off."""
        self._served.tell("stream cut off", key=listener.wish.principal.name, why=listener.over)

    def tell_failed(self, error: Exception) -> None:
        """Note that a listener could not be told what came before."""
        self._served.tell("stream ended early", error=str(error))

    def _now_ms(self) -> int:
        return self._served.engine.clock.now_ms()

    def _reset(self, place: EventPlace | None, at_ms: int, end: EventPlace) -> str | None:
        """Say why nobody can go on from a place, if so."""
        if place is None:
            return "this id is none of ours" if at_ms < 0 else None
        keep_ms = round(self._served.keep_s * 1000)
        if keep_ms and at_ms < self._now_ms() - keep_ms:
            return "events after this id may have been removed by retention"
        beyond = place.position > end.position or (place.position == end.position == 0 and place.id > end.id)
        return "this id is of another store" if beyond else None


def _place_of(after: str | None, last: str | None) -> tuple[EventPlace | None, int]:
    """Return the place to go on from, and since when nothing was told after it; -1: a browser sent an id that is none of ours."""
    form = _ID.fullmatch(last or after or "")
    if form is not None:
        return EventPlace(int(form[1]), int(form[2])), int(form[3])
    if last:
        return None, -1
    if after:
        raise ArgumentsInvalid("after: this is no id of an event; take one as it came")
    return None, 0


class EventStream(Response):
    """Sends to one listener until it goes, is cut off, or the server ends."""

    media_type = "text/event-stream"

    def __init__(self, routes: StreamRoutes, listener: Listener, start: EventPlace, first: bytes, *, follow: bool) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._routes = routes
        self._listener = listener
        self._start = start
        self._first = first
        self._follow = follow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as all answers are called
        """Answer the request."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if not self._follow:
            await self._write(send)
            return
        self._routes.join(self._listener)
        working = [asyncio.ensure_future(each) for each in (self._write(send), _gone(receive), self._listener.cut.wait())]
        try:
            await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._routes.leave(self._listener)
            for each in working:
                each.cancel()
            await asyncio.gather(*working, return_exceptions=True)
        if self._listener.cut.is_set():
            self._routes.tell_cut(self._listener)
            with contextlib.suppress(TimeoutError):  # who reads slowly does not read this either
                await asyncio.wait_for(send(_END), CUT_S)

    async def _write(self, send: Send) -> None:
        try:
            async for chunk in self._chunks():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except MulliganError as error:  # what was sent is whole: it comes again, and goes on
            self._routes.tell_failed(error)
        await send(_END)

    async def _chunks(self) -> AsyncIterator[bytes]:
        """Yield what came before, then what comes; both overlap, and what was sent is known by its place."""
        listener, place, more = self._listener, self._start, True
        yield self._first
        while more and listener.over is None:
            told, place, more = await self._routes.page(place)
            if chunk := b"".join(message_of(each) for each in told if listener.wish.fits(each)):
                yield chunk
        while self._follow and listener.over is None:
            came = await listener.wait(HEARTBEAT_S)
            chunk = b""
            for at, each in listener.take():
                if at is None or at > place:
                    chunk, place = chunk + each, place if at is None else at
            if chunk:
                yield chunk
            elif not came:  # a comment keeps proxies from closing it; its id keeps it from becoming too old while nothing happens
                yield f":\nid: {self._routes.told_up_to(place)}\n\n".encode()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
