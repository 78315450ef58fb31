"""Servers as users start them, each a process of its own, and requests to them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from mulligan.client.client import client_of
from mulligan.config.settings import load_settings
from mulligan.core.access import Role
from mulligan.engine.asking import Asker
from mulligan.sdk.loading import load

TASKS = Path(__file__).parent / "api_tasks.py"
MULLIGAN = [sys.executable, "-m", "mulligan.cli.main"]
DEADLINE_S = 30.0


def environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MULLIGAN_", "COV_", "FORCE_COLOR"))}
    given = {"port": "0", "processes": "1", "grace": "0.3", "kill": "0.3", **settings}
    return kept | {f"MULLIGAN_{name.upper()}": value for name, value in given.items()} | {"PYTHONUNBUFFERED": "1"}


def cli(store: str, folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    made = environment(database=store, **settings)
    command = [*MULLIGAN, *arguments]
    return subprocess.run(command, env=made, cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def a_key(store: str, role: str = "operator", name: str = "ann", **settings: str) -> str:
    """Make a key, as `mulligan keys create` does in a process of its own."""
    with client_of(load_settings(database=store, **settings)) as client:
        return client.services.keys.create(name, Role(role), None, Asker("tests")).text


def publish_tasks(store: str, **settings: str) -> None:
    """Publish the tasks, as a worker does when it starts; there is no worker then."""
    with client_of(load_settings(database=store, **settings)) as client:
        services = client.services
        with services.store.write() as session:
            for task in load([str(TASKS)]).values():
                services.definitions.publish(session, task.definition(), services.clock.now_ms(), current=True)


def until(condition: Callable[[], Any], what: str, timeout: float = DEADLINE_S) -> Any:
    """Look again and again until there is an answer; fail after the deadline."""
    ends, pause = time.monotonic() + timeout, threading.Event()
    while time.monotonic() < ends:
        if found := condition():
            return found
        pause.wait(0.02)
    raise AssertionError(f"in {timeout:.0f} s not seen: {what}")


class Running:
    """A process that serves the API."""

    def __init__(self, process: subprocess.Popen[str], said: Path) -> None:
        self.process = process
        self._said = said
        self.url = ""

    @property
    def said(self) -> str:
        return self._said.read_text("utf-8", "replace")

    def get(self, path: str, key: str = "", **more: Any) -> httpx.Response:
        return httpx.get(self.url + path, headers={"apikey": key} if key else {}, timeout=DEADLINE_S, **more)

    def post(self, path: str, key: str, body: Any = None, headers: dict[str, str] | None = None) -> httpx.Response:
        content = {} if body is None else {"json": body}
        return httpx.post(self.url + path, headers={"apikey": key, **(headers or {})}, timeout=DEADLINE_S, **content)


@contextmanager
def running(store: str, folder: Path, *arguments: str, ends: int | None = 0, **settings: str) -> Iterator[Running]:
    """Have a server or `dev` run on a store; it answers when this begins, and has ended in order when it ends."""
    command = arguments or ("server",)
    said = folder / f"{command[0]}-{time.monotonic_ns()}.log"
    with said.open("wb") as log:
        made = environment(database=store, **settings)
        process = subprocess.Popen([*MULLIGAN, *command], env=made, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    found = Running(process, said)  # type: ignore[arg-type]
    try:
        started = re.compile(r"(?:url=|API: +)'?(https?://[^'\s]+)")
        found.url = (
            until(lambda: process.poll() is not None or started.search(found.said), "the address")
            and (started.search(found.said) or [None, ""])[1]
        )
        assert found.url, found.said
        found.url = found.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - which is all addresses, and no name
        until(lambda: _answers(found), "an answer")
        if command[0] == "dev":
            until(lambda: "worker started" in found.said, "the worker")
        yield found
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    if ends is not None:
        assert process.returncode == ends, found.said


def _answers(server: Running) -> bool:
    try:
        return httpx.get(server.url + "/healthz", verify=False).status_code == 200  # noqa: S501 - a certificate of a test
    except httpx.TransportError:
        return False
