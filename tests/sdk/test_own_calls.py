"""Where a failure came through: calls of the project's own code and the step, as they are read off a live exception."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from mulligan import Context
from mulligan.core.fingerprint import fingerprint
from mulligan.sdk.facts import failure_of
from mulligan.testing import context

HERE = __name__


def raised_by(f: Callable[[], object]) -> BaseException:
    try:
        f()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def load(text: str = "{") -> object:
    return json.loads(text)


def frames(f: Callable[[], object]) -> tuple[str, ...]:
    return failure_of(raised_by(f)).chain[0].frames


def test_calls_are_told_by_module_and_function_without_those_of_python_and_of_packages() -> None:
    assert frames(load) == (f"{HERE}.raised_by", f"{HERE}.load")


def test_the_five_innermost_are_told() -> None:
    def deeper(left: int) -> None:
        if not left:
            raise ValueError("here")
        deeper(left - 1)

    found = frames(lambda: deeper(9))
    assert len(found) == 5
    assert {each.rpartition(".")[2] for each in found} == {"deeper"}


def test_an_error_that_was_never_raised_came_through_nothing() -> None:
    assert failure_of(ValueError("x")).chain[0].frames == ()


def test_the_same_error_on_other_lines_has_the_same_cause() -> None:
    def one(place: int) -> None:
        if place == 1:
            raise ValueError("row 1")
        raise ValueError("row 2")

    first, second = (fingerprint(failure_of(raised_by(lambda place=place: one(place)))) for place in (1, 2))  # type: ignore[misc]
    assert first.cause == second.cause
    assert first.message != second.message


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_error_that_comes_out_of_a_step_tells_which(asynchronous: bool) -> None:
    async def later() -> object:
        return load()

    def work(ctx: Context) -> object:
        return asyncio.run(ctx.step(later)) if asynchronous else ctx.step(load, "{")  # type: ignore[arg-type]

    (facts,) = failure_of(raised_by(lambda: work(context()))).chain
    assert facts.step is not None
    assert facts.step.endswith("later" if asynchronous else "load")
    assert not any(each.startswith("mulligan") for each in facts.frames)


def test_an_error_outside_of_steps_tells_none_also_after_one() -> None:
    def work(ctx: Context) -> object:
        ctx.step(load, "1")
        return load()

    assert failure_of(raised_by(lambda: work(context()))).chain[0].step is None


def test_frames_that_lie_about_themselves_do_no_harm() -> None:
    code = compile("def f():\n    raise ValueError('x')\n", "<made>", "exec")
    names: dict[str, object] = {"__name__": 7}
    exec(code, names)  # noqa: S102 - a module that is none
    made: Callable[[], object] = names["f"]  # type: ignore[assignment]
    assert frames(made)[-1] == "7.f"
