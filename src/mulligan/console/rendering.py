"""Templates and what they may call: URLs under the server's prefix, words for times, statuses and classes, harmless text."""

from __future__ import annotations

import hashlib
import secrets
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from mulligan.api.models import Window
from mulligan.console.verbs import at_once, possible
from mulligan.console.words import NAMES, VERDICTS, plainly
from mulligan.core.durations import words
from mulligan.core.job import JobStatus
from mulligan.core.labels import REASONS
from mulligan.core.plain import one_line, without_control
from mulligan.engine.clock import Clock

STATIC = ("console.css", "pictures.css", "parts.css", "console.js", "pictures.js", "tree.js", "log.js", "icon.svg")
NAV = (
    ("/", "Overview"),
    ("/jobs", "Jobs"),
    ("/work-items", "Work items"),
    ("/causes", "Root causes"),
    ("/pipelines", "Pipelines"),
    ("/operations", "Bulk"),
    ("/trends", "Trends"),
    ("/workers", "Workers"),
    ("/audit", "Audit"),
)
SHAPES = {
    JobStatus.PENDING: "○",
    JobStatus.STARTED: "▶",
    JobStatus.RETRY: "↻",
    JobStatus.SUCCESS: "✓",
    JobStatus.FAILURE: "✗",
    JobStatus.REVOKED: "⊘",
}
"""A shape for each status, so that none is told by its colour alone."""


class Rendering:
    """Renders templates."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        made = Environment(
            loader=PackageLoader("mulligan.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        made.filters.update(
            moment=moment,
            ago=ago,
            line=one_line,
            harmless=without_control,
            lasted=lasted,
            thousands=thousands,
            shape=_shape,
            quoted=quoted,
            when=when,
            window=window,
            plainly=plainly,
        )
        made.globals.update(names=NAMES, verdicts=VERDICTS, why=REASONS, possible=possible, at_once=at_once)
        made.globals.update(token=lambda: secrets.token_urlsafe(18))
        self._environment = made

    def now(self) -> datetime:
        """Return the moment to which pages say how long ago something was."""
        return datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)

    def page(self, request: Request, template: str, values: Mapping[str, Any], status: int = 200) -> HTMLResponse:
        """Return a page."""
        root = str(request.scope.get("root_path", "")).rstrip("/")

        def url(path: str) -> str:
            return root + path

        def static(name: str) -> str:
            return f"{root}/static/{name}?v={static_file(name)[1]}"

        theme = request.cookies.get("theme", "")
        shared = {
            "url": url,
            "static": static,
            "path": request.url.path.removeprefix(root),
            "theme": theme if theme in ("light", "dark") else "",
            "now": self.now(),
        }
        text = self._environment.get_template(template).render({**shared, **values})
        return HTMLResponse(text, status)


@cache
def static_file(name: str) -> tuple[bytes, str]:
    """Return a file that pages load, and the mark of its content."""
    content = files("mulligan.console").joinpath("static", name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:12]


def moment(at: datetime | None) -> str:
    """Say a moment, in UTC to the second."""
    return "–" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def ago(at: datetime | None, now: datetime) -> str:
    """Say how long ago a moment was, or how far away it is."""
    if at is None:
        return "–"
    seconds = round((now - at).total_seconds())
    return f"{words(seconds)} ago" if seconds >= 0 else f"in {words(-seconds)}"


def lasted(seconds: float) -> str:
    """Say how long something took."""
    return words(max(0.0, seconds))


def when(ms: int) -> str:
    """Say a moment, in UTC to the second."""
    return moment(datetime.fromtimestamp(ms / 1000, UTC))


def quoted(text: str) -> str:
    """Write a value as the query bar takes it."""
    return shlex.quote(text)


def window(at: Window) -> str:
    """Say a window in its own time zone."""
    return f"{at.start:%Y-%m-%d %H:%M} … {at.end:%Y-%m-%d %H:%M} {at.tz}"


def thousands(number: float) -> str:
    """Write a number with its thousands apart."""
    return f"{number:,}"


def _shape(status: JobStatus) -> str:
    return SHAPES[JobStatus(status)]
