"""Names the points at which a process may die, around every commit and every message; and kills it at the one asked for."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

TAGS = ("succeeded", "failed", "snoozed", "stopped", "ready", "began", "recalled", "call", "progress", "rows", "touch", "unfit")
_hits: Counter[str] = Counter()
_role = os.environ.get("CRASH_ROLE", "")


def reach(point: str) -> None:
    """Pass a point, unless this is where the process shall die: the n-th time that it passes there, once in a story."""
    name = f"{_role}: {point}"
    _hits[name] += 1
    if "CRASH_RECORD" in os.environ:
        _append(os.environ["CRASH_RECORD"], f"{_hits[name]} {name}\n")
    if os.environ.get("CRASH_AT") == f"{_hits[name]} {name}" and _is_first():
        os.kill(os.getpid(), signal.SIGKILL)


def install() -> None:
    """Put a point around every commit and every message of this process and of those that it forks."""
    from mulligan.store.sqlite import SqliteDatabase
    from mulligan.worker.executors.process import child, wire
    from mulligan.worker.executors.process.children import Child
    from mulligan.worker.executors.process.forkserver import Forkserver
    from mulligan.worker.executors.process.line import Line
    from mulligan.worker.executors.process.nursery import Nursery

    _around_commits(SqliteDatabase)
    with suppress(ImportError):
        from mulligan.store.postgres import PostgresDatabase

        _around_commits(PostgresDatabase)
    _around(Child, "send", lambda self, data: f"sending {_kind(data)}")
    _around(Line, "send", lambda self, data: f"sending {_kind(data)}")
    _around(Nursery, "fork", lambda *_: "asking for a child")
    _around(Nursery, "kill", lambda *_: "asking for a kill")
    _around(Forkserver, "_fork", lambda *_: "forking")
    _around(Forkserver, "_reply", lambda self, what, *_: f"telling {what.decode()}")
    _after_frames(wire.Inbox)
    _becomes(Forkserver, "serve", "forkserver")
    _becomes(child, "main", "child")


def _around_commits(database: Any) -> None:
    make = database.__init__

    def made(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        self.fail_with(reach)

    database.__init__ = made


def _around(owner: Any, name: str, words: Callable[..., str]) -> None:
    method = getattr(owner, name)

    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        point = words(self, *args)
        reach(f"before {point}")
        result = method(self, *args, **kwargs)
        reach(f"after {point}")
        return result

    setattr(owner, name, wrapped)


def _after_frames(inbox: Any) -> None:
    feed = inbox.feed

    def fed(self: Any, data: bytes) -> list[list[Any]]:
        frames: list[list[Any]] = feed(self, data)
        for frame in frames:
            tag = frame[0] if frame else "?"
            reach(f"on hearing {TAGS[tag] if isinstance(tag, int) else tag}")
        return frames

    inbox.feed = fed


def _becomes(owner: Any, name: str, role: str) -> None:
    function = getattr(owner, name)

    def begun(*args: Any) -> Any:
        global _role
        _role = "async child" if role == "child" and args[0] is True else role
        return function(*args)

    setattr(owner, name, begun)


def _kind(data: bytes) -> str:
    tag = data[1 : data.find(b",")].strip(b'"]\n').decode()
    return TAGS[int(tag)] if tag.isdigit() else tag


def _is_first() -> bool:
    try:
        os.close(os.open(f"{os.environ['CRASH_MARK']}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True


def _append(file: str, line: str) -> None:
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, line.encode())
    os.close(fd)
