"""What stands before every request: its id, the Host and Origin it names, its key, its size; and what every answer carries."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from anyio import to_thread
from pydantic_core import from_json
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mulligan.api.access import OPEN, Authenticator
from mulligan.api.errors import of_error, problem
from mulligan.core.errors import MulliganError
from mulligan.telemetry import Tell

MAX_BODY = 1_048_576
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
HSTS = "max-age=31536000"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class _Refused(Exception):
    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, headers or {}


class Guard:
    """An ASGI app around another."""

    def __init__(
        self, app: ASGIApp, authenticator: Authenticator, hosts: Sequence[str], tell: Tell, *, tls: bool = False
    ) -> None:
        """`hosts`: names of this server besides those of this machine, as browsers write them, without a port."""
        self._app = app
        self._authenticator = authenticator
        self._hosts = LOOPBACK | {each.lower() for each in hosts}
        self._tell = tell
        self._headers = {**HEADERS, "Strict-Transport-Security": HSTS} if tls else HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        scope["mulligan.request_id"] = request_id
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                found = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    found[name] = value
                found["X-Request-ID"] = request_id
            await send(message)

        try:
            self._check_host(headers)
            self._check_origin(scope["method"], headers)
            await self._authenticate(scope, headers)
            body = await _body(scope["method"], headers, receive)
        except _Refused as refused:
            made = problem(refused.status, refused.code, refused.detail, request_id, headers=refused.headers)
            await made(scope, receive, answer)
            return
        except MulliganError as error:  # the store, which was asked for the key
            await of_error(error, request_id)(scope, receive, answer)
            return
        scope["mulligan.body"] = body
        try:
            await self._app(scope, _again(body, receive), answer)
        except asyncio.CancelledError:  # the server ends, and has waited for this for as long as it does
            if not started:
                await problem(503, "server_stopping", "the server ends: ask again", request_id)(scope, receive, answer)
        except Exception as error:  # noqa: BLE001 - one request that fails must not end the connection's others
            self._tell("request failed", request_id=request_id, path=scope["path"], error=f"{type(error).__name__}: {error}")
            if not started:
                detail = f"something is wrong here: look for {request_id} in the log"
                await problem(500, "internal_error", detail, request_id)(scope, receive, answer)

    def _check_host(self, headers: Headers) -> None:
        """Refuse names that are not ours: a page elsewhere whose name points here (DNS rebinding) sends its own."""
        if _name_of(headers.get("host", "")) not in self._hosts:
            raise _Refused(421, "host_not_allowed", "this server does not go by that name: add it to the setting `hosts`")

    def _check_origin(self, method: str, headers: Headers) -> None:
        """Refuse what a browser sends for a page of somebody else."""
        if method in SAFE:
            return
        origin = headers.get("origin")
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") or (
            origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
        ):
            raise _Refused(403, "origin_not_allowed", "a page of another site may not ask for this")

    async def _authenticate(self, scope: Scope, headers: Headers) -> None:
        if scope["path"] in OPEN:
            return
        key = _key_of(headers)
        principal = None if key is None else await to_thread.run_sync(self._authenticator.find, key)
        if principal is None:
            said = "give a key: the header apikey, or Authorization: Bearer KEY" if key is None else "this key is not valid"
            raise _Refused(401, "key_missing" if key is None else "key_invalid", said, {"WWW-Authenticate": "Bearer"})
        scope["mulligan.principal"] = principal


def _name_of(host: str) -> str:
    """Return the name in a Host header, without its port."""
    if host.startswith("["):
        return host[: host.find("]") + 1].lower()
    return host.partition(":")[0].lower()


def _key_of(headers: Headers) -> str | None:
    kind, _, bearer = headers.get("authorization", "").partition(" ")
    found = {each.strip() for each in (headers.get("apikey", ""), bearer if kind.lower() == "bearer" else "") if each.strip()}
    return found.pop() if len(found) == 1 else None


async def _body(method: str, headers: Headers, receive: Receive) -> bytes:
    """Return the whole body; raises _Refused where it is too large, too deep, or no JSON."""
    if method in ("GET", "HEAD"):
        return b""
    large = _Refused(413, "body_too_large", f"a body may have {MAX_BODY:,} bytes; submit more work in several jobs")
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length[:20]) > MAX_BODY:
        raise large
    pieces, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > MAX_BODY:
            raise large
        more = message.get("more_body", False)
    body = b"".join(pieces)
    if body:
        _check_json(headers, body)
    return body


def _check_json(headers: Headers, body: bytes) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" or headers.get("content-encoding", "identity") != "identity":
        raise _Refused(415, "body_not_json", "send JSON with Content-Type: application/json, not compressed")
    try:
        from_json(body, allow_inf_nan=False)  # stricter than what reads it later: no NaN, no halves of surrogate pairs, no abyss
    except ValueError as error:
        raise _Refused(422, "request_invalid", f"the body is not JSON: {error}") from None


def _again(body: bytes, receive: Receive) -> Callable[[], Any]:
    """Return what hands a body that was read on to who wants it, and after that what comes from the client."""
    handed = False

    async def next_message() -> Message:
        nonlocal handed
        if handed:
            return await receive()
        handed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message
