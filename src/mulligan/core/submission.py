"""What is handed over when work is submitted, checked and serialized already."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from mulligan.core.definition import Definition

Only = Literal["missing", "failed", "all"]

MAX_VALUE_BYTES = 256 * 1024
"""Arguments, results, step results and cursors may be this large as JSON; larger things travel by reference."""

RUN_IDS = "a text of 1 to 200 printable characters without '/', since a run id becomes part of paths"


class NewItem(NamedTuple):
    """A work item to be: its key within the job, its arguments as a JSON object, its window in ms since 1970 UTC."""

    key: str
    arguments: str
    window: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """Options for one call; None stands for what the task declares."""

    run_id: str | None = None
    priority: int | None = None
    delay_s: float | None = None
    start_at_ms: int | None = None
    expires_ms: int | None = None
    """An item that has not started by then fails with the reason `expired`."""
    labels: dict[str, str] = field(default_factory=dict)
    total_timeout_s: float | None = None
    key: str | None = None
    """By what a workflow knows a call whose place in its body is not fixed."""


class Cut(NamedTuple):
    """How a range of time was cut into the windows of a backfill, for who would rather cut it than be handed each window."""

    start_ms: int
    end_ms: int
    every_s: float
    order: str
    arguments: str
    """Those that all windows share, as a JSON object."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to be. `items` is read once, lazily, in the order in which they shall start."""

    definition: Definition
    kind: Literal["submit", "map", "backfill"]
    items: Iterable[NewItem]
    options: Options = field(default_factory=Options)
    tz: str = "UTC"
    only: Only | None = None
    """Of a backfill: which windows are wanted."""
    decode: Callable[[str], Any] | None = None
    """How the JSON of a result becomes what the task returns, where the task's code is at hand."""
    here: Callable[[NewItem], Any] | None = None
    """Runs one item in this process; returns its result as JSON, or what gives that when it is awaited."""
    accept_risk: bool = False
    """With only="all": overwrite windows that succeeded although it is not known to be safe."""
    cut: Cut | None = None
    """Of a backfill: where its items come from."""
    traceparent: str | None = None
    """The span in which it was submitted, as W3C writes it."""


class NewCall(NamedTuple):
    """A call that the body of a workflow makes for the first time, or again because its workflow is retried."""

    place: str
    """Where the body makes it."""
    digest: str
    """Of its arguments."""
    item: NewItem
    definition: Definition
    options: Options
    again: str | None = None
    """Id of the work item of the call that failed and shall run again; None for a new one."""


def is_run_id(text: str) -> bool:
    """Return whether a text may be a run id: see RUN_IDS."""
    return 1 <= len(text) <= 200 and text.isprintable() and "/" not in text and text not in (".", "..")
