"""Secrets in real child processes: their values are in no report that comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from process_harness import INFO, Harness

from mulligan.core.masking import Known
from mulligan.sdk.ports import AMBIENT
from mulligan.worker.executors.interface import Call, Failed, Succeeded
from mulligan.worker.executors.process.logs import AttemptLog

TASKS = str(Path(__file__).with_name("secret_tasks.py"))
VALUE = 'canary/of+the"worker ü'
PASSWORD = {"secret": "env:WORKER_CANARY"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = AMBIENT.mask
    monkeypatch.setenv("WORKER_CANARY", VALUE)
    yield
    AMBIENT.mask = before


@pytest.fixture
def secret(make: Callable[..., Harness]) -> Harness:
    return make(sources=[TASKS], processes=1, asynchronous=lambda name: name == "whisper")


def given_away(run: Harness) -> list[str]:
    """Return the reports in which the value can be read."""
    return [str(each) for each in run.reports if any(part in str(each) for part in ("canary/", "canary%2F", "worker ü"))]


def test_output_hides_the_value_however_it_is_written(secret: Harness) -> None:
    number = secret.start("shout", password=PASSWORD)
    assert secret.end(number).result == str(len(VALUE))
    log = secret.log(number)
    for word in ("printed ***", "error ***", "https://ann:***@host", "started ***", "and error ***", "halves *** end"):
        assert word in log
    assert "'password': '***'" in log
    assert given_away(secret) == []


def test_the_last_words_of_a_child_that_is_killed_are_kept_and_hidden(secret: Harness) -> None:
    number = secret.start("last_words", password=PASSWORD)
    assert secret.end(number).failure.crashed
    assert secret.log(number) == "fatal: ***\n"


def test_coroutines_beside_each_other_hide_it_each(secret: Harness) -> None:
    numbers = [secret.start("whisper", password=PASSWORD, name=f"n{each}") for each in range(5)]
    assert [each.result for each in secret.ends(numbers)] == [f'"n{each}"' for each in range(5)]
    assert [secret.log(each) for each in numbers] == [f"n{each} ***\n" for each in range(5)]


def test_messages_causes_and_tracebacks_hide_it(secret: Harness) -> None:
    end = secret.end(secret.start("fail", password=PASSWORD))
    assert isinstance(end, Failed)
    assert [each.message for each in end.failure.chain] == [
        "cannot log in with ***",
        "connection to postgres://ann:***@host refused",
    ]
    assert "cannot log in with ***" in end.failure.traceback
    assert given_away(secret) == []


@pytest.mark.parametrize("task", ["give", "keep", "submit_it"])
def test_what_is_kept_or_submitted_with_it_is_refused(secret: Harness, task: str) -> None:
    end = secret.end(secret.start(task, info=INFO, password=PASSWORD))
    assert isinstance(end, Failed)
    assert end.failure.chain[0].types[0] == "mulligan.core.errors.SecretInClear"
    assert not [each for each in secret.reports if isinstance(each, Call)]
    assert given_away(secret) == []


def test_a_secret_that_is_not_there_fails_before_the_task_begins(secret: Harness) -> None:
    end = secret.end(secret.start("shout", password={"secret": "env:WORKER_NOWHERE"}))
    assert end.failure.chain[0].types[0] == "mulligan.core.errors.SecretUnavailable"
    assert "env:WORKER_NOWHERE" in end.failure.text


def test_one_that_was_read_once_is_hidden_in_what_runs_later_too(secret: Harness) -> None:
    secret.end(secret.start("shout", password=PASSWORD))
    number = secret.start("from_the_environment", name="WORKER_CANARY")
    secret.end(number)
    assert "environment ***" in secret.log(number)
    assert given_away(secret) == []


def test_one_that_is_registered_is_hidden_although_no_argument_names_it(make: Callable[..., Harness]) -> None:
    AMBIENT.hide(Known("env:WORKER_CANARY", VALUE))
    run = make(sources=[TASKS], processes=1)
    number = run.start("from_the_environment", name="WORKER_CANARY")
    assert run.end(number).failure.text == "***"
    assert "environment ***" in run.log(number)
    assert isinstance(run.end(run.start("plain", text="x")), Succeeded)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_output_that_arrives_in_pieces_of_any_size_hides_it(size: int) -> None:
    AMBIENT.hide(Known("env:WORKER_CANARY", VALUE), Known("env:OTHER", "anary/of and more"))
    text = f"begin {VALUE}{VALUE} canary/of+the canary/of and more {VALUE[:-1]}"
    log, data = AttemptLog(10_000), text.encode()
    said = "".join(log.feed(data[at : at + size]) for at in range(0, len(data), size)) + log.close()
    assert said == f"begin ****** canary/of+the c*** {VALUE[:-1]}"


def test_output_without_an_end_that_may_become_a_secret_is_passed_on_at_once() -> None:
    AMBIENT.hide(Known("env:WORKER_CANARY", VALUE))
    log = AttemptLog(10_000)
    assert log.feed(b"a line\n") == "a line\n"
    assert log.feed(b"a line and can") == "a line and "
    assert log.feed(b"not\n") == "cannot\n"


def test_output_is_cut_short_after_secrets_are_hidden() -> None:
    AMBIENT.hide(Known("env:WORKER_CANARY", VALUE))
    log = AttemptLog(40)
    text = f"{'x' * 15}{VALUE}{'y' * 100}{VALUE}"
    said: Any = log.feed(text.encode()) + log.close()
    assert said.startswith("x" * 15 + "***")
    assert said.endswith("y***")
    assert "left out" in said
