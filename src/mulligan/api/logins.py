"""Logging in and out with a browser: a key, or a token that works once, becomes a login session with a cookie."""

from __future__ import annotations

import html
import ipaddress
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic_core import from_json
from starlette.routing import Router

from mulligan.api.access import Authenticator, Caller, Routes
from mulligan.api.browsers import LOGIN, Form, LoginCookie, form_of, local_path
from mulligan.api.errors import problem, request_id_of
from mulligan.api.served import Served
from mulligan.api.throttle import Throttle
from mulligan.core.access import Principal, Role
from mulligan.engine.asking import Asker
from mulligan.engine.logins import Logins, csrf_token_of

LOGOUT = "/logout"
TRIES = 10
TRY_EVERY_S = 6.0
"""Wrong keys from one address: ten at once, then one every six seconds."""
NOTED = 60
NOTED_EVERY_S = 10.0
"""Wrong keys from anywhere that the audit, which keeps all, takes a line of: sixty at once, then one every ten seconds."""
LoginPage = Callable[[Request, str, str], str]
"""Makes the HTML of the login page: of a request, of where to go on to, and of what was wrong ("" where nothing was)."""


class LoginRoutes:
    """The routes by which people log in and out."""

    def __init__(
        self, served: Served, logins: Logins, authenticator: Authenticator, cookie: LoginCookie, page: LoginPage | None = None
    ) -> None:
        self._served = served
        self._logins = logins
        self._authenticator = authenticator
        self._cookie = cookie
        self._page = page or plain_page
        self._tries = Throttle(TRIES, TRY_EVERY_S)
        self._noted = Throttle(NOTED, NOTED_EVERY_S)
        self._untold = 0

    def add_to(self, router: Router, routes: Routes) -> None:
        """Register the routes: the one that logs in takes no key, since it is what takes one."""
        router.add_route(LOGIN, self.show, ["GET"], include_in_schema=False)
        router.add_route(LOGIN, self.log_in, ["POST"], include_in_schema=False)
        routes.post(LOGOUT, Role.VIEWER, include_in_schema=False)(self.log_out)

    def show(self, request: Request) -> Response:
        """Show the login page; or with `once`, a token that works once, log in at once."""
        following = local_path(request.query_params.get("next", "/"))
        once = request.query_params.get("once")
        if once is None:
            return HTMLResponse(self._page(request, following, ""))
        whose = None if self._served.once is None else self._served.once.take(once)
        if whose is None:
            return self._refuse(request, following, "this link was used, or is older than a minute: log in with the key")
        return self._enter(request, whose, following)

    def log_in(self, request: Request) -> Response:
        """Log in with a key, which comes in a form or as JSON."""
        fields = _fields(request)
        following = local_path(fields.get("next", ["/"])[0])
        address = self._address(request)
        wait_s = self._tries.wait_s(address)
        if wait_s > 0:
            return self._slow_down(request, following, wait_s)
        whose = self._authenticator.find(fields.get("key", [""])[0].strip())
        if whose is None:
            self._tries.count(address)
            return self._refuse(request, following, "this key is not valid")
        return self._enter(request, whose, following)

    def log_out(self, request: Request, caller: Caller) -> Response:
        """End the login session of a cookie."""
        token = request.scope.get("mulligan.login")
        if isinstance(token, str):
            self._logins.end(token, caller, _asker(request, caller.name))
            self._authenticator.forget_login(token)
        answer: Response = Response(status_code=204)
        if _is_form(request):
            answer = RedirectResponse(self._cookie.root_path + LOGIN, 303)
        self._cookie.drop(answer, request)
        return answer

    def _enter(self, request: Request, whose: Principal, following: str) -> Response:
        before = self._cookie.read(request.headers)
        if before is not None:  # no session outlives a login over it, whoever set its cookie
            known = self._authenticator.find_login(before)
            if known is not None:
                self._logins.end(before, known, _asker(request, known.name))
            self._authenticator.forget_login(before)
        token = self._logins.begin(whose, _asker(request, whose.name))
        if request.method == "POST" and not _is_form(request):
            answer: Response = JSONResponse({"name": whose.name, "role": whose.role, "csrf_token": csrf_token_of(token)})
        else:
            answer = RedirectResponse(self._cookie.root_path + _in_ascii(following), 303)
        self._cookie.keep(answer, request, token)
        return answer

    def _refuse(self, request: Request, following: str, said: str) -> Response:
        if self._noted.wait_s("") > 0:
            self._untold += 1
        else:
            self._noted.count("")
            self._logins.note_failed(_asker(request, "unknown"), self._untold)
            self._untold = 0
        return self._say(request, following, 401, "key_invalid", said)

    def _slow_down(self, request: Request, following: str, wait_s: float) -> Response:
        seconds = int(wait_s) + 1
        answer = self._say(request, following, 429, "too_many_attempts", f"too many wrong keys: try again in {seconds} s")
        answer.headers["Retry-After"] = str(seconds)
        return answer

    def _say(self, request: Request, following: str, status: int, code: str, said: str) -> Response:
        if request.method == "POST" and not _is_form(request):
            return problem(status, code, said, request_id_of(request))
        return HTMLResponse(self._page(request, following, said), status)

    def _address(self, request: Request) -> str:
        """Return whom a wrong key is counted against.

        Behind a proxy that is whom the proxy itself has seen, the last one named: else one guesser would keep all others out.
        """
        address = request.client.host if request.client is not None else ""
        if not self._served.behind_proxy:
            return address
        last = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        try:
            return str(ipaddress.ip_address(last))
        except ValueError:
            return address


def plain_page(request: Request, following: str, wrong: str) -> str:
    """Return a login page of its simplest form."""
    root = html.escape(str(request.scope.get("root_path", "")))
    said = f'<p role="alert">{html.escape(wrong)}</p>' if wrong else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Log in – Mulligan</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><main><h1>Mulligan</h1>{said}
<form method="post" action="{root}{LOGIN}"><input type="hidden" name="next" value="{html.escape(following)}">
<label>Key <input type="password" name="key" autocomplete="current-password" required autofocus></label>
<button>Log in</button></form></main></body></html>
"""


def _fields(request: Request) -> Form:
    """Return the fields of a form, or the texts of a JSON object."""
    if _is_form(request):
        return form_of(request)
    body: Any = from_json(request.scope.get("mulligan.body") or b"null")
    return {name: [each] for name, each in body.items() if isinstance(each, str)} if isinstance(body, dict) else {}


def _is_form(request: Request) -> bool:
    return "mulligan.form" in request.scope and bool(form_of(request))


def _asker(request: Request, name: str) -> Asker:
    address = request.client.host if request.client is not None else ""
    return Asker(name, "browser", "", address)


def _in_ascii(path: str) -> str:
    return quote(path, safe="/?&=:;,+~!*'()@%$-._#[]")
