"""The commands that run work."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_harness import TASKS, TWICE, Run, checked, cli, environment, until, working

from mulligan.cli import running
from mulligan.cli.worker import _parser


def test_a_worker_drains_and_ends_with_zero_when_it_is_asked_to(store: Path) -> None:
    pipe = store.parent / "tell"
    os.mkfifo(pipe)
    with working(store) as worker:
        checked(store, "submit", "until_told", f"pipe={pipe}")
        until(lambda: "waiting to be told" in cli(store, "logs", "6-0").stdout, "the task's first line")
        shown = checked(store, "show", "6-0")
        assert "Running" in shown
        worker.terminate()
        assert worker.stderr is not None
        until(lambda: "draining" in worker.stderr.readline(), "the worker's word that it drains")  # type: ignore[union-attr]
        pipe.write_text("now")
    assert '"result": "now"' in checked(store, "show", "6-0", "--json")


def test_a_worker_loads_neither_typer_nor_rich_nor_structlog() -> None:
    script = (
        "import sys; from mulligan.cli.main import main; code = main(['worker', 'nowhere.py']);"
        "print(code, *({'typer', 'rich', 'structlog'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    assert done.stderr == "mulligan: nowhere.py: there is no such file (task_invalid)\n"


def test_the_quick_worker_knows_the_same_options_as_its_help(bare: Run) -> None:
    quick = {each.option_strings[0] for each in _parser()._actions if each.option_strings}
    said = bare("worker", "--help").out
    assert quick == {word for word in said.split() if word.startswith("--")} - {"--help"}
    assert "sources" in inspect.signature(running.worker).parameters


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument"),
        (["x.py", "--processes", "many"], "--processes"),
        (["x.py", "--processes", "0"], "--processes"),
        (["x.py", "--proc", "2"], "--proc"),
    ],
)
def test_a_wrong_call_of_a_worker_is_a_usage_error(bare: Run, arguments: list[str], said: str) -> None:
    refused = bare("worker", *arguments)
    assert refused.code == 2
    assert said in refused.err


@pytest.mark.parametrize("command", ["worker", "dev"])
def test_a_file_that_fails_to_import_is_said_with_where(bare: Run, outside: Path, command: str) -> None:
    (outside / "broken_tasks.py").write_text("import nonsense_that_is_not_there\n")
    refused = bare(command, "broken_tasks.py")
    assert refused.code == 1
    assert refused.err.startswith("mulligan: broken_tasks.py: failed to import (task_invalid)\n")
    assert "line 1" in refused.err
    assert not (outside / ".mulligan").exists()


def test_dev_works_on_the_folders_store_and_says_how_to_submit(outside: Path) -> None:
    clean = {name: value for name, value in environment(outside / "x").items() if name != "MULLIGAN_DATABASE"}
    command = [sys.executable, "-u", "-m", "mulligan.cli.main", "dev", str(TASKS), "--processes", "1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=clean, cwd=outside) as dev:
        assert dev.stderr is not None
        assert "worker started" in dev.stderr.readline()
        command[3:] = ["mulligan.cli.main", "submit", "twice", "--wait"]
        done = subprocess.run(command, capture_output=True, text=True, env=clean, cwd=outside, check=False, timeout=30)
        dev.terminate()
        said, _ = dev.communicate(timeout=30)
    assert (dev.returncode, done.returncode) == (0, 0)
    assert str(outside / ".mulligan" / "mulligan.db") in said
    assert "mulligan submit add a=1\n" in said
    assert "mulligan backfill features 2024-01-01 2024-02-01\n" in said


def test_dev_removes_finished_jobs_when_they_are_old(outside: Path) -> None:
    clean = {name: value for name, value in environment(outside / "x").items() if name != "MULLIGAN_DATABASE"}
    clean["MULLIGAN_RETENTION"] = "1s"
    command = [sys.executable, "-u", "-m", "mulligan.cli.main", "dev", str(TASKS), "--processes", "1"]
    here = {"env": clean, "cwd": outside}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=clean, cwd=outside) as dev:
        try:
            assert dev.stderr is not None
            assert "worker started" in dev.stderr.readline()
            for more in ([], ["--run-id", "kept"]):
                cli(outside, "submit", "twice", "--wait", *more, **here)
            listed = until(lambda: _one_of_two(cli(outside, "jobs", "--json", **here).stdout), "the first job is gone")
            until(lambda: "by retention" in cli(outside, "show", "2", **here).stdout, "the details of the second are gone")
            refused = cli(outside, "retry", "2", **here)
        finally:
            dev.terminate()
            dev.communicate(timeout=30)
    assert listed[0]["run_id"] == "kept"
    assert refused.returncode == 1
    assert "the details of job 2 were removed on " in refused.stderr
    assert dev.returncode == 0


def _one_of_two(said: str) -> list[dict[str, str]]:
    listed: list[dict[str, str]] = json.loads(said)
    return listed if [each["id"] for each in listed] == ["2"] else []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_makes_the_store_it_looks_after_and_ends_with_zero_when_it_is_asked_to(outside: Path, number: int) -> None:
    command = [sys.executable, "-m", "mulligan.cli.main", "server", "--database", f"sqlite:///{outside / 'new.db'}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(outside / "x"), cwd=outside) as server:
        assert server.stderr is not None
        assert "server started" in server.stderr.readline()
        server.send_signal(number)
        _, said = server.communicate(timeout=30)
    assert server.returncode == 0
    assert "server ended" in said
    assert "Traceback" not in said
    assert cli(outside / "new.db", "verify").returncode == 0


def test_workers_shows_one_that_lives_and_one_that_was_killed(store: Path) -> None:
    with working(store, ends=-signal.SIGKILL) as worker:
        assert '"state": "living"' in checked(store, "workers", "--json")
        worker.kill()
        worker.wait(30)
        assert '"state": "dead"' in checked(store, "workers", "--json")


def test_the_demo_refuses_a_folder_of_something_else(bare: Run, outside: Path) -> None:
    (outside / "mine").mkdir()
    (outside / "mine" / "thesis.txt").write_text("precious")
    refused = bare("demo", "--folder", "mine")
    assert refused.code == 1
    assert "holds something else" in refused.out + refused.err


def test_the_demo_refuses_a_sqlite_file_that_is_not_its_own(bare: Run, outside: Path) -> None:
    refused = bare("demo", "--database", "sqlite:///runs.db")
    assert (refused.code, refused.out) == (1, "")
    assert "keeps its store in its folder" in refused.err
    assert list(outside.iterdir()) == []


def test_module_and_script_are_the_same_command_line(store: Path) -> None:
    by_module = subprocess.run([sys.executable, "-m", "mulligan", "--version"], capture_output=True, text=True, check=True)
    assert by_module.stdout.startswith("mulligan ")
    assert cli(store, "show", TWICE).returncode == 0
