"""The console over a whole engine with a clock to turn, called in this process, and its pages taken apart."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from api_harness import Api
from httpx2 import Response

from mulligan.api.application import guarded
from mulligan.console.application import Console
from mulligan.core.access import Role
from mulligan.store.interface import Database


class Pages(Api):
    """The API's harness with the console above it, looked at in a browser that has logged in."""

    def __init__(self, database: Database | None = None, role: Role = Role.OPERATOR, **changes: Any) -> None:
        super().__init__(database, **changes)
        self.app = guarded(self.served, Console(self.served))
        self.browser = self.login(role)

    def login(self, role: Role) -> Any:
        """Return a browser that has logged in."""
        browser = self.client("", follow_redirects=False)
        browser.headers["Sec-Fetch-Site"] = "same-origin"
        answer = browser.post("/login", data={"key": self.texts[role], "next": "/"})
        assert answer.status_code == 303, answer.text
        return browser

    def open(self, path: str, status: int = 200) -> str:
        """Return the HTML of a page."""
        answer = self.browser.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"].startswith("text/html")
        return str(answer.text)

    def send(self, path: str, fields: dict[str, Any] | None = None, *, form: str = "", script: bool = False) -> Response:
        """Send the form that leads to a path, as it stands on a page: with its hidden fields, changed by `fields`."""
        page = self.open(form or path)
        found = next(each for each in forms(page) if each["action"] == path)
        headers = {"Accept": "application/json" if script else "text/html"}
        return self.browser.post(path, data={**found["fields"], **(fields or {})}, headers=headers)


def forms(page: str) -> list[dict[str, Any]]:
    """Return the forms of a page: action, method, and the fields as they would be sent."""
    parser = _Forms()
    parser.feed(page)
    return parser.found


def words(page: str) -> str:
    """Return what a page says, without markup."""
    text = re.sub(r"(?s)<(script|style|head)\b.*?</\1>|<[^>]+>", " ", page)
    return " ".join(text.replace("&#39;", "'").replace("&#34;", '"').replace("&lt;", "<").replace("&gt;", ">").split())


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []
        self._open: dict[str, Any] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self._open = {"action": given.get("action"), "method": given.get("method", "get"), "fields": {}}
            self.found.append(self._open)
        elif tag == "input" and self._open is not None and given.get("name"):
            chosen = given.get("type") not in ("checkbox", "radio") or "checked" in given
            if chosen:
                self._open["fields"][given["name"]] = given.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
