"""What stands before every request: its id, the Host and Origin it names, its key or cookie, its size; and what answers carry."""

from __future__ import annotations

import asyncio
import math
import re
import secrets
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json, to_json
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mulligan.api.access import OPEN, Authenticator
from mulligan.api.browsers import FORM, Form, LoginCookie, check_csrf, check_site, form_in, to_login, wants_page
from mulligan.api.errors import RequestRefused, of_error, problem
from mulligan.api.gate import Gate
from mulligan.api.throttle import Throttle
from mulligan.core.access import Principal
from mulligan.core.errors import MulliganError, SecretInClear
from mulligan.sdk.ports import AMBIENT
from mulligan.sdk.values import refuse_clear
from mulligan.telemetry import Tell

MAX_BODY = 1_048_576
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: browsers then say `Origin: null` of forms on our own pages, which are refused like anybody's.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
AT_ONCE_S = 4
"""What a key may ask for in so many seconds it may ask for at once."""
HSTS = "max-age=31536000"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Before:
    """What the guard goes by."""

    cookie: LoginCookie
    hosts: Sequence[str] = ()
    """Names of this server besides those of this machine, as browsers write them, without a port."""
    tls: bool = False
    open_paths: Collection[str] = OPEN
    """What needs no key: these paths, exactly."""
    anybody: Mapping[str, Principal] = field(default_factory=dict)
    """What anybody may read without a key although it declares a role: these paths, exactly, and as whom."""
    requests_per_second: int = 0
    """How many requests of one key are taken in a second, in the long run; 0: any number."""


class Guard:
    """An ASGI app around another."""

    def __init__(
        self,
        app: ASGIApp,
        authenticator: Authenticator,
        before: Before,
        tell: Tell,
        stop: Callable[[], None],
        gate: Gate | None = None,
    ) -> None:
        """`stop` ends what is answered without end."""
        self._app = app
        self.stop = stop
        self._authenticator = authenticator
        self._before = before
        self._hosts = LOOPBACK | {each.lower() for each in before.hosts}
        self._tell = tell
        rate = before.requests_per_second
        self._gate = gate or Gate()
        self._limit = Throttle(AT_ONCE_S * rate, 1 / rate) if rate else None
        self._headers = {**HEADERS, "Strict-Transport-Security": HSTS} if before.tls else HEADERS

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
                found.setdefault("Cache-Control", "no-store")
            await send(message)

        path = _beneath(scope, self._before.cookie.root_path)
        refusal = await self._admit(scope, path, headers, receive, request_id)
        if refusal is not None:
            await refusal(scope, receive, answer)
            return
        try:
            await self._in_turn(scope, path, _again(scope["mulligan.body"], receive), answer)
        except RequestRefused as refused:
            await _refusal(refused, request_id)(scope, receive, answer)
        except asyncio.CancelledError:  # the server ends, and has waited for this for as long as it does
            if not started:
                await problem(503, "server_stopping", "the server ends: ask again", request_id)(scope, receive, answer)
        except Exception as error:  # noqa: BLE001 - one request that fails must not end the connection's others
            self._tell("request failed", request_id=request_id, path=scope["path"], error=f"{type(error).__name__}: {error}")
            if not started:
                detail = f"something is wrong here: look for {request_id} in the log"
                await problem(500, "internal_error", detail, request_id)(scope, receive, answer)

    async def _in_turn(self, scope: Scope, path: str, receive: Receive, answer: Send) -> None:
        """Have a request answered when it is its turn, which ends when the answer begins: a stream's goes on for hours."""
        if path in self._before.open_paths:  # probes, the login: these need nothing of what the others wait for
            await self._app(scope, receive, answer)
            return
        async with self._gate.turn() as end:

            async def answer_and_end(message: Message) -> None:
                end()
                await answer(message)

            await self._app(scope, receive, answer_and_end)

    async def _admit(self, scope: Scope, path: str, headers: Headers, receive: Receive, request_id: str) -> Response | None:
        """Find out who asks for what, and read the body; returns the answer to what goes no further."""
        method = scope["method"]
        try:
            self._check_host(headers)
            check_site(method, headers)
            token = await self._authenticate(scope, headers, path)
            if token is not None:
                check_site(method, headers, by_cookie=True)
            body = scope["mulligan.body"] = await _body(method, headers, receive)
            form = scope["mulligan.form"] = _checked(headers, path, body)
            if token is not None:
                check_csrf(method, headers, form, token)
        except RequestRefused as refused:
            if refused.status == 401 and wants_page(method, headers) and not _is_api(path):
                return to_login(self._before.cookie.root_path, path, scope["query_string"].decode("latin-1"))
            return _refusal(refused, request_id)
        except MulliganError as error:  # the store, which was asked for the key
            return of_error(error, request_id)
        return None

    def _check_host(self, headers: Headers) -> None:
        """Refuse names that are not ours: a page elsewhere whose name points here (DNS rebinding) sends its own."""
        if _name_of(headers.get("host", "")) not in self._hosts:
            raise RequestRefused(421, "host_not_allowed", "this server does not go by that name: add it to the setting `hosts`")

    async def _authenticate(self, scope: Scope, headers: Headers, path: str) -> str | None:
        """Find who asks: by a key, or by the cookie of a login session, whose token is returned."""
        if path in self._before.open_paths:
            return None
        find = self._authenticator
        if (anybody := self._before.anybody.get(path)) is not None:
            scope["mulligan.principal"] = anybody
            return None
        keys, token = _keys_of(headers), self._before.cookie.read(headers)
        if keys or token is None:
            key = keys.pop() if len(keys) == 1 else None
            principal, token = None if key is None else await find.whose(key), None
            said = "give a key: the header apikey, or Authorization: Bearer KEY" if key is None else "this key is not valid"
            code = "key_missing" if key is None else "key_invalid"
        else:
            principal = await find.whose_login(token)
            code, said = "login_ended", "the login session has ended, or its key was revoked: log in again"
        if principal is None:
            raise RequestRefused(401, code, said, {"WWW-Authenticate": "Bearer"})
        self._check_rate(principal)
        scope["mulligan.principal"] = principal
        scope["mulligan.login"] = token
        return token

    def _check_rate(self, principal: Principal) -> None:
        """Refuse what one key asks for too often, so that a loop gone wild does not keep the others from being answered."""
        wait_s = 0.0 if self._limit is None else self._limit.take(principal.id)
        if wait_s:
            seconds = math.ceil(wait_s)
            rate = self._before.requests_per_second
            said = f"this key asks too often, over {rate:,} requests a second: ask again in {seconds} s"
            raise RequestRefused(429, "too_many_requests", said, {"Retry-After": str(seconds)})


def _refusal(refused: RequestRefused, request_id: str) -> Response:
    return problem(refused.status, refused.code, refused.detail, request_id, headers=refused.headers)


def _beneath(scope: Scope, root_path: str) -> str:
    """Return the path below the prefix under which a proxy serves this, whether or not the proxy has taken it off."""
    if not root_path:
        return str(scope["path"])
    path = str(scope["path"])
    inner = path.removeprefix(root_path) if path == root_path or path.startswith(f"{root_path}/") else path
    scope["root_path"], scope["path"] = root_path, root_path + (inner or "/")
    return inner or "/"


def _is_api(path: str) -> bool:
    return path == "/api" or path.startswith("/api/")


def _name_of(host: str) -> str:
    """Return the name in a Host header, without its port."""
    if host.startswith("["):
        return host[: host.find("]") + 1].lower()
    return host.partition(":")[0].lower()


def _keys_of(headers: Headers) -> set[str]:
    kind, _, bearer = headers.get("authorization", "").partition(" ")
    return {each.strip() for each in (headers.get("apikey", ""), bearer if kind.lower() == "bearer" else "") if each.strip()}


async def _body(method: str, headers: Headers, receive: Receive) -> bytes:
    """Return the whole body; raises RequestRefused where it is too large."""
    if method in ("GET", "HEAD"):
        return b""
    large = RequestRefused(413, "body_too_large", f"a body may have {MAX_BODY:,} bytes; submit more work in several jobs")
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
    return _inflated(body, large) if headers.get("content-encoding") == "gzip" else body


def _checked(headers: Headers, path: str, body: bytes) -> Form:
    """Raise where a body is no JSON; pages, which are not below /api, may send forms too, whose fields are returned."""
    if not body:
        return {}
    if not _is_api(path) and _kind(headers) == FORM:
        form = form_in(body)
        _refuse_secrets(dict(form))
        return form
    _check_json(headers, body)
    return {}


def _kind(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _inflated(body: bytes, large: RequestRefused) -> bytes:
    """Return what was compressed, of which no more is unpacked than a body may have; raises RequestRefused."""
    unpacking = zlib.decompressobj(wbits=31)
    try:
        found = unpacking.decompress(body, MAX_BODY + 1)
    except zlib.error:
        raise RequestRefused(422, "request_invalid", "the body is not what gzip makes, as Content-Encoding says") from None
    if len(found) > MAX_BODY:
        raise large
    if not unpacking.eof or unpacking.unused_data:
        raise RequestRefused(422, "request_invalid", "the body is cut short, or something follows it that gzip has not made")
    return found


def _check_json(headers: Headers, body: bytes) -> None:
    if _kind(headers) != "application/json" or headers.get("content-encoding", "identity") not in ("identity", "gzip"):
        said = "send JSON with Content-Type: application/json, as it is or compressed by gzip"
        raise RequestRefused(415, "body_not_json", said)
    try:  # stricter than what reads it later: no NaN, no halves of surrogate pairs, no abyss
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise RequestRefused(422, "request_invalid", f"the body is not JSON: {error}") from None
    _refuse_secrets(value)


def _refuse_secrets(value: Any) -> None:
    """Refuse what holds a registered secret; it is written anew, since what was sent may hide one behind escapes."""
    if AMBIENT.mask:
        try:
            refuse_clear(to_json(value).decode(), "the body of the request")
        except SecretInClear as error:
            raise RequestRefused(422, error.code, str(error)) from None


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
