"""Taking submissions: all of it or nothing, once for each run id."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mulligan.core.errors import ArgumentsInvalid, NameTaken, OverwriteUnsafe, Refused, RunIdConflict, StoreError
from mulligan.core.job import FAR_FUTURE_MS, ItemKey, JobStatus, Reason, Wait
from mulligan.core.submission import NewItem
from mulligan.engine.asking import Target
from mulligan.engine.submitting import ABANDONED_MS, CHUNK, FORGOTTEN_MS
from mulligan.testing.factories import a_definition, a_submission, daily, items_of
from mulligan.testing.harness import ASKER, Harness

MANY = 12_000
DAY = 86_400_000


def rows(world: Harness, table: str) -> int:
    with world.store.read():
        return int(next(iter(world.store.database.text_in_reader(f"select count(*) from {table}", {})))[0])  # noqa: S608


def with_a_bad_one(at: int) -> Iterator[NewItem]:
    for number, item in enumerate(items_of(range(MANY))):
        if number == at:
            raise ArgumentsInvalid(f"element {number} is bad")
        yield item


@pytest.mark.parametrize("at", [0, CHUNK - 1, CHUNK, 7_000, MANY - 1])
def test_one_bad_item_of_many_leaves_nothing_behind(world: Harness, at: int) -> None:
    with pytest.raises(ArgumentsInvalid, match=f"element {at} is bad"):
        world.submit(items=with_a_bad_one(at), run_id="bad")
    assert [rows(world, table) for table in ("jobs", "items", "inputs")] == [0, 0, 0]
    world.submit(items=3, run_id="bad")


@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, CHUNK + 1, MANY])
def test_every_item_of_a_submission_is_there_and_due(world: Harness, count: int) -> None:
    job = world.submit(items=count)
    assert world.job(job).counts.pending == count
    with world.store.read():
        found = world.store.database.text_in_reader(
            "select count(*), min(number), max(number), max(due_ms), min(wait), max(wait) from items", {}
        )
        assert next(iter(found)) == (count, 0, count - 1, world.clock.now_ms(), "ready", "ready")


def test_a_job_without_items_has_succeeded_and_says_that_it_ended(world: Harness) -> None:
    job = world.job(world.submit(items=0))
    assert (job.ended_ms, job.counts.total) == (world.clock.now_ms(), 0)
    with world.store.read() as session:
        assert [event[2:4] for event in session.records.events()] == [("job_ended", job.id)]


def test_nothing_of_a_large_submission_starts_before_all_of_it_is_there(world: Harness) -> None:
    worker = world.worker()
    seen: list[int] = []

    def items() -> Iterator[NewItem]:
        for number, item in enumerate(items_of(range(MANY))):
            if number % 2_000 == 1_999:
                seen.append(len(worker.claim(5)))
            yield item

    world.submit(items=items())
    assert seen == [0] * 6
    assert len(worker.claim(5)) == 5


def test_the_same_run_id_and_input_give_the_same_job_however_it_ended(world: Harness) -> None:
    first = world.submit(items=3, run_id="r")
    worker = world.worker()
    for item in worker.claim(3):
        worker.fail(item)
    again = world.submitting.take(a_submission(a_definition(), 3, run_id="r"))
    assert (again.job, again.new) == (first, False)
    assert rows(world, "jobs") == 1


@pytest.mark.parametrize(
    ("items", "options"),
    [
        (4, {}),
        ([NewItem("0", '{"x": 0}'), NewItem("1", '{"x": 1}'), NewItem("2", '{"x": 9}')], {}),
        ([NewItem("0", '{"x": 0}'), NewItem("1", '{"x": 1}'), NewItem("c", '{"x": 2}')], {}),
        (3, {"kind": "submit"}),
        (3, {"tz": "Europe/Berlin"}),
        (MANY, {}),
    ],
)
def test_the_same_run_id_with_other_input_is_a_conflict_that_names_the_job(
    world: Harness, items: Iterable[NewItem] | int, options: dict[str, Any]
) -> None:
    job = world.submit(items=3, run_id="r")
    with pytest.raises(RunIdConflict, match=f"job {job}"):
        world.submit(items=items, run_id="r", **options)
    assert rows(world, "items") == 3


def test_a_run_id_is_unique_for_a_task_and_not_beyond_it(world: Harness) -> None:
    assert world.submit(a_definition("one"), run_id="r") != world.submit(a_definition("other"), run_id="r")


@pytest.mark.parametrize("run_id", ["", "a/b", "..", "a\nb", "x" * 201])
def test_a_run_id_that_cannot_be_part_of_a_path_is_refused(world: Harness, run_id: str) -> None:
    with pytest.raises(ArgumentsInvalid, match="run_id"):
        world.submit(run_id=run_id)


@pytest.mark.parametrize("count", [3, CHUNK + 1])
def test_a_hundred_threads_with_one_run_id_make_one_job(join: Callable[[], Harness], count: int) -> None:
    worlds = [join() for _ in range(4)]
    gate = threading.Barrier(100)

    def submit(n: int) -> int:
        gate.wait(30)
        return worlds[n % 4].submit(items=count, run_id="r")

    with ThreadPoolExecutor(100) as pool:
        jobs = set(pool.map(submit, range(100)))
    assert len(jobs) == 1
    assert rows(worlds[0], "items") == count


PROCESS = """
import sys
from mulligan.testing.harness import Harness
with Harness(sys.argv[1]) as world:
    print("ready", flush=True)
    sys.stdin.readline()
    print(world.submit(items=500, run_id="r"))
"""


def test_processes_that_submit_one_run_id_at_once_make_one_job(file: str) -> None:
    command = [sys.executable, "-c", PROCESS, file]
    there = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for each in there:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in there:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    jobs = {each.communicate(timeout=60)[0] for each in there}
    assert [each.returncode for each in there] == [0] * 4
    assert len(jobs) == 1


def abandon(world: Harness, run_id: str, **options: Any) -> int:
    """Submit half a job and die without another word."""

    class Died(BaseException):
        pass

    def items() -> Iterator[NewItem]:
        yield from items_of(range(CHUNK * 2))
        with world.store.read() as session:
            row = session.jobs.by_run_id(1, run_id)
        assert row is not None
        left.append(row.job)
        world.database.fail_with(dead)
        raise Died

    def dead(point: str) -> None:
        raise Died

    left: list[int] = []
    with pytest.raises(Died):
        world.submit(items=items(), run_id=run_id, **options)
    world.database.fail_with(None)
    return left[0]


def test_half_a_submission_is_never_run(world: Harness) -> None:
    job = abandon(world, "r")
    assert world.job(job).sealed is False
    assert {each.wait for each in world.items(job)} == {Wait.SUBMITTING}
    assert world.worker().claim(10) == []


def test_whoever_submits_again_replaces_what_was_abandoned(world: Harness) -> None:
    job = abandon(world, "r")
    world.clock.pass_(ABANDONED_MS / 1000 + 1)
    again = world.submit(items=3, run_id="r")
    assert again != job
    assert rows(world, "items") == 3


def test_abandoned_submissions_are_forgotten_after_an_hour(world: Harness) -> None:
    abandon(world, "r")
    world.submit(items=2)
    assert world.submitting.drop_abandoned() == 0
    world.clock.pass_(FORGOTTEN_MS / 1000 + 1)
    assert world.submitting.drop_abandoned() == 1
    assert (rows(world, "jobs"), rows(world, "items"), rows(world, "inputs")) == (1, 2, 2)


def test_items_of_half_a_submission_that_were_cancelled_or_failed_do_not_run_and_leave_nothing_behind(world: Harness) -> None:
    job = abandon(world, "r", total_timeout_s=60)
    key = ItemKey(job, 0)
    assert world.commands.cancel(Target(items=(key,)), ASKER).total == 1
    plan = world.commands.retry(Target(items=(key,)), "recover", ASKER)
    assert (plan.total, dict(plan.skipped)) == (0, {"the job is still being submitted": 1})
    assert world.item(key).status is JobStatus.REVOKED
    world.clock.pass_(61)
    assert world.engine.expire() > 0
    assert rows(world, "events") > 0
    world.clock.pass_(FORGOTTEN_MS / 1000)
    assert world.submitting.drop_abandoned() == 1
    assert [rows(world, table) for table in ("jobs", "items", "inputs", "events")] == [0, 0, 0, 0]


def test_a_submission_that_was_given_up_meanwhile_fails_and_leaves_nothing(world: Harness) -> None:
    def items() -> Iterator[NewItem]:
        yield from items_of(range(CHUNK * 2))
        world.clock.pass_(FORGOTTEN_MS / 1000 + 1)
        assert world.submitting.drop_abandoned() == 1
        yield from items_of(range(CHUNK * 2, MANY))

    with pytest.raises(Refused, match="submit it again"):
        world.submit(items=items())
    assert [rows(world, table) for table in ("jobs", "items", "inputs")] == [0, 0, 0]


def test_a_complete_job_whose_submitter_died_is_released_by_others(world: Harness) -> None:
    world.submitting.release = lambda job, due_ms: None  # type: ignore[method-assign]  # dies after it has sealed the job
    job = world.submit(items=MANY)
    assert world.items(job)[0].due_ms == FAR_FUTURE_MS
    while world.submitting.release_all():
        pass
    assert {each.wait for each in world.items(job)} == {Wait.READY}
    with world.store.read() as session:
        assert session.jobs.releasing() == []


def test_two_hundred_thousand_windows_fit_in_little_memory(file: str) -> None:
    count = 200_000
    with Harness(file) as world:
        tracemalloc.start()
        job = world.submit(items=daily(count, 0), kind="backfill", only="missing")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert world.job(job).counts.pending == count
        assert peak < 40 * 2**20


def finished(world: Harness, count: int, fail: int = 0) -> int:
    """A backfill of days of which the first ones failed and the others succeeded, and two more still wait."""
    job = world.submit(items=daily(count + 2), kind="backfill", only="missing")
    worker = world.worker()
    for number in range(count):
        item = worker.take()
        if number < fail:
            worker.fail(item)
        else:
            worker.succeed(item)
    return job


def test_missing_leaves_out_what_succeeded_and_what_is_in_flight(world: Harness) -> None:
    finished(world, 5, fail=2)
    again = world.submit(items=daily(10), kind="backfill", only="missing")
    keys = [each.input.key for each in world.store.listing.all_items({"job": again})]
    assert keys == ["day-000000", "day-000001", "day-000007", "day-000008", "day-000009"]


def test_failed_takes_only_windows_whose_newest_item_failed(world: Harness) -> None:
    finished(world, 5, fail=3)
    worker = world.worker()
    again = world.submit(items=daily(1), kind="backfill", only="missing", priority=1)
    worker.succeed(worker.take())
    assert world.item(again).status is JobStatus.SUCCESS
    failed = world.submit(items=daily(10), kind="backfill", only="failed")
    assert [each.input.key for each in world.store.listing.all_items({"job": failed})] == ["day-000001", "day-000002"]


def test_all_needs_the_verdict_of_overwriting(world: Harness) -> None:
    finished(world, 5)
    with pytest.raises(OverwriteUnsafe, match="accept_risk=True"):
        world.submit(items=daily(5), kind="backfill", only="all")
    assert rows(world, "jobs") == 1
    risky = world.submit(items=daily(5), kind="backfill", only="all", accept_risk=True)
    assert world.job(risky).counts.pending == 5


@pytest.mark.parametrize("status", ["PENDING", "STARTED", "RETRY"])
@pytest.mark.parametrize("accept_risk", [True, False])
@pytest.mark.parametrize("count", [10, CHUNK + 10])
def test_all_starts_nothing_beside_what_is_in_flight_also_where_the_risk_is_accepted(
    world: Harness, status: str, accept_risk: bool, count: int
) -> None:
    patient = a_definition(retries=(3, 300))
    at = count - 2  # of a large submission the last chunk finds it, when others are stored already
    job = world.submit(patient, list(daily(count))[at:], kind="backfill", only="missing")
    worker = world.worker(patient)
    for _ in range(0 if status == "PENDING" else 2):
        item = worker.take()
        if status == "RETRY":
            worker.fail(item)
    with pytest.raises(Refused, match=rf'twice at once: 2, .*{job}-0, which is {status}: wait.*only="missing"'):
        world.submit(patient, daily(count), kind="backfill", only="all", accept_risk=accept_risk)
    assert [rows(world, table) for table in ("jobs", "items", "inputs")] == [1, 2, 2]
    world.commands.cancel(Target(job=job), ASKER)
    for item in list(worker.held.values()):
        worker.stopped(world.item(item.item.key))
    assert world.job(world.submit(patient, daily(count), kind="backfill", only="all")).counts.pending == count


@pytest.mark.parametrize("only", ["missing", "failed", "all"])
def test_an_older_item_of_a_window_that_is_in_flight_again_counts(world: Harness, only: str) -> None:
    first = finished(world, 1, fail=1)
    world.commands.cancel(Target(job=first), ASKER)
    worker = world.worker()
    world.submit(items=daily(1), kind="backfill", only="failed")
    worker.fail(worker.take())
    world.commands.retry(Target(items=(ItemKey(first, 0),)), "recover", ASKER)
    if only == "all":
        with pytest.raises(Refused, match=f"twice at once: 1, .*{first}-0"):
            world.submit(items=daily(1), kind="backfill", only="all")
    else:
        assert world.job(world.submit(items=daily(1), kind="backfill", only=only)).counts.total == 0
    world.clock.pass_(1)
    worker.succeed(worker.take())
    assert world.job(world.submit(items=daily(1), kind="backfill", only="failed")).counts.total == 0


@pytest.mark.parametrize("only", ["missing", "failed", "all"])
@pytest.mark.parametrize("count", [40, CHUNK + 40])
def test_of_backfills_that_are_submitted_at_once_no_window_runs_twice(file: str, only: str, count: int) -> None:
    worlds = [Harness(file) for _ in range(4)]
    windows = list(daily(count))
    if only == "failed":
        worlds[0].submit(items=windows, kind="backfill", only="missing")
        worker = worlds[0].worker()
        while claimed := worker.claim(500):
            for item in claimed:
                worker.fail(item)
    gate = threading.Barrier(4)

    def submit(n: int) -> int | None:
        gate.wait(30)
        with contextlib.suppress(Refused):
            return worlds[n].submit(items=windows if n % 2 else windows[::-1], kind="backfill", only=only, accept_risk=True)
        return None

    with ThreadPoolExecutor(4) as pool:
        jobs = [each for each in pool.map(submit, range(4)) if each is not None]
    with worlds[0].store.read():
        found = worlds[0].store.database.text_in_reader(
            "select window_start_ms, count(*) from items natural join inputs where status = 'PENDING' group by 1", {}
        )
        twice = [start for start, times in found if times > 1]
    assert twice == []
    assert sum(worlds[0].job(each).counts.pending for each in jobs) == (0 if only == "all" and not jobs else count)
    assert worlds[0].verify() == []
    for world in worlds:
        world.store.close()


def test_all_is_free_to_overwrite_what_is_offline_only(world: Harness) -> None:
    offline = a_definition(offline=True, online=False)
    world.worker(offline)
    job = world.submit(offline, daily(1), kind="backfill", only="missing")
    worker = world.worker(offline)
    worker.succeed(worker.take())
    again = world.submit(offline, daily(3), kind="backfill", only="all")
    assert again != job
    assert world.job(again).counts.pending == 3


def test_a_delay_and_a_start_time_hold_items_back(world: Harness) -> None:
    now = world.clock.now_ms()
    cases = [({"delay_s": 60}, 60), ({"start_at_ms": now + 30_000}, 30), ({"start_at_ms": now + 30_000, "delay_s": 5}, 35)]
    for options, due_s in cases:
        item = world.item(world.submit(**options))
        assert (item.due_ms, item.wait) == (now + due_s * 1000, Wait.SCHEDULE)
    assert world.item(world.submit(start_at_ms=now - DAY)).wait is Wait.READY
    assert len(world.worker().claim(10)) == 1
    world.clock.pass_(35)
    assert len(world.worker().claim(10)) == 2


@pytest.mark.parametrize("count", [1, CHUNK + 1])
def test_what_expires_before_it_starts_fails_with_the_reason_expired(world: Harness, count: int) -> None:
    job = world.submit(items=count, expires_ms=world.clock.now_ms() + 60_000)
    world.clock.pass_(61)
    assert world.worker().claim(1) == []
    while world.engine.expire():
        pass
    assert world.job(job).counts.failure == count
    assert world.item(job).reason is Reason.EXPIRED


def test_a_total_timeout_runs_from_the_creation_of_a_generation(world: Harness) -> None:
    definition = a_definition(retries=(9, 300), total_timeout_s=700)
    job = world.submit(definition)
    worker = world.worker(definition)
    worker.fail(worker.take())
    world.clock.pass_(300)
    worker.fail(worker.take())
    assert world.item(job).status is JobStatus.RETRY
    world.clock.pass_(300)
    worker.fail(worker.take())
    assert (world.item(job).status, world.item(job).reason) == (JobStatus.FAILURE, Reason.CUTOFF)


def test_options_of_the_call_come_before_what_the_task_declares(world: Harness) -> None:
    definition = a_definition(total_timeout_s=700, priority=2)
    now = world.clock.now_ms()
    own = world.item(world.submit(definition))
    given = world.item(world.submit(definition, total_timeout_s=10, priority=5))
    assert (own.cutoff_ms, own.priority) == (now + 700_000, 2)
    assert (given.cutoff_ms, given.priority) == (now + 10_000, 5)


def test_a_name_of_another_module_is_refused_and_nothing_stored(world: Harness) -> None:
    world.submit(a_definition("features", module="flow"))
    with pytest.raises(NameTaken, match="features"):
        world.submit(a_definition("features", module="other"))
    assert rows(world, "jobs") == 1
    world.submit(a_definition("features", module="pkg.flow"))


@pytest.mark.parametrize("count", [3, CHUNK + 1])
def test_a_store_that_fails_before_the_commit_keeps_nothing_of_a_submission(world: Harness, count: int) -> None:
    def hurt(point: str) -> None:
        if point == "before commit":
            raise StoreError("no")

    world.database.fail_with(hurt)
    with pytest.raises(StoreError):
        world.submit(items=count, run_id="r")
    world.database.fail_with(None)
    assert rows(world, "items") == 0


@pytest.mark.parametrize("count", [3, CHUNK + 1])
def test_a_commit_whose_answer_is_lost_is_found_again_by_its_run_id(world: Harness, count: int) -> None:
    """Whichever commit it was: submitting again gives one complete job."""
    for nth in range(4):
        left = [nth]

        def hurt(point: str, left: list[int] = left) -> None:
            left[0] -= point == "after commit"
            if left[0] < 0 and point == "after commit":
                left[0] = 10**6
                raise StoreError("the answer was lost")

        world.database.fail_with(hurt)
        first: int | None = None
        with contextlib.suppress(StoreError):
            first = world.submit(items=count, run_id=f"r{nth}")
        world.database.fail_with(None)
        world.clock.pass_(ABANDONED_MS / 1000 + 1)
        again = world.submit(items=count, run_id=f"r{nth}")
        while world.submitting.release_all():
            pass
        assert first in (None, again)
        assert {each.wait for each in world.items(again)} == {Wait.READY}
        assert world.item(ItemKey(again, count - 1)).number == count - 1
        assert world.verify() == []
