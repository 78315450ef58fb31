"""What is published of a task: all that validating, scheduling and judging need without the task's code."""

from __future__ import annotations

from dataclasses import dataclass, field

from mulligan.core.job import FailureClass
from mulligan.core.retry import Policy


@dataclass(frozen=True, slots=True)
class Definition:
    """A task as published; times in seconds, None where the task declared nothing."""

    name: str
    module: str
    """Dotted name of the module; for a script run by its path, the file's stem."""
    file: str | None
    policy: Policy = field(default_factory=Policy)
    timeout_s: float | None = None
    total_timeout_s: float | None = None
    heartbeat_timeout_s: float | None = None
    offline: bool | None = None
    online: bool | None = None
    idempotent: bool | None = None
    uses: tuple[str, ...] = ()
    classify: tuple[tuple[str, FailureClass], ...] = ()
    """The task's own rules as data: a qualified exception name, or `exit:N`."""
    concurrency: int | None = None
    priority: int = 3
    executor: str = "process"
    memory_bytes: int | None = None
    context: str | None = None
    """Name of the parameter that takes the Context."""
    window: str | None = None
    """Name of the parameter that takes the Window."""
    parameters: str = "{}"
    """JSON Schema of the other parameters, as text."""
    code_digest: str = ""
    runbook: str | None = None
