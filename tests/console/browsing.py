"""A browser for the tests of the console: one Chromium, a context of its own for each visit, and what went wrong in it.

Chromium comes from the system (Debian: `apt-get install chromium`), never from Playwright.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW_TO_GET = "stories in a browser need Chromium: apt-get install chromium"
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 20_000
"""So long does anything wait for what it expects; on a busy machine a page may take seconds."""
WIDE, NARROW = (1280, 900), (390, 844)
ONLY_FEW_ROWS = "document.querySelectorAll('tbody > tr:nth-child(n+9)').forEach(row => row.remove())"
"""The fiftieth row has the barriers of the first eight, and looking for them takes seconds."""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def chromium_path() -> str | None:
    """Return where Chromium is; None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Chromium:
    """A browser that is there for a whole session of tests."""

    def __init__(self, path: str, profile: Path) -> None:
        """`profile` is an empty folder that nothing else uses."""
        self._playwright = sync_playwright().start()
        flags = [*FLAGS, f"--disk-cache-dir={profile}"]
        self.browser: Browser = self._playwright.chromium.launch(executable_path=path, args=flags)
        self._loop = _take_loop()

    @contextmanager
    def awake(self) -> Iterator[Browser]:
        """Let it be used.

        Playwright leaves its event loop running in this thread, where every `asyncio.run` of other tests would be refused:
        between its own tests the loop is out of sight.
        """
        asyncio._set_running_loop(self._loop)
        try:
            yield self.browser
        finally:
            self._loop = _take_loop()

    def close(self) -> None:
        """End it."""
        with self.awake():
            self.browser.close()
            self._playwright.stop()


def _take_loop() -> Any:
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    return loop


@dataclass(frozen=True, slots=True)
class View:
    """How a page is looked at."""

    dark: bool = False
    size: tuple[int, int] = WIDE
    javascript: bool = True
    reduced_motion: bool = False

    def __str__(self) -> str:
        return f"{'dark' if self.dark else 'light'}-{'narrow' if self.size == NARROW else 'wide'}"


@dataclass
class Visit:
    """Somebody who is logged in to a server, or nobody yet, with a page open."""

    context: BrowserContext
    page: Page
    url: str
    troubles: list[str] = field(default_factory=list)
    """Errors of the browser's console, violations of the content security policy and exceptions among them."""

    def go(self, path: str) -> Page:
        """Open a page of the server."""
        self.page.goto(self.url + path)
        return self.page

    def expect_trouble(self, *words: str) -> None:
        """Forget troubles that belong to a story, such as an answer of 409; fail where there was none."""
        left = [each for each in self.troubles if not any(word in each for word in words)]
        assert left != self.troubles, f"expected one with {' or '.join(words)}"
        self.troubles[:] = left


Visiting = Callable[..., Visit]
"""Opens a visit: of a URL, with a key, in a view."""


def log_in(context: BrowserContext, url: str, key: str) -> None:
    """Have a context hold the cookie of a login session."""
    answer = httpx.post(f"{url}/login", data={"key": key}, headers={"Origin": url}, timeout=30)
    assert answer.status_code == 303, answer.text
    parts = urlsplit(url)
    place = {"url": f"{parts.scheme}://{parts.netloc}", "httpOnly": True, "sameSite": "Strict"}
    context.add_cookies([{"name": name, "value": value, **place} for name, value in answer.cookies.items()])  # type: ignore[typeddict-item]


def visit(browser: Browser, url: str, key: str = "", view: View | None = None) -> Visit:
    """Open an empty page in a context of its own; logged in if there is a key."""
    view = view or View()
    context = browser.new_context(
        viewport={"width": view.size[0], "height": view.size[1]},
        color_scheme="dark" if view.dark else "light",
        java_script_enabled=view.javascript,
        reduced_motion="reduce" if view.reduced_motion else "no-preference",
        locale="en-GB",
        timezone_id="UTC",
    )
    context.set_default_timeout(PATIENCE_MS)
    made = Visit(context, context.new_page(), url)
    if key:
        log_in(context, url, key)

    def hear(message: ConsoleMessage) -> None:
        where = message.location.get("url", "")
        if message.type in ("error", "warning"):
            made.troubles.append(f"{message.type} at {made.page.url}: {message.text} {where}")

    made.page.on("console", hear)
    made.page.on("pageerror", lambda error: made.troubles.append(f"exception at {made.page.url}: {error}"))
    return made


@contextmanager
def seen_anew(page: Page, view: View) -> Iterator[None]:
    """Look at a page that is open in another view, without loading it again; then as before."""
    size, dark = page.viewport_size, page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert size is not None
    _turn(page, view.size, view.dark)
    yield
    _turn(page, (size["width"], size["height"]), dark)


def _turn(page: Page, size: tuple[int, int], dark: bool) -> None:
    page.emulate_media(color_scheme="dark" if dark else "light")
    page.set_viewport_size({"width": size[0], "height": size[1]})


def axe_violations(page: Page, rules: list[str] | None = None) -> list[str]:
    """Return what axe-core finds against WCAG 2.2 AA and against good habits, a line each; `rules`: only those."""
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(AXE_SCRIPT)
        page.evaluate(ONLY_FEW_ROWS)
    only = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": RULES}
    options = {"runOnly": only, "resultTypes": ["violations"], "iframes": False, "preload": False}
    found = page.evaluate("options => axe.run(options).then(found => found.violations)", options)
    return [
        f"{each['id']} ({each['impact']}): {each['help']}: {node['html'][:200]}" for each in found for node in each["nodes"][:3]
    ]


def no_axe_violations(page: Page) -> None:
    """Fail where axe-core finds anything."""
    found = axe_violations(page)
    assert not found, f"{page.url}\n" + "\n".join(found)
