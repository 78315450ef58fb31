"""Old and new code of a task side by side on one store."""

from __future__ import annotations

from pathlib import Path

import apsw
import psycopg
from psycopg import sql
from story_harness import World, until

from mulligan import JobStatus
from mulligan.core.job import FailureClass, Reason

OLD = """
from mulligan import task

@task(retries={retries})
def load(file: str, n: int) -> str:
    with open(file, "a") as out:
        out.write(f"{version} {{n}}\\n")
    if n < 0:
        raise ConnectionResetError("it hung up")
    return "{version}"
"""
NEW = OLD.replace("n: int)", "n: int, region: str)")


def a_version(world: World, version: str, source: str, retries: str = "2") -> Path:
    folder = world.folder / version
    folder.mkdir()
    (folder / "flow.py").write_text(source.format(version=version, retries=retries))
    return folder / "flow.py"


def test_what_waits_with_arguments_of_the_old_code_fails_by_name_and_never_reaches_the_new_code(world: World) -> None:
    old, new = a_version(world, "old", OLD), a_version(world, "new", NEW)
    assert world.worker(old).stop() == 0
    waiting = world.client.submit("load", file=world.path(), n=1)
    world.worker(new)
    item = waiting.wait(20).work_items()[0]
    assert (item.status, item.failure_class, item.reason) == (JobStatus.FAILURE, FailureClass.PERMANENT, Reason.NOT_RETRIED)
    assert "region" in str(item.error_message)
    assert item.attempts()[0].error_type == "mulligan.core.errors.ArgumentsInvalid"
    assert world.lines() == []
    fresh = world.client.submit("load", file=world.path(), n=1, region="eu")
    assert fresh.result() == "new"
    world.check()


def test_a_new_policy_holds_from_the_next_generation_on(world: World) -> None:
    old, new = a_version(world, "old", OLD, "None"), a_version(world, "new", OLD, "(3, 0)")
    first = world.worker(old)
    job = world.client.submit("load", file=world.path(), n=-1)
    assert job.wait(20).work_items()[0].reason is Reason.AT_MOST_ONCE
    second = world.worker(new)
    assert first.stop() == 0
    assert job.retry().total == 1
    until(lambda: job.refresh().status is JobStatus.FAILURE and job.work_items()[0].generation == 2, "the retry has ended")
    item = job.work_items()[0]
    assert item.reason is Reason.BUDGET_SPENT
    assert world.lines() == ["old -1", *["new -1"] * 4]
    assert second.stop() == 0
    world.check()


def test_a_worker_whose_schema_is_migrated_beyond_what_it_knows_drains_and_says_which_version_to_install(world: World) -> None:
    worker = world.worker(a_version(world, "old", OLD), lease=0.6)
    assert world.client.submit("load", file=world.path(), n=1).result() == "old"
    contract = "insert into meta (key, value) values ('oldest_code', '99')"
    if world.place is None:
        apsw.Connection(str(world.store)).execute(contract)
    else:
        with psycopg.connect(world.place.url) as connection:
            connection.execute(sql.SQL("set search_path = {}").format(sql.Identifier(world.place.schema)))
            connection.execute(contract)
    assert worker.wait() != 0
    assert "needs a version of Mulligan that knows schema 99" in worker.said
    world.check()


def test_a_worker_takes_only_what_it_has_loaded_and_what_waits_says_for_what(world: World) -> None:
    old = a_version(world, "old", OLD)
    (world.folder / "other.py").write_text("from mulligan import task\n\n@task\ndef other() -> int:\n    return 1\n")
    assert world.worker(old).stop() == 0
    world.worker(world.folder / "other.py")
    job = world.client.submit("load", file=world.path(), n=1)
    assert world.client.submit("other").result() == 1
    assert job.refresh().label == "Waiting (no capable worker)"
    assert "no capable worker" in world.client.explain(job.work_items()[0].id)
    assert job.cancel().total == 1
    world.check()
