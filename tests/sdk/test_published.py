"""Arguments by published name: accepted exactly when the task's own function accepts them, and refused with what is expected."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import re
import time as clock
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypeAlias
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag
from typing_extensions import TypedDict

from mulligan import Context, task
from mulligan.core.definition import Definition
from mulligan.core.errors import ArgumentsInvalid, ValueTooLarge
from mulligan.sdk.published import arguments_of
from mulligan.sdk.values import Arguments


@task
def plain(ctx: Context) -> None: ...


class Colour(enum.Enum):
    RED = "red"
    TWO = 2


class Level(enum.IntEnum):
    LOW = 1


class Pair(NamedTuple):
    first: int
    second: str = ""


class Row(TypedDict):
    day: date
    note: NotRequired[str]


@dataclasses.dataclass
class Point:
    x: float
    name: str = ""


class Small(BaseModel):
    kind: Literal["small"] = "small"
    size: int = Field(ge=1, lt=10)


class Large(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["large"]
    parts: list[Small] = []


class Numbered(BaseModel):
    kind: Literal[1]


class Lettered(BaseModel):
    kind: Literal["b"]


class Tree(BaseModel):
    value: int
    below: list[Tree] = []


def _by_type(value: Any) -> str:
    return "text" if isinstance(value, str) else "number"


Tagged: TypeAlias = Annotated[Small | Large, Field(discriminator="kind")]
Chosen: TypeAlias = Annotated[Annotated[str, Tag("text")] | Annotated[int, Tag("number")], Discriminator(_by_type)]

HINTS: dict[str, Any] = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "bytes": bytes,
    "None": None,
    "Any": Any,
    "date": date,
    "datetime": datetime,
    "time": time,
    "timedelta": timedelta,
    "Decimal": Decimal,
    "UUID": UUID,
    "Path": Path,
    "IPv4Address": IPv4Address,
    "Colour": Colour,
    "Level": Level,
    "Pair": Pair,
    "Row": Row,
    "Point": Point,
    "Small": Small,
    "Large": Large,
    "Tree": Tree,
    "Tagged": Tagged,
    "Mixed": Annotated[Numbered | Lettered, Field(discriminator="kind")],
    "Chosen": Chosen,
    "list[int]": list[int],
    "list[Point]": list[Point],
    "list[date | None]": list[date | None],
    "Sequence[float]": Sequence[float],
    "tuple[int, str]": tuple[int, str],
    "tuple[int, ...]": tuple[int, ...],
    "dict": dict,
    "dict[str, int]": dict[str, int],
    "dict[int, str]": dict[int, str],
    "dict[float, Any]": dict[float, Any],
    "dict[bool, Any]": dict[bool, Any],
    "dict[date, int]": dict[date, int],
    "dict[Colour, int]": dict[Colour, int],
    "dict[Literal, int]": dict[Literal["a", "b"], int],
    "Mapping[str, list[int]]": Mapping[str, list[int]],
    "Literal": Literal["a", 1, True],
    "int | None": int | None,
    "int | str": int | str,
    "date | int | None": date | int | None,
    "bounded int": Annotated[int, Field(ge=3, lt=9, multiple_of=2)],
    "bounded float": Annotated[float, Field(gt=0, le=2.5)],
    "bounded list": Annotated[list[int], Field(min_length=1, max_length=2)],
    "bounded dict": Annotated[dict[str, int], Field(max_length=1)],
    "short str": Annotated[str, Field(min_length=2, max_length=3)],
    "pattern": Annotated[str, Field(pattern=r"^[a-c]+$")],
    "bounded date": Annotated[date, Field(ge=date(2024, 3, 1), lt=date(2024, 4, 1))],
    "bounded timedelta": Annotated[timedelta, Field(le=timedelta(minutes=15))],
    "bounded Decimal": Annotated[Decimal, Field(gt=1)],
}

CANDIDATES: list[Any] = [
    *(None, True, False, 0, 1, 2, 4, -1, 8, 9, 2**70, 0.0, 1.0, 1.5, 2.5, 2.6, -0.5, 1e300),
    *("", "a", "ab", "abc", "abcd", "b", "red", "1", "2", "1.5", "true", "TRUE", "null", "NaN", "1e3", "1E+3", "-0", "0x1", " 1"),
    *("2024-03-07", "2024-02-30", "2024-3-7", "2024-04-01", "20240307", "2024-03-07T06:00:00", "2024-03-07T06:00:00Z"),
    *("2024-03-07 06:00", "2024-03-07T06:00:00+01:00", "2024-03-07T25:00", "2024-03-07T00:00:00", "1709791200"),
    *("06:00", "06:00:00.5", "06:00Z", "24:00", "PT15M", "PT15M1S", "P1D", "-PT1S", "15m", "P1DT", "00:10:00", "3 days"),
    *("00000000-0000-0000-0000-000000000007", "00000000000000000000000000000007", "{7}", "127.0.0.1", "127.0.0", "::1"),
    *([], [1], [1, 2], [1, 2, 3], [1.0], [1, "a"], ["a", 1], [1, "a", 2], [True], [None], ["2024-03-07", None], [[1]]),
    *([{"x": 1}], [{"x": "1"}], [{"x": 1.5, "name": "a"}], {}, {"a": 1}, {"a": 1, "b": 2}, {"1": "a"}, {"1.0": "a"}),
    *({"x": 1}, {"x": 1, "y": 2}, {"x": None}, {"true": 1}, {"2024-03-07": 1}, {"red": 1}, {"2": 1}, {"a": [1]}, {"a": ["1"]}),
    *({"day": "2024-03-07"}, {"day": "2024-03-07", "note": "n"}, {"day": "2024-03-07", "other": 1}, {"day": 1}, {"note": "n"}),
    *({"size": 3}, {"size": 10}, {"kind": "small", "size": 3}, {"kind": "small", "size": 0}, {"kind": "large"}),
    *({"kind": "huge"}, {"kind": 1}, {"kind": "b"}),
    *({"kind": "large", "parts": [{"size": 1}]}, {"kind": "large", "parts": [{"size": 0}]}, {"kind": "large", "more": 1}),
    *({"value": 1}, {"value": 1, "below": [{"value": 2, "below": [{"value": 3}]}]}, {"value": 1, "below": [{"value": "2"}]}),
]


def made(hint: Any) -> tuple[Arguments, Definition]:
    own = Arguments("task 'f'", {"x": hint}, frozenset())
    return own, dataclasses.replace(plain.definition(), name="f", parameters=own.schema)


@cache
def made_once(name: str) -> tuple[Arguments, Definition]:
    return made(HINTS[name])


def by_name(definition: Definition, value: Any) -> str | None:
    try:
        return arguments_of(definition, {"x": value})
    except ArgumentsInvalid:
        return None


def reads(own: Arguments, value: Any) -> bool:
    try:
        own.load(json.dumps({"x": value}))
    except ArgumentsInvalid:
        return False
    return True


@pytest.mark.parametrize("name", HINTS)
def test_what_is_accepted_by_name_is_what_the_task_s_code_can_read(name: str) -> None:
    own, definition = made_once(name)
    differing = [each for each in CANDIDATES if (by_name(definition, each) is not None) is not reads(own, each)]
    assert differing == []
    accepted = [each for each in CANDIDATES if reads(own, each)]
    assert accepted, "the table holds nothing for this hint"
    assert len(accepted) < len(CANDIDATES) or HINTS[name] is Any


JSON = st.recursive(
    st.sampled_from([each for each in CANDIDATES if not isinstance(each, (list, dict))]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["x", "name", "kind", "size", "parts", "value", "below", "day", "1", "a"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(HINTS)), value=JSON)
def test_any_json_is_accepted_by_name_exactly_when_the_task_s_code_can_read_it(name: str, value: Any) -> None:
    own, definition = made_once(name)
    assert (by_name(definition, value) is not None) is reads(own, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("date", date(2024, 3, 7)),
        ("datetime", datetime(2024, 3, 7, 6, tzinfo=UTC)),
        ("datetime", datetime(2024, 3, 7, 6, 0, 0, 5)),  # noqa: DTZ001 - what has no zone travels too
        ("time", time(6, 30)),
        ("timedelta", timedelta(days=1, microseconds=1)),
        ("Decimal", Decimal("1.10")),
        ("Decimal", Decimal("1E+30")),
        ("UUID", UUID(int=7)),
        ("Path", Path("/data")),
        ("bytes", b"abc"),
        ("Colour", Colour.TWO),
        ("Level", Level.LOW),
        ("Pair", Pair(1, "b")),
        ("Row", {"day": date(2024, 3, 7)}),
        ("Point", Point(1.0, "a")),
        ("Large", Large(kind="large", parts=[Small(size=2)])),
        ("Tree", Tree(value=1, below=[Tree(value=2)])),
        ("Tagged", Small(size=3)),
        ("list[date | None]", [date(2024, 3, 7), None]),
        ("tuple[int, str]", (1, "a")),
        ("dict[int, str]", {1: "a"}),
        ("dict[date, int]", {date(2024, 3, 7): 1}),
        ("date | int | None", date(2024, 3, 7)),
        ("bounded date", date(2024, 3, 31)),
        ("bounded timedelta", timedelta(minutes=15)),
        ("bounded Decimal", Decimal("1.01")),
    ],
)
def test_python_values_travel_the_same_by_name_as_by_the_function(name: str, value: Any) -> None:
    own, definition = made(HINTS[name])
    assert by_name(definition, value) == own.dump({"x": value})


@pytest.mark.parametrize(
    ("hint", "value", "words"),
    [
        (int, "1", "parameter 'x': expected integer, not '1' (str)"),
        (int, True, "expected integer, not True (bool)"),
        (date, "2024-02-30", "expected a date such as '2024-03-07', not '2024-02-30' (str)"),
        (timedelta, "15m", "expected a duration such as 'PT15M', not '15m'"),
        (UUID, "7", "expected a text in the form of uuid, not '7'"),
        (Colour, "blue", "expected one of 'red', 2, not 'blue'"),
        (Literal["a"], "b", "expected 'a', not 'b'"),
        (int | None, "1", "expected integer or null, not '1'"),
        (Colour | date, 5, "expected one of 'red', 2 or a date such as '2024-03-07', not 5"),
        (list[int], [1, "2"], "parameter 'x.1': expected integer, not '2'"),
        (list[int] | None, [1, "2"], "parameter 'x.1': expected integer, not '2'"),
        (tuple[int, str], [1, "a", 2], "expected at most 2 elements"),
        (Point, {"name": "a"}, "parameter 'x': 'x' is missing"),
        (Large, {"kind": "large", "more": 1}, "there is no field 'more' (it takes kind, parts)"),
        (Large, {"kind": "large", "parts": [{"size": 0}]}, "parameter 'x.parts.0.size': expected at least 1, not 0"),
        (Tagged, {"size": 3}, "'kind' is missing"),
        (Tagged, {"kind": "huge"}, "parameter 'x.kind': expected one of 'large', 'small', not 'huge'"),
        (Tagged, {"kind": "small", "size": 0}, "parameter 'x.size': expected at least 1"),
        (dict[int, str], {"one": "a"}, "expected integer as text, not 'one'"),
        (Annotated[int, Field(multiple_of=2)], 3, "expected a multiple of 2, not 3"),
        (Annotated[str, Field(pattern="^a$")], "b", "expected a text that matches '^a$', not 'b'"),
        (Annotated[str, Field(max_length=2)], "abc", "expected at most 2 characters, not 'abc'"),
        (Annotated[dict[str, int], Field(max_length=1)], {"a": 1, "b": 2}, "expected at most 1 fields"),
        (Annotated[date, Field(ge=date(2024, 3, 1))], "2024-02-01", "expected at least '2024-03-01', not '2024-02-01'"),
        (set[int], [1, 1], "expected each element once"),
        (dict[str, int], {"a": "1", "b": "2", "c": "3", "d": "4"}, "and 1 more"),
    ],
)
def test_a_refusal_names_the_parameter_what_it_is_and_what_it_should_be(hint: Any, value: Any, words: str) -> None:
    with pytest.raises(ArgumentsInvalid, match=re.escape(words)) as caught:
        arguments_of(made(hint)[1], {"x": value})
    assert "task 'f'" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "no number that JSON can carry"),
        ({math.nan: 1}, "no number that JSON can carry"),
        ({1: "a", "1": "b"}, "two keys of a dict are the same in JSON, '1'"),
        ([10**4300], "more than 4,300 digits"),
        ("a\0", "NUL"),
        (object(), "plain data"),
    ],
)
def test_a_value_that_would_not_come_back_is_refused_by_name_too(value: Any, words: str) -> None:
    with pytest.raises(ArgumentsInvalid, match=re.escape(words)):
        arguments_of(made(Any)[1], {"x": value})


def test_a_large_value_is_refused_by_name_too() -> None:
    with pytest.raises(ValueTooLarge, match="path or URI"):
        arguments_of(made(str)[1], {"x": "a" * 300_000})


def test_a_pattern_that_only_pydantic_understands_is_left_to_the_task() -> None:
    own, definition = made(Annotated[str, Field(pattern=r"^\p{Lu}$")])
    assert by_name(definition, "A") == own.dump({"x": "A"})


def test_checking_by_name_is_quick_after_the_first_time() -> None:
    definition = made(Large)[1]
    arguments_of(definition, {"x": {"kind": "large"}})
    started = clock.process_time()
    for _ in range(200):
        arguments_of(definition, {"x": {"kind": "large", "parts": [{"size": 1}]}})
    assert clock.process_time() - started < 1.0
