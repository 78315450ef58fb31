"""What the routes stand on: all of it made by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mulligan.engine.bulk import Bulk
from mulligan.engine.bulk_pages import BulkPages
from mulligan.engine.commands import Commands
from mulligan.engine.engine import Engine
from mulligan.engine.keys import Keys, NewKey
from mulligan.engine.logins import LoginOnce
from mulligan.engine.reading import Reading
from mulligan.engine.submitting import Submitting
from mulligan.engine.uploading import Uploading
from mulligan.store.interface import Hints
from mulligan.telemetry import Tell


@dataclass(frozen=True, slots=True)
class Served:
    """The services that are served, and how."""

    engine: Engine
    commands: Commands
    submitting: Submitting
    uploading: Uploading
    reading: Reading
    bulk: Bulk
    bulk_pages: BulkPages
    keys: Keys
    is_free: Callable[[str], bool]
    """Whether the lock of a worker is free, which is when it is dead."""
    supervisor_is_well: Callable[[], bool]
    tell: Tell
    hosts: Sequence[str] = ()
    """Names of this server besides those of this machine."""
    own_key: NewKey | None = None
    listen: Callable[[], Hints | None] = lambda: None
    """Begins to listen for hints that a job has ended."""
    keep_s: float = 0.0
    """So long retention keeps what has ended; 0: for ever."""
    tls: bool = False
    behind_proxy: bool = False
    """Whether a proxy stands before it that does TLS."""
    root_path: str = ""
    """The path under which that proxy serves it, such as `/mulligan`."""
    login_idle_s: float = 43_200.0
    once: LoginOnce | None = None
    """What logs in once without a key, where this process was told to make such a thing."""
    supervisor_ticked_s: Callable[[], float | None] = lambda: None
    """When the supervisor last looked what is to be done, in seconds since 1970."""
    requests_per_second: int = 0
    """How many requests of one key are taken in a second; 0: any number."""
    metrics_open: bool = False
    """Whether `/metrics` needs no key; only where nobody but this machine can reach it."""
