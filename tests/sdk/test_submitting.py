"""What submit, map and backfill hand over."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from in_memory import KeepingBackend

from mulligan import Context, Window, task
from mulligan.core.errors import ArgumentsInvalid, ConfigError, SubmitInImport, TaskError, WindowInvalid
from mulligan.core.submission import NewItem, Options, Submission
from mulligan.sdk.ports import AMBIENT
from mulligan.sdk.window import Window as SameWindow


@task
def plain(x: int, name: str = "a") -> str:
    return name * x


@task(retries=2)
async def with_context(ctx: Context, x: int, model: str) -> str:
    return model


@task
def windowed(ctx: Context, window: Window, region: str = "eu") -> int:
    return 1


@task
def only_window(window: Window) -> int:
    return 1


DAY = Window(datetime(2024, 3, 7, tzinfo=UTC), datetime(2024, 3, 8, tzinfo=UTC))
DAY_MS = (1709769600000, 1709856000000)


def test_a_call_is_one_item_with_its_arguments_by_name(backend: KeepingBackend) -> None:
    job: Any = plain.submit(2, name="b")
    assert job == "job 1"
    assert backend.items == [NewItem("0", '{"x":2,"name":"b"}', None)]
    assert backend.last.kind == "submit"
    assert backend.last.definition == plain.definition()
    assert backend.last.options == Options()
    assert backend.last.decode is not None
    assert backend.last.decode('"bb"') == "bb"


def test_the_context_is_left_out_of_the_arguments(backend: KeepingBackend) -> None:
    with_context.submit(1, "m")
    assert json.loads(backend.items[0].arguments) == {"x": 1, "model": "m"}
    with pytest.raises(ArgumentsInvalid, match="'ctx' is the Context"):
        with_context.submit(x=1, model="m", ctx=None)


def test_a_window_becomes_the_window_of_the_item(backend: KeepingBackend) -> None:
    windowed.submit(DAY, region="us")
    assert backend.items == [NewItem("2024-03-07", '{"region":"us"}', DAY_MS)]
    assert backend.last.tz == "UTC"
    windowed.submit(window=DAY)
    assert backend.items[0].arguments == "{}"


def test_a_window_keeps_its_time_zone(backend: KeepingBackend) -> None:
    local = Window.of_ms(1709787600000, 1709874000000, "America/New_York")
    windowed.submit(local)
    assert (backend.items[0].key, backend.last.tz) == ("2024-03-07", "America/New_York")


@pytest.mark.parametrize(
    ("submit", "words"),
    [
        (lambda: plain.submit("2"), "parameter 'x'"),
        (plain.submit, "'x' is missing"),
        (lambda: plain.submit(1, "a", 3), "2 arguments by position"),
        (lambda: plain.submit(1, x=2), "'x' is given twice"),
        (lambda: plain.submit(1, colour=2), "no parameter 'colour'"),
        (lambda: windowed.submit("2024-03-07"), "'window' takes a Window"),
        (windowed.submit, "'window' is missing"),
        (lambda: plain.submit("x" * 300_000), "parameter 'x'"),
        (lambda: plain.submit(1, "x" * 300_000), "path or URI"),
        (lambda: plain.map("abc"), "map takes a list"),
        (lambda: plain.map({"a": 1}), "map takes a list"),
        (lambda: plain.map(3), "map takes a list"),
        (lambda: plain.map([1], args={"x": 1, "name": "a"}), "no parameter left"),
        (lambda: plain.map(["a"]), "parameter 'x'"),
        (lambda: plain.map([1], key=lambda x: x), "key gave 1 for element 0"),
        (lambda: plain.map([1], key=lambda x: ""), "key gave"),
        (lambda: plain.map([1], key=lambda x: "a\0"), "NUL"),
        (lambda: plain.map([1, 2, 3], key=lambda x: str(x % 2)), "elements 0 and 2 have the same key '1'"),
        (lambda: plain.backfill("2024-01-01", "2024-01-02"), "needs a parameter annotated Window"),
        (lambda: windowed.backfill("2024-01-01", "2024-01-02", args={"region": 3}), "parameter 'region'"),
        (lambda: windowed.backfill("2024-01-01", "2024-01-02", args={"window": DAY}), "leave it out"),
        (lambda: windowed.backfill("2024-01-01", "2024-01-02", only="some"), "only"),
        (lambda: windowed.backfill("2024-01-01", "2024-01-02", order="random"), "order"),
    ],
)
def test_wrong_arguments_are_refused_at_submit(submit: Callable[[], Any], words: str, backend: KeepingBackend) -> None:
    with pytest.raises(ArgumentsInvalid, match=words):
        submit()
    assert backend.taken == []


def test_a_range_that_is_wrong_is_refused_before_anything_is_handed_over(backend: KeepingBackend) -> None:
    for arguments in (
        ("2024-01-02", "2024-01-01"),
        ("2024-01-01", "2024-01-02", "7h"),
        ("2024-01-01", "2024-01-02", "1d", "Mars"),
    ):
        with pytest.raises(WindowInvalid):
            windowed.backfill(*arguments)
    assert backend.taken == []


def test_map_makes_an_item_of_each_element(backend: KeepingBackend) -> None:
    plain.map([3, 4], args={"name": "b"})
    assert backend.items == [NewItem("0", '{"x":3,"name":"b"}'), NewItem("1", '{"x":4,"name":"b"}')]
    with_context.map([3], key=lambda x: f"n{x}", args={"model": "m"})
    assert backend.items == [NewItem("n3", '{"x":3,"model":"m"}')]
    with_context.map(["m"], args={"x": 1})
    assert json.loads(backend.items[0].arguments) == {"x": 1, "model": "m"}
    plain.map([])
    assert backend.items == []


def test_map_reads_its_elements_only_while_the_job_is_stored() -> None:
    read: list[int] = []

    def elements() -> Iterator[int]:
        for number in range(10):
            read.append(number)
            yield number

    class LazyBackend:
        def take(self, submission: Submission) -> Iterator[NewItem]:
            return iter(submission.items)

    before = AMBIENT.factory
    AMBIENT.factory = LazyBackend
    try:
        items: Any = plain.map(elements())
    finally:
        AMBIENT.factory = before
    assert len(read) <= 1
    assert next(items).key == "0"
    assert len(read) <= 2


def test_map_over_windows_names_the_items_by_them(backend: KeepingBackend) -> None:
    only_window.map([DAY])
    assert backend.items == [NewItem("2024-03-07", "{}", DAY_MS)]


def test_a_backfill_has_an_item_for_each_window(backend: KeepingBackend) -> None:
    windowed.backfill("2024-03-09", "2024-03-12", tz="America/New_York", only="failed", args={"region": "us"}, order="newest")
    assert [item.key for item in backend.items] == ["2024-03-11", "2024-03-10", "2024-03-09"]
    assert backend.items[1].window == (1710046800000, 1710129600000)
    assert {item.arguments for item in backend.items} == {'{"region":"us"}'}
    assert (backend.last.kind, backend.last.tz, backend.last.only) == ("backfill", "America/New_York", "failed")


def test_the_windows_of_a_backfill_are_never_held_in_memory() -> None:
    class CountingBackend:
        def take(self, submission: Submission) -> int:
            return sum(1 for _ in submission.items)

    before = AMBIENT.factory
    AMBIENT.factory = CountingBackend
    only_window.definition()
    start = datetime(2000, 1, 1, tzinfo=UTC)
    tracemalloc.start()
    try:
        count: Any = only_window.backfill(start, start + timedelta(hours=20_000), "1h")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        AMBIENT.factory = before
    assert count == 20_000
    assert peak < 200_000


def test_options_of_a_call_travel_with_it_and_leave_the_task_alone(backend: KeepingBackend) -> None:
    noon = datetime(2024, 3, 7, 12, tzinfo=UTC)
    bound = plain.options(
        run_id="nightly", priority=1, delay="5m", expires=noon, labels={"team": "a"}, total_timeout=timedelta(hours=1)
    )
    bound.submit(1)
    assert backend.last.options == Options("nightly", 1, 300.0, None, 1709812800000, {"team": "a"}, 3600.0)
    plain.options(start_at=noon).map([1])
    assert backend.last.options.start_at_ms == 1709812800000
    plain.submit(1)
    assert backend.last.options == Options()


def test_an_expiry_may_count_from_the_submission(backend: KeepingBackend) -> None:
    bound = plain.options(expires="1h")
    before = time.time()
    bound.submit(1)
    expires_ms = backend.last.options.expires_ms
    assert expires_ms is not None
    assert before + 3600 <= expires_ms / 1000 + 0.001 <= time.time() + 3601


@pytest.mark.parametrize(
    "options",
    [
        {"run_id": ""},
        {"run_id": "a\n"},
        {"run_id": "x" * 201},
        {"run_id": 3},
        {"run_id": "a/b"},
        {"priority": 0},
        {"delay": -1},
        {"delay": 1e12},
        {"start_at": datetime(2024, 3, 7)},  # noqa: DTZ001
        {"delay": 1, "start_at": datetime(2024, 3, 7, tzinfo=UTC)},
        {"expires": 0},
        {"labels": {"a": 3}},
        {"labels": ["a"]},
        {"labels": {"a": "\0"}},
        {"total_timeout": 0},
    ],
)
def test_a_wrong_option_of_a_call_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="task 'plain'"):
        plain.options(**options)


class Methods:
    @task
    def method(self) -> None: ...


listed = [task(name="short")(lambda x: x), task(plain.fn)]


def test_functions_that_workers_could_not_load_are_refused_with_advice(backend: KeepingBackend) -> None:
    @task
    def inner(x: int) -> int:
        return x

    for submit, words in (
        (lambda: inner.submit(1), "defined inside a function.*move it to the top"),
        (lambda: listed[0].submit(1), "is a lambda"),
        (lambda: listed[1].submit(1), "has no name in module"),
        (lambda: Methods.method.submit(None), "is a method"),
    ):
        with pytest.raises(TaskError, match=words):
            submit()
    assert backend.taken == []


TYPED = """
from mulligan import task
@task
def typed(x: int) -> int:
    return x
typed.submit(1)
"""


@pytest.mark.parametrize("from_stdin", [True, False])
def test_a_task_typed_at_a_prompt_is_refused_with_advice(from_stdin: bool) -> None:
    command = [sys.executable, "-"] if from_stdin else [sys.executable, "-c", TYPED]
    done = subprocess.run(command, input=TYPED, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "TaskError: task 'typed' was typed in at a prompt" in done.stderr
    assert "put it in a file" in done.stderr


def test_a_script_submits_its_own_tasks_under_the_name_of_its_file(tmp_path: Path) -> None:
    script = tmp_path / "flow.py"
    script.write_text(
        textwrap.dedent(
            """
            from mulligan import PERMANENT, task
            from mulligan.sdk.ports import AMBIENT

            class SchemaChanged(Exception): ...

            @task(classify={SchemaChanged: PERMANENT})
            def typed(x: int) -> int:
                return x

            class Printing:
                def take(self, submission):
                    published = submission.definition
                    print(published.module, published.file, published.classify[0][0], published.code_digest)

            if __name__ == "__main__":
                AMBIENT.factory = Printing
                typed.submit(1)
            """
        )
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True)
    module, file, rule, digest = done.stdout.split()
    assert (module, file, rule) == ("flow", str(script), "flow.SchemaChanged")
    imported = "import flow; print(flow.typed.definition().module, flow.typed.definition().code_digest)"
    done = subprocess.run([sys.executable, "-c", imported], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path)
    assert done.stdout.split() == ["flow", digest]


def test_submitting_while_a_worker_imports_is_refused(backend: KeepingBackend) -> None:
    AMBIENT.importing = "flow.py"
    try:
        for submit in (lambda: plain.submit(1), lambda: plain.map([1]), lambda: only_window.backfill("2024-01-01", "2024-01-02")):
            with pytest.raises(SubmitInImport, match=r"flow\.py.*__main__"):
                submit()
    finally:
        AMBIENT.importing = None
    assert backend.taken == []


def test_a_window_is_the_public_one() -> None:
    assert Window is SameWindow
