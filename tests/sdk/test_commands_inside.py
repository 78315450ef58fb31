"""What `ctx.run` takes and gives, without a worker."""

from __future__ import annotations

import asyncio
import pickle
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from in_memory import KeepingChannel

from mulligan import TRANSIENT, CommandFailed, Context
from mulligan.core.errors import ArgumentsInvalid, ConfigError, Refused
from mulligan.core.failure import failure_from_json, failure_to_json
from mulligan.core.job import FailureClass
from mulligan.core.signals import Stopped
from mulligan.sdk.facts import failure_of


@pytest.fixture
def ctx(channel: KeepingChannel) -> Context:
    return Context(channel.info(), channel)


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_it_gets_input_folder_and_a_changed_environment(ctx: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GONE", "x")
    text = "import os, sys; print(os.getcwd(), os.environ['NEW'], 'GONE' in os.environ, sys.stdin.read())"
    done = ctx.run(python(text), cwd=tmp_path, env={"NEW": "1", "GONE": None}, input="given")
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path} 1 False given\n")


def test_without_check_a_failure_is_a_result(ctx: Context) -> None:
    done = ctx.run(python("import sys; sys.exit('no')"), check=False)
    assert (done.exit_code, done.stderr) == (1, "no\n")


def test_only_the_end_of_long_output_is_kept(ctx: Context) -> None:
    kept = ctx.run(python("print('x' * 1_000_000); print('end')")).stdout
    assert len(kept) == 65_536
    assert kept.endswith("x\nend\n")


def test_a_failure_tells_the_command_the_code_and_the_end_of_the_output(ctx: Context) -> None:
    argv = python("import sys; print('out'); sys.exit('why it failed')")
    with pytest.raises(CommandFailed, match="ended with exit code 1:\nwhy it failed") as caught:
        ctx.run(argv, exit_codes={1: TRANSIENT})
    failed: CommandFailed = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert (failed.argv, failed.exit_code, failed.stdout, failed.tail) == (tuple(argv), 1, "out\n", "why it failed")
    facts = failure_from_json(failure_to_json(failure_of(failed))).chain[0]
    assert (facts.exit_code, facts.exit_class) == (1, FailureClass.TRANSIENT)


def test_a_program_that_a_signal_ended_says_which(ctx: Context) -> None:
    with pytest.raises(CommandFailed, match="was ended by SIGKILL"):
        ctx.run(python("import os; os.kill(os.getpid(), 9)"))


def test_after_its_timeout_it_is_stopped_and_the_failure_is_a_timeout(ctx: Context) -> None:
    told: list[str] = []
    with pytest.raises(CommandFailed, match=r"took longer than 0\.\d s|took longer than 500 ms") as caught:
        ctx.run(python("import time; print('job-5', flush=True); time.sleep(600)"), timeout=0.5, on_stop=told.append)
    assert caught.value.exit_class is FailureClass.TIMEOUT
    assert len(told) == 1


def test_a_program_that_left_somebody_behind_is_not_waited_for_longer_than_itself(ctx: Context) -> None:
    text = "import subprocess, sys; subprocess.Popen(['sleep', '5']); print('parent', flush=True)"
    assert ctx.run(python(text)).stdout == "parent\n"


def test_what_was_asked_to_stop_starts_no_program(ctx: Context, channel: KeepingChannel) -> None:
    channel.cause = "cancel"
    with pytest.raises(Stopped):
        ctx.run(["true"])


def test_a_program_that_is_not_there_is_not_found(ctx: Context) -> None:
    with pytest.raises(FileNotFoundError):
        ctx.run(["no-such-program"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"argv": "dbt run"}, "expected a list such as"),
        ({"argv": []}, "expected a list such as"),
        ({"argv": ["sleep", 5]}, "5 among the arguments is no text"),
        ({"exit_codes": [75]}, "exit_codes maps exit codes to classes"),
        ({"exit_codes": {0: TRANSIENT}}, "0 is no exit code of a failure"),
        ({"exit_codes": {300: TRANSIENT}}, "300 is no exit code of a failure"),
        ({"exit_codes": {3: "BAD"}}, "exit code 3 has no failure class"),
        ({"input": 5}, "input is a text or bytes"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(ctx: Context, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentsInvalid, match=said):
        ctx.run(**{"argv": ["true"], **options})
    with pytest.raises(ConfigError, match="timeout"):
        ctx.run(["true"], timeout="soon")


def test_in_a_coroutine_it_runs_when_it_is_awaited(ctx: Context) -> None:
    async def body() -> str:
        command = ctx.run(python("print('ran')"))
        with pytest.raises(Refused, match="await ctx"):
            _ = command.stdout
        done = await command
        return done.stdout

    before = threading.active_count()
    assert asyncio.run(body()) == "ran\n"
    assert threading.active_count() <= before, "it leaves no thread behind"
