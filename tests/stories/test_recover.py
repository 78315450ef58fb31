"""A person tries again: recover goes on where the work stopped, restart begins anew."""

from __future__ import annotations

import story_tasks
from story_harness import Trace, World

from mulligan import JobStatus

CHANGING = """
from mulligan import Context, task

def first(file: str) -> int:
    with open(file, "a") as out:
        out.write("first\\n")
    return 1

@task
def changing(ctx: Context, file: str) -> int:
    done = ctx.step(first, file)
    {rest}
"""


def test_recover_repeats_no_finished_step(shared: World, trace: Trace) -> None:
    trace.touch("broken")
    job = shared.client.submit(story_tasks.three_steps, trace.path(), trace.path("broken"))
    assert job.wait(20).status is JobStatus.FAILURE
    assert trace.lines() == ["step 1", "step 2"]
    trace.remove("broken")
    assert job.retry(type="recover") == 1
    assert job.result() == [1, 2, 3]
    assert trace.lines() == ["step 1", "step 2", "step 3"]


def test_restart_repeats_every_step(shared: World, trace: Trace) -> None:
    trace.touch("broken")
    job = shared.client.submit(story_tasks.three_steps, trace.path(), trace.path("broken"))
    job.wait(20)
    trace.remove("broken")
    assert job.retry(type="restart") == 1
    assert job.result() == [1, 2, 3]
    assert trace.lines() == ["step 1", "step 2", "step 1", "step 2", "step 3"]


def test_the_cursor_of_the_last_attempt_is_there_after_recover_and_gone_after_restart(shared: World, trace: Trace) -> None:
    trace.touch("broken")
    args = (trace.path(), trace.path("broken"))
    recovered, restarted = (shared.client.submit(story_tasks.pages, *args) for _ in range(2))
    assert {recovered.wait(20).status, restarted.wait(20).status} == {JobStatus.FAILURE}
    trace.remove("broken")
    recovered.retry(type="recover")
    restarted.retry(type="restart")
    assert (recovered.result(), restarted.result()) == ([3], [0])


def test_a_retry_after_a_death_goes_on_from_what_was_saved(world: World) -> None:
    """By itself, too: the steps that a killed worker's attempt has saved are not run again."""
    worker = world.worker()
    job = world.client.submit(story_tasks.stops_after_a_step, world.path(), world.path("go"))
    world.wait_for("waits")
    worker.kill()
    world.touch()
    world.worker()
    assert job.result() == 2
    assert world.lines() == ["step 1", "waits", "waits"]


def test_recover_says_that_the_code_has_changed_since_the_checkpoint(world: World) -> None:
    file = world.folder / "changing.py"
    file.write_text(CHANGING.format(rest="raise ValueError('not fixed')"))
    worker = world.worker(file)
    job = world.client.submit("changing", file=world.path())
    assert job.wait(20).status is JobStatus.FAILURE
    assert not job.retry(dry_run=True).warnings, "nothing has changed yet"

    assert worker.stop() == 0
    file.write_text(CHANGING.format(rest="return done + 1"))
    world.worker(file)
    changed, advice = job.retry(dry_run=True).warnings
    assert "code changed" in changed
    assert "restart" in advice
    started = job.retry(type="recover")
    assert (started, list(started.warnings)) == (1, [changed, advice])
    assert job.result() == 2
    assert world.lines() == ["first"], "the step that had finished was not run again"


def test_a_fix_reaches_the_next_generation_and_not_the_one_that_failed(world: World) -> None:
    file = world.folder / "changing.py"
    file.write_text(CHANGING.format(rest="raise ValueError('not fixed')"))
    worker = world.worker(file)
    job = world.client.submit("changing", file=world.path())
    job.wait(20)
    worker.stop()
    file.write_text(CHANGING.format(rest="return done + 1"))
    world.worker(file)
    assert job.refresh().status is JobStatus.FAILURE
    assert job.retry(type="restart") == 1
    assert job.result() == 2
    assert [each.generation for each in job.work_items()[0].attempts()] == [1, 2]
