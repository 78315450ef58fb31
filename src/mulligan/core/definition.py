"""What is published of a task: all that validating, scheduling and judging need without the task's code."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any

from mulligan.core.job import FailureClass
from mulligan.core.retry import Policy, Retry


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

    @property
    def workflow(self) -> bool:
        """Whether it is a workflow: its body has no effects of its own, and is replayed."""
        return self.executor == "workflow"

    @property
    def once(self) -> bool:
        """Whether a claim may be a start that must never be followed by another."""
        return self.policy.at_most_once and not self.workflow


def definition_to_json(definition: Definition) -> str:
    """Return a definition as JSON that `definition_from_json` makes an equal definition of."""
    values = {each.name: getattr(definition, each.name) for each in fields(Definition)}
    return json.dumps(values | {"policy": policy_values(definition.policy)}, sort_keys=True)


def definition_from_json(text: str) -> Definition:
    """Make a definition of the JSON that `definition_to_json` wrote."""
    values = json.loads(text)
    values["policy"] = policy_of_values(values["policy"])
    values["uses"] = tuple(values["uses"])
    values["classify"] = tuple((name, FailureClass(each)) for name, each in values["classify"])
    return Definition(**values)


def policy_values(policy: Policy) -> list[dict[str, Any]]:
    """Return a policy as plain values that JSON can carry: its entries in order."""
    return [
        {
            "classes": list(classes),
            "max_attempts": retry.max_attempts,
            "delay": retry.delay,
            "factor": retry.factor,
            "max_delay": retry.max_delay,
            "jitter": retry.jitter,
            "delays": retry.listed,
        }
        for classes, retry in policy.entries
    ]


def policy_of_values(entries: list[dict[str, Any]]) -> Policy:
    """Make a policy of the values that `policy_values` returned."""
    return Policy([(tuple(FailureClass(one) for one in each["classes"]), _retry_of(each)) for each in entries])


def _retry_of(values: dict[str, Any]) -> Retry:
    return Retry(**{name: value for name, value in values.items() if name != "classes"})
