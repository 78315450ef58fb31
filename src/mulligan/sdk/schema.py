"""JSON schemas of arguments: published as strictly as pydantic reads them, and checked where the task's code is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any, cast
from uuid import UUID

from pydantic import AnyUrl, TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from mulligan.core.shown import shown

_FORMATS: dict[str, Any] = {
    "date": date,
    "date-time": datetime,
    "time": time,
    "duration": timedelta,
    "decimal": Decimal,
    "uuid": UUID,
    "uri": AnyUrl,
    "ipv4": IPv4Address,
    "ipv6": IPv6Address,
    "ipv4network": IPv4Network,
    "ipv6network": IPv6Network,
    "ipv4interface": IPv4Interface,
    "ipv6interface": IPv6Interface,
}
"""What a text of a format is read as."""
_SECRET = "secret-reference"  # noqa: S105 - a name, not a value
"""Where secrets may be given, errors show no value that was given: it may be one in the clear."""
_KEYS: dict[str, Any] = {"integer": int, "number": float, "boolean": bool}
"""Keys of JSON objects are texts: what stands in them is told by a format `KIND-key`."""
_EXAMPLES = {
    "date": "a date such as '2024-03-07'",
    "date-time": "a time such as '2024-03-07T06:00:00Z'",
    "time": "a time of day such as '06:00:00'",
    "duration": "a duration such as 'PT15M'",
    "decimal": "a decimal number such as '1.50'",
    _SECRET: "a secret by reference such as {'secret': 'env:NAME'}",
}
_BOUNDS: dict[str, tuple[str, str, Callable[[Any, Any], bool]]] = {
    "ge": ("formatMinimum", "at least", lambda value, bound: value >= bound),
    "gt": ("formatExclusiveMinimum", "more than", lambda value, bound: value > bound),
    "le": ("formatMaximum", "at most", lambda value, bound: value <= bound),
    "lt": ("formatExclusiveMaximum", "less than", lambda value, bound: value < bound),
}
"""Bounds of what travels as text, by the names that pydantic and validators of JSON schemas give them."""
_SIZES = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
    "multipleOf": "a multiple of",
}


class Published(GenerateJsonSchema):
    """Makes the schema that is published of arguments; adds what pydantic checks but does not put into its own schemas."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        number = super().decimal_schema(schema)["anyOf"][0]
        return {"anyOf": [number, {"type": "string", "format": "decimal", **_bounds(schema, Decimal)}]}

    def date_schema(self, schema: core_schema.DateSchema) -> JsonSchemaValue:
        return {**super().date_schema(schema), **_bounds(schema, date)}

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        return {**super().datetime_schema(schema), **_bounds(schema, datetime)}

    def time_schema(self, schema: core_schema.TimeSchema) -> JsonSchemaValue:
        return {**super().time_schema(schema), **_bounds(schema, time)}

    def timedelta_schema(self, schema: core_schema.TimedeltaSchema) -> JsonSchemaValue:
        return {**super().timedelta_schema(schema), **_bounds(schema, timedelta)}

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        made = super().enum_schema(schema)
        made.pop("type", None)  # its members say it, and pydantic takes what equals one
        return made

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        made = super().dict_schema(schema)
        keys = self.resolve_ref_schema(self.generate_inner(schema["keys_schema"])) if "keys_schema" in schema else {}
        if keys.get("type") in _KEYS and "enum" not in keys:
            made["propertyNames"] = {"format": f"{keys['type']}-key"}
        return made


def problems(schema: str, value: Any) -> list[tuple[tuple[Any, ...], str]]:
    """Return what is wrong with a value of JSON: where, and what was expected instead; nothing where it fits."""
    checker = _checker(schema)
    found = sorted(checker.iter_errors(value), key=lambda each: [str(step) for step in each.absolute_path])
    wrong = [_problem(checker.schema, error) for error in found]
    return wrong if _SECRET not in schema else [(place, said.partition(", not ")[0]) for place, said in wrong]


def _bounds(schema: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    given = {keyword: schema[name] for name, (keyword, _, _) in _BOUNDS.items() if schema.get(name) is not None}
    return {keyword: adapter.dump_python(adapter.validate_python(bound), mode="json") for keyword, bound in given.items()}


@lru_cache(maxsize=64)
def _checker(schema: str) -> Any:
    import json

    return _dialect()(json.loads(schema), format_checker=_format_checker())


@cache
def _dialect() -> Any:
    """Return JSON Schema as pydantic reads JSON: `1.0` is no integer, what equals a member is one, a tag chooses one branch."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    keywords = Draft202012Validator.VALIDATORS
    bounds = {keyword: _bound_check(words, holds) for keyword, words, holds in _BOUNDS.values()}
    own = {
        "enum": _enum,
        "const": lambda checker, only, *rest: _enum(checker, [only], *rest),
        "oneOf": _one_of(keywords["anyOf"]),
    }
    return extend(Draft202012Validator, {**own, "pattern": _pattern(keywords["pattern"]), **bounds}, type_checker=types)


@cache
def _format_checker() -> Any:
    from jsonschema import FormatChecker

    checker = FormatChecker(formats=())
    for name, kind in _FORMATS.items():
        checker.checks(name)(_reader(kind, lambda text: text))
    for name, kind in _KEYS.items():
        checker.checks(f"{name}-key")(_reader(cast("Any", dict)[kind, Any], lambda text: {text: None}))
    return checker


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(_FORMATS[name])


def _reader(kind: Any, put: Callable[[str], Any]) -> Callable[[object], bool]:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    def reads(text: object) -> bool:
        return not isinstance(text, str) or _read(adapter, put(text)) is not None

    return reads


def _read(adapter: TypeAdapter[Any], value: Any) -> Any:
    import json

    try:
        return adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return None


def _bound_check(words: str, holds: Callable[[Any, Any], bool]) -> Any:
    from jsonschema import ValidationError as Problem

    def check(_: Any, bound: Any, value: Any, schema: dict[str, Any]) -> Iterator[Problem]:
        adapter = _adapter(schema["format"])
        limit, given = _read(adapter, bound), _read(adapter, value) if isinstance(value, str) else None
        try:
            fits = given is None or holds(given, limit)
        except TypeError:  # one of them has a time zone: the task's code says what it makes of that
            fits = True
        if not fits:
            yield Problem(f"{words} {bound!r}")

    return check


def _enum(_: Any, allowed: list[Any], value: Any, __: Any) -> Iterator[Any]:
    from jsonschema import ValidationError as Problem

    if value not in allowed:
        yield Problem("")


def _one_of(any_of: Any) -> Any:
    """Where a tag tells the branches apart it must be there and chooses one; without one, pydantic takes any that fits."""

    def check(checker: Any, branches: list[Any], value: Any, schema: dict[str, Any]) -> Iterator[Any]:
        tag = schema.get("discriminator")
        if tag is None or not isinstance(value, dict):
            yield from any_of(checker, branches, value, schema)
            return
        name, mapping = tag["propertyName"], tag["mapping"]
        branch = mapping.get(str(value.get(name)))
        chosen = {"$ref": branch} if branch else {"properties": {name: {"enum": list(mapping)}}}
        yield from checker.descend(value, {"required": [name], **chosen})

    return check


def _pattern(check: Any) -> Any:
    import re

    def checked(checker: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
        try:
            yield from check(checker, pattern, value, schema)
        except re.error:  # pydantic knows other patterns than Python: left to the task's code
            return

    return checked


def _problem(root: dict[str, Any], error: Any) -> tuple[tuple[Any, ...], str]:
    """Say one error: in a union that of the branch which came furthest, where one did."""
    if error.validator in ("anyOf", "oneOf"):
        deepest = max(error.context, key=lambda each: len(each.relative_path), default=None)
        if deepest is not None and deepest.relative_path:
            return _problem(root, deepest)
    place = tuple(error.absolute_path)
    if error.validator == "required":
        missing = sorted(set(error.validator_value) - set(error.instance))
        return place, f"{', '.join(map(repr, missing))} is missing"
    if error.validator == "additionalProperties" and error.validator_value is False:
        known = error.schema.get("properties", {})
        extra = sorted(set(error.instance) - set(known))
        return place, f"there is no field {extra[0]!r} (it takes {', '.join(known) or 'none'})"
    return place, f"expected {_expected(root, error)}, not {shown(error.instance)} ({type(error.instance).__name__})"


def _expected(root: dict[str, Any], error: Any) -> str:
    keyword, value = error.validator, error.validator_value
    if keyword in _SIZES:
        return f"{_SIZES[keyword]} {value}"
    if keyword in (each for each, _, _ in _BOUNDS.values()):
        return cast("str", error.message)
    match keyword:
        case "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties":
            return f"{'at least' if keyword.startswith('min') else 'at most'} {value} {_counted(keyword)}"
        case "pattern":
            return f"a text that matches {value!r}"
        case "uniqueItems":
            return "each element once"
        case "items" | "unevaluatedItems":
            return f"a list of {len(error.schema.get('prefixItems', ()))}"
        case _:
            return _named(root, error.schema)


def _counted(keyword: str) -> str:
    return {"Items": "elements", "Length": "characters"}.get(keyword[3:], "fields")


def _named(root: dict[str, Any], schema: Any) -> str:
    """Say what a schema takes."""
    if not isinstance(schema, dict):
        return "something else"
    if "$ref" in schema:
        return _named(root, root.get("$defs", {}).get(schema["$ref"].rpartition("/")[2]))
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(_named(root, each) for each in schema[union]))
    if "enum" in schema or "const" in schema:
        allowed = schema.get("enum", [schema.get("const")])
        return ("one of " if len(allowed) > 1 else "") + ", ".join(map(repr, allowed))
    if "format" in schema:
        kind = str(schema["format"])
        return _EXAMPLES.get(
            kind, f"{kind.removesuffix('-key')} as text" if kind.endswith("-key") else f"a text in the form of {kind}"
        )
    return str(schema.get("type", "another value"))
