"""Items that are run again while others are for the same window, or stand in one order with them."""

from __future__ import annotations

from typing import Any

import pytest
from settling import PATIENT, run_in_order, settled, statuses

from mulligan.core.job import FailureClass, ItemKey, JobStatus, Wait
from mulligan.core.submission import NewItem
from mulligan.engine import matching
from mulligan.engine.asking import Target
from mulligan.testing.factories import a_definition, daily
from mulligan.testing.harness import ASKER, Hand, Harness

RETRY, SUCCESS, FAILURE, REVOKED = JobStatus.RETRY, JobStatus.SUCCESS, JobStatus.FAILURE, JobStatus.REVOKED
ORDERED = a_definition(online=True, retries=(3, 300))


class TestTheOrderOfAnOverwrite:
    """What is overwritten forward keeps its order until each window has succeeded, whatever comes between."""

    def failed(self, world: Harness, count: int) -> tuple[int, Hand]:
        """Windows that are overwritten forward, of which the first has failed for good."""
        job, worker = settled(world, ORDERED, *["ok"] * count, windows=True)
        world.commands.overwrite(Target(items=(ItemKey(job, 0),)), ASKER, accept_risk=True, forward=True)
        worker.fail(worker.take(), FailureClass.PERMANENT)
        assert statuses(world, job) == [FAILURE, *[REVOKED] * (count - 1)]
        return job, worker

    def test_it_outlives_a_second_failure_and_a_cancel(self, world: Harness) -> None:
        job, worker = self.failed(world, 4)
        world.commands.retry(Target(job=job), "recover", ASKER)
        worker.succeed(worker.take())
        worker.fail(worker.take(), FailureClass.PERMANENT)
        assert statuses(world, job) == [SUCCESS, FAILURE, REVOKED, REVOKED]
        world.commands.retry(Target(job=job), "restart", ASKER)
        world.commands.cancel(Target(job=job), ASKER)
        assert statuses(world, job) == [SUCCESS, REVOKED, REVOKED, REVOKED]
        world.commands.retry(Target(filters={"task": "features"}), "recover", ASKER)
        run_in_order(world, worker, *(ItemKey(job, number) for number in (1, 2, 3)))

    def test_a_window_that_is_retried_later_waits_for_the_one_before_it_that_runs(self, world: Harness) -> None:
        job, worker = self.failed(world, 2)
        world.commands.retry(Target(items=(ItemKey(job, 0),)), "recover", ASKER)
        first = worker.take()
        world.commands.retry(Target(items=(ItemKey(job, 1),)), "recover", ASKER)
        assert (world.item(job, 1).wait, worker.claim(9)) == (Wait.PREDECESSOR, [])
        worker.succeed(first)
        run_in_order(world, worker, ItemKey(job, 1))

    def test_a_window_that_is_retried_by_itself_runs_at_once_and_leaves_the_order(self, world: Harness) -> None:
        job, worker = self.failed(world, 3)
        world.commands.retry(Target(items=(ItemKey(job, 1),)), "recover", ASKER)
        run_in_order(world, worker, ItemKey(job, 1))
        world.commands.retry(Target(job=job), "recover", ASKER)
        run_in_order(world, worker, ItemKey(job, 0), ItemKey(job, 2))

    def test_a_window_that_was_retried_by_itself_and_waits_for_something_else_is_not_hurried(self, world: Harness) -> None:
        job, worker = self.failed(world, 2)
        world.commands.retry(Target(items=(ItemKey(job, 1),)), "recover", ASKER)
        worker.fail(worker.take())
        due_ms = world.item(job, 1).due_ms
        world.commands.retry(Target(items=(ItemKey(job, 0),)), "recover", ASKER)
        worker.succeed(worker.take())
        assert (world.item(job, 1).status, world.item(job, 1).due_ms) == (RETRY, due_ms)

    @pytest.mark.parametrize("by", ["job", "filter", "ids", "items"])
    def test_it_holds_over_many_pages_where_later_windows_come_first(
        self, world: Harness, by: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(matching, "PAGE", 20)
        count = 3 * matching.PAGE + 10
        job = world.submit(ORDERED, list(daily(count))[::-1], kind="backfill")
        worker = world.worker(ORDERED)
        while claimed := worker.claim(500):
            world.clock.pass_(1)
            for item in claimed:
                worker.succeed(item)
        world.commands.overwrite(Target(job=job), ASKER, accept_risk=True, forward=True)
        worker.fail(worker.take(), FailureClass.PERMANENT)
        keys = tuple(each.key for each in world.items(job))
        targets = {
            "job": Target(job=job),
            "filter": Target(filters={"run_id": world.job(job).run_id}),
            "ids": Target(filters={"ids": keys}),
            "items": Target(items=keys),
        }
        plan = world.commands.retry(targets[by], "recover", ASKER)
        assert (plan.total, plan.skipped) == (count, {})
        assert [each.key for each in worker.claim(9)] == [keys[-1]]
        assert world.job(job).counts.pending == count - 1


class TestOtherItemsOfAWindow:
    def beside(self, world: Harness, how: str, **changes: Any) -> tuple[ItemKey, ItemKey, Hand]:
        """An item that failed, and one of another job for the same window unless told otherwise."""
        one, worker = settled(world, PATIENT, "PERMANENT", windows=True)
        other = world.submit(PATIENT, [NewItem(**{**next(iter(daily(1)))._asdict(), **changes})], kind="backfill")
        world.clock.pass_(1)
        item = None if how == "PENDING" else worker.take()
        if how in ("RETRY", "FAILURE"):
            worker.fail(world.item(other), FailureClass.TRANSIENT if how == "RETRY" else FailureClass.PERMANENT)
        elif how == "SUCCESS":
            worker.succeed(world.item(other))
        assert item is None or item.job == other
        return ItemKey(one, 0), ItemKey(other, 0), worker

    @pytest.mark.parametrize("how", ["PENDING", "STARTED", "RETRY"])
    def test_what_failed_is_not_retried_beside_one_that_is_in_flight(self, world: Harness, how: str) -> None:
        old, _, _ = self.beside(world, how)
        for dry_run in (True, False):
            plan = world.commands.retry(Target(items=(old,)), "recover", ASKER, dry_run=dry_run)
            assert (plan.total, plan.skipped) == (0, {"another work item of its window is in flight": 1})
        assert "another work item of its window" in world.audit()[0].found

    @pytest.mark.parametrize("changes", [{"arguments": '{"region": "us"}'}, {"window": (0, 1)}, {"window": None}])
    def test_other_arguments_or_windows_are_no_obstacle(self, world: Harness, changes: dict[str, Any]) -> None:
        old, _, _ = self.beside(world, "STARTED", **changes)
        assert world.commands.retry(Target(items=(old,)), "recover", ASKER).total == 1

    def test_what_succeeded_is_not_overwritten_beside_one_that_is_in_flight(self, world: Harness) -> None:
        old, other, worker = self.beside(world, "SUCCESS")
        world.commands.retry(Target(items=(old,)), "recover", ASKER)
        plan = world.commands.overwrite(Target(items=(other,)), ASKER, accept_risk=True)
        assert (plan.total, plan.skipped) == (0, {"another work item of its window is in flight": 1})
        assert [each.key for each in worker.claim(9)] == [old]

    def test_a_retry_of_what_another_has_written_since_warns(self, world: Harness) -> None:
        old, other, _ = self.beside(world, "SUCCESS")
        plan = world.commands.retry(Target(items=(old,)), "restart", ASKER)
        assert plan.total == 1
        assert plan.warnings == [
            f"windows that other work items have written since are written again: 1, such as {old} (since: {other})"
        ]
        assert str(other) in world.audit()[0].found

    def test_of_several_that_failed_only_the_newest_is_retried(self, world: Harness) -> None:
        old, other, worker = self.beside(world, "FAILURE")
        plan = world.commands.retry(Target(items=(old, other)), "recover", ASKER)
        assert (plan.total, plan.skipped) == (1, {"a newer work item of its window is started instead": 1})
        assert [each.key for each in worker.claim(9)] == [other]

    def test_a_job_whose_items_may_not_run_stays_cancelled(self, world: Harness) -> None:
        one, worker = settled(world, PATIENT, "waits", windows=True)
        world.commands.cancel(Target(job=one), ASKER)
        settled(world, PATIENT, "waits", windows=True)
        assert world.commands.retry(Target(job=one), "recover", ASKER).total == 0
        assert world.job(one).cancel_ms is not None
        assert [each.job for each in worker.claim(9)] != [one]
