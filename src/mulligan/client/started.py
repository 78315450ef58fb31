"""What a caller gets back from an operator's action: a number that knows more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mulligan.core.recovery import Judgement
from mulligan.engine.asking import Plan


class Started(int):
    """How many work items were started (or cancelled, or made due); with `dry_run`, how many would be.

    `skipped` counts the items that were left alone by why, `warnings` says what changed since the checkpoints were saved,
    `examples` names the first items, `unsafe` counts those for which an overwrite is not SAFE, `judgements` holds the verdicts
    on the first of them.
    """

    examples: Sequence[str]
    skipped: Mapping[str, int]
    warnings: Sequence[str]
    unsafe: int
    judgements: Mapping[str, Judgement]

    def __new__(cls, plan: Plan) -> Started:
        """Make the number of a plan."""
        self = super().__new__(cls, plan.total)
        self.examples, self.skipped = plan.examples, plan.skipped
        self.warnings, self.unsafe, self.judgements = plan.warnings, plan.unsafe, plan.judgements
        return self

    @property
    def total(self) -> int:
        """The number itself."""
        return int(self)
