"""What failures have in common: the fingerprint by which those of one cause are known, and the parts that it is made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from mulligan.core.failure import ErrorFacts, Failure, Kind, signal_name, what_happened
from mulligan.core.job import Reason
from mulligan.core.parameters import parameterised

VERSION = 1
"""Of the way in which fingerprints are made; another way is another version, and gives other causes."""
FRAMES = 5
"""So many calls of the project's own code count, the innermost ones."""
LENGTH = 12

Part = tuple[str, str]
"""What it is, and its value: `("error type", "KeyError")`."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A cause of failures: failures that are made of the same parts have the same one."""

    cause: str
    """Twelve hex digits, or the name that a rule gives."""
    error_type: str
    message: str
    """Of the error that it is made of."""
    parts: tuple[Part, ...]
    version: int = VERSION

    @property
    def title(self) -> str:
        """The message with placeholders for what differs, else the type; worked out when asked for, since few ever are."""
        return parameterised(self.message) or self.error_type


def fingerprint(failure: Failure, named: str | None = None) -> Fingerprint:
    """Return the fingerprint of a failure; `named` is the cause that a rule names for what matches it.

    It is made of the error at the root: of the causes the innermost one with a code of its provider, else the innermost. That
    is its type, its codes, the step, and the innermost calls of the project's own code, else its message without what differs.
    """
    error = _root(failure.chain) if failure.chain else None
    error_type = failure.error_type if error is None or not error.facts.types else error.facts.types[0]
    message = _message(failure, error)
    if named is not None:
        return Fingerprint(named, error_type, message, (("rule", named),))
    if failure.kind in _CODED:
        parts = (*_of_process(failure), *(_of_error(error) if error else ()))
    elif failure.kind is Kind.EXCEPTION and error is not None:
        parts = _of_error(error)
    else:
        parts = (("what happened", failure.error_type),)
    return Fingerprint(_digest(parts), error_type, message, parts)


@lru_cache
def of_kind(kind: Kind) -> Fingerprint:
    """Return the fingerprint of what happens to an attempt from outside, such as the loss of its worker."""
    return fingerprint(Failure(kind))


@lru_cache
def of_reason(reason: Reason) -> Fingerprint:
    """Return the fingerprint of a work item that fails without an error, such as one that has expired."""
    if reason is Reason.CUTOFF:
        return of_kind(Kind.CUTOFF)
    parts = (("what happened", reason.replace("_", " ")),)
    return Fingerprint(_digest(parts), parts[0][1], _REASONS.get(reason, ""), parts)


def of_unrecordable(error_type: str, message: str) -> Fingerprint:
    """Return the fingerprint of an outcome that could not be recorded."""
    parts = (("what happened", "unrecordable outcome"), ("error type", error_type))
    return Fingerprint(_digest(parts), "unrecordable outcome", message, parts)


_CODED = (Kind.EXIT, Kind.SIGNAL)
_REASONS = {
    Reason.EXPIRED: "it still waited when it was wanted no more",
    Reason.SNOOZED_TOO_OFTEN: "it asked too often to be run later",
    Reason.POISON: "its body was begun too often",
}


@dataclass(frozen=True, slots=True)
class _Error:
    facts: ErrorFacts
    frames: tuple[str, ...]
    step: str | None


def _root(chain: tuple[ErrorFacts, ...], frames: tuple[str, ...] = (), step: str | None = None) -> _Error:
    """Return the error to go by. What it does not tell itself (it may have been caught in a library) those around it tell."""
    coded = [place for place, facts in enumerate(chain) if any(_codes(facts))]
    place = coded[-1] if coded else len(chain) - 1
    around = chain[place::-1]
    frames = next((each.frames for each in around if each.frames), frames)
    step = next((each.step for each in around if each.step), step)
    members = [_root(each, frames, step) for each in chain[place].members if each]
    # Which member of a group came first is chance: the choice must not depend on it.
    return min(members, key=_rank) if members else _Error(chain[place], frames, step)


def _rank(error: _Error) -> tuple[bool, tuple[Part, ...]]:
    return not any(_codes(error.facts)), _of_error(error)


def _codes(facts: ErrorFacts) -> Iterator[Part]:
    if facts.code is not None:
        yield "code", facts.code
    if facts.http_status is not None:
        yield "HTTP status", str(facts.http_status)
    if facts.exit_code is not None and facts.exit_code >= 0:
        yield "exit code", str(facts.exit_code)
    elif facts.exit_code is not None:
        yield "signal", signal_name(-facts.exit_code)


def _of_error(error: _Error) -> tuple[Part, ...]:
    facts = error.facts
    parts: list[Part] = [("error type", facts.types[0] if facts.types else "")]
    parts += _codes(facts)
    if facts.errno is not None:
        parts.append(("errno", facts.errno))
    if error.step is not None:
        parts.append(("step", error.step))
    if error.frames:
        parts += [("call", each) for each in error.frames[-FRAMES:]]
    else:
        parts.append(("message", parameterised(facts.message)))
    return tuple(parts)


def _of_process(failure: Failure) -> Iterator[Part]:
    if failure.kind is Kind.EXIT and failure.exit_code is not None:
        yield "process ended with", f"exit code {failure.exit_code}"
    elif failure.kind is Kind.SIGNAL and failure.signal is not None:
        yield "process killed by", signal_name(failure.signal)
    else:
        yield "what happened", failure.error_type


def _message(failure: Failure, error: _Error | None) -> str:
    if error is not None and error.facts.message:
        return error.facts.message
    # What is said of a lost worker names it, which is not what such failures have in common.
    return what_happened(failure.kind) or (failure.message if error is None else "")


def _digest(parts: tuple[Part, ...]) -> str:
    text = json.dumps([VERSION, parts], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:LENGTH]
