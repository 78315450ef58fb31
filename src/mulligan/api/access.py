"""Who may call what: a role that each route declares, and the pipelines that a key is limited to."""

from __future__ import annotations

import asyncio
import functools
import hmac
import threading
import time
from collections.abc import Callable, Collection
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from mulligan.api.errors import PROBLEM_JSON, Problem
from mulligan.core.access import Principal, Role
from mulligan.core.errors import Forbidden, MulliganError, NotFound
from mulligan.core.job import ItemKey, Job
from mulligan.engine.asking import Asker
from mulligan.engine.calling import root_of
from mulligan.engine.engine import Engine
from mulligan.engine.filters import text
from mulligan.engine.finding import find_listed_job, missing_item
from mulligan.engine.keys import Keys, NewKey, digest_of
from mulligan.engine.logins import Logins

KNOWN_S = 0.5
"""So long is it kept in mind whose a key is: what is revoked anywhere is refused within a second."""
KNOWN = 1_000
SECURITY: list[dict[str, list[str]]] = [{"apikey": []}, {"bearer": []}]
OPEN = frozenset({"/healthz", "/readyz", "/login"})
"""What needs no key: these paths, exactly."""
_PROBLEM: dict[str, Any] = {"model": Problem, "content": {PROBLEM_JSON: {}}}
_READS = (401, 403, 404, 421, 422, 503)
_WRITES = (*_READS, 409, 413, 415)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of the problems that a route may answer."""
    return {status: {**_PROBLEM, "description": Problem.__doc__} for status in sorted(statuses)}


class Authenticator:
    """Finds whose key, or whose login session, a request brings."""

    def __init__(self, keys: Keys, own: NewKey | None = None, logins: Logins | None = None) -> None:
        """`own` is a key that this process made for itself, which no store knows."""
        self._keys = keys
        self._logins = logins
        self._own = None if own is None else (digest_of(own.text), own.principal)
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Principal | None]] = {}
        self._asked: dict[str, asyncio.Future[Principal | None]] = {}

    async def whose(self, key: str) -> Principal | None:
        """Do as `find`, in an event loop: what is known is said at once, and many who bring one key ask the store once."""
        return await self._in_thread(f"key {digest_of(key)}", lambda: self.find(key))

    async def whose_login(self, token: str) -> Principal | None:
        """Do as `find_login`, in an event loop."""
        return await self._in_thread(_of_login(token), lambda: self.find_login(token))

    def find(self, key: str) -> Principal | None:
        """Return whose key it is, None where it is nobody's (any more); raises StoreError."""
        digest = digest_of(key)
        if self._own is not None and hmac.compare_digest(digest, self._own[0]):
            return self._own[1]
        return self._remembered(f"key {digest}", lambda: self._keys.find(key))

    def find_login(self, token: str) -> Principal | None:
        """Return who is logged in by the token of a cookie, None where nobody is (any more); raises StoreError."""
        logins = self._logins
        return None if logins is None else self._remembered(_of_login(token), lambda: logins.find(token))

    def forget_login(self, token: str) -> None:
        """Look again who is logged in by a token, since it has just changed."""
        with self._lock:
            self._known.pop(_of_login(token), None)

    async def _in_thread(self, what: str, find: Callable[[], Principal | None]) -> Principal | None:
        known = self._in_mind(what)
        if known is not None:
            return known[1]
        asked = self._asked.get(what)
        if asked is None:
            asked = self._asked[what] = asyncio.ensure_future(to_thread.run_sync(find))
            asked.add_done_callback(lambda _: self._asked.pop(what, None))
        return await asyncio.shield(asked)  # others wait for it too

    def _in_mind(self, what: str) -> tuple[float, Principal | None] | None:
        with self._lock:
            known = self._known.get(what)
        return known if known is not None and time.monotonic() - known[0] < KNOWN_S else None

    def _remembered(self, what: str, find: Callable[[], Principal | None]) -> Principal | None:
        now = time.monotonic()
        known = self._in_mind(what)
        if known is not None:
            return known[1]
        found = find()
        with self._lock:
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[what] = (now, found)
        return found


def _of_login(token: str) -> str:
    return f"login {digest_of(token)}"


def caller_of(request: Request) -> Principal:
    """Return who makes a request; the guard has found it out."""
    principal = request.scope.get("mulligan.principal")
    if not isinstance(principal, Principal):
        raise Forbidden("this needs a key")
    return principal


async def _caller(request: Request) -> Principal:
    """Return who makes a request; a coroutine, since everything else is called in a thread, which takes longer than this."""
    return caller_of(request)


Caller = Annotated[Principal, Depends(_caller)]


def asker_of(request: Request, reason: str, operation: str | None) -> Asker:
    """Return who asks, from where, and why, for the audit."""
    address = request.client.host if request.client is not None else ""
    source = str(request.scope.get("mulligan.source", "rest"))
    return Asker(caller_of(request).name, source, text(reason, "reason"), address, operation)


class Routes:
    """Registers routes, each with the role that it takes: there is no other way to add one."""

    def __init__(self, router: APIRouter) -> None:
        self._router = router

    def open(self, path: str, handler: Callable[[Request], Response]) -> None:
        """Register what needs no key: the guard lets these paths through, exactly."""
        self._router.add_route(path, handler, ["GET"], include_in_schema=False)

    def get(self, path: str, role: Role, **more: Any) -> Callable[[Any], Any]:
        """Register a route that changes nothing."""
        return self._add("GET", path, role, _READS, more)

    def post(self, path: str, role: Role, **more: Any) -> Callable[[Any], Any]:
        """Register a route that changes something."""
        return self._add("POST", path, role, _WRITES, more)

    def put(self, path: str, role: Role, **more: Any) -> Callable[[Any], Any]:
        """Register a route that changes something."""
        return self._add("PUT", path, role, _WRITES, more)

    def delete(self, path: str, role: Role, **more: Any) -> Callable[[Any], Any]:
        """Register a route that takes something away."""
        return self._add("DELETE", path, role, _WRITES, more)

    def _add(self, method: str, path: str, role: Role, statuses: tuple[int, ...], more: dict[str, Any]) -> Callable[[Any], Any]:
        async def needed(caller: Caller) -> None:
            if not caller.may(role):
                raise Forbidden(f"this takes the role {role}; the key {caller.name!r} has the role {caller.role}")

        extra = {**more.pop("openapi_extra", {}), "security": SECURITY, "x-role": str(role)}
        responses = {**problems(*statuses), **more.pop("responses", {})}
        route = self._router.api_route(
            path, methods=[method], dependencies=[Depends(needed)], openapi_extra=extra, responses=responses, **more
        )
        return lambda handler: route(_writing(handler, more.get("status_code", 200)))


def written(model: BaseModel, status: int = 200) -> Response:
    """Return the answer that a model is."""
    return Response(model.model_dump_json(), status, media_type="application/json")


def _writing(handler: Callable[..., Any], status: int) -> Callable[..., Any]:
    """Have models written in the handler's thread: FastAPI would check them again in another, and write them in the loop."""
    if asyncio.iscoroutinefunction(handler):
        return handler

    @functools.wraps(handler)
    def write(**given: Any) -> Any:
        found = handler(**given)
        return written(found, status) if isinstance(found, BaseModel) else found

    return write


class Sight:
    """Keeps a key that is limited to some pipelines from seeing any other: what it may not see is not there.

    Calls of workflows belong to the workflow at their top.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def filters(self, caller: Principal) -> dict[str, Any]:
        """Return the filter that a list needs."""
        return {} if caller.pipelines is None else {"tasks": caller.pipelines}

    def job(self, caller: Principal, id: int) -> Job:
        """Return a job; raises NotFound."""
        with self._engine.store.read(single=True) as session:
            row = find_listed_job(session, id)
        if not caller.sees(row.task_name):
            raise NotFound(f"there is no job {id}")
        return row

    def item(self, caller: Principal, key: ItemKey) -> None:
        """Raise NotFound where there is no such work item."""
        with self._engine.store.read() as session:
            job = session.jobs.read(key.job)
            if job is None or job.pruned_ms is not None or not session.items.read([key]):
                raise missing_item(session, key)
            if not caller.sees(self._owner(session, key)):
                raise NotFound(f"there is no work item {key}")

    def items(self, caller: Principal, keys: list[ItemKey]) -> list[ItemKey]:
        """Return those of some work items that it may see; others may not be there at all."""
        if caller.pipelines is None:
            return keys
        with self._engine.store.read() as session:
            jobs = {key.job: key for key in keys}
            seen = {job for job, key in jobs.items() if caller.sees(self._owner(session, key))}
        return [key for key in keys if key.job in seen]

    def task(self, caller: Principal, name: str) -> str:
        """Return the name of a task; raises Forbidden."""
        if not caller.sees(name):
            raise Forbidden(f"the key {caller.name!r} is not for pipeline {name!r}")
        return name

    def everything(self, caller: Principal) -> None:
        """Raise Forbidden for a key that is limited."""
        if caller.pipelines is not None:
            raise Forbidden(f"the key {caller.name!r} is limited to some pipelines, and this is about all of them")

    def _owner(self, session: Any, key: ItemKey) -> str:
        row = session.jobs.read(root_of(session, key).job)
        return "" if row is None else str(row.task_name)


def refuse_undeclared(app: Any, open_paths: Collection[str] = ()) -> None:
    """Raise where a route has not declared whom it is for, and is not open to all: nothing is served by mistake."""
    for route in app.routes:
        declared = (getattr(route, "openapi_extra", None) or {}).get("x-role")
        if declared is None and route.path not in OPEN.union(open_paths, {app.openapi_url}):
            raise MulliganError(f"route {route.path} declares no role")
