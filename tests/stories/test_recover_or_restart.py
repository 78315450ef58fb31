"""What the page "Recover or restart?" says and nothing else shows."""

from __future__ import annotations

import pytest
from story_harness import World

from mulligan import JobStatus

KEEPS = """
from mulligan import Context, task

@task
def keeps(ctx: Context, file: str, n: int) -> str:
    with open(file, "a") as out:
        out.write(f"{n} {ctx.run_id} {ctx.idempotency_key}\\n")
    if ctx.generation < 3:
        raise ValueError("not yet")
    return "there"
"""


@pytest.mark.parametrize("ways", [("recover", "restart"), ("restart", "recover")])
def test_both_ways_keep_arguments_run_id_idempotency_key_and_what_happened(file_world: World, ways: tuple[str, str]) -> None:
    file = file_world.folder / "keeps.py"
    file.write_text(KEEPS, "utf-8")
    file_world.worker(file)
    job = file_world.client.submit("keeps", file=file_world.path(), n=7)
    for way in ways:
        assert job.wait(20).status is JobStatus.FAILURE
        assert job.retry(way) == 1  # type: ignore[arg-type]
    assert job.result() == "there"
    first, *others = file_world.lines()
    assert first.startswith(f"7 {job.run_id} ")
    assert others == [first, first]
    attempts = job.work_items()[0].attempts()
    assert [each.generation for each in attempts] == [1, 2, 3]
    assert [each.error_message for each in attempts] == ["not yet", "not yet", None]
