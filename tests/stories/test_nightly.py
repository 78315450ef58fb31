"""The pipeline of the pages "Coming from …" and "Recover or restart?", in real workers: killed, stopped, fixed, begun anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from story_harness import World, outcomes, until

from mulligan import FailureClass, Job, JobStatus, WorkItem

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
EXAMPLE = EXAMPLES / "nightly.py"
DAY = "2024-03-07"
sys.path.append(str(EXAMPLES))

from object_store import ObjectStore  # noqa: E402 - it stands beside the example


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """The object store that the workers of a story read from."""
    with ObjectStore(0) as made:
        monkeypatch.setenv("OBJECT_STORE", f"http://127.0.0.1:{made.server_port}")
        yield made


def submitted(world: World) -> Job[str]:
    """Submit the pipeline for a day, by its name."""
    return world.client.submit("nightly", day=DAY)


def call(job: Job[str], task: str) -> WorkItem | None:
    """Return the work item of a task that the pipeline called, if it has called it yet."""
    return next((each for each in job.work_items()[0].calls() if each.task == task), None)


def epochs(world: World) -> list[str]:
    return world.lines("nightly/epochs.log")


def in_training(world: World, job: Job[str]) -> WorkItem:
    """Wait until some epochs of the model are saved, and the next one is under way."""
    until(lambda: len(epochs(world)) >= 3, "three epochs have run")
    return until(lambda: call(job, "retrain"), "the training is there")


def test_it_runs_with_two_commands(tmp_path: Path, objects: ObjectStore) -> None:
    port = objects.server_port
    objects.__exit__()
    environ = {key: value for key, value in os.environ.items() if not key.startswith("MULLIGAN_")}
    environ["OBJECT_STORE"] = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mulligan.cli.main", "dev", str(EXAMPLE)]
    worker = subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True)
    try:
        assert worker.stdout is not None
        worker.stdout.readline()  # it has opened the store
        for _ in "first", "again: the same job":
            told = subprocess.run(
                [sys.executable, str(EXAMPLE), DAY], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
            )
            assert told.stdout.strip().endswith(f"nightly/model-nightly-{DAY}.json"), told.stdout + told.stderr
        assert len((tmp_path / "nightly" / "epochs.log").read_text().splitlines()) == 10
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=30)
    assert worker.returncode == 0


def test_killed_in_the_middle_of_the_training_it_goes_on_from_the_last_epoch_that_was_saved(
    world: World, objects: ObjectStore
) -> None:
    worker = world.worker(EXAMPLE)
    job = submitted(world)
    in_training(world, job)
    worker.kill()
    world.worker(EXAMPLE)
    assert job.result() == f"nightly/model-{job.run_id}.json"
    assert objects.asked == {f"/{DAY}.csv": 2}, "one 503 and one file: what was fetched is not fetched again"
    ran = Counter(epochs(world))
    assert set(ran) == {str(number) for number in range(10)}
    assert ran.total() <= 11, "at most the epoch that was under way ran twice"
    found = {each.task: outcomes(each) for each in job.work_items()[0].calls()}
    assert found == {"fetch": ["FAILED", "SUCCEEDED"], "load": ["SUCCEEDED"], "retrain": ["LOST", "SUCCEEDED"]}
    assert len(list((world.folder / "nightly").glob("model-*"))) == 1
    world.check()


def test_a_store_that_does_not_answer_costs_one_attempt(file_world: World, objects: ObjectStore) -> None:
    objects.hangs = (f"/{DAY}.csv",)
    file_world.worker(EXAMPLE)
    job = submitted(file_world)
    job.result()
    fetch = call(job, "fetch")
    assert fetch is not None
    assert [each.failure_class for each in fetch.attempts()] == [FailureClass.TIMEOUT, None]


def test_a_changed_schema_fails_at_once_and_after_a_fix_of_the_code_recover_fetches_nothing_again(
    file_world: World, objects: ObjectStore
) -> None:
    objects.columns = "day,flight,minutes"
    first = file_world.worker(EXAMPLE)
    job = submitted(file_world)
    assert job.wait(20).status is JobStatus.FAILURE
    load = call(job, "load")
    assert load is not None
    assert (load.failure_class, outcomes(load)) == (FailureClass.PERMANENT, ["FAILED"])
    assert "the schema changed" in str(job.error_message)
    assert first.stop() == 0
    fixed = file_world.folder / "nightly.py"
    fixed.write_text(EXAMPLE.read_text("utf-8").replace('"delay"]', '"minutes"]'), "utf-8")
    file_world.worker(fixed)
    assert job.retry("recover") == 1
    job.result()
    assert objects.asked.total() == 2
    assert outcomes(load.refresh()) == ["FAILED", "SUCCEEDED"]


def test_where_the_file_was_mended_at_its_source_recover_still_has_the_old_one_and_restart_fetches_it_anew(
    file_world: World, objects: ObjectStore
) -> None:
    objects.columns, right = "day,flight,minutes", objects.columns
    file_world.worker(EXAMPLE)
    job = submitted(file_world)
    assert job.wait(20).status is JobStatus.FAILURE
    objects.columns = right
    assert job.retry("recover") == 1
    assert job.wait(20).status is JobStatus.FAILURE, "the fetch had succeeded, so its file is kept"
    assert job.retry("restart") == 1
    job.result()
    assert objects.asked.total() == 3


def test_cancelled_in_the_middle_of_the_training_it_can_be_recovered_from_there(file_world: World, objects: ObjectStore) -> None:
    file_world.worker(EXAMPLE)
    job = submitted(file_world)
    training = in_training(file_world, job)
    assert job.cancel() == 1
    assert job.wait(20).status is JobStatus.REVOKED
    until(lambda: training.refresh().status is JobStatus.REVOKED, "the training has ended too")
    assert job.retry() == 1
    job.result()
    assert Counter(epochs(file_world)).total() <= 11
    assert objects.asked.total() == 2
