"""What a browser brings along: the cookie of a login session, forms, and the proof that a page of ours asks."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import RedirectResponse, Response

from mulligan.api.errors import RequestRefused
from mulligan.engine.logins import csrf_token_of

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
FORM = "application/x-www-form-urlencoded"
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf_token"
LOGIN = "/login"
FIELDS = 20_000
Form = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class LoginCookie:
    """How the token of a login session is kept by a browser: no script sees it, and no other site makes the browser send it."""

    secure: bool
    """Whether browsers reach this server by TLS: the cookie then travels in no other way."""
    root_path: str = ""

    def read(self, headers: Headers) -> str | None:
        """Return the token that a request brings."""
        return cookie_parser(headers.get("cookie", "")).get(self._name(headers)) or None

    def keep(self, response: Response, request: Request, token: str) -> None:
        """Have the browser keep a token until it is closed; when the login session ends the server knows."""
        response.set_cookie(self._name(request.headers), token, **self._scope())

    def drop(self, response: Response, request: Request) -> None:
        """Have the browser forget its token."""
        response.delete_cookie(self._name(request.headers), **self._scope())

    def _name(self, headers: Headers) -> str:
        """Return its name. Nobody else may set one with such a prefix; `__Host-` takes that it is for all paths."""
        if self.secure:
            return "__Secure-mulligan" if self.root_path else "__Host-mulligan"
        # Ports share their cookies: two servers of one machine would log each other's people out.
        port = headers.get("host", "").rpartition(":")[2]
        return f"mulligan-{port if port.isdigit() else 80}"

    def _scope(self) -> dict[str, Any]:
        return {"path": self.root_path or "/", "secure": self.secure, "httponly": True, "samesite": "strict"}


def check_site(method: str, headers: Headers, *, by_cookie: bool = False) -> None:
    """Raise where a browser asks for a page of somebody else.

    By a cookie a page of another site may open what is here, and do nothing else; and that a change is ours the browser must say.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    foreign = site in ("cross-site", "same-site")
    opened = method in SAFE and headers.get("sec-fetch-mode") == "navigate"
    if method in SAFE:
        refused = foreign and by_cookie and not opened
    else:
        elsewhere = origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
        refused = foreign or elsewhere or (by_cookie and site is None and origin is None)
    if refused:
        raise RequestRefused(403, "origin_not_allowed", "a page of another site may not ask for this")


def check_csrf(method: str, headers: Headers, form: Form, token: str) -> None:
    """Raise where what would change something does not carry the token that pages of this login session have."""
    if method in SAFE:
        return
    given = headers.get(CSRF_HEADER) or form.get(CSRF_FIELD, [""])[0]
    if not hmac.compare_digest(given.encode(), csrf_token_of(token).encode()):
        said = "what a cookie is enough for takes the token of the page: the header X-CSRF-Token, or the field csrf_token"
        raise RequestRefused(403, "csrf_token_invalid", said)


def form_in(body: bytes) -> Form:
    """Return the fields of a form; raises RequestRefused where it is none."""
    try:
        return parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=FIELDS, errors="strict")
    except ValueError as error:
        raise RequestRefused(422, "request_invalid", f"the body is not a form: {error}") from None


def form_of(request: Request) -> Form:
    """Return the fields of the form that a request brings: of each name all values; none where it brings something else."""
    found: Form = request.scope.get("mulligan.form", {})
    return found


def csrf_token_for(request: Request) -> str:
    """Return what a page sends along with each change, as the header X-CSRF-Token or the field csrf_token.

    Empty where a request was made with a key, which needs none.
    """
    token = request.scope.get("mulligan.login")
    return csrf_token_of(token) if isinstance(token, str) else ""


def wants_page(method: str, headers: Headers) -> bool:
    """Return whether somebody looks at the answer in a browser."""
    return method in ("GET", "HEAD") and "text/html" in headers.get("accept", "")


def to_login(root_path: str, path: str, query: str) -> Response:
    """Return what sends a browser to the login page, and from there back to where it was going."""
    following = path + (f"?{query}" if query else "")
    return RedirectResponse(f"{root_path}{LOGIN}?next={quote(following, safe='')}", 303)


def local_path(text: str) -> str:
    """Return a place of this server to go on to; anything that a browser could take for another site's becomes `/`."""
    fits = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if fits else "/"
