"""The rules of the house that a program can check."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections import Counter
from dataclasses import fields
from pathlib import Path

import pytest

import mulligan
from mulligan.config.settings import Settings

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}
EVALUATES = {"src/mulligan/sdk/signature.py": "resolves the user's own annotations, as typing does, to name the one that fails"}


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text("utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout, so there is no list of tracked files")
    return [ROOT / name for name in listed.stdout.split("\n") if name]


def test_imports_point_down() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_no_file_is_over_five_hundred_lines_without_a_reason() -> None:
    long = {str(path.relative_to(ROOT)) for path in SOURCES if len(path.read_text("utf-8").splitlines()) > 500}
    assert long == set(LONG_FILES)


def test_no_function_is_over_sixty_lines_without_a_reason() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.name}"
        for path in SOURCES
        for node in functions(path)
        if (node.end_lineno or 0) - node.lineno + 1 > 60
    }
    assert long == set(LONG_FUNCTIONS)


def test_every_module_says_what_lives_there() -> None:
    silent = [str(path) for path in SOURCES if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert not silent


@pytest.mark.parametrize("name", mulligan.__all__)
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    value = getattr(mulligan, name)
    assert (not inspect.isclass(value) and not inspect.isfunction(value)) or inspect.getdoc(value)


@pytest.mark.parametrize(
    "home", ["mulligan.client.client", "mulligan.client.job", "mulligan.client.items", "mulligan.client.operation"]
)
def test_what_users_hold_documents_its_methods(home: str) -> None:
    module = importlib.import_module(home)
    classes = [each for _, each in inspect.getmembers(module, inspect.isclass) if each.__module__ == home]
    silent = [
        f"{each.__name__}.{name}"
        for each in classes
        for name, method in inspect.getmembers(each, inspect.isfunction)
        if not name.startswith("_") and not inspect.getdoc(method)
    ]
    assert not silent


def test_every_setting_is_documented_with_its_variable() -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    missing = [each.name for each in fields(Settings) if f"`{each.name}` | `MULLIGAN_{each.name.upper()}`" not in page]
    assert not missing


def test_the_documents_link_to_pages_that_exist() -> None:
    links = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
    broken = [
        f"{page.name}: {link}"
        for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
        for link in links.findall(page.read_text("utf-8"))
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert not broken


def test_sql_is_composed_in_one_place_only() -> None:
    statement = re.compile(r"^\s*(select|insert into|update|delete from)\s", re.IGNORECASE)
    composed = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        if "store/listing.py" not in str(path) and "demo/" not in str(path)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.JoinedStr)
        and node.values
        and isinstance(node.values[0], ast.Constant)
        and statement.match(str(node.values[0].value))
    ]
    assert not composed


def test_no_tracked_file_names_a_path_of_a_machine_or_a_registry() -> None:
    paths = re.compile(r"(?<![A-Za-z0-9_.-])/(?:work|farm|root|home/\w+)/")
    hosts = re.compile(r"https?://\S*(?:pypi|pythonhosted|npmjs|debian)\S*")
    wrong = []
    for file in tracked():
        if not file.is_file() or file.name == Path(__file__).name:
            continue
        text = file.read_text("utf-8", "replace")
        wrong += [f"{file.relative_to(ROOT)}: {found.group(0)}" for each in (paths, hosts) if (found := each.search(text))]
    assert not wrong


def test_no_two_test_modules_have_one_name() -> None:
    """Pytest imports them by their names, and would collect only the first."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_pickle_eval_and_shells_are_nowhere() -> None:
    forbidden = re.compile(r"\b(?:import pickle|pickle\.loads?|marshal\.|yaml\.load\(|shell=True)|(?<![.\w])(?:eval|exec)\(")
    wrong = {str(path.relative_to(ROOT)) for path in SOURCES if forbidden.search(path.read_text("utf-8"))}
    assert wrong == set(EVALUATES)
