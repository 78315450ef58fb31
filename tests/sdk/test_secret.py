"""Secrets as arguments: references in whatever is stored, values only where an attempt runs."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from mulligan import PERMANENT, Context, Secret, task, workflow
from mulligan.core.errors import ArgumentsInvalid, ConfigError, Refused, SecretInClear, SecretUnavailable
from mulligan.sdk.ports import AMBIENT
from mulligan.sdk.published import arguments_of
from mulligan.testing import context, secrets, store

VALUE = "canary-of-the-sdk"


class Place(BaseModel):
    host: str
    password: Secret


@task(retries=3)
def log_in(password: Secret, limit: int = 1) -> int:
    return len(password.reveal()) + limit


@task
def connect(places: list[Place], other: Secret | None = None) -> list[str]:
    assert other is None or other.reveal()
    return [each.host for each in places]


@task
def show(password: Secret) -> str:
    return f"it is {password.reveal()}"


@task
def tell(ctx: Context, password: Secret) -> None:
    ctx.checkpoint({"token": password.reveal()})


@task
def hand_on(ctx: Context, password: Secret) -> int:
    return ctx.step(length_of, password)


def length_of(password: Secret) -> int:
    return len(password.reveal())


@task
def told(text: str) -> str:
    return text


@workflow
def flow(password: Secret) -> int:
    return log_in(password)


@workflow
def curious(password: Secret) -> int:
    return len(password.reveal())


@workflow
def careless(password: Secret) -> str:
    return told(VALUE)


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Let no secret of one test be hidden in another."""
    before = AMBIENT.mask
    yield
    AMBIENT.mask = before


@pytest.fixture
def variable(monkeypatch: pytest.MonkeyPatch) -> Secret:
    monkeypatch.setenv("SDK_CANARY", VALUE)
    return Secret("env:SDK_CANARY")


class TestAReference:
    def test_shows_itself_and_never_the_value(self, variable: Secret) -> None:
        said = [
            repr(variable),
            str(variable),
            f"{variable}",
            f"{variable:>30}",
            repr([variable]),
            repr(vars(Place(host="h", password=variable))),
        ]
        assert all("env:SDK_CANARY" in each and VALUE not in each for each in said)
        assert copy.deepcopy(variable) == variable
        assert len({variable, Secret("env:SDK_CANARY"), Secret("env:OTHER")}) == 2

    def test_is_what_travels(self, variable: Secret) -> None:
        text = connect.declared.signature.arguments.dump({"places": [Place(host="h", password=variable)], "other": variable})
        assert json.loads(text) == {
            "places": [{"host": "h", "password": {"secret": "env:SDK_CANARY"}}],
            "other": {"secret": "env:SDK_CANARY"},
        }
        assert connect.declared.signature.arguments.load(text)["other"] == variable

    def test_gives_no_value_outside_of_an_attempt(self, variable: Secret) -> None:
        with pytest.raises(Refused, match="only a running attempt"):
            variable.reveal()

    @pytest.mark.parametrize("given", ["hunter2", {"secret": "hunter2"}, {"password": "hunter2"}, ["hunter2"], 7])
    def test_a_value_in_its_place_is_refused_and_not_repeated(self, given: Any) -> None:
        for refuse in (
            lambda: log_in.declared.signature.arguments.dump({"password": given}),
            lambda: log_in.declared.signature.arguments.load(json.dumps({"password": given})),
            lambda: connect.declared.signature.arguments.dump({"places": [], "other": given}),
            lambda: arguments_of(log_in.definition(), {"password": given}),
            lambda: arguments_of(connect.definition(), {"places": [], "other": given}),
        ):
            with pytest.raises(ArgumentsInvalid) as refused:
                refuse()
            assert "hunter2" not in str(refused.value)
            assert "by reference" in str(refused.value) or "places" not in str(refused.value)

    def test_the_published_schema_says_what_it_takes(self) -> None:
        published = json.loads(log_in.definition().parameters)["properties"]["password"]
        assert (published["title"], published["format"], published["writeOnly"]) == ("secret reference", "secret-reference", True)
        assert arguments_of(log_in.definition(), {"password": {"secret": "file:/run/secrets/db"}})

    def test_a_parameter_of_another_type_takes_none(self, variable: Secret) -> None:
        with pytest.raises(ArgumentsInvalid):
            told.declared.signature.arguments.dump({"text": variable})


class TestInProcess:
    def test_a_call_reads_the_value(self, variable: Secret) -> None:
        assert log_in(variable, limit=2) == len(VALUE) + 2

    def test_a_file_is_read_without_its_last_line_end(self, tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.write_text("from-a-file\n", "utf-8")
        assert log_in(Secret(f"file:{file}")) == len("from-a-file") + 1

    @pytest.mark.parametrize(
        ("value", "said"),
        [(None, "is not set"), ("", "is empty"), ("abc", "less than 4 characters"), ("\udcff" * 8, "no text in UTF-8")],
    )
    def test_a_variable_that_gives_no_value_fails_for_good_and_by_name(
        self, value: str | None, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        if value is not None:
            monkeypatch.setenv("SDK_POOR", value)
        with pytest.raises(SecretUnavailable, match=f"secret env:SDK_POOR: .*{said}"):
            log_in(Secret("env:SDK_POOR"))
        assert "giving up" in capsys.readouterr().err, "not tried again"

    @pytest.mark.parametrize(
        ("content", "said"), [(None, "No such file"), (b"\xff\xfe\xff\xfe", "UTF-8"), (b"x" * 70_000, "64 KiB")]
    )
    def test_a_file_that_gives_no_value_fails_by_name(self, content: bytes | None, said: str, tmp_path: Path) -> None:
        file = tmp_path / "token"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(SecretUnavailable, match=said):
            log_in(Secret(f"file:{file}"))

    def test_lines_about_attempts_hide_it(self, variable: Secret, capsys: pytest.CaptureFixture[str]) -> None:
        @task(retries=2)
        def fail(password: Secret) -> None:
            raise OSError(f"no entry with {password.reveal()}")

        with pytest.raises(OSError, match="no entry"):
            fail(variable)
        said = capsys.readouterr().err
        assert "no entry with ***" in said
        assert VALUE not in said

    def test_a_workflow_passes_it_on_and_does_not_look_at_it(self, variable: Secret) -> None:
        assert flow(variable) == len(VALUE) + 1
        with pytest.raises(Refused, match="passes secrets on"):
            curious(variable)


class TestJobs:
    def test_the_reference_is_stored_and_the_result_may_follow_from_the_value(self, variable: Secret) -> None:
        with store() as made:
            jobs = [log_in.submit(variable), flow.submit(variable), hand_on.submit(variable)]
            made.run_until_quiet(log_in, flow, hand_on)
            assert [each.result() for each in jobs] == [len(VALUE) + 1, len(VALUE) + 1, len(VALUE)]
            assert jobs[0].work_items()[0].args == {"password": {"secret": "env:SDK_CANARY"}}

    @pytest.mark.parametrize("each", [show, tell, careless])
    def test_results_and_checkpoints_and_calls_that_hold_the_value_are_refused(self, each: Any, variable: Secret) -> None:
        with store() as made:
            before = log_in.submit(variable)  # so that the value is known where the body of a workflow runs
            made.run_until_quiet(log_in)
            assert before.result()
            job = each.submit(variable)
            made.run_until_quiet(show, tell, careless, told)
            (item,) = job.work_items()
            assert item.failure_class == PERMANENT
            assert "secret env:SDK_CANARY is in it" in str(item.error_message)
            assert VALUE not in str(item.error_message)

    def test_a_submit_with_a_value_that_is_known_is_refused(self, variable: Secret) -> None:
        assert log_in(variable)
        with store():
            with pytest.raises(SecretInClear) as refused:
                told.submit(f"https://ann:{VALUE}@host")
            assert VALUE not in str(refused.value)
            for options in ({"labels": {"token": VALUE}}, {"run_id": VALUE}):
                with pytest.raises(SecretInClear):
                    told.options(**options).submit("x")  # type: ignore[arg-type]
            with pytest.raises(SecretInClear):
                told.map(["x"], key=lambda _: VALUE)

    def test_one_that_is_not_there_fails_at_the_start_of_the_attempt(self) -> None:
        with store() as made:
            job = log_in.submit(Secret("env:SDK_NOWHERE"))
            made.run_until_quiet(log_in)
            (item,) = job.work_items()
            assert (item.failure_class, item.attempt) == (PERMANENT, 1)
            assert "env:SDK_NOWHERE" in str(item.error_message)


class TestUnitTests:
    def test_a_test_gives_values_to_plain_functions(self) -> None:
        with secrets(SDK_GIVEN="given-by-a-test"):
            assert log_in.fn(Secret("env:SDK_GIVEN")) == len("given-by-a-test") + 1
            assert hand_on.fn(context(), Secret("env:SDK_GIVEN")) == len("given-by-a-test")
        with pytest.raises(Refused):
            log_in.fn(Secret("env:SDK_GIVEN"))


def test_a_step_that_was_given_a_secret_is_known_by_its_reference(variable: Secret, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = []
    for value in (VALUE, "another-value"):
        monkeypatch.setenv("SDK_CANARY", value)
        with secrets(SDK_CANARY=value):
            made = context()
            hand_on.fn(made, variable)
            keys += list(made._recorder.saved)
    assert len(set(keys)) == 1


def test_a_reference_must_be_one() -> None:
    with pytest.raises(ConfigError):
        Secret("hunter2")
