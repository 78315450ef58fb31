"""Loading tasks of files and modules."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from mulligan.core.errors import SubmitInImport, TaskError
from mulligan.sdk.loading import load
from mulligan.sdk.ports import AMBIENT

pytestmark = pytest.mark.usefixtures("fresh_modules")


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("from mulligan import *\nfrom mulligan import task\n" + textwrap.dedent(text))
    return str(path)


ONE = """
@task
def one(x: int) -> int:
    return x
"""


def test_a_file_is_known_by_its_stem_and_sees_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, "neighbour_of_flow.py", ONE)
    source = write(
        tmp_path, "loaded_flow.py", "import neighbour_of_flow\nfrom neighbour_of_flow import one\n" + ONE.replace("one", "two")
    )
    tasks = load([source])
    assert list(tasks) == ["two"]
    assert tasks["two"].definition().module == "loaded_flow"
    assert tasks["two"].definition().file == source
    assert sys.modules["loaded_flow"].two is tasks["two"]
    assert AMBIENT.importing is None


def test_a_file_and_a_module_of_one_name_are_one(tmp_path: Path) -> None:
    source = write(tmp_path, "loaded_twice.py", ONE)
    tasks = load([source, "loaded_twice", source])
    assert list(tasks) == ["one"]


def test_a_module_of_a_package_is_loaded_by_its_dotted_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "some_package/flows.py", ONE)
    monkeypatch.chdir(tmp_path)
    assert load(["some_package.flows"])["one"].definition().module == "some_package.flows"


def test_what_options_returned_is_no_task_of_its_own(tmp_path: Path) -> None:
    source = write(tmp_path, "loaded_bound.py", ONE + "\nurgent = one.options(priority=1)\nalias = one\n")
    assert list(load([source])) == ["one"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "defines no task"),
        ("from loaded_other import one", "defines no task"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("def broken(:", "SyntaxError"),
        ("import module_that_is_nowhere", "module_that_is_nowhere"),
        ("@task\ndef one(x: 'Missing') -> int: ...", "'Missing' of parameter 'x'"),
        ("@task(timeout=0)\ndef one() -> None: ...", "timeout"),
        ("@task(name='a')\ndef one() -> None: ...\n@task(name='a')\ndef two() -> None: ...", "two tasks are named 'a'"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(text: str, words: str, tmp_path: Path) -> None:
    write(tmp_path, "loaded_other.py", ONE)
    source = write(tmp_path, "loaded_badly.py", text)
    with pytest.raises(TaskError, match=words) as caught:
        load([source])
    assert "loaded_badly" in str(caught.value) or "one" in str(caught.value)
    assert AMBIENT.importing is None


def test_a_failed_import_shows_where_in_the_users_code_and_can_be_tried_again(tmp_path: Path) -> None:
    source = write(tmp_path, "loaded_later.py", "def helper():\n    raise OSError('no such share')\nhelper()\n")
    with pytest.raises(TaskError) as caught:
        load([source])
    assert "in helper" in str(caught.value)
    assert "no such share" in str(caught.value)
    assert "importlib" not in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    write(tmp_path, "loaded_later.py", ONE)
    assert list(load([source])) == ["one"]


def test_two_tasks_of_one_name_in_two_files_name_both_places(tmp_path: Path) -> None:
    first, second = write(tmp_path, "loaded_first.py", ONE), write(tmp_path, "loaded_second.py", ONE)
    with pytest.raises(TaskError) as caught:
        load([first, second])
    assert f"{first}:4" in str(caught.value)
    assert f"{second}:4" in str(caught.value)


def test_a_source_that_does_not_exist_is_named(tmp_path: Path) -> None:
    for source in (str(tmp_path / "nowhere.py"), "nowhere_at_all", "nowhere_at_all.flows"):
        with pytest.raises(TaskError, match="there is no such"):
            load([source])


def test_a_file_whose_name_is_taken_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path, "json.py", ONE)
    with pytest.raises(TaskError, match=r"belongs to another module.*rename"):
        load([source])


def test_submitting_while_it_is_imported_is_refused_with_the_guard(tmp_path: Path) -> None:
    source = write(tmp_path, "loaded_submitting.py", ONE + "\none.submit(1)\n")
    with pytest.raises(SubmitInImport, match=r"loaded_submitting\.py.*__main__"):
        load([source])
    assert AMBIENT.importing is None
    guarded = write(tmp_path, "loaded_guarded.py", ONE + "\nif __name__ == '__main__':\n    one.submit(1)\n")
    assert list(load([guarded])) == ["one"]


CODE = """
LIMIT = 3

def helper(x):
    return deeper(x)

def deeper(x):
    return x + 1  # a comment

def unrelated(x):
    return x

@task(retries=1)
def one(x: int) -> int:
    return helper(x)
"""


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ("x + 1", "x + 2", True),
        ("return helper(x)", "return helper(x) + 1", True),
        ("# a comment", "# another", False),
        ("retries=1", "retries=2", False),
        ("def unrelated(x):\n    return x", "def unrelated(x):\n    return 3", False),
    ],
)
def test_the_digest_changes_with_the_code_that_the_task_runs(before: str, after: str, changes: bool, tmp_path: Path) -> None:
    assert before in CODE
    one = load([write(tmp_path, "digest_before.py", CODE)])["one"].definition().code_digest
    other = load([write(tmp_path, "digest_after.py", CODE.replace(before, after))])["one"].definition().code_digest
    assert len(one) == 64
    assert (one != other) is changes
