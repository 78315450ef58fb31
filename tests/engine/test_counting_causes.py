"""What fails is counted by its cause for each pipeline, exactly, on both stores; verified at the end of each test."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flows import FLOW, a_call
from flows import ONCE as FLOWS_ONCE

from mulligan.core.events import Failed
from mulligan.core.failure import ErrorFacts, Failure, Kind
from mulligan.core.fingerprint import Fingerprint, fingerprint, of_kind, of_reason
from mulligan.core.job import FailureClass, ItemKey, JobStatus, Reason
from mulligan.engine.asking import Target
from mulligan.engine.causes import CauseReading, CauseView
from mulligan.engine.exchanging import Ends
from mulligan.supervisor.retention import CAUSES_MS
from mulligan.testing.factories import a_definition, a_failure
from mulligan.testing.harness import ASKER, KEEP_S, Hand, Harness

ONCE = a_definition()
RETRIED = a_definition("retried", retries=2)
OTHER = a_definition("other")


def of(name: str, message: str = "row 12 is bad") -> Fingerprint:
    return fingerprint(Failure(Kind.EXCEPTION, (ErrorFacts((name, "Exception"), message),)))


SLOW, BAD = of("SlowDown"), of("BadRow")


def seen(world: Harness, **filters: object) -> dict[str, tuple[int, int]]:
    """Return how many items are failed now of each cause, and how many failures there were."""
    views = CauseReading(world.engine).page(filters, 500)
    return {each.cause: (each.failed_now, each.failures) for each in views}


def view(world: Harness, cause: Fingerprint) -> CauseView:
    return CauseReading(world.engine).cause(cause.cause)


def fail_all(worker: Hand, cause: Fingerprint, **changes: object) -> None:
    for item in worker.claim(500):
        worker.fail(item, cause=cause, **changes)


def test_a_failed_item_has_the_cause_of_its_attempt_and_is_counted_until_it_is_retried(world: Harness) -> None:
    job = world.submit(ONCE, 3)
    worker = world.worker(ONCE)
    fail_all(worker, SLOW, failure_class=FailureClass.RATE_LIMITED)
    assert {each.cause for each in world.items(job)} == {SLOW.cause}
    assert [each.cause for each in world.attempts(ItemKey(job, 0))] == [SLOW.cause]
    assert seen(world) == {SLOW.cause: (3, 3)}
    found = view(world, SLOW)
    assert (found.failure_class, found.first.title, found.parts) == (
        FailureClass.RATE_LIMITED,
        "row <number> is bad",
        [("error type", "SlowDown"), ("message", "row <number> is bad")],
    )
    world.commands.retry(Target(items=(ItemKey(job, 0), ItemKey(job, 1))), "recover", ASKER)
    assert seen(world) == {SLOW.cause: (1, 3)}
    assert world.item(job).cause is None
    worker.succeed(worker.take())
    fail_all(worker, BAD)
    assert seen(world) == {SLOW.cause: (1, 3), BAD.cause: (1, 1)}


def test_an_item_that_is_tried_again_counts_each_failure_and_as_failed_at_the_last_one(world: Harness) -> None:
    world.submit(RETRIED, 1)
    worker = world.worker(RETRIED)
    for cause, now in ((SLOW, (0, 1)), (SLOW, (0, 2)), (BAD, (1, 1))):
        worker.fail(worker.take(), cause=cause)
        assert seen(world)[cause.cause] == now
    assert seen(world) == {SLOW.cause: (0, 2), BAD.cause: (1, 1)}


def test_an_item_that_succeeds_after_all_no_longer_has_a_cause(world: Harness) -> None:
    job = world.submit(RETRIED, 1)
    worker = world.worker(RETRIED)
    worker.fail(worker.take(), cause=SLOW)
    assert world.item(job).cause == SLOW.cause
    again = worker.take()
    assert again.cause == SLOW.cause, "it is what it failed of last, while it runs again"
    worker.succeed(again)
    assert world.item(job).cause is None
    assert seen(world) == {SLOW.cause: (0, 1)}


def test_many_failures_in_one_exchange_are_counted_together_also_with_retries_of_others(world: Harness) -> None:
    world.submit(ONCE, 40)
    worker = world.worker(ONCE)
    items = worker.claim(40)
    worker.exchange(*((item, a_failure(item, cause=SLOW if item.number % 4 else BAD)) for item in items))
    assert seen(world) == {SLOW.cause: (30, 30), BAD.cause: (10, 10)}


def test_causes_are_counted_for_each_pipeline_and_together(world: Harness) -> None:
    for definition, count in ((ONCE, 2), (OTHER, 3)):
        world.submit(definition, count)
        fail_all(world.worker(definition), SLOW)
        world.clock.pass_(60)
    found = view(world, SLOW)
    assert [(row.task, row.failed_now, row.failures) for row in found.rows] == [("other", 3, 3), ("features", 2, 2)]
    assert (found.failed_now, found.failures, found.newest.last_ms - found.first.first_ms) == (5, 5, 60_000)
    assert seen(world, task="features") == {SLOW.cause: (2, 2)}
    assert seen(world, tasks=["other", "features"]) == {SLOW.cause: (5, 5)}
    assert seen(world, tasks=[]) == {}


def test_causes_are_found_by_class_and_by_when_they_were_seen(world: Harness) -> None:
    worker = world.worker(ONCE)
    world.submit(ONCE, 1)
    fail_all(worker, SLOW, failure_class=FailureClass.RATE_LIMITED)
    world.clock.pass_(60)
    later = world.clock.now_ms()
    world.submit(ONCE, 1)
    fail_all(worker, BAD, failure_class=FailureClass.PERMANENT)
    assert list(seen(world)) == [BAD.cause, SLOW.cause], "those that were seen first come last"
    assert list(seen(world, failure_class="PERMANENT")) == [BAD.cause]
    assert list(seen(world, since_ms=later)) == [BAD.cause]
    assert list(seen(world, since_ms=later + 1)) == []


def test_every_cause_is_on_one_page_once(world: Harness) -> None:
    worker = world.worker(ONCE)
    causes = [of(f"Error{chr(65 + number)}") for number in range(7)]
    world.submit(ONCE, 7)
    items = worker.claim(7)
    worker.exchange(*((item, a_failure(item, cause=cause)) for item, cause in zip(items, causes, strict=True)))
    reading, found, after = CauseReading(world.engine), [], None
    while page := reading.page({}, 3, after):
        found += [each.cause for each in page]
        after = page[-1].place
    assert sorted(found) == sorted(each.cause for each in causes), "though all were seen in one moment"


def test_what_happens_to_a_worker_and_to_deadlines_is_a_cause_too(world: Harness) -> None:
    job = world.submit(ONCE, 2)
    worker = world.worker(ONCE)
    lost, stopped = worker.claim(2)
    worker.stopped(stopped)
    worker.die()
    world.watch.run_once()
    expired = world.submit(ONCE, 1, expires_ms=world.clock.now_ms() + 1_000)
    world.clock.pass_(2)
    world.do_chores()
    assert [each.cause for each in world.items(job)] == [of_kind(Kind.LOST).cause, of_kind(Kind.STOPPED).cause]
    assert world.item(expired).cause == of_reason(Reason.EXPIRED).cause
    assert set(seen(world).values()) == {(1, 1)}
    assert lost.number == 0
    sample = CauseReading(world.engine).sample(view(world, of_reason(Reason.EXPIRED)))
    assert sample is not None
    assert (sample.item, sample.attempt) == (ItemKey(expired, 0), None)


def test_a_cancelled_item_is_not_failed_and_not_counted(world: Harness) -> None:
    job = world.submit(RETRIED, 2)
    worker = world.worker(RETRIED)
    one, other = worker.claim(2)
    worker.fail(one, cause=SLOW)
    world.commands.cancel(Target(job=job), ASKER)
    worker.fail(other, cause=BAD)
    assert {(each.status, each.cause) for each in world.items(job)} == {(JobStatus.REVOKED, None)}
    assert seen(world) == {SLOW.cause: (0, 1)}


def test_items_are_listed_and_retried_by_their_cause(world: Harness) -> None:
    world.submit(ONCE, 6)
    worker = world.worker(ONCE)
    items = worker.claim(6)
    worker.exchange(*((item, a_failure(item, cause=SLOW if item.number < 4 else BAD)) for item in items))
    listed = world.store.listing.items({"cause": SLOW.cause, "namespace": "default", "roots": True})
    assert [each.item.number for each in listed] == [0, 1, 2, 3]
    filters = {"cause": SLOW.cause, "status": ["FAILURE"], "namespace": "default"}
    assert world.commands.retry(Target(filters=filters), "recover", ASKER).total == 4
    assert seen(world) == {SLOW.cause: (0, 4), BAD.cause: (2, 2)}


def test_what_fails_in_a_workflow_is_counted_for_the_workflow_at_the_top(world: Harness) -> None:
    job = world.submit(FLOW)
    worker = world.worker(FLOW, FLOWS_ONCE)
    worker.call(worker.take(), a_call("1", FLOWS_ONCE))
    call = worker.take()
    worker.fail(call, cause=BAD)
    found = view(world, BAD)
    assert [(row.task, row.failed_now, row.failures) for row in found.rows] == [("flow", 0, 1)]
    assert world.item(call.key).cause == BAD.cause
    assert world.item(job).status is JobStatus.STARTED


def test_counts_outlive_the_jobs_but_nothing_counts_as_failed_that_is_not_there(world: Harness) -> None:
    job = world.submit(ONCE, 3)
    fail_all(world.worker(ONCE), SLOW)
    assert CauseReading(world.engine).sample(view(world, SLOW)) is not None
    world.clock.pass_(KEEP_S + 1)
    while world.retention.run_once():
        assert world.verify() == []
    assert world.items(job) == []
    assert seen(world) == {SLOW.cause: (0, 3)}
    assert CauseReading(world.engine).sample(view(world, SLOW)) is None
    world.clock.pass_(CAUSES_MS / 1000)
    while world.retention.run_once():
        pass
    assert seen(world) == {}, "what was not seen for a year is forgotten"


def test_a_cause_is_not_forgotten_while_something_is_failed_of_it(world: Harness) -> None:
    world.submit(ONCE, 1)
    fail_all(world.worker(ONCE), SLOW)
    with world.store.write() as session:
        assert session.causes.prune(world.clock.now_ms() + 1, 10) == 0


def test_a_transaction_that_fails_counts_nothing(world: Harness) -> None:
    world.submit(ONCE, 1)
    worker = world.worker(ONCE)
    item = worker.take()
    with world.failing(OSError("the disk is gone")), pytest.raises(OSError, match="gone"):
        worker.fail(item, cause=SLOW)
    assert seen(world) == {}

    def fail_and_give_up() -> None:
        with world.store.write() as session:
            world.engine.settle_in(session, [(item, a_failure(item, cause=SLOW))], world.clock.now_ms(), Ends())
            raise ValueError("something else")

    with pytest.raises(ValueError, match="else"):
        fail_and_give_up()
    worker.fail(item, cause=SLOW)
    assert seen(world) == {SLOW.cause: (1, 1)}


def test_workers_that_fail_of_the_same_at_the_same_time_neither_wait_in_a_ring_nor_lose_a_count(
    join: Callable[[], Harness],
) -> None:
    worlds = [join() for _ in range(4)]
    workers = [Hand(world, (RETRIED, OTHER), f"hand-{number}", 30_000) for number, world in enumerate(worlds)]
    for _ in workers:
        worlds[0].submit(RETRIED, 10)
        worlds[0].submit(OTHER, 10)
    held = [worker.claim(20) for worker in workers]
    together = threading.Barrier(len(workers))

    def fail_one_by_one(worker: Hand, items: list[object]) -> None:
        together.wait(30)
        for number, item in enumerate(items):
            ended: list[tuple[object, Failed]] = [(item, a_failure(item, cause=(SLOW, BAD)[number % 2]))]  # type: ignore[arg-type]
            worker.exchange(*ended)  # type: ignore[arg-type]

    with ThreadPoolExecutor(len(workers)) as pool:
        for done in [pool.submit(fail_one_by_one, *pair) for pair in zip(workers, held, strict=True)]:
            done.result(60)
    counted = seen(worlds[0])
    assert sum(failures for _, failures in counted.values()) == sum(map(len, held)) == 80
