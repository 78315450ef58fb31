"""Workflows: who waits goes on waiting, what was done is not done again, whatever is killed, stopped, retried or cancelled."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import workflow_tasks as flows
from story_harness import HERE, Trace, World, outcomes, until

from mulligan import JobStatus, TaskFailed
from mulligan.core.errors import OverwriteUnsafe, Refused
from mulligan.core.job import Outcome, Reason
from mulligan.worker.executors.bodies.executor import SLOTS

TASKS = HERE / "workflow_tasks.py"


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world with a worker that has loaded the workflows, for stories that leave both as they were."""
    place = request.getfixturevalue("shared_place")() if request.param == "postgres" else None
    made = World(tmp_path_factory.mktemp("workflows"), place)
    made.worker(TASKS)
    yield made
    made.check()
    made.close()


def calls_of(world: World, job: object) -> dict[str, list[str]]:
    """Return for each call of a job's only workflow how its attempts ended."""
    item = world.client.work_items(job=job.id)  # type: ignore[attr-defined]
    return {f"{each.task} {each.key}": outcomes(each) for each in next(item).calls()}


def test_calls_that_are_waited_for_at_once_or_later_give_their_results(running: World) -> None:
    assert running.client.submit(flows.sums, 4).result() == 101 + (1 + 2 + 3 + 4) + (2 + 3 + 4 + 5)


def test_workflows_call_workflows(running: World) -> None:
    def one(count: int) -> int:
        return 101 + sum(n + 1 for n in range(count)) + sum(n + 2 for n in range(count))

    assert running.client.submit(flows.sums_of_sums, 3).result() == one(3) + one(4) + one(1)


def test_more_workflows_than_may_run_at_once_wait_for_others_of_their_kind_and_none_is_stuck(running: World) -> None:
    job = running.client.map(flows.outer, range(3 * SLOTS))
    assert job.results() == [number + 2 for number in range(3 * SLOTS)]


def test_an_async_workflow_has_many_calls_under_way_at_once(running: World) -> None:
    assert running.client.submit(flows.sums_async, 5).result() == sum(n + 2 for n in range(5)) + 1000


def test_who_waits_goes_on_waiting_through_the_retries_of_a_call(running: World, trace: Trace) -> None:
    job = running.client.submit(flows.waits_for_retries, trace.path())
    assert job.result() == "there"
    assert list(calls_of(running, job).values()) == [["FAILED", "FAILED", "SUCCEEDED"]]
    assert outcomes(job.work_items()[0]) == ["SUCCEEDED"]


def test_a_workflow_may_go_on_after_a_call_failed_and_hears_why(running: World, trace: Trace) -> None:
    job = running.client.submit(flows.catches, trace.path(), trace.path("never"))
    said = job.result()
    call = job.work_items()[0].calls()[0]
    assert said == f"{call.id} ValueError UNKNOWN a is not fixed yet"
    assert call.status is JobStatus.FAILURE


def test_counts_and_lists_of_a_job_are_of_its_own_items_and_calls_are_found_by_their_workflow(running: World) -> None:
    job = running.client.submit(flows.sums, 3)
    job.result()
    assert job.counts.total == 1
    assert [each.id for each in job.work_items()] == [f"{job.id}-0"]
    calls = job.work_items()[0].calls()
    assert len(calls) == 7
    assert {each.parent for each in calls} == {f"{job.id}-0"}
    assert calls[0].id not in {each.id for each in running.client.work_items(run_id=job.run_id)}
    assert calls[0].id in {each.id for each in running.client.work_items(parent=f"{job.id}-0")}
    assert job.id in {each.id for each in running.client.jobs()}
    assert calls[0].id.split("-")[0] not in {each.id for each in running.client.jobs()}


def test_what_a_workflow_called_and_did_not_wait_for_is_part_of_it_all_the_same(running: World, trace: Trace) -> None:
    job = running.client.submit(flows.leaves_behind, trace.path(), trace.path("go"))
    trace.wait_for("a")
    assert job.refresh().status is JobStatus.STARTED
    trace.touch()
    assert job.result() == "returned"
    assert [each.status for each in job.work_items()[0].calls()] == [JobStatus.SUCCESS]


@pytest.mark.parametrize("how", ["killed", "stopped"])
@pytest.mark.parametrize(
    ("world", "at"), [("sqlite", 0), ("sqlite", 7), ("sqlite", 19), ("postgres", 7)], indirect=["world"]
)  # what is replayed is read from either store in one way, wherever in the body it stopped
def test_a_workflow_survives_its_worker_and_nothing_is_done_twice(world: World, how: str, at: int) -> None:
    first = world.worker(TASKS, lease=30)
    job = world.client.submit(flows.twenty, world.path(), world.path("go"), at)
    world.wait_for(str(at))
    if how == "killed":
        first.kill()
    else:
        first.signal(signal.SIGTERM)
    world.touch()
    second = world.worker(TASKS)
    assert job.result() == [str(number) for number in range(20)]
    starts = Counter(world.lines())
    assert all(starts[str(number)] == 1 for number in range(20) if number != at)
    assert starts[str(at)] <= 2
    item = job.work_items()[0]
    attempts = item.attempts()
    assert [each.outcome for each in attempts[:-1]] == [Outcome.LOST if how == "killed" else Outcome.INTERRUPTED]
    assert (attempts[0].decision, attempts[0].charged) == (Reason.REPLAYED, False)
    assert second.stop() == 0
    if how == "stopped":
        assert first.wait() == 0
    world.check()


def test_a_worker_that_is_stopped_lets_its_bodies_tidy_up_before_it_leaves(world: World) -> None:
    worker = world.worker(TASKS, grace=20)
    job = world.client.submit(flows.tidies, world.path(), world.path("go"), world.path("broom"))
    world.wait_for("held")
    worker.signal(signal.SIGTERM)
    world.wait_for("tidying")
    world.touch("go")
    item = job.work_items()[0]
    until(lambda: [each.status for each in item.calls()] == [JobStatus.SUCCESS], "the end of the call")
    world.touch("broom")
    assert worker.wait() == 0
    assert outcomes(item) == ["INTERRUPTED"]
    world.worker(TASKS)
    assert job.result() == "held"
    world.check()


def test_a_body_whose_work_item_was_taken_back_while_its_worker_lives_is_stopped_there(world: World) -> None:
    world.worker(TASKS, lease=3)
    once = world.client.submit(flows.once_until, world.path("beside"), "once", world.path("go"))
    job = world.client.submit(flows.twenty, world.path(), world.path("go"), 0)
    world.wait_for("0")
    world.wait_for("once", name="beside")
    world.client.pause("twenty")
    engine = world.client.services.engine
    with engine.store.read() as session:
        worker = session.workers.open()[0]
    engine.take_back_retried(worker)
    until(lambda: world.refused() or None, "the end of the body that was stopped")
    assert job.refresh().status is JobStatus.PENDING
    world.client.resume("twenty")
    world.touch()
    assert (once.result(), job.result()) == ("once", [str(number) for number in range(20)])
    assert world.instances() == 1
    world.check()


def test_recovering_a_workflow_runs_only_what_had_failed(world: World) -> None:
    world.worker(TASKS)
    job = world.client.submit(flows.fan, world.path(), world.path("fixed"), 40)
    assert job.wait(30).status is JobStatus.FAILURE
    assert sorted(world.lines(), key=int) == [str(number) for number in range(40)]
    assert "7 is not fixed yet" in str(job.error_message)
    world.touch("fixed")
    assert job.retry() == 1
    assert sorted(job.result(), key=int) == [str(number) for number in range(40)]
    assert Counter(world.lines()) == {str(number): 2 if number == 7 else 1 for number in range(40)}
    world.check()


def test_restarting_a_workflow_forgets_its_calls_which_stay_to_be_looked_at(world: World) -> None:
    world.worker(TASKS)
    job = world.client.submit(flows.fan, world.path(), world.path("fixed"), 10)
    assert job.wait(30).status is JobStatus.FAILURE
    world.touch("fixed")
    assert job.retry("restart") == 1
    assert len(job.result()) == 10
    assert set(Counter(world.lines()).values()) == {2}
    assert len(job.work_items()[0].calls()) == 10
    assert len(list(world.client.work_items(parent=f"{job.id}-0"))) == 20
    world.check()


def test_a_workflow_that_is_retried_keeps_what_succeeded_and_runs_what_failed_again(world: World) -> None:
    world.worker(TASKS)
    job = world.client.submit(flows.retried, world.path(), world.path("fixed"))
    assert job.result() == "kepta"
    assert world.lines() == ["kept", "a", "a"]
    assert outcomes(job.work_items()[0]) == ["FAILED", "SUCCEEDED"]
    call = next(each for each in job.work_items()[0].calls() if each.task == "fails_without")
    assert (call.generation, outcomes(call)) == (2, ["FAILED", "SUCCEEDED"])
    world.check()


def test_a_retry_by_itself_leaves_alone_what_may_have_run_and_may_run_only_once(world: World) -> None:
    first = world.worker(TASKS)
    job = world.client.submit(flows.retried_once_only, world.path(), world.path("go"))
    world.wait_for("a")
    first.kill()
    world.worker(TASKS)
    assert job.wait(30).status is JobStatus.FAILURE
    assert "nobody knows whether it did" in str(job.error_message)
    assert world.lines() == ["a"]
    world.touch()
    assert job.retry() == 1, "a person may say so"
    assert job.result() == "a"
    assert world.lines() == ["a", "a"]
    world.check()


def test_cancelling_a_workflow_goes_down_to_all_that_it_called(running: World, trace: Trace) -> None:
    job = running.client.submit(flows.waits_nested, trace.path(), trace.path("never"))
    trace.wait_for("a", "b")
    assert job.cancel() == 1
    assert job.wait(10).status is JobStatus.REVOKED
    inner = job.work_items()[0].calls()[0]
    until(lambda: inner.refresh().status is JobStatus.REVOKED, "the inner workflow is cancelled")
    until(lambda: {each.status for each in inner.calls()} == {JobStatus.REVOKED}, "its calls are cancelled")


def test_a_cancelled_workflow_can_be_recovered(running: World, trace: Trace) -> None:
    job = running.client.submit(flows.waits_nested, trace.path(), trace.path("go"))
    trace.wait_for("a", "b")
    job.cancel()
    job.wait(10)
    inner = job.work_items()[0].calls()[0]
    until(lambda: {each.refresh().status for each in inner.calls()} == {JobStatus.REVOKED}, "its calls are cancelled")
    trace.touch()
    assert job.retry() == 1
    assert job.result() == ["a", "b"]


def test_a_call_that_is_cancelled_by_itself_raises_in_its_workflow(running: World, trace: Trace) -> None:
    job = running.client.submit(flows.one_is_cancelled, trace.path(), trace.path("never"))
    trace.wait_for("a")
    call = job.work_items()[0].calls()[0]
    assert call.cancel() == 1
    assert job.result() == f"cancelled {call.id}"


def test_a_body_that_ignores_its_cancellation_is_given_up_and_told_of(world: World) -> None:
    worker = world.worker(TASKS)
    job = world.client.submit(flows.ignores_cancellation, world.path())
    world.wait_for("a")
    job.cancel()
    assert job.wait(20).status is JobStatus.REVOKED
    assert "body abandoned" in worker.said
    assert world.client.submit(flows.sums, 1).result() == 101 + 1 + 2
    world.check()


def test_retrying_a_call_recovers_its_workflow_and_is_refused_where_that_succeeded(running: World, trace: Trace) -> None:
    job = running.client.submit(flows.fan, trace.path(), trace.path("fixed"), 9)
    job.wait(30)
    call = next(each for each in job.work_items()[0].calls() if each.status is JobStatus.FAILURE)
    with pytest.raises(Refused, match=f"restart {job.id}-0"):
        call.retry("restart")
    trace.touch("fixed")
    assert call.retry() == 1
    assert len(job.wait(30).result()) == 9
    with pytest.raises(Refused, match=f"overwrite {job.id}-0"):
        call.refresh().retry()
    with pytest.raises(Refused, match=f"overwrite {job.id}-0"):
        call.refresh().overwrite(accept_risk=True)


def test_overwriting_a_workflow_is_judged_by_what_it_called_and_runs_all_of_it_again(running: World, trace: Trace) -> None:
    trace.touch("fixed")
    job = running.client.submit(flows.fan, trace.path(), trace.path("fixed"), 8)
    job.result()
    with pytest.raises(OverwriteUnsafe, match=r"call .* the task does not say where it writes"):
        job.overwrite()
    assert job.overwrite(accept_risk=True) == 1
    assert len(job.wait(30).result()) == 8
    assert set(Counter(trace.lines()).values()) == {2}


def test_steps_of_a_body_are_not_repeated_and_its_log_is_kept(running: World, trace: Trace) -> None:
    job = running.client.submit(flows.with_steps, trace.path(), trace.path("fixed"))
    assert job.wait(20).status is JobStatus.FAILURE
    trace.touch("fixed")
    job.retry()
    assert job.result() == f"stamp {job.run_id} 2 stamp"
    assert trace.lines("trace.stamps") == ["stamp"]
    assert job.work_items()[0].logs().count("event=stamped at=stamp") == 2


@pytest.mark.parametrize("gone", [False, True])
def test_a_recover_makes_a_call_again_whose_artifact_is_not_there_any_more(running: World, trace: Trace, gone: bool) -> None:
    job = running.client.submit(flows.makes, trace.path(), trace.path("fixed"))
    assert job.wait(20).status is JobStatus.FAILURE
    if gone:
        Path(f"{trace.path()}.{job.run_id}").unlink()
    trace.touch("fixed")
    job.retry()
    assert job.wait(20).result() == "the same each time"
    assert trace.lines().count("made") == 1 + gone
    said = job.work_items()[0].logs()
    assert ("a call is made again, since its artifact is lost" in said) is gone


def test_restarting_a_workflow_replaces_the_artifacts_of_its_calls(running: World, trace: Trace) -> None:
    job = running.client.submit(flows.makes, trace.path(), trace.path("fixed"))
    assert job.wait(20).status is JobStatus.FAILURE
    trace.touch("fixed")
    job.retry("restart")
    assert job.wait(20).result() == "the same each time"
    assert trace.lines().count("made") == 2


def test_the_time_of_a_workflow_is_that_of_all_that_it_calls(running: World, trace: Trace) -> None:
    job = running.client.submit(flows.too_long, trace.path(), trace.path("never"))
    assert job.wait(20).status is JobStatus.FAILURE
    item = job.work_items()[0]
    assert item.reason is Reason.CUTOFF
    until(lambda: item.calls()[0].status is JobStatus.FAILURE, "the call has ended too")
    assert item.calls()[0].reason is Reason.CUTOFF


def test_the_error_of_a_call_that_failed_for_good_is_that_of_the_workflow(running: World, trace: Trace) -> None:
    job = running.client.submit(flows.fan, trace.path(), trace.path("never"), 8)
    with pytest.raises(TaskFailed, match="7 is not fixed yet") as failed:
        job.result()
    assert failed.value.failure_class == "UNKNOWN"


VERSION = """
from mulligan import task, workflow
from story_tasks import leave, is_there

@task
def load(file: str, what: str) -> str:
    leave(file, f"load {{what}}")
    return what

@task
def store(file: str, what: str, fixed: str) -> str:
    leave(file, f"store {{what}}")
    if not is_there(fixed):
        raise ValueError("no room")
    return what

@workflow
def nightly(file: str, fixed: str) -> str:
{body}
"""
OLD = '    return store(file, load(file, "all"), fixed)'


def a_version(world: World, name: str, body: str) -> Path:
    folder = world.folder / name
    folder.mkdir()
    (folder / "flow.py").write_text(VERSION.format(body=body))
    return folder / "flow.py"


def after_a_fix(world: World, body: str) -> object:
    """Have the old code fail, then recover it with other code; returns the job."""
    first = world.worker(a_version(world, "old", OLD))
    job = world.client.submit("nightly", file=world.path(), fixed=world.path("fixed"))
    assert job.wait(20).status is JobStatus.FAILURE
    assert first.stop() == 0
    world.touch("fixed")
    world.worker(a_version(world, "new", body))
    assert job.retry() == 1
    return job.wait(20)


def test_a_failed_call_may_change_since_that_may_be_the_fix(world: World) -> None:
    job = after_a_fix(world, '    return store(file, load(file, "all") + " of it", fixed)')
    assert job.result() == "all of it"  # type: ignore[attr-defined]
    assert world.lines() == ["load all", "store all", "store all of it"]
    world.check()


def test_a_successful_call_that_no_longer_matches_is_an_error_that_names_both_sides(world: World) -> None:
    job = after_a_fix(world, '    return store(file, load(file, "some"), fixed)')
    assert job.status is JobStatus.FAILURE  # type: ignore[attr-defined]
    said = str(job.error_message)  # type: ignore[attr-defined]
    assert "now task 'load' with" in said
    assert "the same task with other arguments" in said
    assert "restart the workflow" in said
    assert world.lines() == ["load all", "store all"]
    world.check()
