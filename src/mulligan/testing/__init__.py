"""What tests of Mulligan, and of pipelines that run on it, are made with: a clock to turn, rows in any state, a harness.

For tests of pipelines: `context`, `run`, `secrets`, `store`, `worker` and `VirtualClock`; see docs/testing.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mulligan.testing.clock import VirtualClock
    from mulligan.testing.contexts import RecordedContext, context
    from mulligan.testing.memory import MemoryStore, store
    from mulligan.testing.revealing import secrets
    from mulligan.testing.runs import Run, Tried, run
    from mulligan.testing.workers import worker

_HOMES = {
    "VirtualClock": "clock",
    "RecordedContext": "contexts",
    "context": "contexts",
    "MemoryStore": "memory",
    "store": "memory",
    "Run": "runs",
    "Tried": "runs",
    "run": "runs",
    "secrets": "revealing",
    "worker": "workers",
}

__all__ = ["MemoryStore", "RecordedContext", "Run", "Tried", "VirtualClock", "context", "run", "secrets", "store", "worker"]


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: whoever only turns a clock loads no worker."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'mulligan.testing' has no attribute {name!r}")
    return getattr(import_module(f"mulligan.testing.{_HOMES[name]}"), name)
