"""What people ask for: done once, to what it was asked for, and written down."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from settling import PATIENT, run_in_order, settled, statuses

from mulligan.config.rules import default_rules
from mulligan.core.errors import NotFound, OverwriteUnsafe, Refused, StoreError
from mulligan.core.failure import RuleSet
from mulligan.core.job import FAR_FUTURE_MS, Item, ItemKey, JobStatus, Outcome, Reason, Wait
from mulligan.core.recovery import Verdict
from mulligan.engine.asking import Plan, Target
from mulligan.engine.commands import CANCEL_AT_ONCE
from mulligan.engine.explain import Known, explain
from mulligan.engine.matching import PAGE
from mulligan.engine.submitting import CHUNK
from mulligan.testing.factories import a_definition
from mulligan.testing.harness import ASKER, Harness

PENDING, STARTED, RETRY = JobStatus.PENDING, JobStatus.STARTED, JobStatus.RETRY
SUCCESS, FAILURE, REVOKED = JobStatus.SUCCESS, JobStatus.FAILURE, JobStatus.REVOKED


class TestCancel:
    def test_waiting_items_are_revoked_at_once_and_running_ones_asked(self, world: Harness) -> None:
        job, worker = settled(world, PATIENT, "ok", "TRANSIENT", "runs", "waits")
        assert world.commands.cancel(Target(job=job), ASKER).total == 3
        assert statuses(world, job) == [SUCCESS, REVOKED, STARTED, REVOKED]
        assert world.engine.asked_to_stop(worker.id) == [(ItemKey(job, 2), 1)]
        worker.stopped(world.item(job, 2))
        assert world.item(job, 2).status is REVOKED
        assert world.job(job).ended_ms is not None

    def test_a_second_cancel_changes_nothing(self, world: Harness) -> None:
        job, _ = settled(world, PATIENT, "runs", "waits")
        world.commands.cancel(Target(job=job), ASKER)
        before = world.items(job)
        again = world.commands.cancel(Target(job=job), ASKER)
        assert again.total == 0
        assert world.items(job) == before

    def test_a_large_job_is_cancelled_in_chunks_and_nothing_of_it_starts(self, world: Harness) -> None:
        count = CANCEL_AT_ONCE * 2 + 10
        job = world.submit(items=count)
        started: list[Item] = []
        worker = world.worker()
        world.database.fail_with(lambda point: started.extend(world_claims(point)))

        def world_claims(point: str) -> list[Item]:
            if point != "after commit":
                return []
            world.database.fail_with(None)
            assert world.job(job).counts.revoked == CANCEL_AT_ONCE
            return worker.claim(10)

        assert world.commands.cancel(Target(job=job), ASKER).total == count
        assert started == []
        assert world.job(job).counts.revoked == count
        assert len(world.audit()) == 1

    def test_a_cancel_whose_asker_died_is_finished_by_others(self, world: Harness) -> None:
        count = CANCEL_AT_ONCE * 2 + 10
        job = world.submit(items=count)
        with world.store.write() as session:
            assert session.jobs.flag_cancel(job, world.clock.now_ms())
        assert world.worker().claim(10) == []
        assert world.commands.go_on_cancelling() == CANCEL_AT_ONCE
        while world.commands.go_on_cancelling():
            pass
        assert world.job(job).counts.revoked == count
        assert world.job(job).ended_ms is not None

    def test_what_is_wanted_again_is_not_swept_up_by_an_older_cancel(self, world: Harness) -> None:
        job, _ = settled(world, PATIENT, "waits", "waits")
        world.commands.cancel(Target(job=job), ASKER)
        assert world.commands.retry(Target(items=(ItemKey(job, 1),)), "recover", ASKER).total == 1
        assert world.commands.go_on_cancelling() == 0
        assert world.commands._revoke_chunk(job) == []  # by one who had read that the job is being cancelled
        assert statuses(world, job) == [REVOKED, PENDING]

    def test_a_success_that_comes_first_stays_success(self, world: Harness) -> None:
        job, worker = settled(world, PATIENT, "runs")
        world.commands.cancel(Target(job=job), ASKER)
        worker.succeed(world.item(job))
        assert (world.item(job).status, world.item(job).reason) == (SUCCESS, Reason.CANCEL_TOO_LATE)

    def test_an_item_that_runs_out_of_luck_while_it_is_cancelled_is_not_retried(self, world: Harness) -> None:
        job, worker = settled(world, PATIENT, "runs")
        world.commands.cancel(Target(items=(ItemKey(job, 0),)), ASKER)
        worker.fail(world.item(job))
        assert world.item(job).status is REVOKED
        assert world.attempts(ItemKey(job, 0))[0].outcome is Outcome.CANCELLED

    def test_a_job_that_is_not_there_is_not_found(self, world: Harness) -> None:
        with pytest.raises(NotFound, match="job 7"):
            world.commands.cancel(Target(job=7), ASKER)


class TestRetry:
    @pytest.mark.parametrize(("mode", "kept"), [("recover", {"download": '"raw"', "load": "2"}), ("restart", {})])
    def test_recover_keeps_checkpoints_and_restart_drops_them(self, world: Harness, mode: Any, kept: dict[str, str]) -> None:
        job, worker = settled(world, a_definition(), "runs")
        item = world.item(job)
        assert worker.save(item, "step", "download", '"raw"')
        assert worker.save(item, "step", "load", "1")
        assert worker.save(item, "step", "load", "2")
        assert worker.save(item, "cursor", "", "7")
        worker.fail(item)
        assert world.commands.retry(Target(job=job), mode, ASKER).total == 1
        saved = worker.exchange(limit=1).claims[0].saved
        assert (saved.steps if saved else {}) == kept
        assert (saved.cursor if saved else None) == ("7" if kept else None)

    def test_dropped_checkpoints_stay_readable_until_the_new_generation_succeeds(self, world: Harness) -> None:
        job, worker = settled(world, a_definition(), "runs")
        key = ItemKey(job, 0)
        worker.save(world.item(key), "step", "download", "1")
        worker.fail(world.item(key))

        def there() -> list[tuple[str, int]]:
            with world.store.read() as session:
                return [(each.key, each.generation) for each in session.records.checkpoints(key)]

        world.commands.retry(Target(job=job), "restart", ASKER)
        item = worker.take()
        worker.save(item, "step", "load", "2")
        assert there() == [("download", 1), ("load", 2)]
        worker.succeed(item)
        assert there() == [("load", 2)]

    def test_only_what_failed_or_was_revoked_is_retried(self, world: Harness) -> None:
        job, _ = settled(world, PATIENT, "ok", "PERMANENT", "TRANSIENT", "runs", "waits")
        plan = world.commands.retry(Target(job=job), "recover", ASKER)
        assert plan.total == 1
        assert statuses(world, job) == [SUCCESS, PENDING, RETRY, STARTED, PENDING]
        assert plan.skipped == {"is SUCCESS": 1, "is RETRY": 1, "is STARTED": 1, "is PENDING": 1}

    def test_a_new_generation_runs_under_the_newest_definition_with_fresh_budgets(self, world: Harness) -> None:
        job, _ = settled(world, a_definition(retries=None), "TRANSIENT")
        newest = a_definition(retries=2, total_timeout_s=60)
        world.publish(newest)
        world.commands.retry(Target(job=job), "recover", ASKER)
        item = world.item(job)
        assert (item.generation, item.attempt, item.charges, item.once) == (2, 0, (), False)
        assert item.cutoff_ms == world.clock.now_ms() + 60_000
        worker = world.worker(newest)
        for _ in range(3):
            worker.fail(worker.take())
        assert world.item(job).reason is Reason.BUDGET_SPENT

    @pytest.mark.parametrize(("declared", "given", "limit_s"), [(700, 10, 10), (700, 700, 700), (None, 10, 10), (60, None, 99)])
    @pytest.mark.parametrize("count", [1, CHUNK + 1])
    def test_a_limit_given_at_submission_holds_for_every_generation(
        self, world: Harness, declared: float | None, given: float | None, limit_s: float, count: int
    ) -> None:
        job = world.submit(a_definition(total_timeout_s=declared), count, total_timeout_s=given)
        worker = world.worker(a_definition(total_timeout_s=99))
        target = Target(items=(ItemKey(job, 0),))
        worker.succeed(worker.take())
        for again in ("overwrite", "recover", "restart"):
            world.clock.pass_(100)
            if again == "overwrite":
                world.commands.overwrite(target, ASKER, accept_risk=True)
            else:
                world.commands.retry(target, again, ASKER)  # type: ignore[arg-type]
            assert world.item(job).cutoff_ms == world.clock.now_ms() + limit_s * 1000
            world.commands.cancel(target, ASKER)

    def test_fifty_retries_at_once_make_one_generation(self, join: Callable[[], Harness]) -> None:
        worlds = [join() for _ in range(5)]
        job, _ = settled(worlds[0], a_definition(), "TRANSIENT")
        gate = threading.Barrier(50)

        def retry(n: int) -> int:
            gate.wait(30)
            return worlds[n % 5].commands.retry(Target(items=(ItemKey(job, 0),)), "recover", ASKER).total

        with ThreadPoolExecutor(50) as pool:
            assert sorted(pool.map(retry, range(50))) == [0] * 49 + [1]
        assert worlds[0].item(job).generation == 2
        lines = worlds[0].audit()
        assert sorted(each.changed for each in lines) == [0] * 49 + [1]

    def test_an_item_that_has_moved_on_since_it_was_seen_is_left_alone(self, world: Harness) -> None:
        job, worker = settled(world, a_definition(), "TRANSIENT")
        key = ItemKey(job, 0)
        world.commands.retry(Target(items=(key,)), "recover", ASKER)
        worker.fail(worker.take())
        plan = world.commands.retry(Target(items=(key,), generations=(1,)), "recover", ASKER)
        assert (plan.total, plan.skipped) == (0, {"has moved on": 1})

    def test_a_cancelled_job_runs_again_when_an_item_is_retried(self, world: Harness) -> None:
        job, worker = settled(world, a_definition(), "waits", "waits")
        world.commands.cancel(Target(job=job), ASKER)
        assert world.commands.retry(Target(items=(ItemKey(job, 0),)), "recover", ASKER).total == 1
        assert (world.job(job).cancel_ms, world.job(job).ended_ms) == (None, None)
        worker.succeed(worker.take())
        assert statuses(world, job) == [SUCCESS, REVOKED]

    def test_while_a_cancel_is_not_through_nothing_of_the_job_is_retried(self, world: Harness) -> None:
        job, _ = settled(world, a_definition(), "TRANSIENT", "runs")
        world.commands.cancel(Target(job=job), ASKER)
        plan = world.commands.retry(Target(job=job), "recover", ASKER)
        assert plan.total == 0
        assert plan.skipped["the job is still being cancelled"] == 1

    def test_recover_warns_when_the_code_changed_since_the_checkpoints(self, world: Harness) -> None:
        job, worker = settled(world, a_definition(code_digest="a"), "runs")
        worker.save(world.item(job), "step", "download", "1")
        worker.fail(world.item(job))
        assert world.commands.retry(Target(job=job), "recover", ASKER, dry_run=True).warnings == []
        world.publish(a_definition(code_digest="b"))
        plan = world.commands.retry(Target(job=job), "recover", ASKER)
        assert any("code changed" in each for each in plan.warnings)
        assert "code changed" in world.audit()[0].found

    def test_all_that_match_a_filter_are_retried_over_many_pages(self, world: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mulligan.engine.matching.PAGE", 500)
        count = 500 * 2 + 7
        job = world.submit(items=count)
        worker = world.worker()
        for _ in range(3):
            for item in worker.claim(500):
                worker.fail(item)
        plan = world.commands.retry(Target(filters={"task": "features", "status": "FAILURE"}), "recover", ASKER)
        assert plan.total == count
        assert world.job(job).counts.pending == count
        assert sum(each.changed for each in world.audit()) == count

    def test_one_unknown_item_of_many_is_an_error_before_anything_is_done(self, world: Harness) -> None:
        job, _ = settled(world, a_definition(), "TRANSIENT")
        keys = (ItemKey(job, 0), *(ItemKey(job, 10 + n) for n in range(PAGE)))
        for verb in (world.commands.cancel, world.commands.retry_now, world.commands.overwrite):
            with pytest.raises(NotFound, match=f"work item {job}-10"):
                verb(Target(items=keys), ASKER)
        with pytest.raises(NotFound, match=f"work item {job}-10"):
            world.commands.retry(Target(items=keys), "recover", ASKER)
        assert statuses(world, job) == [FAILURE]
        assert world.audit() == []

    def test_an_unknown_mode_is_refused(self, world: Harness) -> None:
        with pytest.raises(Refused, match="recover"):
            world.commands.retry(Target(job=1), "again", ASKER)  # type: ignore[arg-type]


class TestRetryNow:
    def test_a_waiting_item_becomes_due_in_the_same_generation(self, world: Harness) -> None:
        job, worker = settled(world, PATIENT, "TRANSIENT")
        assert worker.claim() == []
        assert world.commands.retry_now(Target(job=job), ASKER).total == 1
        item = worker.take()
        assert (item.generation, item.attempt, item.charges) == (1, 2, (1,))

    def test_what_need_not_or_may_not_be_hurried_is_left_alone(self, world: Harness) -> None:
        job, _ = settled(world, PATIENT, "ok", "PERMANENT", "runs", "waits")
        assert world.commands.retry_now(Target(job=job), ASKER).total == 0


class TestOverwrite:
    @pytest.mark.parametrize(
        ("flags", "rows", "verdict"),
        [
            ({"offline": True, "online": False}, 5, Verdict.SAFE),
            ({"online": True}, 0, Verdict.SAFE),
            ({"online": True}, 5, Verdict.UNSAFE),
            ({"online": True}, None, Verdict.UNKNOWN),
            ({}, 5, Verdict.UNKNOWN),
        ],
    )
    def test_what_is_not_safe_is_refused_with_evidence_unless_the_risk_is_accepted(
        self, world: Harness, flags: dict[str, Any], rows: int | None, verdict: Verdict
    ) -> None:
        job, _ = settled(world, a_definition(**flags), "ok", rows=rows)
        target = Target(job=job)
        plan = world.commands.overwrite(target, ASKER, dry_run=True)
        assert [each.verdict for each in plan.judgements.values()] == ([] if verdict is Verdict.SAFE else [verdict])
        if verdict is not Verdict.SAFE:
            with pytest.raises(OverwriteUnsafe, match=f"{verdict}.*accept_risk"):
                world.commands.overwrite(target, ASKER)
            assert statuses(world, job) == [SUCCESS]
            assert world.audit()[0].action == "overwrite refused"
        assert world.commands.overwrite(target, ASKER, accept_risk=verdict is not Verdict.SAFE).total == 1
        assert world.item(job).generation == 2
        assert ("risk accepted" in world.audit()[0].expected) is (verdict is not Verdict.SAFE)

    def test_rows_that_a_failed_attempt_wrote_since_the_last_success_count(self, world: Harness) -> None:
        job, worker = settled(world, a_definition(online=True), "ok", rows=0)
        world.commands.overwrite(Target(job=job), ASKER)
        item = worker.take()
        worker.fail(item, run=worker._run(item, rows=9))
        world.commands.retry(Target(job=job), "recover", ASKER)
        worker.succeed(worker.take(), rows=0)
        with pytest.raises(OverwriteUnsafe, match="9 rows"):
            world.commands.overwrite(Target(job=job), ASKER)

    def test_rows_from_before_the_last_success_do_not(self, world: Harness) -> None:
        job, worker = settled(world, a_definition(online=True), "ok", rows=9)
        world.commands.overwrite(Target(job=job), ASKER, accept_risk=True)
        worker.succeed(worker.take(), rows=0)
        assert world.commands.overwrite(Target(job=job), ASKER).total == 1

    def test_only_windows_inside_the_range_are_run_again(self, world: Harness) -> None:
        job, _ = settled(world, a_definition(offline=True, online=False), *["ok"] * 5, windows=True)
        first = world.store.listing.items({"job": job, "number": 1})[0].input.window
        last = world.store.listing.items({"job": job, "number": 2})[0].input.window
        assert first is not None
        assert last is not None
        plan = world.commands.overwrite(Target(job=job), ASKER, window=(first[0], last[1]))
        assert plan.total == 2
        assert [each.generation for each in world.items(job)] == [1, 2, 2, 1, 1]

    def test_forward_runs_later_windows_one_after_the_other(self, world: Harness) -> None:
        online = a_definition(online=True)
        job, worker = settled(world, online, *["ok"] * 4, windows=True, rows=3)
        target = Target(items=(ItemKey(job, 1),))
        with pytest.raises(OverwriteUnsafe, match=r"later windows were written since \(day-000002, day-000003\)"):
            world.commands.overwrite(target, ASKER)
        assert world.commands.overwrite(target, ASKER, accept_risk=True, forward=True).total == 3
        assert [each.wait for each in world.items(job)] == [None, Wait.READY, Wait.PREDECESSOR, Wait.PREDECESSOR]
        for number in (1, 2, 3):
            assert [each.number for each in worker.claim(9)] == [number]
            worker.succeed(world.item(job, number), rows=1)
        assert statuses(world, job) == [SUCCESS] * 4

    def test_a_later_window_waits_until_the_one_before_has_succeeded(self, world: Harness) -> None:
        online = a_definition(online=True, retries=(1, 60))
        job, worker = settled(world, online, "ok", "ok", windows=True)
        world.commands.overwrite(Target(items=(ItemKey(job, 0),)), ASKER, accept_risk=True, forward=True)
        worker.fail(worker.take())
        assert world.commands.retry_now(Target(items=(ItemKey(job, 1),)), ASKER).total == 0
        world.clock.pass_(3600)
        worker.fail(worker.take())
        assert (statuses(world, job), worker.claim(9)) == ([FAILURE, REVOKED], [])

    @pytest.mark.parametrize("cancelled", [True, False])
    def test_windows_after_one_that_did_not_succeed_end_with_it_and_a_retry_starts_all_of_them_in_order(
        self, world: Harness, cancelled: bool
    ) -> None:
        job, worker = settled(world, a_definition(online=True), *["ok"] * 3, windows=True)
        world.commands.overwrite(Target(items=(ItemKey(job, 0),)), ASKER, accept_risk=True, forward=True)
        first = worker.take()
        if cancelled:
            world.commands.cancel(Target(items=(first.key,)), ASKER)
        worker.fail(world.item(job, 0))
        assert statuses(world, job) == [REVOKED if cancelled else FAILURE, REVOKED, REVOKED]
        assert world.job(job).ended_ms is not None
        assert world.commands.retry(Target(job=job), "recover", ASKER).total == 3
        run_in_order(world, worker, *(ItemKey(job, number) for number in range(3)))
        with world.store.read() as session:
            assert not session.records.any_successor()

    def test_what_has_moved_on_since_it_was_seen_is_left_alone(self, world: Harness) -> None:
        job, worker = settled(world, a_definition(offline=True, online=False), "ok")
        target = Target(items=(ItemKey(job, 0),), generations=(1,))
        world.commands.overwrite(target, ASKER)
        worker.succeed(worker.take())
        plan = world.commands.overwrite(target, ASKER)
        assert (plan.total, plan.skipped) == (0, {"has moved on": 1})

    def test_what_has_moved_on_since_it_was_judged_is_left_alone(self, world: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
        job, worker = settled(world, a_definition(online=True), "ok", rows=0)
        target = Target(items=(ItemKey(job, 0),))
        real = world.commands._overwrite

        def late(*args: Any, **options: Any) -> None:
            monkeypatch.setattr(world.commands, "_overwrite", real)
            world.commands.overwrite(target, ASKER)
            worker.succeed(worker.take(), rows=9)
            real(*args, **options)

        monkeypatch.setattr(world.commands, "_overwrite", late)
        plan = world.commands.overwrite(target, ASKER)
        assert (plan.total, plan.skipped, world.item(job).generation) == (0, {"has moved on": 1}, 2)

    def test_later_windows_that_forward_would_run_are_judged_too(self, world: Harness) -> None:
        online = a_definition(online=True)
        job, worker = settled(world, online, "runs", "runs", windows=True)
        worker.succeed(world.item(job, 0), rows=0)
        world.clock.pass_(1)
        worker.succeed(world.item(job, 1), rows=5)
        with pytest.raises(OverwriteUnsafe, match="5 rows"):
            world.commands.overwrite(Target(items=(ItemKey(job, 0),)), ASKER, forward=True)

    def test_where_the_first_cannot_be_run_the_next_one_does_not_wait_for_it(self, world: Harness) -> None:
        offline = a_definition(offline=True, online=False)
        one, worker = settled(world, offline, "ok", "ok", "runs", windows=True)
        other, _ = settled(world, offline, "ok", "ok", windows=True)
        world.commands.cancel(Target(job=one), ASKER)
        plan = world.commands.overwrite(Target(items=(ItemKey(one, 0),)), ASKER, forward=True)
        assert plan.skipped["the job is still being cancelled"] == 2
        assert plan.total == 1
        assert [each.key for each in worker.claim(9)] == [ItemKey(other, 1)]

    def test_forward_without_windows_is_refused(self, world: Harness) -> None:
        job, _ = settled(world, a_definition(offline=True, online=False), "ok")
        with pytest.raises(Refused, match="window"):
            world.commands.overwrite(Target(job=job), ASKER, forward=True)


class TestPause:
    def test_a_paused_task_starts_nothing_and_others_go_on(self, world: Harness) -> None:
        worker = world.worker(a_definition("one"), a_definition("other"))
        world.submit(a_definition("one"))
        world.submit(a_definition("other"))
        assert world.commands.pause("one", ASKER, paused=True)
        assert not world.commands.pause("one", ASKER, paused=True)
        assert [each.task for each in worker.claim(9)] == [worker.tasks[1]]
        assert world.commands.pause("one", ASKER, paused=False)
        assert [each.task for each in worker.claim(9)] == [worker.tasks[0]]
        assert [each.action for each in world.audit()] == ["resume", "pause", "pause"]

    def test_an_unknown_task_is_not_found(self, world: Harness) -> None:
        with pytest.raises(NotFound, match="nope"):
            world.commands.pause("nope", ASKER, paused=True)


Verb = Callable[[Harness, Target, bool], Plan]
VERBS: dict[str, Verb] = {
    "cancel": lambda world, target, dry: world.commands.cancel(target, ASKER, dry_run=dry),
    "recover": lambda world, target, dry: world.commands.retry(target, "recover", ASKER, dry_run=dry),
    "restart": lambda world, target, dry: world.commands.retry(target, "restart", ASKER, dry_run=dry),
    "retry now": lambda world, target, dry: world.commands.retry_now(target, ASKER, dry_run=dry),
    "overwrite": lambda world, target, dry: world.commands.overwrite(target, ASKER, accept_risk=True, dry_run=dry),
}


def dump(world: Harness) -> dict[str, list[Any]]:
    with world.store.read():
        run = world.store.database.text_in_reader
        if world.store.database.dialect == "sqlite":
            tables = "select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'"
        else:  # each transaction, also of a dry run, leaves its id among the operations
            tables = "select tablename from pg_tables where schemaname = current_schema() and tablename <> 'operations'"
        return {row[0]: sorted(map(str, run(f"select * from {row[0]}", {}))) for row in run(tables, {})}  # noqa: S608


@pytest.mark.parametrize("name", VERBS)
def test_a_dry_run_tells_what_would_be_done_and_changes_nothing(world: Harness, name: str) -> None:
    job, _ = settled(world, PATIENT, "ok", "PERMANENT", "TRANSIENT", "runs", "waits")
    before = dump(world)
    planned = VERBS[name](world, Target(job=job), True)
    assert dump(world) == before
    done = VERBS[name](world, Target(job=job), False)
    assert planned.total == done.total > 0
    assert planned.examples == done.examples or name == "cancel"
    assert planned.skipped == done.skipped


@pytest.mark.parametrize("name", VERBS)
def test_who_asked_for_what_and_why_is_kept(world: Harness, name: str) -> None:
    job, _ = settled(world, PATIENT, "ok", "PERMANENT", "TRANSIENT", "runs", "waits")
    plan = VERBS[name](world, Target(job=job), False)
    (line,) = world.audit()
    assert (line.action, line.target, line.changed) == (name, f"job {job}", plan.total)
    assert (line.actor, line.source, line.reason, line.at_ms) == ("tester", "tests", "because", world.clock.now_ms())
    assert line.expected
    assert name == "cancel" or sum(json.loads(line.found)["left alone"].values()) == 5 - plan.total


@pytest.mark.parametrize("name", VERBS)
def test_a_command_that_cannot_be_committed_leaves_neither_a_change_nor_a_line(world: Harness, name: str) -> None:
    job, _ = settled(world, PATIENT, "ok", "PERMANENT", "TRANSIENT", "runs", "waits")
    before = dump(world)

    with world.failing(StoreError("no")), pytest.raises(StoreError):
        VERBS[name](world, Target(job=job), False)
    assert dump(world) == before


def test_the_audit_names_the_items(world: Harness) -> None:
    job, _ = settled(world, a_definition(), "TRANSIENT", "TRANSIENT")
    world.commands.retry(Target(items=(ItemKey(job, 0), ItemKey(job, 1))), "recover", ASKER)
    assert world.audit()[0].target == f"items {job}-0, {job}-1"


def test_held_items_cannot_be_hurried(world: Harness) -> None:
    job, _ = settled(world, a_definition(online=True), "ok", "ok", windows=True)
    world.commands.overwrite(Target(items=(ItemKey(job, 0),)), ASKER, accept_risk=True, forward=True)
    assert world.item(job, 1).due_ms == FAR_FUTURE_MS
    assert world.commands.retry_now(Target(job=job), ASKER).total == 0


def explained(world: Harness, job: int, number: int = 0, waits_for: str | None = None) -> str:
    item = world.item(job, number)
    return explain(Known(item, "key", "label", waits_for, (), a_definition(), RuleSet(), default_rules(), world.clock.now_ms()))


def test_of_a_held_item_it_is_said_what_it_waits_for(world: Harness) -> None:
    job, _ = settled(world, a_definition(online=True), "ok", "ok", windows=True)
    world.commands.overwrite(Target(items=(ItemKey(job, 0),)), ASKER, accept_risk=True, forward=True)
    said = explained(world, job, 1)
    assert "waits for the window before it" in said
    assert "9999" not in said
    assert "--now" not in said


def test_of_what_no_worker_can_run_it_is_said_to_start_one(world: Harness) -> None:
    said = explained(world, world.submit(a_definition()), waits_for="no capable worker")
    assert "start a worker" in said
    assert "--now" not in said


def test_of_what_is_due_and_held_it_is_said_since_when_and_how_to_let_it_go(world: Harness) -> None:
    definition = a_definition(retries=(3, 10))
    job = world.submit(definition)
    world.worker(definition).fail(world.worker(definition).take())
    assert "(in 1 minute)" in explained(world, job, waits_for="task features is paused")
    world.clock.pass_(600)
    said = explained(world, job, waits_for="task features is paused").splitlines()
    assert said[-3:] == [
        "Next: due since 2023-11-14 22:13:30 UTC.",
        "It is held by this: task features is paused.",
        "To have it run: mulligan resume features",
    ]
    assert explained(world, job).endswith("UTC; a worker takes it when it has room.")


def test_of_what_killed_its_process_again_and_again_no_entry_is_advised(world: Harness) -> None:
    definition = a_definition(retries=(9, 0))
    worker = world.worker(definition)
    job = world.submit(definition)
    for _ in range(3):
        worker.fail(worker.take(), crashed=True)
    assert world.item(job).reason is Reason.POISON
    said = explained(world, job)
    assert "checkpoint" in said.splitlines()[-3]
    assert "entry in the task" not in said


def test_of_what_had_not_started_in_time_it_is_said_so_and_no_policy_is_advised(world: Harness) -> None:
    job = world.submit(a_definition(retries=3), expires_ms=world.clock.now_ms() + 60_000)
    assert "before 2023-11-14 22:14:20 UTC, or none does (expires)" in explained(world, job)
    world.clock.pass_(60)
    world.engine.expire()
    said = explained(world, job)
    assert "[expired]" in said
    assert "It was wanted until then only" in said
    assert "total_timeout" not in said
    assert "entry in the task" not in said
