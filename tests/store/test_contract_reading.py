"""The contract of records, windows, lists and guards: whatever database lies below has to pass it word for word."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from shelf import POLICY, a_job, a_worker, item, moved, run_raw, start

from mulligan.core.errors import ArgumentsInvalid
from mulligan.core.events import (
    RetryRequested,
    Succeeded,
)
from mulligan.core.job import TERMINAL, Counts, Item, ItemKey, JobStatus, Reason, Wait, job_status
from mulligan.core.lifecycle import Transition, decide
from mulligan.core.retry import Policy
from mulligan.core.submission import NewItem
from mulligan.store.listing import MAX_PAGE
from mulligan.store.rows import AuditRow, CheckpointRow
from mulligan.store.store import Session, Store
from mulligan.store.verbs.windows import Rival
from mulligan.testing.clock import START_MS as NOW
from mulligan.testing.factories import a_failure, a_run, daily

JOB_STATUSES = [
    Counts(pending=1),
    Counts(started=1, success=1),
    Counts(retry=1, failure=1),
    Counts(pending=1, success=1),
    Counts(success=1),
    Counts(success=1, revoked=1),
    Counts(failure=1, revoked=1),
]


class TestRecords:
    def step(self, key: str, generation: int, value: str, kind: str = "step", at_ms: int = NOW) -> CheckpointRow:
        return CheckpointRow(kind, key, generation, value, 1, 1, at_ms)

    def test_what_was_saved_counts_from_the_generation_that_is_kept(self, store: Store) -> None:
        with store.write() as session:
            (row,) = start(session, a_job(session))
            saved = [("a", 1, "1"), ("a", 2, "2"), ("b", 1, "3")]
            for key, generation, value in saved:
                assert session.records.save_checkpoint(row.key, self.step(key, generation, value), 1)()
            assert session.records.save_checkpoint(row.key, self.step("", 1, "7", "cursor"), 1)()
            assert session.records.save_checkpoint(row.key, self.step("", 1, "8", "cursor"), 1)()
            assert session.records.saved([(*row.key, row.keep_from)])[row.key] == ({"a": "2", "b": "3"}, "8")
            later = row._replace(generation=2, keep_from=2)
            assert session.records.saved([(*later.key, later.keep_from)])[row.key] == ({"a": "2"}, None)
            session.records.drop_old_checkpoints(row.key, 2)
            assert [(each.key, each.generation) for each in session.records.checkpoints(row.key)] == [("a", 2)]

    def test_only_the_attempt_that_owns_its_item_saves_anything(self, store: Store) -> None:
        with store.write() as session:
            (row,) = start(session, a_job(session))
            late = self.step("", 1, "0", "cursor")._replace(token=row.token - 1)
            for checkpoint, worker in ((self.step("a", 1, "1"), 2), (late, 1)):
                assert not session.records.save_checkpoint(row.key, checkpoint, worker)()
            assert session.records.checkpoints(row.key) == []
            session.items.apply([moved(row, Succeeded(a_run(row), "1"))], NOW)
            assert not session.records.save_checkpoint(row.key, self.step("a", 1, "1"), 1)()
            assert session.records.checkpoints(row.key) == []

    def test_logs_are_read_on_from_a_place_and_a_piece_twice_is_kept_once(self, store: Store) -> None:
        with store.write() as session:
            job = a_job(session)
            key = ItemKey(job, 0)
            session.records.add_logs([(job, 0, 1, 0, "a"), (job, 0, 1, 1, "b"), (job, 0, 2, 0, "c")], NOW)
            session.records.add_logs([(job, 0, 1, 1, "b")], NOW)
            assert [each[3] for each in session.records.logs(key)] == ["a", "b", "c"]
            assert [each[3] for each in session.records.logs(key, 1, 0)] == ["b", "c"]

    def test_progress_is_the_newest_that_was_told(self, store: Store) -> None:
        with store.write() as session:
            job = a_job(session)
            assert session.records.progress(ItemKey(job, 0)) is None
            session.records.set_progress([(job, 0, 1, 1, 10)], NOW)
            session.records.set_progress([(job, 0, 1, 5, 10)], NOW)
            assert session.records.progress(ItemKey(job, 0)) == (1, 5, 10)

    def test_what_leaves_an_order_tells_what_comes_after_and_closes_the_gap(self, store: Store) -> None:
        with store.write() as session:
            job = a_job(session, 4)
            keys = [ItemKey(job, number) for number in range(4)]
            session.records.chain(list(pairwise(keys)))
            assert session.records.predecessors([keys[0], keys[2], keys[3]]) == {keys[2]: keys[1], keys[3]: keys[2]}
            assert session.records.followers([keys[0], keys[2], keys[3]]) == {keys[0]: keys[1], keys[2]: keys[3]}
            assert session.records.leave_order(keys[1]) == keys[2]
            assert session.records.leave_order(keys[1]) is None
            assert session.records.predecessors(keys) == {keys[2]: keys[0], keys[3]: keys[2]}
            assert session.records.leave_order(keys[3]) is None
            assert session.records.leave_order(keys[0]) == keys[2]
            assert not session.records.any_successor()

    def test_held_behind_an_item_are_those_that_wait_one_behind_the_other_in_order(self, store: Store) -> None:
        with store.write() as session:
            job = a_job(session, 5)
            keys = [ItemKey(job, number) for number in (0, 4, 2, 3, 1)]
            session.records.chain(list(pairwise(keys)))
            rows = {each.key: each for each in session.items.read(keys)}
            held = [rows[key].but(wait=Wait.PREDECESSOR, version=1) for key in keys[1:3] + keys[4:]]
            session.items.apply([Transition(rows[each.key], each) for each in held], NOW)
            assert session.records.held_behind(keys[0]) == keys[1:3]
            assert session.records.held_behind(keys[3]) == keys[4:]
            assert session.records.in_order_unsuccessful() == []

    def test_the_rivals_of_an_item_are_for_the_same_window_with_the_same_arguments(self, store: Store) -> None:
        with store.write() as session:
            days = list(daily(2))
            one = a_job(session, days, run_id="one")
            two = a_job(session, [days[1], days[0]._replace(arguments='{"x": 1}'), NewItem("y", "{}")], run_id="two")
            found = session.windows.rivals([ItemKey(one, 0), ItemKey(one, 1), ItemKey(two, 2)])
            assert found == [(ItemKey(one, 1), Rival(ItemKey(two, 0), JobStatus.PENDING, None))]

    def test_events_are_read_on_from_an_id(self, store: Store) -> None:
        with store.write() as session:
            session.records.add_event("item_failed", ItemKey(1, 2), 3, "poison", NOW)
            session.records.add_event("job_ended", 1, None, None, NOW)
        with store.read() as session:
            first, second = session.records.events()
            assert first[1:] == (NOW, "item_failed", 1, 2, 3, "poison")
            assert session.records.events(after=first.place) == [second]

    def test_the_audit_is_read_newest_first_and_by_target(self, store: Store) -> None:
        with store.write() as session:
            for target in ("job 1", "job 2", "job 1"):
                session.records.add_audit(AuditRow(0, NOW, "a", "s", "cancel", target, "why", "e", "f", 1))
            assert [each.id for each in session.records.audit()] == [3, 2, 1]
            assert [each.id for each in session.records.audit("job 1", 1)] == [3]


class TestWindows:
    def test_windows_are_found_by_their_state(self, store: Store) -> None:
        with store.write() as session:
            worker = a_worker(session)
            job = a_job(session, daily(4, 0))
            rows = start(session, job, 3, worker)
            failed = decide(rows[1], a_failure(rows[1]), Policy(), NOW, 0)
            assert failed is not None
            session.items.apply([moved(rows[0], Succeeded(a_run(rows[0]), "1")), failed], NOW)
            day = 86_400_000
            task = rows[0].task
            assert session.windows.taken(task, 0, 9 * day) == {(n * day, (n + 1) * day) for n in (0, 2, 3)}
            assert session.windows.taken(task, day, 2 * day) == set()
            newest = session.windows.newest(task, 0, 2 * day)
            assert newest == {
                (0, day): (ItemKey(job, 0), JobStatus.SUCCESS),
                (day, 2 * day): (ItemKey(job, 1), JobStatus.FAILURE),
            }

    def test_later_windows_that_were_written_since(self, store: Store) -> None:
        with store.write() as session:
            worker = a_worker(session)
            job = a_job(session, daily(4, 0))
            rows = start(session, job, 4, worker)
            for n, row in enumerate(rows[:3]):
                run = a_run(row, NOW + n)
                session.items.apply([moved(row, Succeeded(run, "1"), NOW + n)], NOW + n)
            later = session.windows.later_written(rows[0].task, 0, NOW, 9)
            assert [key for key, _ in later] == [ItemKey(job, 1), ItemKey(job, 2)]
            assert len(session.windows.later_written(rows[0].task, 0, NOW, 1)) == 1
            assert session.windows.later_written(rows[0].task, 0, NOW + 9, 9) == []


class TestListing:
    def keys(self, store: Store, **filters: Any) -> list[ItemKey]:
        found = store.listing.items(filters)
        assert store.listing.keys(filters, 100) == {each.item.key: each.item.generation for each in found}
        assert list(store.listing.keys(filters, 1)) == [each.item.key for each in found[:1]]
        return [each.item.key for each in found]

    @pytest.fixture
    def filled(self, store: Store) -> tuple[Store, int, int]:
        with store.write() as session:
            worker = a_worker(session)
            one = a_job(session, daily(3, 0), run_id="one", labels={"team": "a", 'odd "name"': "b"})
            other = a_job(session, 2, name="other", run_id="two")
            first, second = start(session, one, 2, worker)
            failed = moved(first, a_failure(first, error_message="disk full"))
            session.items.apply([failed, moved(second, Succeeded(a_run(second), "7"))], NOW)
        return store, one, other

    def test_items_are_found_by_each_filter(self, filled: tuple[Store, int, int]) -> None:
        store, one, other = filled
        mine = [ItemKey(one, n) for n in range(3)]
        theirs = [ItemKey(other, n) for n in range(2)]
        day = 86_400_000
        assert self.keys(store) == mine + theirs
        assert self.keys(store, job=one, number=1) == [mine[1]]
        assert self.keys(store, status="SUCCESS") == [mine[1]]
        assert self.keys(store, status=["SUCCESS", "RETRY"]) == mine[:2]
        assert self.keys(store, task="other") == theirs
        assert self.keys(store, failure_class="TRANSIENT") == [mine[0]]
        assert self.keys(store, run_id="two") == theirs
        assert self.keys(store, key="day-000002") == [mine[2]]
        assert self.keys(store, window_start=day) == mine[1:]
        assert self.keys(store, window_start=day, window_end=2 * day) == [mine[1]]
        assert self.keys(store, error="disk") == [mine[0]]
        assert self.keys(store, ids=[mine[2], theirs[0]]) == [mine[2], theirs[0]]
        assert self.keys(store, after=mine[2]) == theirs
        assert self.keys(store, after=mine[0], job=one) == mine[1:]
        assert self.keys(store, after=mine[2], job=other) == theirs
        assert self.keys(store, after=theirs[0], job=one) == []
        assert self.keys(store, status="RETRY") == self.keys(store, status="RETRY", job=one) == mine[:1]
        assert self.keys(store, status=["PENDING"]) == [mine[2], *theirs]
        assert self.keys(store, status="PENDING", job=one, after=mine[0]) == [mine[2]]
        assert self.keys(store, status="FAILURE") == self.keys(store, status="STARTED") == []
        assert self.keys(store, status=None, job=one) == mine
        assert self.keys(store, status="SUCCESS", task="other") == []

    def test_details_come_with_input_and_the_newest_end(self, filled: tuple[Store, int, int]) -> None:
        store, one, _ = filled
        failed, good, fresh = store.listing.items({"job": one})
        assert (failed.error_message, failed.result, failed.input.key) == ("disk full", None, "day-000000")
        assert (good.error_message, good.result, good.task) == (None, "7", "features")
        assert (fresh.error_message, fresh.result, fresh.worker) == (None, None, None)

    def test_jobs_are_found_by_each_filter_newest_first(self, filled: tuple[Store, int, int]) -> None:
        store, one, other = filled

        def found(**filters: Any) -> list[int]:
            return [each.id for each in store.listing.jobs(filters)]

        assert found() == [other, one]
        assert found(task="features") == [one]
        assert found(run_id="two") == [other]
        assert found(label=("team", "a")) == [one]
        assert found(label=("team", "b")) == []
        assert found(before=other) == [one]
        assert found(namespace="nowhere") == []
        assert found(status="PENDING") == [other]
        assert found(status=["PENDING", "RETRY"]) == [other, one]

    @pytest.mark.parametrize("counts", JOB_STATUSES)
    def test_the_status_that_is_filtered_by_is_the_status_that_is_shown(self, store: Store, counts: Counts) -> None:
        with store.write() as session:
            worker = a_worker(session)
            job = a_job(session, counts.total)
            rows = iter(start(session, job, counts.total - counts.pending, worker))
            ends: list[Transition | None] = []
            ends += [decide(next(rows), a_failure(each), POLICY, NOW, 0) for each in self.take(session, job, counts.retry)]
            for row in list(rows)[: counts.success + counts.failure + counts.revoked]:
                ends.append(self.end(row, len(ends) - counts.retry, counts))
            session.items.apply([each for each in ends if each], NOW)
            found = session.jobs.read(job)
            assert found is not None
        assert found.counts == counts
        shown = [status for status in JobStatus if store.listing.jobs({"status": status})]
        assert shown == [job_status(counts)]

    def take(self, session: Session, job: int, count: int) -> list[Item]:
        return [item(session, job, n) for n in range(count)]

    def end(self, row: Item, place: int, counts: Counts) -> Transition | None:
        if place < counts.success:
            return decide(row, Succeeded(a_run(row), "1"), POLICY, NOW, 0)
        if place < counts.success + counts.failure:
            return decide(row, a_failure(row), Policy(), NOW, 0)
        return decide(row._replace(cancel_ms=NOW), a_failure(row), POLICY, NOW, 0)

    def test_an_unknown_filter_is_refused_with_those_there_are(self, store: Store) -> None:
        for listing in (store.listing.items, store.listing.jobs, lambda filters: store.listing.keys(filters, 1)):
            with pytest.raises(ArgumentsInvalid, match="status"):
                listing({"1 = 1; --": 1})

    def test_pages_hold_every_item_once(self, store: Store) -> None:
        count = MAX_PAGE * 2 + 3
        with store.write() as session:
            job = a_job(session, count)
        assert len(store.listing.items({"job": job}, 10_000)) == MAX_PAGE
        assert [each.item.number for each in store.listing.all_items({"job": job})] == list(range(count))


class TestGuards:
    """What must never be is refused by the database itself."""

    def refuses(self, store: Store, text: str) -> None:
        with pytest.raises(Exception, match=r"(?i)check|append-only|never changes|unique"):
            run_raw(store, text)

    @pytest.mark.parametrize(
        "text",
        [
            "update items set status = 'SUCCESS'",
            "update items set status = 'STARTED'",
            "update items set status = 'DONE'",
            "update items set worker = 1",
            "update items set wait = null",
            "update items set wait = 'forever'",
            "update items set priority = 9",
            "update items set cancel_ms = 1",
            "update items set keep_from = 2",
            "update items set attempt = 5",
            "update items set generation = 0",
            "update jobs set ended_ms = 1",
            "update jobs set started = -1",
        ],
    )
    def test_rows_that_make_no_sense(self, store: Store, text: str) -> None:
        with store.write() as session:
            a_job(session)
        self.refuses(store, text)

    def test_every_reason_and_wait_of_the_core_is_known_to_the_database(self, store: Store) -> None:
        with store.write() as session:
            job = a_job(session)
            changes: list[dict[str, Any]] = [{"wait": each} for each in Wait] + [{"reason": each} for each in Reason]
            for change in changes:
                row = item(session, job)
                session.items.apply([Transition(row, row.but(**change))], NOW)
                assert item(session, job) == row.but(**change, version=row.version + 1)

    @pytest.mark.parametrize("text", ["update attempts set rows = 1", "update audit set actor = 'x'", "delete from audit"])
    def test_history_cannot_be_changed(self, store: Store, text: str) -> None:
        with store.write() as session:
            worker = a_worker(session)
            job = a_job(session)
            (row,) = start(session, job, 1, worker)
            session.items.apply([moved(row, Succeeded(a_run(row), "1"))], NOW)
            session.records.add_audit(AuditRow(0, NOW, "a", "s", "cancel", "t", "", "", "", 1))
        self.refuses(store, text)

    def test_a_new_generation_is_a_terminal_row_and_a_request(self, store: Store) -> None:
        with store.write() as session:
            worker = a_worker(session)
            job = a_job(session)
            (row,) = start(session, job, 1, worker)
            failed = decide(row, a_failure(row), Policy(), NOW, 0)
            assert failed is not None
            assert failed.after.status in TERMINAL
            again = moved(failed.after, RetryRequested("restart", 1, True, NOW + 9))
            session.items.apply([failed], NOW)
            session.items.apply([again], NOW)
            assert item(session, job) == again.after
