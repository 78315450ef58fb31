"""Arguments and results: what may travel, and what is said of what may not."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple
from uuid import UUID

import pytest
from pydantic import BaseModel

from mulligan.core.errors import ArgumentsInvalid, ResultInvalid, TaskError, ValueTooLarge
from mulligan.core.submission import MAX_VALUE_BYTES
from mulligan.sdk.values import MAX_DIGITS, Arguments, Result, dump_any, load_any


class Colour(enum.Enum):
    RED = "red"
    TWO = 2


class Pair(NamedTuple):
    first: int
    second: str


@dataclasses.dataclass
class Point:
    x: float
    name: str = ""


class Model(BaseModel):
    limit: float | None
    points: list[Point] = []


def repr_of(value: Any) -> str:
    return "many digits" if isinstance(value, int) else repr(value)


def arguments(hint: Any) -> Arguments:
    return Arguments("task 'f'", {"x": hint}, frozenset())


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int, 2**70),
        (float, 1.5),
        (str, "grün \U0001f600 \\u0000 null NaN"),
        (bool, True),
        (int | None, None),
        (int | str, "1"),
        (list[int], [1, 2]),
        (tuple[int, str], (1, "a")),
        (set[int], {1, 2}),
        (dict[int, date], {1: date(2024, 2, 29)}),
        (bytes, b"abc"),
        (Decimal, Decimal("1.10")),
        (datetime, datetime(2024, 3, 7, 5, 6, 7, 89, tzinfo=UTC)),
        (timedelta, timedelta(days=1, microseconds=1)),
        (UUID, UUID(int=7)),
        (Path, Path("/data/x.parquet")),
        (Colour, Colour.TWO),
        (Pair, Pair(1, "b")),
        (Point, Point(1.0, "a")),
        (Model, Model(limit=None, points=[Point(2.0)])),
        (Literal["a", 1], 1),
        (Any, {"a": [1, None, "x"]}),
    ],
)
def test_a_value_comes_back_as_it_went(hint: Any, value: Any) -> None:
    assert arguments(hint).load(arguments(hint).dump({"x": value})) == {"x": value}
    result = Result("task 'f'", hint)
    assert result.load(result.dump(value)) == value


@pytest.mark.parametrize(
    ("hint", "value", "words"),
    [
        (int, "one", r"parameter 'x': .*integer, not 'one' \(str\)"),
        (int, True, "not True"),
        (int, 1.0, "not 1.0"),
        (list[int], ["a"], r"parameter 'x\.0'"),
        (list[int], (1, 2), "list"),
        (str, b"a", "bytes"),
        (Point, {"x": 1.0}, "Point"),
        (float, math.nan, "nan is no number"),
        (float, math.inf, "inf is no number"),
        (Any, {"deep": [{"er": math.nan}]}, "nan is no number"),
        (Any, Point(math.nan), "nan is no number"),
        (Model, Model(limit=math.nan), "nan is no number"),
        (dict[float, int], {math.nan: 1}, "nan is no number"),
        (Any, {"deep": {math.inf: 1}}, "inf is no number"),
        (Any, {1: "a", "1": "b"}, "two keys of a dict are the same in JSON, '1'"),
        (Any, [{True: "a", "true": "b"}], "two keys of a dict are the same in JSON, 'true'"),
        (dict[int | str, int], {7: 1, "7": 2}, "two keys of a dict are the same in JSON, '7'"),
        (Any, [10**MAX_DIGITS], "more than 4,300 digits"),
        (list[int], [-(10**MAX_DIGITS)], "more than 4,300 digits"),
        (str, "a\0b", "NUL"),
        (Any, {"a\0": 1}, "NUL"),
        (str, "a\ud800", "surrogate"),
        (Any, {"\udfff": 1}, "surrogate"),
        (Any, object(), "plain data"),
        (Any, print, "plain data"),
        (bytes, b"\xff", "JSON"),
        (dict[tuple[int, int], int], {(1, 2): 3}, "read back"),
    ],
)
def test_an_argument_that_cannot_travel_is_refused(hint: Any, value: Any, words: str) -> None:
    with pytest.raises(ArgumentsInvalid, match=words) as caught:
        arguments(hint).dump({"x": value})
    assert "task 'f'" in str(caught.value)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int, "one"),
        (float, math.nan),
        (str, "\0"),
        (Any, "\ud800"),
        (Any, object()),
        (None, 1),
        (Any, {1: 1, "1": 1}),
        (Model, Model(limit=math.inf)),
    ],
)
def test_a_result_that_cannot_travel_is_refused(hint: Any, value: Any) -> None:
    with pytest.raises(ResultInvalid, match="task 'f'"):
        Result("task 'f'", hint).dump(value)


@pytest.mark.parametrize(
    "value",
    [
        {1: "a", "2": "b"},
        {None: 1, "null": 2},
        10 ** (MAX_DIGITS - 1),
        1e16,
        -0.0,
        5e-324,
        "NaN None Infinity",
        {"None": 1, "NaN": 2},
        Decimal("1E+3"),
        {"b": {"a": 1}, "a": 2},
    ],
    ids=repr_of,
)
def test_what_has_no_type_hint_reads_the_same_each_time(value: Any) -> None:
    text = dump_any(value, "it")
    assert dump_any(load_any(text), "it") == text
    assert json.loads(text) == load_any(text)
    untyped = Result("task 'f'", Any)
    assert untyped.load(untyped.dump(value)) == untyped.load(untyped.dump(untyped.load(text)))


def test_what_cannot_be_read_back_is_no_checkpoint_either() -> None:
    for value in ([10**MAX_DIGITS], {1: "a", "1": "b"}, {math.nan: 1}):
        with pytest.raises(ArgumentsInvalid, match="checkpoint: "):
            dump_any(value, "checkpoint")


def test_what_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (loop, deep):
        with pytest.raises(ArgumentsInvalid, match=r"contains itself|nested too deeply"):
            arguments(Any).dump({"x": value})
        with pytest.raises(ArgumentsInvalid, match=r"contains itself|nested too deeply|recurs"):
            arguments(list[Any]).dump({"x": value})


def test_missing_and_unknown_arguments_are_named() -> None:
    two = Arguments("task 'f'", {"x": int, "y": int, "z": int}, frozenset({"z"}))
    assert two.load(two.dump({"x": 1, "y": 2})) == {"x": 1, "y": 2}
    with pytest.raises(ArgumentsInvalid, match="the argument 'y' is missing"):
        two.dump({"x": 1})
    with pytest.raises(ArgumentsInvalid, match=r"no parameter 'q'.*x, y, z"):
        two.dump({"x": 1, "y": 2, "q": 3})
    with pytest.raises(ArgumentsInvalid, match="no arguments"):
        Arguments("task 'f'", {}, frozenset()).dump({"q": 3})


def test_a_large_value_is_refused_with_its_size_and_a_way_out() -> None:
    fitting = "x" * (MAX_VALUE_BYTES - len('{"x":""}'))
    arguments(str).dump({"x": fitting})
    with pytest.raises(ValueTooLarge, match=r"256 KiB.*path or URI"):
        arguments(str).dump({"x": fitting + "x"})
    with pytest.raises(ValueTooLarge, match="977 KiB as JSON"):
        Result("task 'f'", Any).dump("x" * 1_000_000)


def test_an_error_shows_little_of_a_huge_value_and_survives_a_broken_repr() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    with pytest.raises(ArgumentsInvalid) as caught:
        arguments(int).dump({"x": "y" * 10_000_000})
    assert len(str(caught.value)) < 500
    with pytest.raises(ArgumentsInvalid, match="Broken"):
        arguments(int).dump({"x": Broken()})


def test_a_type_that_cannot_travel_is_refused_when_the_task_is_checked() -> None:
    class Frame:
        pass

    with pytest.raises(TaskError, match=r"parameter 'x'.*path"):
        arguments(Frame)
    with pytest.raises(TaskError, match="its result"):
        Result("task 'f'", Frame)


def test_a_hundred_thousand_small_arguments_are_checked_in_about_a_second() -> None:
    one = Arguments("task 'f'", {"x": int}, frozenset())
    started = time.process_time()
    for number in range(20_000):
        one.dump({"x": number})
    assert time.process_time() - started < 1.0  # five times as long as it should take
