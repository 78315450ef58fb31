"""Secret values and how they may look in texts: found in them, and replaced by `***`. Where values come from is the sdk's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from mulligan.core.errors import ConfigError

HIDDEN = "***"
LEAST = 4
"""Characters of a secret value at least: shorter ones stand in any text by chance."""
CODED = 6
"""Values and lines of so many characters are also looked for as they are in URLs, base64, JSON and the like."""
LINE = 12
"""A line of a value of several lines is hidden by itself too where it has so many characters, as those of a key in PEM have."""

_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,199}|file:/[^\0-\x1f\x7f]{1,1000}")
T = TypeVar("T", str, bytes)


def check_reference(text: object) -> str:
    """Return a reference to a secret; raises ConfigError, which does not repeat what was given, since it may be the secret."""
    if not isinstance(text, str) or not _REFERENCE.fullmatch(text):
        raise ConfigError(
            "a secret is named by env:NAME, a variable of the worker's environment, or by file:/absolute/path, a file that the "
            "worker can read; what was given is neither, and is not shown since it may be the secret itself"
        )
    return text


class Known(NamedTuple):
    """A secret value, and by which reference it is known."""

    reference: str
    value: str


class Mask:
    """Secret values that must not be shown; never changed, `adding` makes another. An empty one is false."""

    def __init__(self, known: Mapping[str, str] = MappingProxyType({})) -> None:
        """`known`: the reference of each value."""
        self._known = dict(known)

    def __bool__(self) -> bool:
        return bool(self._known)

    def __contains__(self, value: object) -> bool:
        return value in self._known

    def __repr__(self) -> str:
        return f"<mask of {', '.join(sorted(set(self._known.values()))) or 'nothing'}>"

    def __iter__(self) -> Iterator[Known]:
        return (Known(reference, value) for value, reference in self._known.items())

    def adding(self, *known: Known) -> Mask:
        """Return a mask of further values; of a value that is known already the first reference stays."""
        return Mask({each.value: each.reference for each in known} | self._known)

    def text(self, text: str) -> str:
        """Return a text with every form of every value replaced."""
        return _replaced(text, spans(text, self._texts), HIDDEN) if self._known else text

    def data(self, data: bytes) -> bytes:
        """Return output with every form of every value replaced."""
        return _replaced(data, spans(data, self.forms), HIDDEN.encode()) if self._known else data

    def json(self, text: str) -> str:
        """Return JSON with all forms replaced in its texts; it stays JSON, as it would not if it were taken for a text."""
        return (
            json.dumps(self._inside(json.loads(text)), separators=(",", ":")) if self._known and self.text(text) != text else text
        )

    def found(self, text: str) -> str | None:
        """Return the reference of a value that stands in JSON in the clear, or None.

        A value of less than 6 characters counts where it is a whole text of the JSON: inside others it may stand by chance.
        """
        for value, looked_for in self._whole.items():
            if any(each in text for each in looked_for):
                return self._known[value]
        return None

    @cached_property
    def forms(self) -> tuple[bytes, ...]:
        """How the values may look in output."""
        return tuple(each.encode() for each in self._texts)

    @cached_property
    def _texts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(form for value in self._known for form in _forms(value)))

    @cached_property
    def _whole(self) -> dict[str, tuple[str, ...]]:
        return {value: _in_json(value) for value in self._known}

    def _inside(self, value: Any) -> Any:
        match value:
            case str():
                return self.text(value)
            case list():
                return [self._inside(each) for each in value]
            case dict():
                return {self.text(name): self._inside(each) for name, each in value.items()}
            case _:
                return value


def spans(text: T, forms: tuple[T, ...]) -> list[tuple[int, int]]:
    """Return where forms stand, in order; those that overlap are one."""
    found = []
    for form in forms:
        at = text.find(form)
        while at >= 0:
            found.append((at, at + len(form)))
            at = text.find(form, at + 1)
    merged: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def open_end(data: bytes, forms: tuple[bytes, ...]) -> int:
    """Return where something begins at the end of this data that may become one of the forms; its length where nothing does."""
    begins = len(data)
    for form in forms:
        at = data.find(form[:1], max(0, len(data) - len(form) + 1))
        while 0 <= at < begins:
            if form.startswith(data[at:]):
                begins = at
                break
            at = data.find(form[:1], at + 1)
    return begins


def _replaced(text: T, places: list[tuple[int, int]], hidden: T) -> T:
    if not places:
        return text
    starts = [0, *(end for _, end in places)]
    ends = [*(start for start, _ in places), len(text)]
    return hidden.join([text[start:end] for start, end in zip(starts, ends, strict=True)])


def _forms(value: str) -> Iterator[str]:
    yield value
    if len(value) < CODED:
        return
    yield from _escaped(value)
    yield from _base64(value.encode())
    yield value.encode().hex()
    lines = value.splitlines()
    if len(lines) > 1:
        kept = (line.strip() for line in lines)
        yield from (line for line in kept if len(line) >= LINE and not line.startswith("-----"))


def _escaped(value: str) -> Iterator[str]:
    import html
    from urllib.parse import quote, quote_plus  # slow to import, and most processes know no secret

    yield from _json_texts(value)
    yield repr(value)[1:-1]
    yield html.escape(value)
    for quoted in (quote(value, safe=""), quote(value), quote_plus(value)):
        yield quoted
        yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), quoted)


def _json_texts(value: str) -> tuple[str, str]:
    return json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]


def _base64(value: bytes) -> Iterator[str]:
    """Return what stays the same of a value's base64 whatever stands before and after it, as `user:` does before a password."""
    import base64

    for before in range(3):
        coded = base64.b64encode(b"\0" * before + value).rstrip(b"=").decode()
        whole = coded[(0, 2, 3)[before] : len(coded) - ((len(value) + before) % 3 > 0)]
        if len(whole) >= CODED:
            yield whole
            yield whole.translate(str.maketrans("+/", "-_"))


def _in_json(value: str) -> tuple[str, ...]:
    if len(value) < CODED:
        return tuple(f'"{each}"' for each in _json_texts(value))
    coded = (each for each in _base64(value.encode()) if len(each) >= 2 * CODED)
    return tuple(dict.fromkeys([value, *_escaped(value), *coded]))
