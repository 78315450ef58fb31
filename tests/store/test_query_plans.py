"""Hot statements find their rows by an index: none of them reads what grows with history."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mulligan.store.sqlite import SqliteDatabase
from mulligan.store.statements import checks, statements

HOT = {
    "heads": "items_ready",
    "claimable": "items_ready",
    "start_items": "PRIMARY KEY",
    "settle_items": "PRIMARY KEY",
    "apply_items": "PRIMARY KEY",
    "read_items": "PRIMARY KEY",
    "held_by": "items_held",
    "asked_to_stop": "items_held",
    "running_of_job": "items_held",
    "expired": "items_deadline",
    "next_deadline": "items_deadline",
    "waiting_of_job": "PRIMARY KEY",
    "owns": "PRIMARY KEY",
    "forgive_crashes": "PRIMARY KEY",
    "next_retry": "items_status",
    "first_failure": "items_status",
    "windows_taken": "inputs_window",
    "windows_newest": "inputs_window",
    "later_written": "inputs_window",
    "read_saved": "PRIMARY KEY",
    "cancelling_jobs": "jobs_cancelling",
    "releasing_jobs": "jobs_releasing",
    "open_workers": "workers_open",
    "count_moves": "INTEGER PRIMARY KEY",
    "read_logs": "PRIMARY KEY",
}
PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")
SOURCES = Path(__file__).parents[2] / "src" / "mulligan"


@pytest.fixture(scope="module")
def database() -> Iterator[SqliteDatabase]:
    made = SqliteDatabase(":memory:")
    yield made
    made.close()


@pytest.mark.parametrize("name", HOT)
def test_a_hot_statement_uses_its_index(database: SqliteDatabase, name: str) -> None:
    text = statements("sqlite")[name]
    values = {each: "[]" if each in ("rows", "keys", "tasks") else 1 for each in PARAMETER.findall(text)}
    plan = [row[3] for row in database._writer.execute(f"explain query plan {text}", values)]
    assert any(HOT[name] in line for line in plan), plan
    scans = [line for line in plan if re.match(r"SCAN (?:i|items|n|inputs|a|attempts|c|checkpoints)\b(?! USING.*INDEX)", line)]
    assert not scans, plan


@pytest.mark.parametrize("name", statements("sqlite"))
def test_every_statement_is_understood_by_the_database(database: SqliteDatabase, name: str) -> None:
    text = statements("sqlite")[name]
    values = {each: "[]" if each in ("rows", "keys", "tasks", "jobs") else 1 for each in PARAMETER.findall(text)}
    assert "?" not in text, "parameters are named"
    database._writer.execute(f"explain {text}", values).fetchall()


@pytest.mark.parametrize("name", checks("sqlite"))
def test_every_invariant_says_what_is_wrong_and_holds_in_an_empty_store(database: SqliteDatabase, name: str) -> None:
    wrong, text = checks("sqlite")[name]
    assert len(wrong) > 20
    assert database._writer.execute(text).fetchall() == []


def test_every_statement_is_used() -> None:
    code = "".join(path.read_text("utf-8") for path in SOURCES.rglob("*.py"))
    unused = [name for name in statements("sqlite") if f'"{name}"' not in code]
    assert not unused
