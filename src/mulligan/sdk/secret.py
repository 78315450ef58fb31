"""Secret: an argument that is a reference to a value which only a running attempt reads; and reading such values."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mulligan.core.errors import ConfigError, Refused, SecretUnavailable
from mulligan.core.masking import LEAST, Known, check_reference
from mulligan.sdk.ports import AMBIENT, RUNNING

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import core_schema

FORMAT = "secret-reference"
"""Marks a secret in a published schema."""
INVALID = "secret_invalid"
"""The kind of pydantic's error: what was given is not repeated, since it may be the value itself."""
MAX_BYTES = 65_536
_SCHEMA = {
    "type": "object",
    "title": "secret reference",
    "description": "A secret by reference: the value is read where the task runs, and kept nowhere.",
    "format": FORMAT,
    "writeOnly": True,
    "properties": {
        "secret": {"type": "string", "pattern": r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$", "examples": ["env:PASSWORD"]}
    },
    "required": ["secret"],
    "additionalProperties": False,
}


class Secret:
    """A secret by reference: `Secret("env:NAME")` or `Secret("file:/run/secrets/name")`; as JSON `{"secret": "env:NAME"}`.

    Annotate a parameter `Secret` to take one. Only the reference is stored; `reveal()` gives the value inside a running attempt.
    Raises ConfigError for what is no reference.
    """

    __slots__ = ("_reference",)

    def __init__(self, reference: str) -> None:
        self._reference = check_reference(reference)

    @property
    def reference(self) -> str:
        """Where the value is: `env:NAME`, or `file:/path`."""
        return self._reference

    def reveal(self) -> str:
        """Return the value, read now; from here on it is `***` in logs, errors and whatever else this process says.

        Raises SecretUnavailable where it cannot be read, and Refused outside of a running attempt, and in the body of a
        workflow, which passes secrets on to tasks.
        """
        _refuse_here(self._reference)
        return resolve(self._reference)

    def __repr__(self) -> str:
        return f"Secret({self._reference!r})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._reference == self._reference

    def __hash__(self) -> int:
        return hash((Secret, self._reference))

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        return Secret, (self._reference,)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Tell pydantic how a reference is read and written."""
        from pydantic_core import core_schema

        written = core_schema.plain_serializer_function_ser_schema(_written)
        return core_schema.no_info_plain_validator_function(_read, serialization=written)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Tell pydantic what is published of a parameter that takes a secret."""
        return _SCHEMA


def resolve(reference: str) -> str:
    """Return the value of a reference, and have it hidden in all that this process says; raises SecretUnavailable."""
    value = value_of(reference)
    AMBIENT.hide(Known(reference, value))
    return value


def resolve_all(values: Mapping[str, Any]) -> None:
    """See that the secrets among arguments can be read, so that an attempt fails at its start and not in its middle."""
    for each in dict.fromkeys(secrets_in(values)):
        resolve(each.reference)


def hide_all(references: Iterable[str], missing: Callable[[str, str], None]) -> None:
    """Have registered secrets hidden in all that this process says; `missing` is told of those that cannot be read here."""
    for each in references:
        try:
            resolve(each)
        except SecretUnavailable as error:
            missing(each, str(error))


def value_of(reference: str) -> str:
    """Read a value, without the line end at the end of a file; raises SecretUnavailable, which does not show it."""
    kind, _, place = check_reference(reference).partition(":")
    value = _of_file(reference, Path(place)) if kind == "file" else os.environ.get(place)
    if value is None:
        raise SecretUnavailable(f"secret {reference}: the variable {place} is not set in the environment of this process")
    if len(value) < LEAST:
        said = "is empty" if not value else f"has less than {LEAST} characters, so it could not be kept out of logs"
        raise SecretUnavailable(f"secret {reference}: its value {said}")
    if "\0" in value or any("\ud800" <= each <= "\udfff" for each in value):
        raise SecretUnavailable(f"secret {reference}: its value is no text in UTF-8")
    return value


def secrets_in(value: Any) -> Iterator[Secret]:
    """Yield the secrets in a value, however deep in lists, dicts, dataclasses and models."""
    pending, seen = [value], set()
    while pending:
        each = pending.pop()
        if isinstance(each, Secret):
            yield each
        elif isinstance(each, Mapping):
            pending.extend(each.values())
        elif isinstance(each, (list, tuple, set, frozenset)):
            pending.extend(each)
        elif hasattr(each, "__dict__") and not isinstance(each, type) and id(each) not in seen:
            seen.add(id(each))
            pending.extend(vars(each).values())
        elif hasattr(type(each), "__dataclass_fields__"):
            pending.extend(getattr(each, name, None) for name in type(each).__dataclass_fields__)


def _of_file(reference: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SecretUnavailable(f"secret {reference}: {error.strerror or type(error).__name__}") from None
    if len(data) > MAX_BYTES:
        raise SecretUnavailable(f"secret {reference}: the file has more than {MAX_BYTES // 1024} KiB")
    try:
        return data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise SecretUnavailable(f"secret {reference}: its value is no text in UTF-8") from None


def _refuse_here(reference: str) -> None:
    from mulligan.sdk.calls import CallBackend

    backend = RUNNING.get()
    if isinstance(backend, CallBackend):
        raise Refused(f"secret {reference}: the body of a workflow passes secrets on; reveal it in the task that needs it")
    if backend is None and not AMBIENT.reveals:
        raise Refused(f"secret {reference}: only a running attempt of a task reads it; outside there is the reference alone")


def _read(given: Any) -> Secret:
    if isinstance(given, Secret):
        return given
    alone = isinstance(given, dict) and set(given) == {"secret"}
    try:
        return Secret(given["secret"] if alone else "")
    except ConfigError:
        from pydantic_core import PydanticCustomError

        raise PydanticCustomError(
            INVALID, """a secret is given by reference, Secret("env:NAME") or as JSON {{"secret": "env:NAME"}}"""
        ) from None


def _written(secret: Any) -> dict[str, str]:
    assert isinstance(secret, Secret)  # noqa: S101 - checked before it is written
    return {"secret": secret.reference}
