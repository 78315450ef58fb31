"""The example of a program as a task, with the real program."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from story_harness import World

from mulligan import JobStatus

EXAMPLE = Path(__file__).parents[2] / "examples" / "warehouse.py"


def test_duckdb_answers_and_what_is_wrong_with_its_sql_is_permanent(file_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if shutil.which("duckdb") is None:
        pytest.skip("DuckDB's command line is not installed: there is no wheel of it for every platform")
    file_world.worker(EXAMPLE)
    database = file_world.path("warehouse.duckdb")
    made = "create table days as select 1 as day; select count(*) as n from days;"
    assert file_world.client.submit("build", sql=made, database=database).result() == "n\n1\n"
    wrong = file_world.client.submit("build", sql="select nothing from nowhere", database=database)
    assert wrong.wait(20).status is JobStatus.FAILURE
    item = wrong.work_items()[0]
    assert (item.failure_class, item.attempts()[0].rule) == ("PERMANENT", "ctx.run:1")
    assert "nowhere" in str(item.error_message)
