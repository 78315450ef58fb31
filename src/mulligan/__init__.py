"""Mulligan runs the jobs of data and ML pipelines and takes care of what goes wrong. The public names, nothing else."""

from __future__ import annotations

import sys

from mulligan.sdk.paths import library_first

if sys.argv[:1] == ["-m"] and any(each.partition(".")[0] == "mulligan" for each in sys.orig_argv):
    # As a program this is not to be led astray by what lies in the current folder, which `python -m` looks into first.
    sys.path[:] = library_first(sys.path)

from typing import TYPE_CHECKING, Any

from mulligan.sdk.ports import AMBIENT, Backend

if TYPE_CHECKING:
    from mulligan.client import Client, Job, WorkItem, connect
    from mulligan.core.errors import MulliganError, TaskCancelled, TaskFailed, WaitTimeout
    from mulligan.core.failure import RuleSet
    from mulligan.core.job import FailureClass, JobStatus
    from mulligan.core.retry import BATCH, NEVER, Policy, Retry
    from mulligan.core.signals import InfrastructureError, PermanentError, RateLimited, Snooze, Stopped, TransientError
    from mulligan.sdk.artifacts import Artifact
    from mulligan.sdk.calls import gather
    from mulligan.sdk.command import Command, CommandFailed
    from mulligan.sdk.context import Context
    from mulligan.sdk.retrying import retry, retrying
    from mulligan.sdk.secret import Secret
    from mulligan.sdk.task import Task, task
    from mulligan.sdk.window import Window
    from mulligan.sdk.workflow import Workflow, workflow

    TRANSIENT = FailureClass.TRANSIENT
    RATE_LIMITED = FailureClass.RATE_LIMITED
    INFRASTRUCTURE = FailureClass.INFRASTRUCTURE
    TIMEOUT = FailureClass.TIMEOUT
    PERMANENT = FailureClass.PERMANENT
    UNKNOWN = FailureClass.UNKNOWN

_HOMES = {
    "mulligan.core.errors": ("MulliganError", "TaskCancelled", "TaskFailed", "WaitTimeout"),
    "mulligan.core.job": ("FailureClass", "JobStatus"),
    "mulligan.core.retry": ("BATCH", "NEVER", "Policy", "Retry"),
    "mulligan.core.signals": ("InfrastructureError", "PermanentError", "RateLimited", "Snooze", "Stopped", "TransientError"),
    "mulligan.sdk.artifacts": ("Artifact",),
    "mulligan.sdk.command": ("Command", "CommandFailed"),
    "mulligan.sdk.context": ("Context",),
    "mulligan.sdk.retrying": ("retry", "retrying"),
    "mulligan.sdk.secret": ("Secret",),
    "mulligan.sdk.task": ("Task", "task"),
    "mulligan.sdk.window": ("Window",),
    "mulligan.sdk.calls": ("gather",),
    "mulligan.sdk.workflow": ("Workflow", "workflow"),
    "mulligan.client": ("Client", "Job", "WorkItem", "connect"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_CLASSES = ("TRANSIENT", "RATE_LIMITED", "INFRASTRUCTURE", "TIMEOUT", "PERMANENT", "UNKNOWN")

__all__ = [
    "BATCH",
    "INFRASTRUCTURE",
    "NEVER",
    "PERMANENT",
    "RATE_LIMITED",
    "TIMEOUT",
    "TRANSIENT",
    "UNKNOWN",
    "Artifact",
    "Client",
    "Command",
    "CommandFailed",
    "Context",
    "FailureClass",
    "InfrastructureError",
    "Job",
    "JobStatus",
    "MulliganError",
    "PermanentError",
    "Policy",
    "RateLimited",
    "Retry",
    "Secret",
    "Snooze",
    "Stopped",
    "Task",
    "TaskCancelled",
    "TaskFailed",
    "TransientError",
    "WaitTimeout",
    "Window",
    "WorkItem",
    "Workflow",
    "connect",
    "gather",
    "retry",
    "retrying",
    "task",
    "workflow",
]


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, so that `import mulligan` is quick."""
    from importlib import import_module

    if name in _CLASSES:
        value: Any = import_module("mulligan.core.job").FailureClass[name]
    elif name in _HOME_OF:
        value = getattr(import_module(_HOME_OF[name]), name)
    else:
        raise AttributeError(f"module 'mulligan' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _default_backend() -> Backend:
    from importlib import import_module

    backend: Backend = import_module("mulligan.client").default_client()
    return backend


def _default_rules() -> tuple[RuleSet, RuleSet]:
    """Return the rules that hold here, read once: those of the project's file and the built-in ones."""
    global _rules  # noqa: PLW0603 - a cache beside the defaults that AMBIENT is set to
    if _rules is None:
        from mulligan.config.rules import rules_of
        from mulligan.config.settings import load_settings

        _rules = rules_of(load_settings().rules)
    return _rules


_rules: tuple[RuleSet, RuleSet] | None = None
AMBIENT.factory = _default_backend
AMBIENT.rules = _default_rules
