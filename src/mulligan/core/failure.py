"""The facts of a failure, and the class they amount to by which rule; reading them off an exception is the sdk's."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from mulligan.core.job import FailureClass


class Kind(StrEnum):
    """Where a failure was seen."""

    EXCEPTION = "exception"
    EXIT = "exit"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    HEARTBEAT = "heartbeat"
    CUTOFF = "cutoff"
    LOST = "lost"
    OUT_OF_MEMORY = "out_of_memory"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ErrorFacts:
    """One exception of a chain: all that rules may look at, with nothing of the exception left alive."""

    types: tuple[str, ...]
    """Qualified names along the MRO, most derived first, without object and BaseException; see `qualified_name`."""
    message: str = ""
    http_status: int | None = None
    retry_after_s: float | None = None
    errno: str | None = None
    """Symbolic, such as ENOSPC."""
    code: str | None = None
    """What the provider calls it: an SQLSTATE, an AWS error code, a gRPC status name."""
    exit_code: int | None = None
    """Of a process that the exception is about; negative: the signal that ended it."""
    exit_class: FailureClass | None = None
    """What whoever ran that process was told of its exit code, see `Context.run`."""
    members: tuple[tuple[ErrorFacts, ...], ...] = ()
    """For an exception group: the chain of each member."""
    frames: tuple[str, ...] = ()
    """The innermost calls of the project's own code that it came through, innermost last: `pipeline.load`."""
    step: str | None = None
    """Name of the step that it came out of, see `Context.step`."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What is known of a failure; made where it happened, classified anywhere."""

    kind: Kind
    chain: tuple[ErrorFacts, ...] = ()
    """Outermost exception first, then its causes."""
    exit_code: int | None = None
    signal: int | None = None
    declared: FailureClass | None = None
    """What the task's own `classify` callable answered."""
    message: str = ""
    traceback: str = ""
    crashed: bool = False
    """Whether the child process died of it while its worker lived."""

    @property
    def error_type(self) -> str:
        """Qualified name of the outermost exception, else what happened: `exit 3`, `signal SIGKILL`, `timeout`."""
        if self.kind is Kind.EXIT:
            return "exit" if self.exit_code is None else f"exit {self.exit_code}"
        if self.kind is Kind.SIGNAL:
            return "signal" if self.signal is None else f"signal {signal_name(self.signal)}"
        if self.kind is Kind.EXCEPTION:
            return self.chain[0].types[0] if self.chain and self.chain[0].types else "exception"
        return _STATED[self.kind].words

    @property
    def text(self) -> str:
        """The message for people: what was said, else what happened."""
        return self.message or next((facts.message for facts in self.chain if facts.message), "") or self.error_type


@dataclass(frozen=True, slots=True)
class Classification:
    """The class of a failure, the rule that gave it, and the rules that were looked at and did not."""

    failure_class: FailureClass
    rule: str
    why: str
    retry_after_s: float | None = None
    passed_over: tuple[str, ...] = field(default=())
    cause: str | None = None
    """The cause that the rule names."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a rule file. It matches what any of its matchers names, if its conditions hold as well."""

    id: str
    failure_class: FailureClass
    exceptions: tuple[str, ...] = ()
    """Qualified names of the class or of one it derives from; `package.Class` also names one in a deeper module."""
    http: tuple[tuple[int, int], ...] = ()
    """Ranges of HTTP status, both ends included."""
    errnos: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    """Provider codes; two characters and `???` stand for a whole class of SQLSTATEs."""
    exit_codes: tuple[int, ...] = ()
    signals: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ()
    message: str | None = None
    """Condition: this text is part of the message, letter by letter."""
    needs_retry_after: bool = False
    """Condition: the other side said how long to wait."""
    unwrap: bool = False
    """Whether the exception only wraps another: where a rule knows its cause, the cause decides."""
    note: str = ""
    cause: str | None = None
    """What failures that it decides on are counted as, instead of by their fingerprints."""


_Key = tuple[str, str | int]


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules in order: of those that match one thing, the first one whose conditions hold decides."""

    rules: tuple[Rule, ...] = ()
    index: dict[_Key, tuple[Rule, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index: dict[_Key, tuple[Rule, ...]] = {}
        for rule in self.rules:
            for key in _keys_of(rule):
                index[key] = (*index.get(key, ()), rule)
        object.__setattr__(self, "index", index)


def classify(
    failure: Failure,
    task_rules: Sequence[tuple[str, FailureClass]],
    project_rules: RuleSet,
    default_rules: RuleSet,
) -> Classification:
    """Return the class of a failure; never raises, and gives the same answer for the same facts everywhere.

    `task_rules` is `Definition.classify`. What the code raised comes first, then the task's callable, the task's rules,
    the project's and the default ones. A cause is looked at where its exception has no class or is UNKNOWN.
    """
    table = _Table({_plain(name): given for name, given in reversed(task_rules)}, (project_rules, default_rules))
    passed: list[str] = []
    match = _judge(failure, table, passed)
    if match is None:
        match = _Match(FailureClass.UNKNOWN, "unknown", f"no rule knows {failure.error_type}, so it is UNKNOWN")
    retry_after_s = match.retry_after_s
    if retry_after_s is None:
        retry_after_s = next((each.retry_after_s for each in failure.chain if each.retry_after_s is not None), None)
    return Classification(match.failure_class, match.rule, match.why, retry_after_s, tuple(passed), match.cause)


def qualified_name(cls: type) -> str:
    """Return the name that rules know a class by: `requests.exceptions.HTTPError`, builtins without their module."""
    return _plain(f"{cls.__module__}.{cls.__qualname__}")


def signal_name(number: int) -> str:
    """Return `SIGKILL` for 9; a number that is no signal here as `signal 99`."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def what_happened(kind: Kind) -> str:
    """Return in words what happens to an attempt from outside; empty for what the attempt does itself."""
    return _STATED[kind].why if kind in _STATED else ""


def failure_to_json(failure: Failure) -> str:
    """Return the facts as compact JSON; fields that have their default are left out."""
    return json.dumps(_bare(failure), separators=(",", ":"))


@lru_cache(maxsize=64)  # where something is down, thousands of attempts fail alike
def failure_from_json(text: str) -> Failure:
    """Return what `failure_to_json` was given; fields that are not known here are ignored. Raises ValueError."""
    try:
        known = _known(Failure, json.loads(text))
        known["kind"] = Kind(known["kind"])
        known["chain"] = tuple(_facts(each) for each in known.get("chain", ()))
        if known.get("declared") is not None:
            known["declared"] = FailureClass(known["declared"])
        return Failure(**known)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the facts of a failure: {error!r}") from error


class _Match(NamedTuple):
    failure_class: FailureClass
    rule: str
    why: str
    unwrap: bool = False
    retry_after_s: float | None = None
    cause: str | None = None


class _Table(NamedTuple):
    task: Mapping[str, FailureClass]
    rules: tuple[RuleSet, ...]


class _Stated(NamedTuple):
    failure_class: FailureClass
    words: str
    why: str


_STATED = {
    Kind.TIMEOUT: _Stated(FailureClass.TIMEOUT, "timeout", "the attempt ran longer than its timeout"),
    Kind.HEARTBEAT: _Stated(FailureClass.TIMEOUT, "heartbeat timeout", "the attempt was silent for too long"),
    Kind.CUTOFF: _Stated(FailureClass.TIMEOUT, "cutoff", "the time for all attempts together was over"),
    Kind.LOST: _Stated(FailureClass.INFRASTRUCTURE, "worker lost", "how far the attempt came is unknown"),
    Kind.STOPPED: _Stated(FailureClass.INFRASTRUCTURE, "stopped", "the worker had to stop"),
    Kind.OUT_OF_MEMORY: _Stated(FailureClass.UNKNOWN, "out of memory", "give it more memory, or less to do at once"),
}

_SIGNALS = {
    f"mulligan.core.signals.{name}": (name, given)
    for name, given in (
        ("TransientError", FailureClass.TRANSIENT),
        ("RateLimited", FailureClass.RATE_LIMITED),
        ("InfrastructureError", FailureClass.INFRASTRUCTURE),
        ("PermanentError", FailureClass.PERMANENT),
    )
}

_WORST_FIRST = (
    FailureClass.PERMANENT,
    FailureClass.UNKNOWN,
    FailureClass.TIMEOUT,
    FailureClass.RATE_LIMITED,
    FailureClass.TRANSIENT,
    FailureClass.INFRASTRUCTURE,
)


def _judge(failure: Failure, table: _Table, passed: list[str]) -> _Match | None:
    if failure.kind in _STATED:
        return _by_task(_out_of_memory(failure), table) or _by_kind(failure, table, passed)
    chain = _links(failure)
    if chain and (said := _raised(chain[0])):
        return said
    if failure.declared is not None:
        why = f"the task's classify says that {failure.error_type} is {failure.declared}"
        return _Match(failure.declared, "task.classify", why)
    return _by_chain(chain, table, passed) or _by_kind(failure, table, passed)


def _links(failure: Failure) -> tuple[ErrorFacts, ...]:
    """The chain, with what became of the process as a fact of its first link."""
    code = failure.exit_code if failure.kind is Kind.EXIT else None
    if failure.kind is Kind.SIGNAL and failure.signal is not None:
        code = -failure.signal
    if code is None:
        return failure.chain
    first = failure.chain[0] if failure.chain else ErrorFacts(())
    return (replace(first, exit_code=code), *failure.chain[1:])


def _out_of_memory(failure: Failure) -> ErrorFacts:
    """A task's rule for MemoryError also holds where the process was killed before Python could raise one."""
    return ErrorFacts(("MemoryError",) if failure.kind is Kind.OUT_OF_MEMORY else ())


def _by_kind(failure: Failure, table: _Table, passed: list[str]) -> _Match | None:
    facts = failure.chain[0] if failure.chain else ErrorFacts((), failure.message)
    for rules in table.rules:
        for rule in rules.index.get(("kind", failure.kind), ()):
            if _fits(rule, facts, failure.error_type, passed):
                return _ruled(rule, failure.error_type, facts)
    stated = _STATED.get(failure.kind)
    if stated is None:
        return None
    why = f"{stated.words} is {stated.failure_class}: {stated.why}"
    return _Match(stated.failure_class, f"kind.{failure.kind}", why)


def _by_chain(chain: tuple[ErrorFacts, ...], table: _Table, passed: list[str]) -> _Match | None:
    """The first class that is not UNKNOWN, else what matched first; a wrapper yields to a cause that a rule knows."""
    held: _Match | None = None
    for place, facts in enumerate(chain):
        match = _by_link(facts, table, passed)
        if match is None:
            passed.append(f"no rule knows {_name(facts)}")
            continue
        if place:
            match = match._replace(why=f"{match.why}; found behind {_name(chain[0])}")
        if match.failure_class is not FailureClass.UNKNOWN and not match.unwrap:
            return match
        passed.append(match.why)
        held = match if held is None or _says_more(match, held) else held
    if held is not None:
        passed.remove(held.why)
    return held


def _says_more(match: _Match, held: _Match) -> bool:
    if held.unwrap != match.unwrap:
        return held.unwrap or held.failure_class is FailureClass.UNKNOWN
    return held.failure_class is FailureClass.UNKNOWN and match.failure_class is not FailureClass.UNKNOWN


def _by_link(facts: ErrorFacts, table: _Table, passed: list[str]) -> _Match | None:
    if not facts.members:
        return _raised(facts) or _by_task(facts, table) or _by_rules(facts, table, passed)
    # A rule for every Exception is not about groups, so it must not keep their members from being looked at.
    own = replace(facts, types=tuple(each for each in facts.types if each != "Exception"))
    match = _raised(own) or _by_task(own, table) or _by_rules(own, table, passed)
    return match or _by_members(facts, table, passed)


def _by_members(facts: ErrorFacts, table: _Table, passed: list[str]) -> _Match:
    """The worst class among the members: while one of them cannot be helped by trying again, the group cannot."""
    found = []
    for chain in facts.members:
        match = _by_chain(chain, table, passed)
        name = _name(chain[0]) if chain else "an exception without facts"
        found.append(match or _Match(FailureClass.UNKNOWN, "unknown", f"no rule knows {name}, so it is UNKNOWN"))
    found.sort(key=lambda each: _WORST_FIRST.index(each.failure_class))
    worst = found[0]
    passed.extend(f"another member of the group: {each.why}" for each in found[1:])
    waits = [each.retry_after_s for chain in facts.members for each in chain if each.retry_after_s is not None]
    why = f"{worst.why}; the worst of {len(found)} in {_name(facts)}"
    return _Match(worst.failure_class, worst.rule, why, retry_after_s=max(waits, default=None), cause=worst.cause)


def _raised(facts: ErrorFacts) -> _Match | None:
    if facts.exit_class is not None:
        why = f"exit code {facts.exit_code} is {facts.exit_class}, as the call of ctx.run says"
        return _Match(facts.exit_class, f"ctx.run:{facts.exit_code}", why)
    for name in facts.types:
        if name in _SIGNALS:
            short, given = _SIGNALS[name]
            return _Match(given, f"raised:{short}", f"{_subject(facts, name)} says itself that it is {given}")
    return None


def _by_task(facts: ErrorFacts, table: _Table) -> _Match | None:
    if not table.task:
        return None
    names = (f"exit:{facts.exit_code}",) if facts.exit_code is not None else ()
    for name in (*names, *_names(facts)):
        if name in table.task:
            given = table.task[name]
            subject = f"exit code {facts.exit_code}" if name in names else _subject(facts, name)
            return _Match(given, f"task.classify:{name}", f"{subject} is {given} by the task's classify")
    return None


def _by_rules(facts: ErrorFacts, table: _Table, passed: list[str]) -> _Match | None:
    for rules in table.rules:
        for key, subject in _looked_at(facts):
            for rule in rules.index.get(key, ()):
                said = subject or _subject(facts, str(key[1]))
                if _fits(rule, facts, said, passed):
                    return _ruled(rule, said, facts)
    return None


def _looked_at(facts: ErrorFacts) -> Iterator[tuple[_Key, str]]:
    """What rules can know an exception by, most telling first, each with how to say it to people."""
    origin = f" from {facts.types[0]}" if facts.types else ""
    if facts.http_status is not None:
        yield ("http", facts.http_status), f"{facts.http_status}{origin}"
    if facts.code is not None:
        yield ("code", facts.code), f"{facts.code}{origin}"
        if len(facts.code) == 5:
            yield ("code", f"{facts.code[:2]}???"), f"{facts.code}{origin}"
    if facts.errno is not None:
        yield ("errno", facts.errno), f"{facts.errno}{origin}"
    if facts.exit_code is not None and facts.exit_code >= 0:
        yield ("exit", facts.exit_code), f"exit code {facts.exit_code}{origin}"
    elif facts.exit_code is not None:
        name = signal_name(-facts.exit_code)
        yield ("signal", name), f"{name}{origin}"
    for name in _names(facts):
        yield ("type", name), ""


def _names(facts: ErrorFacts) -> Iterator[str]:
    """Each type's name and its short form, since people write requests.HTTPError for requests.exceptions.HTTPError."""
    for name in facts.types:
        yield name
        parts = name.split(".")
        if len(parts) > 2:
            yield f"{parts[0]}.{parts[-1]}"


def _fits(rule: Rule, facts: ErrorFacts, subject: str, passed: list[str]) -> bool:
    lacks = ""
    if rule.needs_retry_after and facts.retry_after_s is None:
        lacks = "no Retry-After came with it"
    elif rule.message is not None and rule.message not in facts.message:
        lacks = f"its message does not contain {rule.message!r}"
    if lacks:
        passed.append(f"rule {rule.id} does not fit {subject}: {lacks}")
    return not lacks


def _ruled(rule: Rule, subject: str, facts: ErrorFacts) -> _Match:
    note = f" ({rule.note})" if rule.note else ""
    why = f"{subject} is {rule.failure_class} by rule {rule.id}{note}"
    return _Match(rule.failure_class, rule.id, why, rule.unwrap, facts.retry_after_s, rule.cause)


def _name(facts: ErrorFacts) -> str:
    if facts.types:
        return facts.types[0]
    return next((subject for _, subject in _looked_at(facts)), "an exception without a type")


def _subject(facts: ErrorFacts, matched: str) -> str:
    own = facts.types[0] if facts.types else matched
    short = ".".join(own.split(".")[:: max(1, own.count("."))])
    return own if matched in {own, short} else f"{own} (a {matched})"


def _plain(name: str) -> str:
    return name.removeprefix("builtins.")


def _keys_of(rule: Rule) -> dict[_Key, None]:
    keys: list[_Key] = [("type", _plain(name)) for name in rule.exceptions]
    keys += [("http", status) for first, last in rule.http for status in range(first, last + 1)]
    keys += [("errno", name) for name in rule.errnos]
    keys += [("code", code) for code in rule.codes]
    keys += [("exit", code) for code in rule.exit_codes]
    keys += [("signal", name) for name in rule.signals]
    keys += [("kind", kind) for kind in rule.kinds]
    return dict.fromkeys(keys)


def _bare(value: Failure | ErrorFacts) -> dict[str, Any]:
    bare: dict[str, Any] = {}
    for name, default in _DEFAULTS[type(value)].items():
        given = getattr(value, name)
        if given == default:
            continue
        if name == "chain":
            given = [_bare(facts) for facts in given]
        elif name == "members":
            given = [[_bare(facts) for facts in chain] for chain in given]
        bare[name] = given
    return bare


def _facts(raw: Any) -> ErrorFacts:
    known = _known(ErrorFacts, raw)
    known["types"] = tuple(known["types"])
    if known.get("exit_class") is not None:
        known["exit_class"] = FailureClass(known["exit_class"])
    known["members"] = tuple(tuple(_facts(each) for each in chain) for chain in known.get("members", ()))
    known["frames"] = tuple(known.get("frames", ()))
    return ErrorFacts(**known)


def _known(cls: type[Failure] | type[ErrorFacts], raw: dict[str, Any]) -> dict[str, Any]:
    known = _DEFAULTS[cls]
    return {name: value for name, value in raw.items() if name in known}


_DEFAULTS: dict[type, dict[str, Any]] = {cls: {each.name: each.default for each in fields(cls)} for cls in (Failure, ErrorFacts)}
"""Looked up once: `fields` makes a new tuple at each call."""
