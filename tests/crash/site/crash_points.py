"""Names the points at which a process may die, around every commit and every message; and kills it at the one asked for."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

TELLING = {
    "add_worker": "a worker that begins",
    "beat": "a heartbeat",
    "stop_worker": "a worker that ends",
    "lose_worker": "a worker that is lost",
    "close_worker": "a lost worker that holds nothing more",
    "set_calls": "a call",
    "start_items": "a claim",
    "claim_at_once": "a claim",
    "add_attempts": "the end of an attempt",
    "apply_at_once": "the end of an attempt",
    "save_checkpoint": "a checkpoint",
    "set_progress": "progress",
    "add_logs": "a log",
    "add_job": "a submission",
    "add_whole_at_once": "a submission",
    "set_current_definition": "a definition",
    "add_audit": "a line of the audit",
    "mark_pruned": "a removal",
    "add_bulk": "a bulk operation",
    "add_bulk_items": "work items of a bulk operation",
    "begin_bulk": "a bulk operation that begins",
    "advance_bulk": "a page of a bulk operation",
    "end_bulk": "a bulk operation that ends",
    "add_access_key": "a key",
    "revoke_access_key": "a revoked key",
    "begin_reply": "a request that has come",
    "end_reply": "an answer",
}
"""Statements by which a commit is known, and what it is called. One that holds several is a point under each name."""
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
    if "migrate" in _role:
        _around_migrations()
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
    make, run = database.__init__, database.in_writer

    def made(self: Any, *args: Any, **kwargs: Any) -> None:
        self.crash_holds = threading.local()
        make(self, *args, **kwargs)
        self.fail_with(lambda moment: _reach_commit(self.crash_holds, moment))

    def noted(self: Any, name: str, parameters: Any) -> Any:
        self.crash_holds.__dict__.setdefault("names", set()).add(name)
        return run(self, name, parameters)

    database.__init__, database.in_writer = made, noted


def _around_migrations() -> None:
    from mulligan.store import postgres_schema, sqlite

    _around(sqlite, "_prepare", lambda *_: "making the schema")
    _around(postgres_schema, "_step", lambda *_: "a step of the schema")


def _reach_commit(holds: threading.local, moment: str) -> None:
    held = holds.__dict__.get("names", set())
    kinds = [words for name, words in TELLING.items() if name in held] or ["something else"]
    if moment == "after commit":
        holds.names = set()
    for words in kinds:
        reach(f"{moment} of {words}")


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
