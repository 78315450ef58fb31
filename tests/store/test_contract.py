"""The contract of the verbs that move work: whatever database lies below has to pass it word for word."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shelf import POLICY, Undo, a_job, a_task, a_worker, item, moved, start

from mulligan.core.errors import NotFound, Refused
from mulligan.core.events import (
    CancelRequested,
    Claimed,
    DeadlinePassed,
    Event,
    OverwriteRequested,
    Snoozed,
    Succeeded,
    WorkerLost,
)
from mulligan.core.job import FAR_FUTURE_MS, Counts, Item, ItemKey, Wait
from mulligan.core.lifecycle import Transition, decide
from mulligan.core.retry import Policy
from mulligan.core.submission import NewItem
from mulligan.store.rows import Head
from mulligan.store.store import Session, Store
from mulligan.store.verbs.jobs import ItemDefaults, NewJob
from mulligan.testing.clock import START_MS as NOW
from mulligan.testing.factories import a_failure, a_run, items_of


class TestTransactions:
    def test_what_is_written_is_there_afterwards(self, store: Store) -> None:
        with store.write() as session:
            job = a_job(session, 3)
        with store.read() as session:
            found = session.jobs.read(job)
        assert found is not None
        assert found.counts == Counts(pending=3)

    def test_an_error_inside_takes_back_all_of_it(self, store: Store) -> None:
        def fail() -> None:
            with store.write() as session:
                jobs.append(a_job(session, 3))
                raise Undo

        jobs: list[int] = []
        with pytest.raises(Undo):
            fail()
        with store.read() as session:
            assert session.jobs.read(jobs[0]) is None
            assert session.tasks.find("default", "features") is None
        with store.write() as session:
            a_job(session)


class TestTasks:
    def test_a_name_is_added_once(self, store: Store) -> None:
        with store.write() as session:
            assert session.tasks.add("default", "f", "one") == session.tasks.add("default", "f", "two")
            assert session.tasks.add("other", "f", "two").id != session.tasks.add("default", "f", "x").id

    def test_a_definition_is_added_once_for_its_digest(self, store: Store) -> None:
        with store.write() as session:
            task = session.tasks.add("default", "f", "one").id
            first = session.tasks.add_definition(task, "d", "{}", NOW)
            assert session.tasks.add_definition(task, "d", "{}", NOW) == first
            assert session.tasks.add_definition(task, "e", "{}", NOW) != first
            assert session.tasks.definition(first) == "{}"

    def test_a_task_without_definition_has_no_newest_one(self, store: Store) -> None:
        with store.write() as session:
            task = session.tasks.add("default", "f", "one").id
            with pytest.raises(NotFound):
                session.tasks.current(task)

    def test_tasks_are_listed_by_name(self, store: Store) -> None:
        with store.write() as session:
            for name in ("b", "a"):
                a_task(session, name)
            assert [each.name for each in session.tasks.all("default")] == ["a", "b"]
            assert session.tasks.all("nowhere") == []

    def test_only_living_workers_make_a_task_capable(self, store: Store) -> None:
        with store.write() as session:
            task, _ = a_task(session)
            one, other = a_worker(session, "one", task), a_worker(session, "other", task)
            session.workers.stop(one, NOW)
            assert session.tasks.with_workers() == {task}
            session.workers.lose(other, 0, NOW)
            assert session.tasks.with_workers() == set()


class TestWorkers:
    def test_a_heartbeat_counts_until_the_worker_has_ended(self, store: Store) -> None:
        with store.write() as session:
            worker = a_worker(session)
            assert session.workers.beat(worker, NOW) == 0
            assert [each.beat for each in session.workers.open()] == [1]
            assert not session.workers.lose(worker, 0, NOW), "it has beaten since"
            assert session.workers.lose(worker, 1, NOW)
            assert session.workers.beat(worker, NOW) is None
            assert not session.workers.lose(worker, 1, NOW)
            assert not session.workers.stop(worker, NOW)
            assert not session.workers.is_living(worker)()

    def test_a_lost_worker_is_open_until_it_is_closed(self, store: Store) -> None:
        with store.write() as session:
            worker = a_worker(session)
            session.workers.lose(worker, 0, NOW)
            assert [(each.id, bool(each.ended)) for each in session.workers.open()] == [(worker, True)]
            session.workers.close(worker, NOW)
            assert session.workers.open() == []


class TestClaiming:
    def test_a_claim_does_what_deciding_does(self, store: Store) -> None:
        with store.write() as session:
            job = a_job(session, 3, deadline_ms=NOW + 5, cutoff_ms=NOW + 9)
            worker = a_worker(session)
            before = session.items.read([ItemKey(job, n) for n in range(3)])
            claimed = start(session, job, 2, worker)
            expected = [moved(each, Claimed(worker)).after for each in before[:2]]
            assert claimed == expected
            assert session.items.read([each.key for each in claimed]) == expected
            assert item(session, job, 2) == before[2]

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def test_what_is_claimed_is_what_deciding_allows_in_order(self, store: Store, data: st.DataObject) -> None:
        waits = st.tuples(st.integers(-2, 2), st.one_of(st.none(), st.integers(-2, 2)), st.booleans())
        chosen = data.draw(st.lists(waits, min_size=1, max_size=6))
        with contextlib.suppress(Undo), store.write() as session:
            worker = a_worker(session)
            jobs = []
            for place, (due, deadline, flagged) in enumerate(chosen):
                limit = None if deadline is None else NOW + deadline
                job = a_job(session, 1, run_id=f"r{place}", due_ms=NOW + due, deadline_ms=limit)
                jobs.append((job, flagged))
                if flagged:
                    session.jobs.flag_cancel(job, NOW)
            rows = [item(session, job) for job, flagged in jobs if not flagged]
            allowed = [each for each in rows if decide(each, Claimed(worker), POLICY, NOW, 0) is not None]
            allowed.sort(key=lambda each: (each.due_ms, each.job, each.number))
            claimed = start(session, jobs[0][0], 100, worker)
            assert [each.key for each in claimed] == [each.key for each in allowed]
            assert claimed == [moved(each, Claimed(worker)).after for each in allowed]
            raise Undo

    def test_a_claim_comes_with_the_input(self, store: Store) -> None:
        with store.write() as session:
            a_job(session, [NewItem("k", '{"x": 1}', (1, 2))])
            task, _ = a_task(session)
            (taken,) = session.items.claim(1, task, False, 3, 9, NOW)()
            assert taken.input == ("k", '{"x": 1}', (1, 2))

    def test_other_tasks_kinds_and_priorities_are_not_touched(self, store: Store) -> None:
        with store.write() as session:
            job = a_job(session)
            task = item(session, job).task
            for wrong in ((task + 1, False, 3), (task, True, 3), (task, False, 2)):
                assert session.items.claim(1, *wrong, 9, NOW)() == []

    @pytest.mark.parametrize("stuck", ["cancelled", "expired"])
    def test_what_may_not_start_keeps_nobody_behind_it_waiting(self, store: Store, stuck: str) -> None:
        with store.write() as session:
            first = a_job(session, 3, run_id="first", deadline_ms=NOW if stuck == "expired" else None)
            if stuck == "cancelled":
                session.jobs.flag_cancel(first, NOW)
            second = a_job(session, run_id="second")
            assert [each.item.key for each in session.items.claim(1, item(session, first).task, False, 3, 1, NOW)()] == [
                ItemKey(second, 0)
            ]

    def test_heads_tell_the_earliest_due_time_of_each_task_kind_and_priority(self, store: Store) -> None:
        with store.write() as session:
            a_job(session, 2, run_id="a", due_ms=NOW + 5)
            a_job(session, 2, run_id="b", due_ms=NOW - 5)
            a_job(session, 2, run_id="c", priority=1, once=True)
            job = a_job(session, 1, name="other")
            task, other = a_task(session)[0], item(session, job).task
            expected = {Head(task, False, 3, NOW - 5), Head(task, True, 1, NOW), Head(other, False, 3, NOW)}
            assert set(session.items.heads([task, other])()) == expected
            session.tasks.set_paused(task, NOW)
            assert [each.task for each in session.items.heads([task, other])()] == [other]
            assert session.items.heads([])() == []


class TestApplying:
    def ended(self, row: Item) -> list[Event]:
        run = a_run(row, NOW + 5, rows=3, pid=7, started_ms=NOW + 1)
        return [
            Succeeded(run, '{"rows": 3}'),
            a_failure(row, run=run, retry_after_s=90.0, exit_code=3, signal=9),
            Snoozed(run, 60),
            WorkerLost(run, "w"),
            CancelRequested(),
        ]

    def test_every_transition_is_stored_as_decided(self, store: Store) -> None:
        with store.write() as session:
            worker = a_worker(session)
            job = a_job(session, 5)
            rows = start(session, job, 5, worker)
            transitions = [moved(row, self.ended(row)[row.number], NOW + 9) for row in rows]
            written, ended = session.items.apply(transitions, NOW + 9)
            assert (written, ended) == (transitions, [])
            assert session.items.read([row.key for row in rows]) == [each.after for each in transitions]
            for each in transitions:
                assert session.items.attempts(each.before.key) == ([each.attempt] if each.attempt else [])

    def test_what_another_has_changed_meanwhile_is_not_written(self, store: Store) -> None:
        with store.write() as session:
            worker = a_worker(session)
            job = a_job(session, 2)
            one, other = start(session, job, 2, worker)
            cancel = moved(one, CancelRequested())
            session.items.apply([cancel], NOW)
            stale = [moved(each, Succeeded(a_run(each), "1")) for each in (one, other)]
            written, _ = session.items.apply(stale, NOW)
            assert written == [stale[1]]
            assert item(session, job, 0) == cancel.after
            assert session.items.attempts(one.key) == []
            assert session.items.apply([moved(one, a_failure(one))], NOW) == ([], [])

    def test_counters_follow_and_tell_when_a_job_has_ended(self, store: Store) -> None:
        with store.write() as session:
            worker = a_worker(session)
            job = a_job(session, 3)
            rows = start(session, job, 3, worker)
            assert self.counts(session, job) == Counts(started=3)
            first = [moved(rows[0], Succeeded(a_run(rows[0]), "1")), moved(rows[1], a_failure(rows[1]))]
            assert session.items.apply(first, NOW)[1] == []
            assert self.counts(session, job) == Counts(started=1, success=1, retry=1)
            session.items.apply([moved(first[1].after, CancelRequested())], NOW)
            _, ended = session.items.apply([moved(rows[2], Succeeded(a_run(rows[2]), "1"))], NOW + 7)
            assert ended == [job]
            assert self.counts(session, job) == Counts(success=2, revoked=1)
            found = session.jobs.read(job)
            assert found is not None
            assert found.ended_ms == NOW + 7

    def test_a_job_that_gets_a_new_generation_has_not_ended_any_more(self, store: Store) -> None:
        with store.write() as session:
            worker = a_worker(session)
            job = a_job(session)
            (row,) = start(session, job, 1, worker)
            done = moved(row, Succeeded(a_run(row), "1"))
            assert session.items.apply([done], NOW)[1] == [job]
            again = moved(done.after, OverwriteRequested(1, False, None))
            assert session.items.apply([again], NOW)[1] == []
            found = session.jobs.read(job)
            assert found is not None
            assert (found.ended_ms, found.counts) == (None, Counts(pending=1))

    def test_attempts_are_kept_in_order(self, store: Store) -> None:
        with store.write() as session:
            worker = a_worker(session)
            job = a_job(session)
            for n in range(3):
                task = item(session, job).task
                (taken,) = session.items.claim(worker, task, False, 3, 1, NOW + 100_000 * n)()
                row = taken.item
                event = a_failure(row, run=a_run(row, NOW + 100_000 * n, started_ms=NOW + 100_000 * n))
                session.items.apply([moved(row, event, NOW + 100_000 * n)], NOW + 100_000 * n)
            assert [each.token for each in session.items.attempts(ItemKey(job, 0))] == [1, 2, 3]

    @pytest.mark.parametrize("text", ["", "'; drop table items; --", "ünïcödé 🦉", "line\nline\ttab", "x" * 100_000, "\\u0041"])
    def test_any_text_comes_back_as_it_was(self, store: Store, text: str) -> None:
        with store.write() as session:
            worker = a_worker(session)
            job = a_job(session)
            (row,) = start(session, job, 1, worker)
            session.items.apply([moved(row, a_failure(row, error_message=text))], NOW)
            assert session.items.attempts(row.key)[0].error_message == text

    def counts(self, session: Session, job: int) -> Counts:
        found = session.jobs.read(job)
        assert found is not None
        return found.counts


class TestLooking:
    def test_what_a_worker_holds_and_is_asked_to_stop(self, store: Store) -> None:
        with store.write() as session:
            worker = a_worker(session)
            job = a_job(session, 3)
            one, other = start(session, job, 2, worker)
            assert session.items.held_by(worker, 9) == [one, other]
            assert session.items.held_by(worker, 1) == [one]
            assert session.items.held_by(worker + 1, 9) == []
            session.items.apply([moved(other, CancelRequested())], NOW)
            assert session.items.asked_to_stop(worker) == [(other.key, other.token)]

    def test_what_has_expired_is_what_deciding_would_fail(self, store: Store) -> None:
        with store.write() as session:
            late = a_job(session, 2, run_id="late", deadline_ms=NOW)
            a_job(session, 1, run_id="early", deadline_ms=NOW + 1)
            a_job(session, 1, run_id="never")
            assert session.items.next_deadline() == NOW
            expired = session.items.expired(NOW, 9)
            assert [each.key for each in expired] == [ItemKey(late, 0), ItemKey(late, 1)]
            assert all(decide(each, DeadlinePassed(), POLICY, NOW, 0) for each in expired)
            assert len(session.items.expired(NOW, 1)) == 1

    def test_waiting_and_running_items_of_a_job(self, store: Store) -> None:
        with store.write() as session:
            worker = a_worker(session)
            job = a_job(session, 4)
            a_job(session, 4, run_id="other")
            (row,) = start(session, job, 1, worker)
            assert session.items.running_of(job) == [row]
            assert [each.number for each in session.items.waiting_of(job, 2)] == [1, 2]
            assert [each.number for each in session.items.waiting_of(job, 9, first=3)] == [3]

    def test_what_is_not_there_is_left_out(self, store: Store) -> None:
        with store.write() as session:
            job = a_job(session)
            assert [each.key for each in session.items.read([ItemKey(99, 0), ItemKey(job, 0)])] == [ItemKey(job, 0)]
            assert session.items.input(ItemKey(99, 0)) is None
            assert session.jobs.read(99) is None
            assert session.tasks.by_id(99) is None
            assert session.items.attempts(ItemKey(99, 0)) == []


class TestJobs:
    def test_a_run_id_belongs_to_one_job_of_a_task(self, store: Store) -> None:
        with store.write() as session:
            job, other = a_job(session, run_id="nightly"), a_job(session, name="other", run_id="nightly")
            assert job != other
            found = session.jobs.by_run_id(item(session, job).task, "nightly")
            assert found is not None
            assert (found.job, found.input_digest, found.sealed) == (job, "digest", True)
            assert session.jobs.by_run_id(item(session, job).task, "weekly") is None

    def test_a_job_that_is_not_complete_does_not_end_before_it_is(self, store: Store) -> None:
        with store.write() as session:
            task, definition = a_task(session)
            job = session.jobs.add(NewJob(task, "r", "map", "", "UTC", {}, False, named=True), NOW)
            defaults = ItemDefaults(task, definition, False, 3, NOW, Wait.READY, None, None)
            session.jobs.add_items(job, 0, list(items_of([1])), defaults, NOW)
            assert session.items.apply([moved(item(session, job), CancelRequested())], NOW)[1] == []
            assert session.jobs.seal(job, "digest", None, NOW)

    def test_items_cannot_be_added_to_what_is_complete_or_gone(self, store: Store) -> None:
        with store.write() as session:
            job = a_job(session)
            defaults = ItemDefaults(1, 1, False, 3, NOW, Wait.READY, None, None)
            for closed in (job, job + 1):
                with pytest.raises(Refused, match=f"job {closed}"):
                    session.jobs.add_items(closed, 1, list(items_of([1])), defaults, NOW)
                with pytest.raises(Refused, match=f"job {closed}"):
                    session.jobs.seal(closed, "", None, NOW)

    def test_a_complete_job_cannot_be_dropped(self, store: Store) -> None:
        with store.write() as session:
            job = a_job(session, 2)
            session.jobs.drop_unsealed(job)
            assert len(session.items.read([ItemKey(job, 0), ItemKey(job, 1)])) == 2
            assert session.items.input(ItemKey(job, 0)) is not None

    def test_held_items_are_released_in_order(self, store: Store) -> None:
        with store.write() as session:
            job = a_job(session, 5, wait=Wait.SUBMITTING, due_ms=FAR_FUTURE_MS)
            assert session.jobs.release(job, NOW, Wait.READY, 2) == 2
            assert session.jobs.release(job, NOW, Wait.READY, 2, first=2) == 4
            assert item(session, job, 4).due_ms == FAR_FUTURE_MS
            assert session.jobs.release(job, NOW, Wait.READY, 2, first=4) is None
            rows = session.items.read([ItemKey(job, n) for n in range(5)])
            assert {(each.due_ms, each.wait, each.version) for each in rows} == {(NOW, Wait.READY, 1)}

    def test_the_cancel_flag_is_set_once_while_a_job_lives(self, store: Store) -> None:
        with store.write() as session:
            job, empty = a_job(session), a_job(session, 0, run_id="empty")
            assert session.jobs.flag_cancel(job, NOW)
            assert not session.jobs.flag_cancel(job, NOW)
            assert not session.jobs.flag_cancel(empty, NOW)
            assert session.jobs.cancelling() == [job]
            session.jobs.unflag_cancel(job)
            assert session.jobs.cancelling() == []

    def test_ids_of_dropped_jobs_are_never_given_again(self, store: Store) -> None:
        with store.write() as session:
            task, _ = a_task(session)
            first = session.jobs.add(NewJob(task, "r", "map", "", "UTC", {}, False, named=True), NOW)
            session.jobs.drop_unsealed(first)
            assert session.jobs.add(NewJob(task, "r", "map", "", "UTC", {}, False, named=True), NOW) > first

    def test_results_are_read_in_order_from_a_number_on(self, store: Store) -> None:
        with store.write() as session:
            worker = a_worker(session)
            job = a_job(session, 4)
            rows = start(session, job, 3, worker)
            session.items.apply([moved(rows[1], Succeeded(a_run(rows[1]), "7")), moved(rows[2], a_failure(rows[2]))], NOW)
            found = session.jobs.results(job, 1, 2)
            assert [(each.number, each.result, each.error_message) for each in found] == [(1, "7", None), (2, None, "it broke")]
            assert session.jobs.next_retry(job) == item(session, job, 2).due_ms

    def test_what_a_job_waits_for_is_told_when_none_of_its_items_is_due(self, store: Store) -> None:
        with store.write() as session:
            job = a_job(session, 3, due_ms=NOW + 9, wait=Wait.SCHEDULE)
            assert session.jobs.first_wait(job, NOW) == (Wait.SCHEDULE, NOW + 9)
            assert session.jobs.first_wait(job, NOW + 9) is None
            row = item(session, job, 2)
            session.items.apply([Transition(row, row.but(due_ms=NOW + 5, wait=Wait.SNOOZE, version=1))], NOW)
            assert session.jobs.first_wait(job, NOW) == (Wait.SNOOZE, NOW + 5)
            assert session.jobs.first_wait(job, NOW + 5) is None

    def test_the_first_failure_of_a_job_is_told(self, store: Store) -> None:
        with store.write() as session:
            worker = a_worker(session)
            job = a_job(session, 3)
            assert session.jobs.first_failure(job) is None
            rows = start(session, job, 3, worker)
            gone = [decide(row, a_failure(row, error_message=f"e{row.number}"), Policy(), NOW, 0) for row in rows[1:]]
            session.items.apply([each for each in gone if each], NOW)
            found = session.jobs.first_failure(job)
            assert found is not None
            assert (found[0], found[3]) == (1, "e1")
