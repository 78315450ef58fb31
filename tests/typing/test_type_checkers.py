"""What mypy --strict and pyright see of submit, map and backfill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
RIGHT, WRONG = HERE / "right_calls.py", HERE / "wrong_calls.py"
MARKED = {number for number, line in enumerate(WRONG.read_text().splitlines(), 1) if line.endswith("# wrong")}


@pytest.fixture(scope="module")
def mypy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, str]]:
    folder = tmp_path_factory.mktemp("mypy")
    options = ["--strict", "--config-file=", f"--cache-dir={folder}", "--output=json"]
    command = [sys.executable, "-m", "mypy", *options, str(RIGHT), str(WRONG)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=folder, check=False)
    assert done.returncode in (0, 1), done.stderr
    problems = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert bool(problems) is bool(done.returncode), done.stdout
    found: dict[str, dict[int, str]] = {RIGHT.name: {}, WRONG.name: {}}
    for each in problems:
        found.setdefault(Path(each["file"]).name, {})[each["line"]] = each["message"]
    return found


@pytest.fixture(scope="module")
def pyright(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, str]]:
    pytest.importorskip("pyright", reason="pyright is not installed")
    # Without the network the wrapper cannot fetch what it lacks; then it must not try for long either.
    environment = os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "npm_config_offline": "true"}
    command = [sys.executable, "-m", "pyright", "--outputjson", f"--pythonpath={sys.executable}", str(RIGHT), str(WRONG)]
    try:
        folder = tmp_path_factory.mktemp("pyright")
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=folder, env=environment, check=False)
        report: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        pytest.skip("pyright could not start here: it was not fetched yet, or there is no node")
    found: dict[str, dict[int, str]] = {RIGHT.name: {}, WRONG.name: {}}
    for each in report["generalDiagnostics"]:
        if each["severity"] == "error":
            found[Path(each["file"]).name][each["range"]["start"]["line"] + 1] = each["message"]
    return found


def test_mypy_accepts_every_right_call(mypy: dict[str, dict[int, str]]) -> None:
    assert mypy[RIGHT.name] == {}


def test_mypy_refuses_exactly_the_wrong_calls(mypy: dict[str, dict[int, str]]) -> None:
    found = mypy[WRONG.name]
    assert set(found) == MARKED, differences(found)


def test_pyright_accepts_every_right_call(pyright: dict[str, dict[int, str]]) -> None:
    assert pyright[RIGHT.name] == {}


def test_pyright_refuses_exactly_the_wrong_calls(pyright: dict[str, dict[int, str]]) -> None:
    found = pyright[WRONG.name]
    assert set(found) == MARKED, differences(found)


def differences(found: dict[int, str]) -> str:
    lines = WRONG.read_text().splitlines()
    accepted = [f"accepted {number}: {lines[number - 1]}" for number in sorted(MARKED - set(found))]
    refused = [f"refused {number}: {lines[number - 1]} ({found[number]})" for number in sorted(set(found) - MARKED)]
    return "\n".join(accepted + refused)
