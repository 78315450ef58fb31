"""How a run of the command line ends, whatever happens in it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_harness import FEATURES, Run, cli, environment, working

from mulligan.cli.commands import build

CAP_DAC_OVERRIDE = 1
PR_CAPBSET_DROP = 24

READING = [["jobs"], ["show", "1"], ["logs", "1-0"], ["explain", "1-0"], ["workers"], ["audit"], ["verify"]]
ACTING = [["retry", "1"], ["cancel", "1"], ["overwrite", "1"], ["pause", "add"], ["resume", "add"], ["submit", "add", "a=1"]]


@pytest.mark.parametrize("command", READING + ACTING, ids=lambda each: each[0])
def test_without_a_store_every_command_says_how_to_begin_and_makes_none(bare: Run, outside: Path, command: list[str]) -> None:
    refused = bare(*command)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("mulligan: there is no store at ")
    assert "mulligan dev FILE" in refused.err
    assert list(outside.iterdir()) == []


def test_an_empty_file_is_no_store_and_stays_empty(bare: Run, outside: Path) -> None:
    (outside / "empty.db").touch()
    refused = bare("jobs", "--database", "sqlite:///empty.db")
    assert (refused.code, refused.out) == (1, "")
    assert "there is no store at" in refused.err
    assert [(each.name, each.stat().st_size) for each in outside.iterdir()] == [("empty.db", 0)]


def test_a_store_of_another_program_is_left_alone(bare: Run, outside: Path) -> None:
    (outside / "other.db").write_text("not a database, and long enough to be read as one" * 20)
    refused = bare("jobs", "--database", "sqlite:///other.db")
    assert refused.code == 1
    assert refused.err.endswith("(store_foreign)\n")


def test_a_url_that_is_none_is_a_plain_error(bare: Run) -> None:
    refused = bare("jobs", "--database", "runs.db")
    assert refused.code == 1
    assert "sqlite:///" in refused.err


def test_the_store_can_be_named_before_or_after_the_command(bare: Run, store: Path) -> None:
    for arguments in (["--database", f"sqlite:///{store}", "jobs"], ["jobs", "--database", f"sqlite:///{store}"]):
        assert bare(*arguments).code == 0


def test_another_namespace_has_other_jobs(mulligan: Run) -> None:
    assert mulligan("jobs", "--namespace", "elsewhere", "--json").data == []


def _obey_file_modes() -> None:
    """Let the superuser be refused as anybody is."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE)


@pytest.mark.parametrize("command", [["jobs"], ["retry", FEATURES], ["submit", "add", "a=1"]], ids=lambda each: each[0])
def test_a_store_that_may_not_be_written_gives_one_line_and_no_traceback(store: Path, command: list[str]) -> None:
    store.chmod(0o444)
    store.parent.chmod(0o555)
    try:
        done = cli(store, *command, preexec_fn=_obey_file_modes)
    finally:
        store.parent.chmod(0o755)
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert re.fullmatch(r"mulligan: .+ \(\w+\)\n", done.stderr)
    else:
        assert command == ["jobs"]


def test_output_into_a_pipe_that_nobody_reads_ends_quietly(store: Path) -> None:
    for command in (["show", FEATURES], ["jobs", "--json"], ["show", FEATURES, "--json"], ["explain", "2-4"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = cli(store, *command, capture_output=False, stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        assert (done.returncode, done.stderr) == (1, "")


def test_output_that_cannot_be_written_is_said_in_one_line(store: Path) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = cli(store, "show", FEATURES, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


def test_closed_output_is_no_reason_to_fail(store: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {sys.executable} -m mulligan.cli.main show {FEATURES} >&-"],
        stderr=subprocess.PIPE, text=True, check=False, env=environment(store), cwd=store.parent,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_ends_with_130(store: Path) -> None:
    pipe = store.parent / "tell"
    os.mkfifo(pipe)
    with working(store):
        assert cli(store, "submit", "until_told", f"pipe={pipe}").returncode == 0
        command = [sys.executable, "-m", "mulligan.cli.main", "logs", "6-0", "--follow"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, env=environment(store), cwd=store.parent, **pipes) as following:  # type: ignore[call-overload]
            assert following.stdout.readline() == "waiting to be told\n"
            following.send_signal(signal.SIGINT)
            _, errors = following.communicate(timeout=30)
        pipe.write_text("now")
    assert (following.returncode, errors) == (130, "")


def test_colours_are_for_terminals_and_no_color_is_heard(store: Path) -> None:
    assert "\x1b" not in cli(store, "jobs").stdout
    coloured = _on_a_terminal(store, {})
    assert "\x1b[31m" in coloured
    assert not re.search(r"\x1b\[(?:\d;)?3\d", _on_a_terminal(store, {"NO_COLOR": "1"}))


def _on_a_terminal(store: Path, more: dict[str, str]) -> str:
    ours, theirs = os.openpty()
    settings = environment(store) | {"TERM": "xterm-256color"} | more
    command = [sys.executable, "-m", "mulligan.cli.main", "jobs"]
    with subprocess.Popen(command, stdout=theirs, env=settings, cwd=store.parent) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # the terminal has been hung up
            while piece := os.read(ours, 65536):
                said += piece
    os.close(ours)
    assert process.returncode == 0
    return said.decode()


def test_version_and_help(bare: Run) -> None:
    assert re.fullmatch(r"mulligan \d+\.\d+.*\n", bare("--version").out)
    assert bare("--help").code == 0
    assert bare("-h").out == bare("--help").out
    assert bare().code == 2
    assert bare("dance").code == 2


@pytest.mark.parametrize("name", sorted(str(each.name) for each in build().registered_commands))
def test_every_commands_help_has_one_example_and_fits(bare: Run, name: str) -> None:
    said = bare(name, "--help")
    assert said.code == 0
    assert said.out.count("Example:") == 1
    assert f"\n    mulligan {name}" in said.out
    assert all(len(line) <= 100 for line in said.out.splitlines())
