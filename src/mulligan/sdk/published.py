"""Arguments for a task that is known by its published definition alone, without its code."""

from __future__ import annotations

import json
from typing import Any

from mulligan.core.definition import Definition
from mulligan.core.errors import ArgumentsInvalid, ValueTooLarge
from mulligan.core.submission import MAX_VALUE_BYTES
from mulligan.sdk.values import dump_any

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
    "null": (type(None),),
}


def arguments_of(definition: Definition, values: dict[str, Any]) -> str:
    """Check arguments by name against a published schema, and return them as JSON.

    Names and plain JSON types are checked here, everything else when the task's code reads them. Raises ArgumentsInvalid.
    """
    schema = json.loads(definition.parameters)
    known: dict[str, Any] = schema.get("properties", {})
    where = f"task {definition.name!r}"
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ArgumentsInvalid(f"{where} has no parameter {unknown[0]!r}; it takes {', '.join(known) or 'none'}")
    missing = [name for name in schema.get("required", []) if name not in values]
    if missing:
        raise ArgumentsInvalid(f"{where} needs {', '.join(missing)}")
    for name, value in values.items():
        _check_type(where, name, value, known[name])
    text = dump_any(values, f"{where}, its arguments")
    if len(text) > MAX_VALUE_BYTES:
        raise ValueTooLarge(
            f"{where}: its arguments take {len(text):,} bytes, {MAX_VALUE_BYTES:,} are allowed: pass a path or URI"
        )
    return text


def _check_type(where: str, name: str, value: Any, schema: dict[str, Any]) -> None:
    kind = schema.get("type")
    allowed = _TYPES.get(kind) if isinstance(kind, str) else None
    if allowed is None:
        return
    wrong = not isinstance(value, allowed) or (isinstance(value, bool) and kind in ("integer", "number"))
    if wrong:
        raise ArgumentsInvalid(f"{where}, parameter {name!r}: expected {kind}, not {value!r}")
