"""A worker that cannot do what it is asked to says so at once, and ends."""

from __future__ import annotations

import pytest
from story_harness import World

TASK = "from mulligan import task\n"


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (
            {"one.py": TASK + "@task\ndef same() -> None: ...\n", "two.py": TASK + "@task\ndef same() -> None: ...\n"},
            ["two tasks are named 'same'", "one.py", "two.py"],
        ),
        (
            {"one.py": TASK + "@task\ndef a() -> None: ...\n@task(name='a')\ndef b() -> None: ...\n"},
            ["two tasks are named 'a'"],
        ),
        ({"broken.py": TASK + "import nothing_of_this_name\n"}, ["broken.py", "nothing_of_this_name"]),
        ({"broken.py": "def half(:\n"}, ["broken.py", "SyntaxError"]),
        ({"empty.py": "x = 1\n"}, ["empty.py", "defines no task"]),
        ({"hasty.py": TASK + "@task\ndef a() -> None: ...\na.submit()\n"}, ["hasty.py", "import"]),
        ({"leaving.py": TASK + "raise SystemExit(0)\n"}, ["leaving.py", "SystemExit"]),
    ],
    ids=["one name in two files", "one name twice", "missing module", "no Python", "no task", "submits", "exits"],
)
def test_a_worker_refuses_sources_that_it_cannot_use(file_world: World, sources: dict[str, str], said: list[str]) -> None:
    for name, text in sources.items():
        (file_world.folder / name).write_text(text)
    worker = file_world.worker(*sources, wait=False)
    assert worker.wait() not in (0, None)
    for each in said:
        assert each in worker.said
    assert "worker started" not in worker.said
    assert "mulligan/" not in worker.said, "users see their own lines, not ours"
    assert file_world.client.jobs() == []


def test_a_file_that_is_not_there_is_named(file_world: World) -> None:
    worker = file_world.worker("missing.py", wait=False)
    assert worker.wait() != 0
    assert "missing.py" in worker.said


def test_a_name_that_another_module_has_published_is_refused(world: World) -> None:
    for name in ("first.py", "second.py"):
        (world.folder / name).write_text(TASK + "@task\ndef same() -> None: ...\n")
    assert world.worker("first.py").stop() == 0
    worker = world.worker("second.py", wait=False)
    assert worker.wait() != 0
    assert "'same' is published from module 'first'" in worker.said
    assert "namespace" in worker.said
    assert world.worker("second.py", namespace="other").stop() == 0


def test_a_store_that_is_none_is_refused(world: World) -> None:
    (world.folder / "flow.py").write_text(TASK + "@task\ndef a() -> None: ...\n")
    text = world.folder / "text.db"
    text.write_text("this is no database, but it is long enough to look like one" * 20)
    worker = world.worker("flow.py", wait=False, database=f"sqlite:///{text}")
    assert worker.wait() != 0
    assert "is not a SQLite file" in worker.said
    assert text.read_text().startswith("this is no database")
