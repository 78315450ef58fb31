"""What people ask for, and what they are told: who asks, what it is about, what was done."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mulligan.core.job import Item, ItemKey
from mulligan.core.recovery import Judgement
from mulligan.sdk.ports import AMBIENT
from mulligan.store.rows import AuditRow

EXAMPLES = 20
NAMED = 100


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, from where, and why; kept in the audit."""

    actor: str = "unknown"
    source: str = "python"
    reason: str = ""
    address: str = ""
    """Where a request came from, where it came over the network."""
    operation: str | None = None
    """A key of the request's own, by which it is known when it is sent again."""


def line(asker: Asker, now_ms: int, action: str, target: str, *, expected: str = "", found: str, changed: int) -> AuditRow:
    """Return the line of the audit that tells of something that was asked for."""
    return AuditRow(
        id=0,
        at_ms=now_ms,
        actor=asker.actor,
        source=asker.source,
        action=action,
        target=target,
        reason=AMBIENT.mask.text(asker.reason),
        expected=expected,
        found=found,
        changed=changed,
        address=asker.address,
        operation=asker.operation,
    )


@dataclass(frozen=True, slots=True)
class Target:
    """What a command is about: a job, single items, or all items that match a filter.

    `generations` is what the asker saw of single items: an item that has moved on since is left alone.
    """

    job: int | None = None
    items: tuple[ItemKey, ...] = ()
    filters: Mapping[str, Any] | None = None
    generations: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.job is not None and not self.items:
            return f"job {self.job}"
        if self.items:
            return f"item {self.items[0]}" if len(self.items) == 1 else self._named()
        return f"filter {json.dumps(self.filters, default=str, sort_keys=True)}"

    def _named(self) -> str:
        named = ", ".join(str(key) for key in self.items[:NAMED])
        return f"items {named}" if len(self.items) <= NAMED else f"{len(self.items)} items: {named}, …"


@dataclass(slots=True)
class Plan:
    """What a command did, or with `dry_run` would do."""

    total: int = 0
    """Work items started (or cancelled, or made due)."""
    examples: list[str] = field(default_factory=list)
    """The first of them."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Items left alone, counted by why."""
    warnings: list[str] = field(default_factory=list)
    unsafe: int = 0
    """Of an overwrite: how many items it is not known to be safe for."""
    judgements: dict[str, Judgement] = field(default_factory=dict)
    """The verdict on each of those, up to a limit."""
    chosen: list[Item] = field(default_factory=list, repr=False)
    """What it was done to in one transaction, as it was before."""

    def add(self, part: Plan) -> None:
        """Add what was done to a part of the items."""
        self.total += part.total
        self.examples += part.examples[: EXAMPLES - len(self.examples)]
        self.skipped.update(part.skipped)
        self.warnings += [each for each in part.warnings if each not in self.warnings]
