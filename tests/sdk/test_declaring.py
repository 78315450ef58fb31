"""Declaring tasks: what is checked, and what is published."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

import mulligan
from mulligan import BATCH, PERMANENT, TRANSIENT, Context, FailureClass, Policy, Window, task
from mulligan.core.definition import definition_from_json, definition_to_json
from mulligan.core.errors import ConfigError, PolicyError, TaskError
from mulligan.sdk.ports import AMBIENT
from mulligan.sdk.task import AsyncTask, Task


class SchemaChanged(Exception):
    pass


@task(
    name="flight-delays",
    retries=BATCH,
    timeout="15m",
    total_timeout="48h",
    heartbeat_timeout=timedelta(minutes=1),
    uses=["object-store"],
    offline=True,
    online=False,
    idempotent=True,
    classify={SchemaChanged: PERMANENT, "requests.exceptions.ConnectionError": "TRANSIENT", 3: TRANSIENT},
    concurrency=4,
    priority=1,
    resources={"memory": "2GB"},
    runbook="https://example.org/runbook",
)
def flight_delays(anything: Context, window: Window, region: str, limit: int = 3) -> int:
    return limit


@task
def simple(x: int) -> int:
    """Double a number."""
    return doubled(x)


@task
async def simple_async(x: int) -> int:
    return x


def doubled(x: int) -> int:
    return x * 2


def plain_function() -> None: ...


def test_all_options_are_published() -> None:
    published = flight_delays.definition()
    assert published.name == flight_delays.name == "flight-delays"
    assert published.module == __name__
    assert published.file == __file__
    assert published.policy == BATCH
    assert (published.timeout_s, published.total_timeout_s, published.heartbeat_timeout_s) == (900, 172800, 60)
    assert (published.offline, published.online, published.idempotent) == (True, False, True)
    assert published.uses == ("object-store",)
    assert published.classify == (
        (f"{__name__}.SchemaChanged", FailureClass.PERMANENT),
        ("requests.exceptions.ConnectionError", FailureClass.TRANSIENT),
        ("exit:3", FailureClass.TRANSIENT),
    )
    assert (published.concurrency, published.priority, published.memory_bytes) == (4, 1, 2_000_000_000)
    assert (published.context, published.window, published.executor) == ("anything", "window", "process")
    assert '"region"' in published.parameters
    assert '"window"' not in published.parameters
    assert definition_from_json(definition_to_json(published)) == published


def test_a_bare_task_declares_nothing_but_its_name() -> None:
    published = simple.definition()
    assert published.name == "simple"
    assert published.policy == Policy()
    assert (published.offline, published.online, published.idempotent, published.timeout_s) == (None, None, None, None)
    assert (published.context, published.window, published.priority) == (None, None, 3)
    assert simple_async.definition().executor == "async"


def test_a_task_still_looks_like_its_function() -> None:
    assert simple.__doc__ == "Double a number."
    assert simple.__name__ == "simple"
    assert simple.fn(4) == simple(4) == 8
    assert isinstance(simple, Task)
    assert isinstance(simple_async, AsyncTask)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "a b"}, "name"),
        ({"name": ""}, "name"),
        ({"name": 3}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"timeout": 0}, "timeout: must be longer"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": "soon"}, "timeout"),
        ({"timeout": 1e300}, "timeout.*ten years"),
        ({"total_timeout": float("nan")}, "total_timeout"),
        ({"heartbeat_timeout": True}, "heartbeat_timeout"),
        ({"uses": "warehouse"}, "uses"),
        ({"uses": [3]}, "uses"),
        ({"uses": ["a", "a"]}, "uses.*twice"),
        ({"offline": "yes"}, "offline"),
        ({"classify": {int: TRANSIENT}}, "classify"),
        ({"classify": {"a b": TRANSIENT}}, "classify"),
        ({"classify": {256: TRANSIENT}}, "classify"),
        ({"classify": {ValueError: "SOMETIMES"}}, "classify.*SOMETIMES"),
        ({"classify": 3}, "classify"),
        ({"concurrency": 0}, "concurrency"),
        ({"priority": 6}, "priority"),
        ({"priority": True}, "priority"),
        ({"resources": {"gpu": 1}}, "resources"),
        ({"resources": {"memory": "lots"}}, "resources.*'2GB'"),
        ({"resources": {"memory": 0}}, "resources"),
        ({"executor": "magic"}, "executor"),
        ({"executor": "async"}, "executor.*plain"),
        ({"runbook": ""}, "runbook"),
    ],
)
def test_a_wrong_option_is_refused_where_it_is_declared(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        task(**options)(plain_function)
    assert "task" in str(caught.value)


def test_a_wrong_policy_keeps_its_kind_and_names_the_task() -> None:
    with pytest.raises(PolicyError, match=r"task 'plain_function', retries.*negative"):
        task(retries=-1)(plain_function)


def test_an_option_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match="retires"):
        task(retires=2)


@pytest.mark.parametrize("given", [2, "name", Context, print, flight_delays])
def test_only_functions_become_tasks(given: Any) -> None:
    with pytest.raises(TaskError, match="declares functions"):
        task(given)


@pytest.mark.parametrize(
    ("size", "expected"), [("2GB", 2 * 10**9), ("1.5GiB", 1610612736), ("512 MB", 512 * 10**6), ("7", 7), (4096, 4096)]
)
def test_memory_is_read_in_the_usual_units(size: Any, expected: int) -> None:
    assert task(resources={"memory": size})(plain_function).declared.options.memory_bytes == expected


def test_hints_are_read_only_when_needed_and_the_one_that_fails_is_named() -> None:
    def uses_unknown(x: Missing) -> int:  # noqa: F821
        return 1

    declared = task(uses_unknown)
    with pytest.raises(TaskError, match=r"task 'uses_unknown'.*'Missing' of parameter 'x'.*TYPE_CHECKING"):
        declared.check()


def refused(fn: Any) -> str:
    with pytest.raises(TaskError) as caught:
        task(fn).check()
    return str(caught.value)


def test_parameters_that_cannot_be_filled_by_name_are_refused() -> None:
    def many(*xs: int) -> None: ...
    def any_name(**xs: int) -> None: ...
    def by_position(x: int, /) -> None: ...

    assert "'xs' takes any number" in refused(many)
    assert "'xs' takes arguments of any name" in refused(any_name)
    assert "'x' is positional only" in refused(by_position)


def test_context_and_window_must_be_annotated_plainly_and_once() -> None:
    def unannotated(ctx) -> None: ...
    def optional(window: Window | None) -> None: ...
    def twice(one: Window, other: Window) -> None: ...
    def generator() -> Any:
        yield 1

    assert "ctx: Context" in refused(unannotated)
    assert "'window' with Context or Window itself" in refused(optional)
    assert "one and other" in refused(twice)
    assert "generator" in refused(generator)


def test_a_type_that_cannot_travel_is_refused_by_its_parameter() -> None:

    class Frame: ...

    def takes_frame(frame: Frame) -> None: ...

    takes_frame.__annotations__["frame"] = Frame
    assert "parameter 'frame'" in refused(takes_frame)


def test_the_tasks_own_classifier_is_asked_and_cannot_do_harm(capsys: pytest.CaptureFixture[str]) -> None:
    def judge(error: BaseException) -> Any:
        if isinstance(error, KeyError):
            raise RuntimeError("broken")
        return TRANSIENT if isinstance(error, OSError) else "nonsense" if isinstance(error, ValueError) else None

    declared = task(classify=judge)(plain_function)
    assert declared.classify_error(OSError()) is FailureClass.TRANSIENT
    assert declared.classify_error(TypeError()) is None
    assert declared.classify_error(ValueError()) is None
    assert declared.classify_error(KeyError()) is None
    assert "broken" in capsys.readouterr().err
    assert simple.classify_error(OSError()) is None


def test_importing_mulligan_is_light_and_all_names_are_there() -> None:
    heavy = {"pydantic", "structlog", "asyncio", "typer", "rich", "pandas", "apsw"}
    script = f"import sys, mulligan; from mulligan import task; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
    for name in mulligan.__all__:
        assert getattr(mulligan, name) is not None
    assert mulligan.TRANSIENT is FailureClass.TRANSIENT
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = mulligan.nothing_of_the_kind
    assert AMBIENT.factory is not None
