"""Workers that die, stand still or come back, and races that are lost."""

from __future__ import annotations

import pytest

from mulligan.core.errors import StoreError
from mulligan.core.events import Released, Run, Succeeded
from mulligan.core.job import FailureClass, ItemKey, JobStatus, Outcome, Reason
from mulligan.engine.asking import Target
from mulligan.engine.claiming import SOON_MS
from mulligan.engine.engine import CHORE_PAGE, PAGE
from mulligan.engine.exchanging import Notes
from mulligan.supervisor.safety import LOOK_S
from mulligan.testing.factories import a_definition, a_failure
from mulligan.testing.harness import ASKER, LEASE_MS, Harness

AGAIN = a_definition(retries=5)


def look(world: Harness, seconds: float, *beating: object) -> int:
    """Look after the others for so long; returns how many items were taken back."""
    total = 0
    for _ in range(round(seconds / LOOK_S)):
        world.clock.pass_(LOOK_S)
        for each in beating:
            assert each.beat()  # type: ignore[attr-defined]
        total += world.watch.run_once()
    return total


def test_the_items_of_a_worker_whose_lock_is_free_run_again_at_the_next_look(world: Harness) -> None:
    job = world.submit(AGAIN, 3)
    dead, living = world.worker(AGAIN), world.worker(AGAIN)
    assert len(dead.claim(2)) == 2
    assert world.watch.run_once() == 0
    dead.die()
    assert world.watch.run_once() == 2
    assert len(living.claim(9)) == 3
    assert [each.outcome for each in world.attempts(ItemKey(job, 0))] == [Outcome.LOST]
    assert world.watch.run_once() == 0


def test_what_runs_at_most_once_fails_when_its_worker_is_lost(world: Harness) -> None:
    job = world.submit()
    worker = world.worker()
    worker.take()
    worker.die()
    world.watch.run_once()
    assert (world.item(job).status, world.item(job).reason) == (JobStatus.FAILURE, Reason.OUTCOME_UNKNOWN)
    assert "unknown" in (world.attempts(ItemKey(job, 0))[0].error_message or "")


def test_more_items_than_a_page_are_all_taken_back(world: Harness) -> None:
    count = PAGE * 2 + 3
    job = world.submit(AGAIN, count)
    worker = world.worker(AGAIN)
    while worker.claim(PAGE):
        pass
    worker.die()
    assert world.watch.run_once() == count
    assert world.job(job).counts.retry == count


def test_a_heartbeat_that_stands_still_for_a_whole_lease_is_a_death(world: Harness) -> None:
    world.submit(AGAIN)
    worker = world.worker(AGAIN)
    worker.take()
    assert look(world, LEASE_MS / 1000) == 0
    assert look(world, 2) == 1
    assert not worker.beat()


def test_a_task_that_runs_for_hours_is_nobodys_death(world: Harness) -> None:
    world.submit(AGAIN)
    worker = world.worker(AGAIN)
    worker.take()
    assert look(world, 3 * LEASE_MS / 1000, worker) == 0


def test_neither_a_pause_of_the_observer_nor_a_jump_of_the_clock_condemns_anybody(world: Harness) -> None:
    world.submit(AGAIN)
    worker = world.worker(AGAIN)
    worker.take()
    world.watch.run_once()
    for _ in range(5):
        world.clock.pass_(10 * LEASE_MS / 1000)
        assert world.watch.run_once() == 0
        world.clock.jump(7 * 86400)
        assert world.watch.run_once() == 0
    assert worker.beat()


def test_a_crash_between_the_verdict_and_taking_back_is_finished_by_the_next_look(world: Harness) -> None:
    job = world.submit(AGAIN, 2)
    worker = world.worker(AGAIN)
    worker.claim(2)
    worker.die()
    commits = iter([None, StoreError("the finder died")])

    def hurt(point: str) -> None:
        error = next(commits, None) if point == "before commit" else None
        if error is not None:
            raise error

    world.database.fail_with(hurt)
    with pytest.raises(StoreError):
        world.watch.run_once()
    world.database.fail_with(None)
    assert world.job(job).counts.started == 2
    assert worker.claim(9) == []
    assert world.watch.run_once() == 2
    assert world.job(job).counts.retry == 2


def test_a_worker_that_beats_between_the_look_and_the_verdict_lives(world: Harness) -> None:
    world.submit(a_definition(retries=1))
    worker = world.worker(a_definition(retries=1))
    item = worker.take()
    with world.store.read() as session:
        (seen,) = session.workers.open()
    assert worker.beat()
    assert world.engine.reap(seen) == 0
    assert worker.succeed(item).refused == 0
    with world.store.read() as session:
        (seen,) = session.workers.open()
    assert world.engine.reap(seen) == 0
    assert not worker.beat()


def test_two_observers_take_an_item_back_once(world: Harness) -> None:
    job = world.submit(AGAIN)
    worker = world.worker(AGAIN)
    worker.take()
    with world.store.read() as session:
        (row,) = session.workers.open()
    assert [world.engine.reap(row), world.engine.reap(row)] == [1, 0]
    assert len(world.attempts(ItemKey(job, 0))) == 1


def test_late_writes_of_a_worker_that_was_given_up_change_nothing_and_are_counted(world: Harness) -> None:
    job = world.submit(AGAIN)
    zombie, other = world.worker(AGAIN), world.worker(AGAIN)
    mine = zombie.take()
    zombie.die()
    world.watch.run_once()
    theirs = other.take()
    before = (world.item(job), world.attempts(mine.key))
    assert not zombie.save(mine, "step", "download", "1")
    assert zombie.succeed(mine, '"late"').refused == 1
    assert zombie.fail(mine).refused == 1
    notes = Notes(logs=[(job, 0, mine.token, 0, "late")], progress=[(job, 0, mine.token, 9, 9)])
    result = zombie.exchange(notes=notes, limit=5)
    assert (result.alive, result.claims) == (False, [])
    with world.store.read() as session:
        assert session.records.logs(mine.key) == []
        assert session.records.progress(mine.key) is None
        assert session.records.checkpoints(mine.key) == []
    assert (world.item(job), world.attempts(mine.key)) == before
    assert world.refused() == 3
    other.succeed(theirs, '"mine"')
    assert [each.result for each in world.attempts(mine.key)] == [None, '"mine"']


def test_a_worker_that_was_called_lost_but_whose_items_are_still_its_own_may_finish_them(world: Harness) -> None:
    job = world.submit(AGAIN)
    worker = world.worker(AGAIN)
    item = worker.take()
    with world.store.write() as session:
        session.workers.lose(worker.id, 0, world.clock.now_ms())
    assert worker.succeed(item).refused == 0
    assert world.item(job).status is JobStatus.SUCCESS


def test_a_worker_that_leaves_in_order_has_what_it_held_taken_back(world: Harness) -> None:
    job = world.submit(AGAIN)
    worker = world.worker(AGAIN)
    worker.take()
    world.engine.dismiss(worker.id, worker.name)
    assert world.item(job).status is JobStatus.RETRY
    assert world.watch.run_once() == 0


def test_a_worker_that_comes_back_under_its_old_name_is_another_one(world: Harness) -> None:
    world.submit(AGAIN)
    worker = world.worker(AGAIN)
    worker.take()
    worker.die()
    world.watch.run_once()
    again = world.worker(AGAIN)
    assert again.id != worker.id
    assert again.take().token == 2


class TestLostRaces:
    def test_a_cancel_between_claim_and_failure_is_honoured(self, world: Harness) -> None:
        job = world.submit(AGAIN)
        worker = world.worker(AGAIN)
        as_claimed = worker.take()
        world.commands.cancel(Target(job=job), ASKER)
        assert worker.fail(as_claimed).refused == 0
        assert world.item(job).status is JobStatus.REVOKED

    def test_a_checkpoint_between_claim_and_end_does_not_get_in_the_way(self, world: Harness) -> None:
        job = world.submit(AGAIN)
        worker = world.worker(AGAIN)
        worker.fail(worker.take(), FailureClass.INFRASTRUCTURE, crashed=True)
        again = worker.take()
        assert again.crashes == 1
        worker.save(again, "step", "one", "1")
        assert world.item(job).crashes == 0
        assert worker.succeed(again).refused == 0

    def test_of_many_outcomes_in_one_exchange_only_the_late_ones_are_refused(self, world: Harness) -> None:
        job = world.submit(AGAIN, 4)
        worker = world.worker(AGAIN)
        mine = worker.claim(4)
        worker.succeed(mine[1])
        world.commands.cancel(Target(items=(mine[2].key,)), ASKER)
        now = world.clock.now_ms()
        result = worker.exchange(
            *((each, Succeeded(Run(each.token, worker.id, now), "1")) for each in mine[:3]),
            (mine[3], a_failure(mine[3], run=Run(mine[3].token, worker.id, now))),
        )
        assert result.refused == 1
        counts = world.job(job).counts
        assert (counts.success, counts.retry) == (3, 1)

    def test_an_outcome_for_an_item_that_is_gone_is_refused(self, world: Harness) -> None:
        job = world.submit(AGAIN)
        worker = world.worker(AGAIN)
        item = worker.take()
        assert worker.succeed(item._replace(job=job + 1)).refused == 1
        worker.succeed(item)

    def test_the_same_outcome_twice_is_recorded_once(self, world: Harness) -> None:
        job = world.submit(AGAIN)
        worker = world.worker(AGAIN)
        item = worker.take()
        assert [worker.succeed(item).refused, worker.succeed(item).refused] == [0, 1]
        assert len(world.attempts(ItemKey(job, 0))) == 1


class TestStoreFailures:
    def test_an_exchange_that_is_not_committed_changed_nothing_and_can_be_repeated(self, world: Harness) -> None:
        job = world.submit(AGAIN, 2)
        worker = world.worker(AGAIN)
        item = worker.take()
        ended = (item, Succeeded(Run(item.token, worker.id, world.clock.now_ms()), "1"))
        notes = Notes(logs=[(job, 0, item.token, 0, "hello")])

        with world.failing(StoreError("no")), pytest.raises(StoreError):
            worker.exchange(ended, limit=5, notes=notes)
        assert world.job(job).counts.started == 1
        assert world.attempts(item.key) == []
        result = worker.exchange(ended, limit=5, notes=notes)
        assert (result.refused, len(result.claims)) == (0, 1)

    def test_after_a_commit_without_answer_the_repeat_is_refused_and_what_was_claimed_is_given_back(self, world: Harness) -> None:
        job = world.submit(a_definition(), 3)
        worker = world.worker()
        item = worker.take()
        ended = (item, Succeeded(Run(item.token, worker.id, world.clock.now_ms()), "1"))
        notes = Notes(logs=[(job, 0, item.token, 0, "hello")])

        def hurt(point: str) -> None:
            if point == "after commit":
                world.database.fail_with(None)
                raise StoreError(point)

        world.database.fail_with(hurt)
        with pytest.raises(StoreError):
            worker.exchange(ended, limit=1, notes=notes)
        assert worker.exchange(ended, notes=notes).refused == 1
        assert world.item(job).status is JobStatus.SUCCESS
        held = world.item(job, 1)
        assert held.status is JobStatus.STARTED
        assert world.engine.give_back(worker.id, {(held.key, held.token)}) == 0
        assert world.engine.give_back(worker.id, set()) == 1
        again = worker.take()
        assert (again.number, again.attempt) == (1, 1)

    def test_a_release_of_something_that_was_reaped_is_refused(self, world: Harness) -> None:
        world.submit(AGAIN)
        worker = world.worker(AGAIN)
        item = worker.take()
        worker.die()
        world.watch.run_once()
        assert worker.exchange((item, Released(Run(item.token, worker.id, world.clock.now_ms())))).refused == 1


@pytest.mark.parametrize("text", ["half \ud800 a pair", "a \0 in it", "x" * 1_000_000])
def test_an_outcome_is_kept_whatever_its_text(world: Harness, text: str) -> None:
    job = world.submit(AGAIN, 2)
    worker = world.worker(AGAIN)
    one, other = worker.claim(2)
    worker.fail(one, error_message=text)
    worker.succeed(other)
    assert world.job(job).counts.retry == 1
    assert world.attempts(one.key)[0].error_message == text.replace("\ud800", "?").replace("\0", "\ufffd")


class TestDeadlines:
    def test_many_items_past_their_deadline_fail_a_page_at_a_time(self, world: Harness) -> None:
        count = CHORE_PAGE + 5
        job = world.submit(items=count, expires_ms=world.clock.now_ms() + 1000)
        assert world.engine.expire() == 0
        world.clock.pass_(1)
        assert [world.engine.expire(), world.engine.expire(), world.engine.expire()] == [CHORE_PAGE, 5, 0]
        assert world.job(job).counts.failure == count

    def test_what_was_given_back_unstarted_still_expires(self, world: Harness) -> None:
        job = world.submit(AGAIN, expires_ms=world.clock.now_ms() + 1000)
        worker = world.worker(AGAIN)
        worker.release(worker.take())
        world.clock.pass_(1)
        assert world.engine.expire() == 1
        assert world.item(job).reason is Reason.EXPIRED

    def test_what_has_started_in_time_does_not_expire_between_its_attempts(self, world: Harness) -> None:
        job = world.submit(AGAIN, expires_ms=world.clock.now_ms() + 1000)
        worker = world.worker(AGAIN)
        worker.fail(worker.take())
        world.clock.pass_(5)
        assert world.engine.expire() == 0
        worker.succeed(worker.take())
        assert world.item(job).status is JobStatus.SUCCESS


def test_items_are_taken_by_priority_and_then_by_due_time(world: Harness) -> None:
    for priority in (5, 1, 3):
        world.submit(AGAIN, 2, priority=priority)
    worker = world.worker(AGAIN)
    assert [each.priority for each in worker.claim(4)] == [1, 1, 3, 3]
    assert [each.priority for each in worker.claim(4)] == [5, 5]


def test_a_worker_takes_only_tasks_that_it_has_loaded(world: Harness) -> None:
    world.submit(a_definition("one"))
    world.submit(a_definition("other"))
    assert len(world.worker(a_definition("other")).claim(9)) == 1


def test_an_idle_worker_is_told_when_to_look_again(world: Harness) -> None:
    worker = world.worker(AGAIN)
    assert world.engine.peek(worker.tasks) is None
    world.submit(AGAIN, delay_s=60)
    assert world.engine.peek(worker.tasks) == world.clock.now_ms() + 60_000
    assert worker.exchange(limit=1).next_due_ms == world.clock.now_ms() + 60_000


def test_waiters_are_woken_when_a_job_ends_and_workers_when_there_is_work(world: Harness) -> None:
    woken = world.bell.workers
    world.submit(AGAIN, 2)
    assert world.bell.workers > woken
    worker = world.worker(AGAIN)
    one, other = worker.claim(2)
    worker.succeed(one)
    assert world.bell.waiters == 0
    worker.succeed(other)
    assert world.bell.waiters == 1


def test_failures_of_items_and_ends_of_jobs_are_events(world: Harness) -> None:
    job = world.submit(a_definition(), 2)
    worker = world.worker()
    worker.fail(worker.take())
    worker.succeed(worker.take())
    with world.store.read() as session:
        events = [each[2:] for each in session.records.events()]
    assert events == [("item_failed", job, 0, 1, "at_most_once"), ("job_ended", job, None, None, None)]


class TestUncertainLocks:
    """A lock that is free may have been lost with a connection, and its worker may live."""

    def test_what_runs_at_most_once_waits_for_the_lease_and_what_has_retries_does_not(self, world: Harness) -> None:
        world.locks.certain = False
        once, again = a_definition("once"), a_definition("again", retries=5)
        jobs = world.submit(once), world.submit(again)
        worker = world.worker(once, again)
        assert len(worker.claim(2)) == 2
        worker.die()
        assert world.watch.run_once() == 1
        assert [world.item(job).status for job in jobs] == [JobStatus.STARTED, JobStatus.RETRY]
        assert look(world, LEASE_MS / 1000) == 0
        assert look(world, 2) == 1
        assert world.item(jobs[0]).reason is Reason.OUTCOME_UNKNOWN

    def test_a_worker_that_lives_after_all_still_settles_what_runs_at_most_once(self, world: Harness) -> None:
        world.locks.certain = False
        once, again = a_definition("once"), a_definition("again", retries=5)
        jobs = world.submit(once), world.submit(again)
        worker = world.worker(once, again)
        one, other = worker.claim(2)
        worker.die()
        world.watch.run_once()
        assert look(world, 3 * LEASE_MS / 1000, worker) == 0
        first, second = (one, other) if one.once else (other, one)
        assert worker.succeed(first).refused == 0
        assert worker.succeed(second).refused == 1
        assert [world.item(job).status for job in jobs] == [JobStatus.SUCCESS, JobStatus.RETRY]

    def test_a_worker_that_holds_nothing_of_the_kind_is_declared_lost_at_once(self, world: Harness) -> None:
        world.locks.certain = False
        world.submit(AGAIN, 2)
        worker = world.worker(AGAIN)
        worker.claim(2)
        worker.die()
        assert world.watch.run_once() == 2
        assert not worker.beat()


def test_the_last_error_is_told_also_where_a_later_claim_was_handed_back(world: Harness) -> None:
    job = world.submit(a_definition(retries=5, total_timeout_s=60))
    worker = world.worker(a_definition(retries=5, total_timeout_s=60))
    worker.fail(worker.take(), error_message="it broke")
    worker.release(worker.take())
    world.clock.pass_(61)
    world.do_chores()
    (found,) = world.store.listing.items({"job": job})
    assert (found.item.reason, found.error_message) == (Reason.CUTOFF, "it broke")
    with world.store.read() as session:
        assert session.jobs.first_failure(job) == (0, Reason.CUTOFF, "builtins.OSError", "it broke")
        assert [each.error_message for each in session.jobs.results(job, 0, 10)] == ["it broke"]


def test_no_attempt_begins_before_the_one_before_it_ended_whatever_the_clocks_of_workers_say(world: Harness) -> None:
    job = world.submit(AGAIN)
    dead, living = world.worker(AGAIN), world.worker(AGAIN)
    dead.take()
    world.clock.pass_(5)
    dead.die()
    assert world.watch.run_once() == 1
    ended_ms = world.attempts(ItemKey(job, 0))[0].ended_ms
    world.clock.jump(-0.005)
    again = living.take()
    assert again.claimed_ms == ended_ms == world.item(job).claimed_ms
    living.succeed(again)
    assert world.verify() == []


def test_what_is_due_in_a_job_that_somebody_else_writes_is_looked_at_again_soon(world: Harness) -> None:
    if world.database.dialect == "sqlite":
        pytest.skip("one writes at a time there: a claim waits, and finds what is due")
    job = world.submit(AGAIN, 2)
    worker = world.worker(AGAIN)
    with world.database.connect() as other:  # type: ignore[attr-defined]
        other.execute("begin")
        other.execute("select id from jobs for update")
        result = worker.exchange(limit=5)
        assert (result.claims, result.next_due_ms) == ([], world.clock.now_ms() + SOON_MS)
        other.execute("rollback")
    assert len(worker.claim(5)) == world.job(job).counts.started == 2
