"""Checks the invariants that SQL can check, on any store at any time."""

from __future__ import annotations

from dataclasses import dataclass

from mulligan.store.statements import checks
from mulligan.store.store import Store

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """An invariant that does not hold."""

    invariant: str
    wrong: str
    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.invariant}: {self.wrong} ({self.count}: {', '.join(self.examples)})"


def verify(store: Store) -> list[Finding]:
    """Return what is wrong with a store; an empty list is what there should be."""
    found = []
    with store.read(patient=True):
        for name, (wrong, statement) in checks(store.database.dialect).items():
            rows = list(store.database.text_in_reader(statement, {}))
            if rows:
                examples = tuple("-".join(str(value) for value in row) for row in rows[:EXAMPLES])
                found.append(Finding(name, wrong, len(rows), examples))
    return found
