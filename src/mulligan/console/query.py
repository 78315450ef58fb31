"""The query bar: words such as `state:failed class:transient pipeline:features`, read into filters as the API takes them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import Any

from mulligan.core.errors import ArgumentsInvalid, MulliganError
from mulligan.core.job import FailureClass, JobStatus
from mulligan.core.shown import shown

STATES = {
    "pending": JobStatus.PENDING,
    "waiting": JobStatus.PENDING,
    "running": JobStatus.STARTED,
    "started": JobStatus.STARTED,
    "retrying": JobStatus.RETRY,
    "retry": JobStatus.RETRY,
    "success": JobStatus.SUCCESS,
    "succeeded": JobStatus.SUCCESS,
    "failed": JobStatus.FAILURE,
    "failure": JobStatus.FAILURE,
    "cancelled": JobStatus.REVOKED,
    "revoked": JobStatus.REVOKED,
}
WORDS = {
    "state": "status",
    "status": "status",
    "pipeline": "task",
    "task": "task",
    "run": "run_id",
    "label": "label",
    "class": "failure_class",
    "cause": "cause",
    "key": "key",
    "job": "job",
    "from": "window_start",
    "until": "window_end",
    "text": "error",
}
OF_JOBS = frozenset({"status", "task", "run_id", "label"})
OF_ITEMS = frozenset(set(WORDS.values()) - {"label"})
EXAMPLE = "state:retrying class:transient pipeline:features"


@dataclass(frozen=True, slots=True)
class Query:
    """What was asked for: by names as the API's lists take them."""

    text: str = ""
    filters: dict[str, Any] = field(default_factory=dict)
    typed: dict[str, str] = field(default_factory=dict)
    """The words that stand for them in the text."""

    @property
    def of_jobs(self) -> bool:
        """Whether a list of jobs can answer it."""
        return set(self.filters) <= OF_JOBS

    @property
    def of_items(self) -> bool:
        """Whether a list of work items can answer it."""
        return set(self.filters) <= OF_ITEMS

    def wrong(self, error: MulliganError) -> str:
        """Say what the API refused of it, with the word that was typed."""
        said = str(error)
        for name, typed in self.typed.items():
            if re.match(rf"{name}\b", said):
                return typed + said.removeprefix(name)
        return said


def parse(text: str) -> Query:
    """Read a query; raises ArgumentsInvalid, which says which word is wrong and what there is."""
    found: dict[str, Any] = {}
    typed: dict[str, str] = {}
    for word in _words(text):
        name, colon, value = word.partition(":")
        if not colon:
            name, value = "text", word
        if name.lower() not in WORDS:
            raise ArgumentsInvalid(f"{shown(name)} is no filter: use {', '.join(sorted(WORDS))}, such as {EXAMPLE}")
        if not value:
            raise ArgumentsInvalid(f"{name}: write what it should be, such as {EXAMPLE}")
        _add(found, WORDS[name.lower()], value)
        typed[WORDS[name.lower()]] = name.lower()
    return Query(" ".join(text.split()), found, typed)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        raise ArgumentsInvalid("a quotation mark is missing") from None


def _add(found: dict[str, Any], name: str, value: str) -> None:
    if name == "status":
        found[name] = [*found.get(name, []), *(_state(each) for each in value.split(","))]
    elif name in found:
        raise ArgumentsInvalid(f"{name} is given twice")
    elif name == "failure_class":
        try:
            found[name] = FailureClass(value.upper().replace("-", "_"))
        except ValueError:
            raise ArgumentsInvalid(f"class: expected one of {', '.join(FailureClass).lower()}, not {shown(value)}") from None
    else:
        found[name] = value


def _state(value: str) -> JobStatus:
    try:
        return STATES[value.lower()]
    except KeyError:
        raise ArgumentsInvalid(f"state: expected one of {', '.join(STATES)}, not {shown(value)}") from None
