"""Rule files, which say what class a failure belongs to: reading and checking them, and showing them as a table."""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from mulligan.core.errors import ConfigError
from mulligan.core.failure import Kind, Rule, RuleSet
from mulligan.core.job import FailureClass

DEFAULT_RULES = Path(__file__).with_name("default_rules.toml")

_Enum = TypeVar("_Enum", bound=StrEnum)

_RULE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_CAUSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_FINGERPRINT = re.compile(r"[0-9a-f]{12}")
_RANGE = re.compile(r"(\d{1,3})-(\d{1,3})")
_ADDRESS_ERRORS = frozenset(
    f"EAI_{name}" for name in ("AGAIN", "BADFLAGS", "FAIL", "FAMILY", "MEMORY", "NODATA", "NONAME", "SERVICE", "SOCKTYPE")
)


def load_rules(path: Path | None = None) -> RuleSet:
    """Read a rule file, or the rules that come with Mulligan; raises ConfigError that names file, rule and field."""
    import tomllib

    file = path or DEFAULT_RULES
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: the rules cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{file}: this is not TOML: {error}") from error
    return RuleSet(tuple(_rules(document, file)))


@cache
def default_rules() -> RuleSet:
    """Return the rules that come with Mulligan, read once per process."""
    return load_rules()


def rules_of(project: str | None) -> tuple[RuleSet, RuleSet]:
    """Return the rules of a project's file, if it has one, and those that come with Mulligan; raises ConfigError."""
    return (load_rules(Path(project)) if project else RuleSet()), default_rules()


def rules_table(rules: RuleSet) -> str:
    """Return the rules as a Markdown table, in the order in which they are looked at."""
    lines = ["| rule | matches | class | because |", "| --- | --- | --- | --- |"]
    lines += [f"| `{rule.id}` | {_matches(rule)} | {rule.failure_class} | {rule.note} |" for rule in rules.rules]
    return "\n".join(lines)


class _Entry:
    """One table of a rule file while it is read: knows how to say where a mistake is."""

    def __init__(self, raw: dict[str, Any], where: str) -> None:
        self._raw = dict(raw)
        self.where = where

    def refuse(self, field: str, reason: str) -> ConfigError:
        return ConfigError(f"{self.where}: {field}: {reason}")

    def take(self, field: str, kind: type, words: str, default: Any = None) -> Any:
        value = self._raw.pop(field, default)
        if value is not default and not isinstance(value, kind):
            raise self.refuse(field, f"expected {words}, not {value!r}")
        return value

    def texts(self, field: str, check: Callable[[str], str | None]) -> tuple[str, ...]:
        values = self.take(field, list, "a list of texts", [])
        for value in values:
            if not isinstance(value, str):
                raise self.refuse(field, f"expected a list of texts, but {value!r} is none")
            if reason := check(value):
                raise self.refuse(field, reason)
        return tuple(values)

    def ranges(self, field: str, lowest: int, highest: int) -> tuple[tuple[int, int], ...]:
        found = [_span(value) for value in self.take(field, list, "a list of numbers and ranges", [])]
        for span in found:
            if span is None or not lowest <= span[0] <= span[1] <= highest:
                reason = f"expected numbers from {lowest} to {highest} or ranges such as '{lowest}-{highest}'"
                raise self.refuse(field, reason)
        return tuple(span for span in found if span is not None)

    def ended(self) -> None:
        if self._raw:
            raise self.refuse(next(iter(self._raw)), f"there is no such field; known are {', '.join(_FIELDS)}")


_FIELDS = ("id", "class", "exceptions", "http", "errnos", "codes", "exit_codes", "signals", "kinds", "message",
           "needs_retry_after", "unwrap", "note", "cause")  # fmt: skip


def _rules(document: dict[str, Any], file: Path) -> Iterable[Rule]:
    entries = document.pop("rule", [])
    if document:
        raise ConfigError(f"{file}: {next(iter(document))}: a rule file holds [[rule]] tables and nothing else")
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise ConfigError(f"{file}: rule: write every rule as a table of its own, under [[rule]]")
    seen: set[str] = set()
    for number, raw in enumerate(entries, 1):
        rule = _rule(raw, file, number)
        if rule.id in seen:
            raise ConfigError(f"{file}: rule {rule.id}: id: an earlier rule has this id too")
        seen.add(rule.id)
        yield rule


def _rule(raw: dict[str, Any], file: Path, number: int) -> Rule:
    entry = _Entry(raw, f"{file}: rule number {number}")
    name = entry.take("id", str, "a text")
    if name is None or not _RULE_ID.fullmatch(name):
        raise entry.refuse("id", f"expected a short name of letters, digits, '.', '_' and '-', not {name!r}")
    entry.where = f"{file}: rule {name}"
    rule = Rule(
        id=name,
        failure_class=_member(entry, "class", entry.take("class", str, "a text"), FailureClass),
        exceptions=entry.texts("exceptions", _bad_exception),
        http=entry.ranges("http", 100, 999),
        errnos=entry.texts("errnos", _bad_errno),
        codes=entry.texts("codes", _bad_code),
        exit_codes=tuple(code for first, last in entry.ranges("exit_codes", 0, 255) for code in range(first, last + 1)),
        signals=entry.texts("signals", _bad_signal),
        kinds=tuple(_member(entry, "kinds", each, Kind) for each in entry.texts("kinds", lambda _: None)),
        message=entry.take("message", str, "a text"),
        needs_retry_after=entry.take("needs_retry_after", bool, "true or false", False),
        unwrap=entry.take("unwrap", bool, "true or false", False),
        note=entry.take("note", str, "a text", ""),
        cause=entry.take("cause", str, "a text"),
    )
    entry.ended()
    return _checked(rule, entry)


def _checked(rule: Rule, entry: _Entry) -> Rule:
    matchers = (rule.exceptions, rule.http, rule.errnos, rule.codes, rule.exit_codes, rule.signals, rule.kinds)
    if not any(matchers):
        raise entry.refuse("exceptions", f"the rule matches nothing; give one of {', '.join(_FIELDS[2:9])}")
    if rule.message == "":
        raise entry.refuse("message", "an empty text is part of every message; leave the field out")
    if rule.cause is not None and (not _CAUSE.fullmatch(rule.cause) or _FINGERPRINT.fullmatch(rule.cause)):
        raise entry.refuse(
            "cause", f"expected a short name such as 's3-throttle', of letters, digits, '.', '_' and '-', not {rule.cause!r}"
        )
    if any(ord(letter) < 32 or letter == "|" for letter in rule.note):
        raise entry.refuse("note", "write it in one line, without '|'")
    return rule


def _member(entry: _Entry, field: str, value: str | None, choices: type[_Enum]) -> _Enum:
    for choice in choices:
        if choice == value:
            return choice
    raise entry.refuse(field, f"expected one of {', '.join(choices)}, not {value!r}")


def _span(value: object) -> tuple[int, int] | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value, value
    found = _RANGE.fullmatch(value) if isinstance(value, str) else None
    return (int(found[1]), int(found[2])) if found else None


def _bad_exception(name: str) -> str | None:
    if not _NAME.fullmatch(name):
        return f"{name!r} is not the qualified name of an exception, such as 'requests.exceptions.HTTPError'"
    if name.removeprefix("builtins.") in {"object", "BaseException"}:
        return f"{name!r} is not looked at; 'Exception' is the widest name"
    return None


def _bad_errno(name: str) -> str | None:
    known = name in errno.errorcode.values() or name in _ADDRESS_ERRORS or hasattr(errno, name)
    return None if known else f"{name!r} is not the name of an errno, such as 'ENOSPC' or 'EAI_AGAIN'"


def _bad_code(code: str) -> str | None:
    if not code or len(code) > 128:
        return f"{code!r} is not a code of 1 to 128 letters"
    if "?" in code and not (len(code) == 5 and code.endswith("???") and "?" not in code[:2]):
        return f"{code!r}: '???' only stands for the last three of a SQLSTATE's five characters, as in '08???'"
    return None


def _bad_signal(name: str) -> str | None:
    return None if name in signal.Signals.__members__ else f"{name!r} is not the name of a signal, such as 'SIGKILL'"


def _matches(rule: Rule) -> str:
    spans = [f"{first}" if first == last else f"{first} to {last}" for first, last in rule.http]
    parts = [f"HTTP {', '.join(spans)}"] if spans else []
    parts += [", ".join(f"`{each}`" for each in names) for names in (rule.codes, rule.errnos, rule.exceptions) if names]
    parts += [", ".join(rule.signals)] if rule.signals else []
    parts += [f"exit {', '.join(map(str, rule.exit_codes))}"] if rule.exit_codes else []
    parts += [", ".join(rule.kinds)] if rule.kinds else []
    said = "; ".join(parts)
    said += f", saying “{rule.message}”" if rule.message else ""
    said += ", with Retry-After" if rule.needs_retry_after else ""
    return said + (", unless its cause is known" if rule.unwrap else "")
