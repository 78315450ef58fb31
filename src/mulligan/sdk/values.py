"""How values travel: checked against their type hints, written as JSON, and read back the same on the other side."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NotRequired

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError
from pydantic_core import PydanticSerializationError, from_json, to_json
from typing_extensions import TypedDict

from mulligan.core.errors import ArgumentsInvalid, MulliganError, ResultInvalid, SecretInClear, TaskError, ValueTooLarge
from mulligan.core.shown import shown
from mulligan.core.submission import MAX_VALUE_BYTES
from mulligan.sdk.ports import AMBIENT
from mulligan.sdk.secret import FORMAT, INVALID

_CONFIG = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=False)
_SUSPECTS = (b"null", b"NaN", b"Infinity", b'"None":', b'"nan":', b'inf":', b"\\u0000")
"""What the JSON of a value that must be refused contains; other values may contain it too."""
MAX_DIGITS = sys.int_info.default_max_str_digits
"""Longer whole numbers are not read back from JSON, neither by Python nor by pydantic."""

_typed_dict: Any = TypedDict  # its fields are known at run time only

Invalid = Callable[[str], MulliganError]


class Arguments:
    """The values that a task takes, as one JSON object; made of the type hints of its parameters."""

    def __init__(self, owner: str, hints: Mapping[str, Any], optional: frozenset[str]) -> None:
        self.owner = owner
        self.names = frozenset(hints)
        fields = {name: NotRequired[hint] if name in optional else hint for name, hint in hints.items()}
        shape = _typed_dict("Arguments", fields)
        shape.__pydantic_config__ = _CONFIG
        for name, hint in hints.items():
            _adapter(hint, f"{owner}, parameter {name!r}")
        self._adapter = _adapter(shape, owner)
        self.schema = _schema(self._adapter, owner)
        self.secret = FORMAT in self.schema
        """Whether secrets may be among them: then errors show no value that was given, since it may be one in the clear."""

    def dump(self, values: dict[str, Any]) -> str:
        """Check values, and return them as JSON; raises ArgumentsInvalid or ValueTooLarge."""
        try:
            checked = self._adapter.validate_python(values, strict=True)
        except ValidationError as error:
            raise ArgumentsInvalid(f"{self.owner}: {self._explain(error)}") from None
        except (RecursionError, UnicodeError) as error:
            raise ArgumentsInvalid(f"{self.owner}: the arguments cannot travel as JSON: {error}") from None
        text = _dump(self._adapter, checked, f"{self.owner}: the arguments", ArgumentsInvalid)
        self._must_load(text)
        return text

    def load(self, text: str) -> dict[str, Any]:
        """Return the values that a JSON object holds; raises ArgumentsInvalid where they do not fit the hints."""
        try:
            values: dict[str, Any] = self._adapter.validate_json(text, strict=True)
        except ValidationError as error:
            raise ArgumentsInvalid(f"{self.owner}: {self._explain(error)}") from None
        return values

    def _explain(self, error: ValidationError) -> str:
        return _explain(error, self.names, secret=self.secret)

    def _must_load(self, text: str) -> None:
        try:
            self._adapter.validate_json(text, strict=True)
        except ValidationError as error:
            raise ArgumentsInvalid(f"{self.owner}: a value cannot be read back from its JSON: {self._explain(error)}") from None


class Result:
    """What a function returns, checked against its return hint and written as JSON; no hint allows all that is JSON."""

    def __init__(self, owner: str, hint: Any) -> None:
        self.owner = owner
        self.hint = None if hint is type(None) else hint
        self._adapter = _adapter(hint, f"{owner}, its result")

    def dump(self, value: Any) -> str:
        """Check a value, and return it as JSON; raises ResultInvalid or ValueTooLarge."""
        if value is None and (self.hint is None or self.hint is Any):
            return "null"
        try:
            checked = self._adapter.validate_python(value, strict=True)
        except ValidationError as error:
            raise ResultInvalid(f"{self.owner}: its result does not fit the type hint: {_explain(error)}") from None
        except (RecursionError, UnicodeError) as error:
            raise ResultInvalid(f"{self.owner}: its result cannot travel as JSON: {error}") from None
        text = _dump(self._adapter, checked, f"{self.owner}: its result", ResultInvalid)
        if self.hint is not Any:
            self.load(text)
        return text

    def load(self, text: str) -> Any:
        """Return the value that a JSON text stands for; raises ResultInvalid where it does not fit the hint."""
        try:
            return self._adapter.validate_json(text, strict=True)
        except ValidationError as error:
            raise ResultInvalid(f"{self.owner}: what was saved does not fit the type hint: {_explain(error)}") from None


def dump_any(value: Any, what: str, invalid: Invalid = ArgumentsInvalid) -> str:
    """Return a value without a type hint as JSON, calling it `what` in errors."""
    return _dump(_ANY, value, what, invalid)


def load_any(text: str) -> Any:
    """Return what a JSON text stands for."""
    return from_json(text)


def check_text(text: str, what: str, invalid: Invalid = ArgumentsInvalid) -> None:
    """Refuse a text that no database keeps: one with NUL characters or lone surrogates."""
    if "\0" in text:
        raise invalid(f"{what}: {shown(text)} contains a NUL character; remove it, or encode it as base64")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise invalid(f"{what}: {ascii(text)[:80]} contains half a surrogate pair, which is no valid text") from None


def _adapter(hint: Any, what: str) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(hint)
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        reason = str(error).partition("\n")[0]
        raise TaskError(
            f"{what}: values of this type cannot travel as JSON ({reason}); pass a path, a URI or plain data instead"
        ) from None


def _schema(adapter: TypeAdapter[Any], owner: str) -> str:
    from mulligan.sdk.schema import Published

    try:
        return json.dumps(adapter.json_schema(schema_generator=Published), sort_keys=True)
    except PydanticUserError as error:
        reason = str(error).partition("\n")[0]
        raise TaskError(f"{owner}: a parameter has a type that cannot travel as JSON ({reason})") from None


def _dump(adapter: TypeAdapter[Any], value: Any, what: str, invalid: Invalid) -> str:
    try:
        data = adapter.dump_json(value, warnings="error")
    except (PydanticSerializationError, RecursionError, ValueError) as error:
        raise invalid(_refusal(error, what)) from None
    if len(data) > MAX_VALUE_BYTES:
        raise ValueTooLarge(
            f"{what}: {len(data) / 1024:,.0f} KiB as JSON, and at most {MAX_VALUE_BYTES // 1024} KiB travel; "
            "write the data to a file or an object store and pass its path or URI"
        )
    if any(suspect in data for suspect in _SUSPECTS):
        _inspect(adapter, value, data, what, invalid)
    _must_return(data, what, invalid)
    text = data.decode()
    if AMBIENT.mask:
        refuse_clear(text, what)
    return text


def refuse_clear(text: str, what: str) -> None:
    """Refuse JSON that holds the value of a secret which this process knows; hiding it would spoil what is to be read again."""
    reference = AMBIENT.mask.found(text)
    if reference is not None:
        raise SecretInClear(
            f"{what}: the value of secret {reference} is in it and would be stored in the clear; leave it out, and where a "
            f'task needs it pass Secret("{reference}") to a parameter annotated Secret, as JSON {{"secret": "{reference}"}}'
        )


def _must_return(data: bytes, what: str, invalid: Invalid) -> None:
    """Refuse JSON that readers do not understand, or that says less when it is read than was written."""
    try:
        same = to_json(from_json(data)) == data
    except ValueError as error:
        if "recursion" in str(error):
            raise invalid(f"{what}: a value is nested too deeply to travel as JSON") from None
        raise invalid(
            f"{what}: a whole number of more than {MAX_DIGITS:,} digits cannot be read back from JSON; pass it as text"
        ) from None
    if not same:
        json.loads(data, object_pairs_hook=lambda pairs: _each_once(pairs, what, invalid))
        raise invalid(f"{what}: a value does not come back from JSON as it went; pass plain data")


def _each_once(pairs: list[tuple[str, Any]], what: str, invalid: Invalid) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise invalid(
                f"{what}: two keys of a dict are the same in JSON, {key!r}, and one would be lost (keys become texts, "
                'so 1 and "1" are one key); make the keys all texts or all numbers'
            )
        seen.add(key)


def _refusal(error: Exception, what: str) -> str:
    text = str(error).removeprefix("Error serializing to JSON: ").partition("\n")[0]
    if "surrogate" in text:
        return f"{what}: a text contains half a surrogate pair, which is no valid text"
    if "Circular" in text or "depth" in text or isinstance(error, RecursionError):
        return f"{what}: a value contains itself, or is nested too deeply to travel as JSON"
    return f"{what}: cannot travel as JSON ({text}); pass plain data, a path or a URI"


def _inspect(adapter: TypeAdapter[Any], value: Any, data: bytes, what: str, invalid: Invalid) -> None:
    """Look closer at a value whose JSON looks suspicious: JSON knows no NaN, and writes null for it."""
    for leaf in _leaves(adapter.dump_python(value)):
        if isinstance(leaf, (float, Decimal)) and not math.isfinite(leaf):
            raise invalid(f"{what}: {leaf} is no number that JSON can carry; pass None or leave it out")
    if b"\\u0000" in data:
        for leaf in _leaves(json.loads(data)):
            if isinstance(leaf, str):
                check_text(leaf, what, invalid)


def _leaves(value: Any) -> Iterator[Any]:
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, Mapping):
            pending.extend(each.keys())
            pending.extend(each.values())
        elif isinstance(each, (list, tuple, set, frozenset)):
            pending.extend(each)
        elif hasattr(each, "__dataclass_fields__") and not isinstance(each, type):
            pending.extend(vars(each).values() if hasattr(each, "__dict__") else ())
        else:
            yield each


def _explain(error: ValidationError, parameters: frozenset[str] | None = None, *, secret: bool = False) -> str:
    problems = error.errors(include_url=False, include_context=False)
    secret = secret or any(each["type"] == INVALID for each in problems)
    texts = [_problem(each["type"], each["loc"], each["msg"], each["input"], parameters, secret) for each in problems[:3]]
    if len(problems) > 3:
        texts.append(f"and {len(problems) - 3} more")
    return "; ".join(texts)


def _problem(
    kind: str, place: tuple[int | str, ...], message: str, given: Any, parameters: frozenset[str] | None, secret: bool
) -> str:
    path = ".".join(str(each) for each in place)
    if parameters is not None and len(place) == 1:
        if kind == "missing":
            return f"the argument {path!r} is missing"
        if kind == "extra_forbidden":
            return f"there is no parameter {path!r} (it takes {', '.join(sorted(parameters)) or 'no arguments'})"
    where = "" if not path else f"parameter {path!r}: " if parameters is not None else f"at {path}: "
    return f"{where}{message}, not {f'a {type(given).__name__}' if secret else f'{shown(given)} ({type(given).__name__})'}"


_ANY: TypeAdapter[Any] = TypeAdapter(Any)
