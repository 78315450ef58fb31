"""What is old goes, whole and in small steps; what later questions need of it stays."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mulligan.core.errors import NotFound, OverwriteUnsafe, Refused, RunIdConflict
from mulligan.core.job import ItemKey, JobStatus
from mulligan.core.recovery import Verdict
from mulligan.core.submission import NewItem
from mulligan.engine.asking import Target
from mulligan.engine.exchanging import Notes
from mulligan.engine.judging import judge
from mulligan.store.sqlite import SqliteDatabase
from mulligan.supervisor import retention
from mulligan.supervisor.retention import Retention
from mulligan.supervisor.safety import safety_chores
from mulligan.testing.clock import VirtualClock
from mulligan.testing.factories import a_definition, daily
from mulligan.testing.harness import ASKER, KEEP_S, Hand, Harness

DETAILS = ("items", "inputs", "attempts", "checkpoints", "logs", "progress", "successors", "events")
ONLINE = a_definition("online", retries=3, online=True, offline=True)
DAY_S = 86_400


def rows(world: Harness, table: str) -> int:
    with world.store.read():
        (found,) = world.database.text_in_reader(f"select count(*) from {table}", {})  # noqa: S608 - names of this file
    return int(found[0])


def left(world: Harness) -> dict[str, int]:
    return {table: count for table in DETAILS if (count := rows(world, table))}


def succeed_all(worker: Hand, rows_each: int | None = None) -> None:
    while items := worker.claim(500):
        for item in items:
            worker.succeed(item, rows=rows_each)


def fail_all(worker: Hand) -> None:
    while items := worker.claim(500):
        for item in items:
            worker.fail(item)


def grow_old(world: Harness) -> None:
    world.clock.pass_(KEEP_S + 1)


def prune(world: Harness) -> None:
    world.trends.run_once()
    while world.retention.run_once():
        assert world.verify() == []


def test_a_job_that_ended_long_enough_ago_is_removed_with_all_that_belongs_to_it(world: Harness) -> None:
    worker = world.worker(a_definition(retries=3))
    job = world.submit(a_definition(retries=3), 4)
    one, two, three, four = worker.claim(4)
    worker.save(one, "step", "s", "1")
    worker.exchange(notes=Notes(logs=[(job, 0, one.token, 0, "said")], progress=[(job, 0, one.token, 1, 2)]))
    for item in (one, two, three):
        worker.succeed(item)
    world.commands.cancel(Target(job=job), ASKER)
    worker.stopped(four)
    assert set(left(world)) == {"items", "inputs", "attempts", "checkpoints", "logs", "progress", "events"}
    grow_old(world)
    prune(world)
    assert left(world) == {}
    assert rows(world, "jobs") == 0


def test_what_is_younger_or_has_not_ended_stays(world: Harness) -> None:
    worker = world.worker()
    old, running = world.submit(), world.submit()
    worker.succeed(worker.take())
    held = worker.take()
    world.clock.pass_(KEEP_S - 1)
    young = world.submit()
    worker.succeed(worker.take())
    assert world.retention.remove_jobs() == 0
    world.clock.pass_(2)
    prune(world)
    assert [world.job(each).id for each in (running, young)] == [running, young]
    with pytest.raises(LookupError):
        world.job(old)
    worker.succeed(held)


def test_nothing_is_removed_where_jobs_are_kept_for_ever(world: Harness) -> None:
    world.submit()
    succeed_all(world.worker())
    world.clock.pass_(3650 * DAY_S)
    kept = Retention(world.engine, 0)
    assert kept.remove_jobs() + kept.remove_workers() == 0
    assert rows(world, "items") == 1


def test_a_run_id_that_was_given_outlives_the_details_of_its_job(world: Harness) -> None:
    job = world.submit(items=3, run_id="nightly-7")
    succeed_all(world.worker())
    grow_old(world)
    prune(world)
    assert left(world) == {}
    row = world.job(job)
    assert (row.counts.success, row.pruned_ms) == (3, world.clock.now_ms())
    assert world.submit(items=3, run_id="nightly-7") == job
    with pytest.raises(RunIdConflict):
        world.submit(items=4, run_id="nightly-7")
    assert [each.id for each in world.store.listing.jobs({"run_id": "nightly-7"})] == [job]
    assert rows(world, "items") == 0


def test_what_is_asked_of_a_removed_job_is_answered_with_when_it_was_removed(world: Harness) -> None:
    job = world.submit(run_id="given")
    fail_all(world.worker())
    grow_old(world)
    prune(world)
    said = rf"the details of job {job} were removed on 2023-11-\d\d by retention"
    for target in (Target(job=job), Target(items=(ItemKey(job, 0),))):
        with pytest.raises(NotFound, match=said):
            world.commands.retry(target, "restart", ASKER)
        with pytest.raises(NotFound, match=said):
            world.commands.overwrite(target, ASKER, accept_risk=True)
    assert world.commands.retry(Target(filters={"status": ["FAILURE"]}), "restart", ASKER).total == 0


def test_a_large_job_is_gone_for_everybody_at_the_first_of_many_steps(
    join: Callable[[], Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PIECE", 4)
    world = join()
    jobs = [world.submit(items=10, run_id="given"), world.submit(items=10)]
    worker = world.worker()
    for number, item in enumerate(worker.claim(20)):
        (worker.succeed if number % 2 else worker.fail)(item)
    grow_old(world)
    counts = world.job(jobs[0]).counts
    sizes = []
    while world.retention.remove_jobs():
        sizes.append(rows(world, "items"))
        assert world.verify() == []
        assert world.job(jobs[0]).counts == counts
        assert world.items(jobs[0]) == []
        assert world.commands.retry(Target(filters={"run_id": "given"}), "recover", ASKER).total == 0
        with pytest.raises(NotFound, match="were removed"):
            world.commands.retry(Target(items=(ItemKey(jobs[0], 9),)), "recover", ASKER)
        world = join()  # as if the process were killed between the steps and another went on
        world.clock.pass_(KEEP_S + 1)
    assert sizes == [16, 12, 10, 6, 2, 0]
    assert left(world) == {}


def test_a_small_job_goes_in_one_step_and_many_of_them_in_one(world: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PIECE", 10)
    sizes = [3, 4, 6, 0, 10]
    jobs = [world.submit(items=size) for size in sizes]
    succeed_all(world.worker())
    grow_old(world)
    there = []
    while world.retention.remove_jobs():
        there.append([len(world.items(job)) for job in jobs])
        assert all(count in (0, size) for count, size in zip(there[-1], sizes, strict=True))
    assert len(there) == 3
    assert left(world) == {}


def test_a_job_that_was_started_again_is_not_removed(world: Harness) -> None:
    job = world.submit()
    worker = world.worker()
    fail_all(worker)
    grow_old(world)
    world.commands.retry(Target(job=job), "restart", ASKER)
    assert world.retention.remove_jobs() == 0
    succeed_all(worker)
    assert world.job(job).counts.success == 1


def test_windows_that_succeeded_are_not_missing_when_their_items_are_gone(world: Harness) -> None:
    worker = world.worker(ONLINE)
    first = world.submit(ONLINE, daily(5), kind="backfill", only="missing")
    items = worker.claim(5)
    for item in items[:3]:
        worker.succeed(item)
    for item in items[3:]:
        world.commands.cancel(Target(items=(item.key,)), ASKER)
        worker.stopped(item)
    assert world.job(first).ended_ms is not None
    grow_old(world)
    prune(world)
    assert rows(world, "past_windows") == 3
    again = world.submit(ONLINE, daily(6), kind="backfill", only="missing")
    keys = [each.input.key for each in world.store.listing.all_items({"job": again})]
    assert keys == ["day-000003", "day-000004", "day-000005"]


def test_a_window_that_failed_after_its_removed_success_is_one_that_failed_and_not_missing(world: Harness) -> None:
    worker = world.worker(ONLINE)
    world.submit(ONLINE, daily(2), kind="backfill", only="missing")
    succeed_all(worker)
    grow_old(world)
    prune(world)
    world.submit(ONLINE, daily(1), kind="backfill", only="all", accept_risk=True)
    once = worker.take()
    world.commands.cancel(Target(items=(once.key,)), ASKER)
    worker.stopped(once)
    assert world.job(world.submit(ONLINE, daily(2), kind="backfill", only="missing", run_id="m")).counts.total == 0
    job = world.submit(a_definition("online", online=True, offline=True), daily(1), kind="backfill", only="all", accept_risk=True)
    fail_all(worker)
    assert world.job(job).counts.failure == 1
    assert world.job(world.submit(ONLINE, daily(2), kind="backfill", only="failed", run_id="f")).counts.total == 1


def test_a_window_that_failed_before_its_removed_success_has_not_failed(world: Harness) -> None:
    plain = a_definition("online", online=True, offline=True)
    worker = world.worker(plain)
    far = NewItem("later", "{}", (1_800_000_000_000, 1_800_000_086_000))
    first = world.submit(plain, [*daily(1), far], kind="backfill", only="missing")
    early, late = worker.claim(2)
    worker.fail(early)
    world.submit(plain, daily(1), kind="backfill", only="failed")
    succeed_all(worker)
    world.clock.pass_(KEEP_S / 2)
    worker.succeed(late)
    world.clock.pass_(KEEP_S / 2 + 1)
    prune(world)
    assert [each.status for each in world.items(first)] == [JobStatus.FAILURE, JobStatus.SUCCESS]
    assert rows(world, "past_windows") == 1
    assert world.job(world.submit(plain, daily(1), kind="backfill", only="failed")).counts.total == 0


@pytest.mark.parametrize(("written", "verdict"), [(0, None), (7, Verdict.UNSAFE), (None, Verdict.UNKNOWN)])
def test_what_a_removed_success_wrote_still_decides_whether_its_window_is_safe_to_overwrite(
    world: Harness, written: int | None, verdict: Verdict | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PIECE", 1)
    worker = world.worker(ONLINE)
    world.submit(ONLINE, daily(2), kind="backfill", only="missing")
    succeed_all(worker, written)
    grow_old(world)
    while True:
        if verdict is None:
            with world.store.read() as session:
                found = session.windows.newest(1, 0, 2**50)
                judged = judge(session, world.definitions, [key for key, _ in found.values()])
            assert [each.verdict for each in judged.values()] == [Verdict.SAFE] * 2
        else:
            with pytest.raises(OverwriteUnsafe, match=f"2 of 2 windows succeeded before.* is {verdict}"):
                world.submit(ONLINE, daily(2), kind="backfill", only="all")
        if not world.retention.remove_jobs():
            break
    assert left(world) == {}


def two_windows(world: Harness, worker: Hand) -> int:
    """Write a window, and a later one after it, whose job is then removed; returns the job of the first."""
    first, second = daily(2)
    job = world.submit(ONLINE, [first, NewItem("other", "{}", (1, 2))], kind="backfill", only="missing")
    one, other = worker.claim(2)
    world.clock.pass_(1)
    worker.succeed(one if one.number == 0 else other, rows=3)
    world.clock.pass_(1)
    world.submit(ONLINE, [second], kind="backfill", only="missing")
    succeed_all(worker, 3)
    world.clock.pass_(KEEP_S)
    worker.succeed(other if one.number == 0 else one)
    world.clock.pass_(1)
    prune(world)
    return job


def test_a_later_window_that_was_written_since_stays_evidence_when_its_item_is_gone(world: Harness) -> None:
    worker = world.worker(ONLINE)
    job = two_windows(world, worker)
    target = Target(items=(ItemKey(job, 0),))
    with pytest.raises(OverwriteUnsafe, match=r"later windows were written since \(day-000001\)"):
        world.commands.overwrite(target, ASKER)
    with pytest.raises(Refused, match=r"1 later windows .* retention has removed, day-000001"):
        world.commands.overwrite(target, ASKER, forward=True, accept_risk=True)
    world.submit(ONLINE, [list(daily(2))[1]], kind="backfill", only="all", accept_risk=True)
    succeed_all(worker)
    assert world.commands.overwrite(target, ASKER, forward=True, accept_risk=True).total == 2
    succeed_all(worker)


def test_the_newest_success_of_a_window_is_what_is_kept_of_it_in_whatever_order_they_go(world: Harness) -> None:
    worker = world.worker(ONLINE)
    older = world.submit(ONLINE, daily(1), kind="backfill", only="missing")
    succeed_all(worker, 1)
    world.clock.pass_(DAY_S / 4)
    newer = world.submit(ONLINE, daily(1), kind="backfill", only="all", accept_risk=True)
    succeed_all(worker, 2)
    world.clock.pass_(DAY_S / 4)
    world.commands.overwrite(Target(job=older), ASKER, accept_risk=True)
    succeed_all(worker, 0)
    rewritten_ms = world.clock.now_ms()
    grow_old(world)
    prune(world)
    with world.store.read() as session:
        found = session.windows.newest(1, 0, 2**50)
        ((key, past),) = session.past.windows([each for each, _ in found.values()]).items()
    assert (key.job, past.rows, past.ended_ms) == (newer, 2, rewritten_ms)


def test_two_that_remove_at_once_remove_nothing_twice(join: Callable[[], Harness], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PIECE", 7)
    world = join()
    for size in (1, 30, 5, 0, 12, 3) * 3:
        world.submit(items=size)
    succeed_all(world.worker())
    others = [join() for _ in range(2)]
    for each in others:
        each.clock.pass_(KEEP_S + 1)
    removed: list[int] = []

    def work(harness: Harness) -> None:
        while rows(harness, "jobs"):
            removed.append(harness.retention.remove_jobs())

    threads = [threading.Thread(target=work, args=(each,)) for each in others]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert left(world) == {}
    assert sum(removed) == 51 * 3 + removed_parts(removed, 51 * 3)
    assert world.verify() == []


def removed_parts(removed: list[int], items: int) -> int:
    """A part of a job counts besides its items: each step at least one, and never so many as if jobs were removed twice."""
    parts = sum(removed) - items
    assert 18 <= parts <= 18 + len([each for each in removed if each])
    return parts


def test_workers_that_ended_long_ago_are_forgotten_and_those_that_hold_something_are_not(world: Harness) -> None:
    world.submit(a_definition(retries=3), 2)
    ended, dead, living = (world.worker(a_definition(retries=3)) for _ in range(3))
    dead.take()
    world.engine.dismiss(ended.id, ended.name)
    with world.store.write() as session:
        session.workers.lose(dead.id, 0, world.clock.now_ms())
    grow_old(world)
    prune(world)
    with world.store.read() as session:
        assert {row[0] for row in session.workers.all()} == {dead.id, living.id}
    assert rows(world, "worker_tasks") == 2
    world.watch.run_once()


def test_a_job_that_somebody_is_busy_with_has_its_turn_later(join: Callable[[], Harness]) -> None:
    world, other = join(), join()
    if world.database.dialect == "sqlite":
        pytest.skip("one writes at a time there: nobody can be busy with a job meanwhile")
    busy, free = world.submit(items=2), world.submit(items=2)
    succeed_all(world.worker())
    grow_old(world)
    with other.store.write() as session:
        session.jobs.lock([busy])
        assert session.jobs.read(busy), "so that the lock is held by now"
        world.retention.remove_jobs()
        assert (len(world.items(busy)), len(world.items(free))) == (2, 0)
    world.retention.remove_jobs()
    assert left(world) == {}


def test_what_is_kept_of_transactions_for_lost_answers_goes_after_an_hour_with_any_worker(world: Harness) -> None:
    if world.database.dialect == "sqlite":
        pytest.skip("there is nothing of the kind: the answer to a commit cannot be lost")
    world.submit()
    world.clock.jump((world.database.now_ms() - world.clock.now_ms()) / 1000)
    chores = safety_chores(world.engine, world.commands, world.submitting, world.bulk_pages, world.locks, lambda: None)
    (chore,) = (each for each in chores if each.name == "operations")
    before = rows(world, "operations")
    assert chore.run_once() == 0
    world.clock.pass_(3_700)
    assert chore.run_once() == before + 2, "those of the two looks among them"
    assert rows(world, "operations") == 0


def test_a_store_with_continuous_work_and_retention_does_not_grow(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    sizes = []
    with Harness(str(path), VirtualClock()) as world:
        worker = world.worker()
        for _ in range(12):
            world.submit(items=400)
            succeed_all(worker)
            world.clock.pass_(KEEP_S / 2)
            prune(world)
            world.database._writer.execute("pragma wal_checkpoint(truncate)")
            sizes.append(path.stat().st_size)
    assert max(sizes[6:]) <= 1.1 * max(sizes[:6]), sizes


def test_a_large_removal_gives_its_space_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "SPARE_PAGES", 100)
    path = tmp_path / "store.db"
    with Harness(str(path), database=SqliteDatabase(str(path))) as world:
        world.submit(items=(NewItem(str(n), f'"{"x" * 2000}"') for n in range(3000)))
        succeed_all(world.worker())
        world.database._writer.execute("pragma wal_checkpoint(truncate)")
        large = path.stat().st_size
        grow_old(world)
        prune(world)
        world.database._writer.execute("pragma wal_checkpoint(truncate)")
        assert path.stat().st_size < large / 4
