"""Bulk operations: which items they are for is fixed when they are asked for, and each is done once whatever happens."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from flows import FLOW, LOAD, a_call, called
from settling import PATIENT, run_in_order, settled, statuses

from mulligan.core.bulk import BulkAction, BulkState
from mulligan.core.definition import Definition
from mulligan.core.errors import ArgumentsInvalid, ConfigError, MoreMatch, NotFound, OverwriteUnsafe, Refused, StoreError
from mulligan.core.job import FailureClass, ItemKey, JobStatus
from mulligan.core.submission import NewItem
from mulligan.engine import bulk, bulk_pages, matching
from mulligan.engine.asking import Asker, Target
from mulligan.engine.bulk import BulkWanted
from mulligan.engine.bulk_pages import BulkPages, BulkPlan
from mulligan.store.verbs.bulk import BulkRow
from mulligan.testing.factories import a_definition, a_failure, daily
from mulligan.testing.harness import ASKER, KEEP_S, Hand, Harness

PENDING, RETRY, SUCCESS, FAILURE, REVOKED = (
    JobStatus.PENDING,
    JobStatus.RETRY,
    JobStatus.SUCCESS,
    JobStatus.FAILURE,
    JobStatus.REVOKED,
)
TASK = a_definition("features")
OFFLINE = a_definition("features", offline=True, online=False)


def wanted(action: BulkAction = BulkAction.RETRY, **changes: Any) -> BulkWanted:
    names = ("mode", "accept_risk", "forward", "expected", "asker", "pipelines", "sees")
    known = {name: changes.pop(name) for name in names if name in changes}
    return BulkWanted(**{"action": action, "filters": changes or {"task": "features"}, "asker": ASKER, **known})


def failed(world: Harness, count: int, task: Definition = TASK, worker: Hand | None = None) -> tuple[int, Hand]:
    """A job all of whose work items have failed for good."""
    job = world.submit(task, count)
    worker = worker or world.worker(task)
    while claimed := worker.claim(2_000):
        worker.exchange(*((item, a_failure(item, FailureClass.PERMANENT, run=worker._run(item))) for item in claimed))
    return job, worker


def finish(world: Harness, row: BulkRow) -> BulkRow:
    """Do what is left of an operation."""
    while world.bulk_pages.step(row.id):
        world.clock.pass_(1)
    return world.bulk.find(row.id)


def generations(world: Harness, job: int) -> Counter[int]:
    return Counter(item.generation for item in world.items(job))


class TestWhatItIsFor:
    def test_ten_thousand_items_are_fixed_when_it_is_asked_for_and_what_fails_later_is_not_among_them(
        self, world: Harness
    ) -> None:
        job = world.submit(TASK, 10_000)
        world.commands.cancel(Target(job=job), ASKER)
        row = world.bulk.create(wanted())
        assert (row.state, row.matched, row.done) == (BulkState.RUNNING, 10_000, 0)
        other, worker = failed(world, 50)
        for _ in range(5):
            world.bulk_pages.run_due()
        taken = worker.claim(40)
        worker.exchange(*((item, a_failure(item, FailureClass.PERMANENT, run=worker._run(item))) for item in taken))
        row = finish(world, row)
        assert (row.state, row.done, row.skipped) == (BulkState.DONE, 10_000, {})
        assert generations(world, job) == {2: 10_000}, "those that failed again are not retried again"
        assert generations(world, other) == {1: 50}
        assert world.job(job).counts.failure == 40

    def test_filters_choose_and_without_a_status_those_that_the_action_fits(self, world: Harness) -> None:
        job, _ = settled(world, PATIENT, "ok", "PERMANENT", "TRANSIENT", "runs", "waits")
        for action, count in zip(BulkAction, (1, 2, 3, 1), strict=True):
            assert world.bulk.create(wanted(action, job=str(job), accept_risk=True)).matched == count, action
        assert world.bulk.create(wanted(task="features", failure_class="PERMANENT")).matched == 1
        assert world.bulk.create(wanted(task="features", failure_class="TIMEOUT")).state is BulkState.DONE

    def test_what_makes_no_sense_is_refused_and_leaves_nothing(self, world: Harness) -> None:
        failed(world, 3)
        refusals: list[tuple[dict[str, Any], type[Exception], str]] = [
            ({"status": "SUCCESS"}, ArgumentsInvalid, "retry is for what is FAILURE or REVOKED, not SUCCESS"),
            ({"colour": "red"}, ArgumentsInvalid, "there is no filter 'colour'"),
            ({"task": ""}, ConfigError, "is empty"),
            ({"status": None}, ConfigError, "at least one filter"),
            ({"job": "77"}, NotFound, "no job 77"),
            ({"task": "features", "forward": True}, ArgumentsInvalid, "it is for overwrite"),
            ({"task": "features", "expected": 2}, MoreMatch, "more than were seen"),
        ]
        for changes, error, says in refusals:
            with pytest.raises(error, match=says):
                world.bulk.create(wanted(**changes))
        assert world.bulk.all(2**63 - 1, 10) == []
        with world.store.read() as session:
            assert session.bulk.page(1, 0, 10).items == {}

    def test_calls_of_a_workflow_stand_for_the_workflow_which_is_recovered_once(self, world: Harness) -> None:
        job = world.submit(FLOW)
        worker = world.worker(FLOW, LOAD)
        body = worker.take()
        worker.call(body, *(a_call(f"load#{number}") for number in range(3)))
        for call in worker.claim(3)[1:]:
            worker.fail(call, FailureClass.PERMANENT)
        worker.succeed(next(iter(worker.held.values())).item if len(worker.held) == 1 else called(world, body)["load#0"])
        worker.fail(world.item(body.key), FailureClass.PERMANENT)
        asked = wanted(parent=f"{job}-0")
        plan = world.bulk_pages.plan(asked)
        assert (plan.matched, plan.plan.total, plan.kept) == (1, 1, {"calls": 1})
        row = finish(world, world.bulk.create(asked))
        assert (row.matched, row.done) == (1, 1)
        assert world.item(job).generation == 2
        with pytest.raises(Refused, match="not restarted by itself"):
            world.bulk.create(wanted(mode="restart", parent=f"{job}-0", status=["REVOKED", "FAILURE"]))


class TestDoingIt:
    def test_an_item_that_moved_on_since_is_left_alone_and_counted_with_why(self, world: Harness) -> None:
        job, worker = failed(world, 5)
        row = world.bulk.create(wanted())
        world.commands.retry(Target(items=(ItemKey(job, 1), ItemKey(job, 3))), "recover", ASKER)
        for item in worker.claim(2):
            worker.fail(item, FailureClass.PERMANENT)
        row = finish(world, row)
        assert (row.done, row.skipped, row.progress) == (3, {"has moved on": 2}, 100)
        assert generations(world, job) == {2: 5}

    def test_items_that_retention_has_removed_are_counted_as_gone(self, world: Harness) -> None:
        _, _ = failed(world, 4)
        row = world.bulk.create(wanted())
        world.clock.pass_(2 * KEEP_S)
        while world.retention.remove_jobs():
            pass
        assert finish(world, row).skipped == {"is not there any more": 4}

    def test_waiting_items_are_made_due_and_what_has_not_ended_is_cancelled(self, world: Harness) -> None:
        job, worker = settled(world, PATIENT, "TRANSIENT", "TRANSIENT", "runs", "waits")
        row = finish(world, world.bulk.create(wanted(BulkAction.RETRY_NOW)))
        assert (row.done, row.skipped) == (2, {"is PENDING": 1})
        assert {item.due_ms for item in world.items(job)[:2]} <= {world.clock.now_ms() - each for each in range(3_000)}
        row = finish(world, world.bulk.create(wanted(BulkAction.CANCEL)))
        assert row.done == 4
        assert statuses(world, job) == [REVOKED, REVOKED, JobStatus.STARTED, REVOKED]
        assert world.engine.asked_to_stop(worker.id) == [(ItemKey(job, 2), 1)]

    def test_it_is_told_to_the_audit_when_asked_for_with_each_page_and_at_its_end(self, world: Harness) -> None:
        failed(world, 15)
        row = finish(world, world.bulk.create(wanted(asker=Asker("ann", "rest", "the disk was full", "10.0.0.7"))))
        lines = [(each.action, each.target, each.changed) for each in reversed(world.audit())]
        assert lines == [
            ("bulk retry", f'operation {row.id}: filter {{"task": "features"}}', 0),
            ("recover", f"operation {row.id}, work items 1 to 10 of 15", 10),
            ("recover", f"operation {row.id}, work items 11 to 15 of 15", 5),
            ("bulk retry done", f"operation {row.id}", 0),
        ]
        assert {(each.actor, each.reason, each.address) for each in world.audit()} == {("ann", "the disk was full", "10.0.0.7")}
        with world.store.read() as session:
            (event,) = [each for each in session.records.events() if each.kind == "operation_ended"]
        assert (event.job, event.number, event.reason) == (None, row.id, "DONE")

    def test_it_keeps_to_its_pace_by_the_clock_whoever_does_its_pages(self, world: Harness) -> None:
        failed(world, 1_000)
        paced = [BulkPages(world.engine, world.bulk, rate=100) for _ in range(2)]
        row = world.bulk.create(wanted())
        looked, began_ms = [], world.clock.now_ms()
        while world.bulk.find(row.id).state is BulkState.RUNNING:
            looked += [count for each in paced if (count := each.run_due())]
            world.clock.pass_(0.25)
        assert looked[:4] == [10, 20, 40, 80]
        assert max(looked) == 100
        assert 8_000 <= world.clock.now_ms() - began_ms <= 11_000

    def test_it_stops_before_the_next_page_when_it_is_aborted_and_an_abort_changes_nothing_later(self, world: Harness) -> None:
        job, _ = failed(world, 100)
        row = world.bulk.create(wanted())
        world.bulk_pages.run_due()
        world.bulk_pages.run_due()
        row = world.bulk.abort(row.id, ASKER)
        assert (row.state, row.done) == (BulkState.ABORTED, 30)
        assert (world.bulk_pages.run_due(), world.bulk_pages.step(row.id)) == (0, 0)
        assert generations(world, job) == {2: 30, 1: 70}
        assert world.bulk.abort(row.id, ASKER) == row
        assert world.audit()[0].found == "it was ABORTED before"
        with pytest.raises(NotFound, match="no operation 99"):
            world.bulk.abort(99, ASKER)

    def test_one_that_cannot_go_on_has_failed_and_says_why(self, world: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
        failed(world, 3)
        row = world.bulk.create(wanted())

        def refuse(*_: Any, **__: Any) -> Any:
            raise Refused("not today")

        monkeypatch.setattr(world.bulk_pages, "_do", refuse)
        assert world.bulk_pages.run_due() == 0
        row = world.bulk.find(row.id)
        assert (row.state, row.error, row.done) == (BulkState.FAILED, "not today", 0)

    def test_one_that_something_is_wrong_with_lets_the_others_go_on(
        self, world: Harness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failed(world, 3)
        first, second = world.bulk.create(wanted()), world.bulk.create(wanted())
        real = world.bulk_pages._do

        def break_first(session: Any, row: BulkRow, *more: Any) -> Any:
            if row.id == first.id:
                raise KeyError("a mistake of ours")
            return real(session, row, *more)

        monkeypatch.setattr(world.bulk_pages, "_do", break_first)
        with pytest.raises(KeyError):
            world.bulk_pages.run_due()
        world.bulk_pages.run_due()
        assert world.bulk.find(second.id).state is BulkState.DONE
        monkeypatch.undo()
        world.clock.pass_(bulk_pages.LATER_MS / 1000)
        assert finish(world, first).skipped == {"has moved on": 3}


class TestBeingCutOff:
    @pytest.mark.parametrize("at", ["before commit", "after commit"])
    def test_a_page_that_is_cut_off_around_its_commit_is_done_once_and_the_totals_are_right(
        self, world: Harness, at: str
    ) -> None:
        job, _ = failed(world, 60)
        row = world.bulk.create(wanted())
        for _ in range(3):
            with world.failing(StoreError("the process died"), at), pytest.raises(StoreError):
                world.bulk_pages.step(row.id)
            world.bulk_pages.step(row.id)
        row = finish(world, row)
        assert (row.state, row.done, row.skipped) == (BulkState.DONE, 60, {})
        assert generations(world, job) == {2: 60}
        assert sum(each.changed for each in world.audit()) == 60

    def test_several_servers_at_once_do_each_item_once(self, join: Callable[[], Harness]) -> None:
        servers = [join() for _ in range(3)]
        job, _ = failed(servers[0], 2_000)
        rows = [servers[0].bulk.create(wanted(job=str(job), status=each)) for each in ("FAILURE", "FAILURE")]
        start = threading.Barrier(len(servers))

        def serve(server: Harness) -> None:
            start.wait()
            while any(server.bulk.find(row.id).state is BulkState.RUNNING for row in rows):
                server.bulk_pages.run_due()

        with ThreadPoolExecutor(len(servers)) as pool:
            list(pool.map(serve, servers))
        found = [servers[0].bulk.find(row.id) for row in rows]
        assert [row.state for row in found] == [BulkState.DONE] * 2
        assert sum(row.done for row in found) == 2_000
        assert all(row.done + sum(row.skipped.values()) == 2_000 for row in found)
        assert generations(servers[0], job) == {2: 2_000}

    def test_the_same_request_gives_the_operation_that_it_made(self, world: Harness) -> None:
        failed(world, 3)
        asker = replace(ASKER, operation="ann:key 1")
        row = world.bulk.create(wanted(asker=asker))
        finish(world, row)
        again = world.bulk.create(wanted(asker=asker))
        assert (again.id, again.done) == (row.id, 3)
        assert world.bulk.create(wanted()).id != row.id

    def cut(self, world: Harness, monkeypatch: pytest.MonkeyPatch, asker: Asker) -> int:
        """Have a creation cut off with half of the items written down."""
        monkeypatch.setattr(matching, "PAGE", 20)
        pages = iter([None] * (4 if asker.operation else 3))  # commits until it has written down two pages

        def die(point: str) -> None:
            if point == "before commit" and next(pages, 1):
                raise SystemExit

        world.database.fail_with(die)
        with pytest.raises(SystemExit):
            world.bulk.create(wanted(asker=asker))
        world.database.fail_with(None)
        (row,) = world.bulk.all(2**63 - 1, 10)
        assert (row.state, row.matched) == (BulkState.COLLECTING, 40)
        assert world.bulk_pages.run_due() == 0
        return row.id

    def test_a_creation_that_was_cut_off_is_begun_anew_by_the_same_request(
        self, world: Harness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job, _ = failed(world, 60)
        asker = replace(ASKER, operation="ann:key 1")
        old = self.cut(world, monkeypatch, asker)
        world.clock.pass_(bulk.ALIVE_MS / 1000 + 1)
        row = world.bulk.create(wanted(asker=asker))
        assert (row.matched, world.bulk.find(old).state) == (60, BulkState.FAILED)
        assert finish(world, row).done == 60
        assert generations(world, job) == {2: 60}

    def test_a_creation_that_was_cut_off_is_ended_later_and_never_does_anything(
        self, world: Harness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job, _ = failed(world, 60)
        old = self.cut(world, monkeypatch, ASKER)
        assert world.bulk_pages.end_abandoned() == 0
        world.clock.pass_(bulk_pages.ABANDONED_MS / 1000 + 1)
        assert world.bulk_pages.end_abandoned() == 1
        row = world.bulk.find(old)
        assert (row.state, row.error) == (BulkState.FAILED, bulk.CUT_OFF)
        assert generations(world, job) == {1: 60}

    def test_one_that_is_aborted_while_its_items_are_written_down_never_begins(
        self, world: Harness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job, _ = failed(world, 60)
        monkeypatch.setattr(matching, "PAGE", 20)
        real = world.bulk.pages

        def pages(*given: Any) -> Iterator[dict[ItemKey, int]]:
            for number, page in enumerate(real(*given)):
                if number == 2:
                    world.bulk.abort(1, ASKER)
                yield page

        monkeypatch.setattr(world.bulk, "pages", pages)
        with pytest.raises(Refused, match="aborted"):
            world.bulk.create(wanted())
        assert world.bulk.find(1).state is BulkState.ABORTED
        assert generations(world, job) == {1: 60}

    def test_ended_operations_are_removed_with_their_items_when_they_are_old(self, world: Harness) -> None:
        failed(world, 30)
        row, running = finish(world, world.bulk.create(wanted())), world.bulk.create(wanted(status="FAILURE"))
        failed(world, 5)
        running = world.bulk.create(wanted())
        world.clock.pass_(KEEP_S + 60)
        while world.retention.remove_bulk():
            pass
        assert [each.id for each in world.bulk.all(2**63 - 1, 10)] == [running.id]
        with world.store.read() as session:
            assert session.bulk.page(row.id, 0, 10).items == {}
            assert [each.kind for each in session.records.events() if each.number == row.id and each.job is None] == []


class TestThePlan:
    def same(self, world: Harness, asked: BulkWanted) -> tuple[BulkPlan, BulkRow]:
        """Ask for a plan, then for the same to be done, with nothing moving in between; both must say the same."""
        before = world.audit()
        plan = world.bulk_pages.plan(asked)
        assert world.audit() == before
        row = finish(world, world.bulk.create(asked))
        assert (row.matched, row.done, row.skipped) == (plan.matched, plan.plan.total, dict(plan.plan.skipped))
        return plan, row

    def test_it_says_by_status_and_class_what_is_run_again_and_what_is_reused(self, world: Harness) -> None:
        job, worker = settled(world, PATIENT, "ok", "runs", "runs", "runs", "waits")
        for number, kind in ((1, "step"), (2, "cursor")):
            assert worker.save(world.item(job, number), kind, "a", "1")
        worker.fail(world.item(job, 1), FailureClass.PERMANENT)
        worker.fail(world.item(job, 2), FailureClass.TIMEOUT)
        world.commands.cancel(Target(items=(ItemKey(job, 4),)), ASKER)
        plan = world.bulk_pages.plan(wanted())
        assert plan.statuses == {"FAILURE": 1, "REVOKED": 1}
        assert plan.classes == {"PERMANENT": 1}
        assert plan.kept == {"steps": 1}
        assert plan.plan.examples == [f"recover {job}-1 (FAILURE)", f"recover {job}-4 (REVOKED)"]
        assert world.bulk_pages.plan(wanted(mode="restart")).kept == {}
        self.same(world, wanted())

    @pytest.mark.parametrize("page", [3, 2_000])
    def test_of_several_items_for_a_window_the_newest_is_started_however_far_apart_they_are(
        self, world: Harness, page: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(matching, "PAGE", page)
        worker = world.worker(PATIENT)
        jobs = []
        for _ in range(2):
            jobs.append(world.submit(PATIENT, daily(30), kind="backfill"))
            for item in worker.claim(30):
                worker.fail(item, FailureClass.PERMANENT)
            world.clock.pass_(60)
        plan, _ = self.same(world, wanted())
        assert plan.plan.total == 30
        assert plan.plan.skipped == {"a newer work item of its window is started instead": 30}
        assert [generations(world, job) for job in jobs] == [{1: 30}, {2: 30}]

    def test_the_risk_of_an_overwrite_is_part_of_it_and_the_operation_is_refused_with_the_evidence(self, world: Harness) -> None:
        online = a_definition("features", online=True)
        job, worker = settled(world, online, "runs", "runs")
        worker.succeed(world.item(job, 0), rows=0)
        worker.succeed(world.item(job, 1), rows=7)
        asked = wanted(BulkAction.OVERWRITE)
        plan = world.bulk_pages.plan(asked)
        assert (plan.matched, plan.plan.unsafe, list(plan.plan.judgements)) == (2, 1, [f"{job}-1"])
        with pytest.raises(OverwriteUnsafe, match="7 rows"):
            world.bulk.create(asked)
        assert world.bulk.all(2**63 - 1, 10) == []
        assert (world.audit()[0].action, generations(world, job)) == ("overwrite refused", {1: 2})
        self.same(world, wanted(BulkAction.OVERWRITE, accept_risk=True))
        assert generations(world, job) == {2: 2}

    def test_what_is_not_safe_any_more_when_its_turn_comes_is_left_alone(self, world: Harness) -> None:
        online = a_definition("features", online=True)
        job, worker = settled(world, online, "runs", windows=True)
        worker.succeed(world.item(job, 0), rows=0)
        row = world.bulk.create(wanted(BulkAction.OVERWRITE))
        world.publish(replace(online, online=None))
        assert finish(world, row).skipped == ({} if world.bulk.find(row.id).done else {bulk_pages.NOT_SAFE: 1})

    def test_forward_runs_the_windows_in_order_all_of_them_put_there_at_once(self, world: Harness) -> None:
        job, worker = settled(world, OFFLINE, *["ok"] * 15, windows=True)
        asked = wanted(BulkAction.OVERWRITE, forward=True)
        row = world.bulk.create(asked)
        world.bulk_pages.step(row.id)
        row = world.bulk.find(row.id)
        assert (row.state, row.done) == (BulkState.DONE, 15)
        run_in_order(world, worker, *(ItemKey(job, number) for number in range(15)))

    def test_what_was_put_in_order_once_is_retried_in_that_order_although_it_fills_more_than_a_page(self, world: Harness) -> None:
        ordered = a_definition(online=True, retries=(3, 300))
        job = world.submit(ordered, list(daily(30))[::-1], kind="backfill")
        worker = world.worker(ordered)
        for item in worker.claim(30):
            worker.succeed(item)
        keys = [ItemKey(job, number) for number in reversed(range(30))]
        world.commands.overwrite(Target(items=(keys[0],)), ASKER, accept_risk=True)
        world.clock.pass_(1)
        worker.succeed(worker.take())
        world.commands.overwrite(Target(job=job), ASKER, accept_risk=True, forward=True)
        worker.fail(worker.take(), FailureClass.PERMANENT)
        row = finish(world, world.bulk.create(wanted()))
        assert (row.matched, row.done, row.together) == (30, 30, 30)
        run_in_order(world, worker, *keys)

    def test_a_limited_asker_reaches_nothing_of_other_pipelines_not_even_by_calls(self, world: Harness) -> None:
        job = world.submit(FLOW)
        worker = world.worker(FLOW, LOAD)
        body = worker.take()
        worker.call(body, a_call("load#1"))
        worker.fail(worker.take(), FailureClass.PERMANENT)
        calls = called(world, body)["load#1"].job
        worker.fail(body, FailureClass.PERMANENT)
        asked = wanted(job=str(calls), pipelines=("load",), sees=lambda keys: [key for key in keys if key.job != job])
        assert world.bulk.create(asked).matched == 0
        assert world.bulk_pages.plan(asked).matched == 0


def test_one_item_alone_is_an_operation_too(world: Harness) -> None:
    job = world.submit(TASK, [NewItem("one", "{}")])
    worker = world.worker(TASK)
    worker.fail(worker.take(), FailureClass.PERMANENT)
    assert finish(world, world.bulk.create(wanted(job=str(job), key="one"))).done == 1
