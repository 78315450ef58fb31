"""What every store does with rows, whatever database it is: the same words for each."""

from __future__ import annotations

import pytest
from shelf import a_job, a_task, a_worker, read

from mulligan.core.errors import ArgumentsInvalid
from mulligan.core.events import CancelRequested, Claimed, Failed, Run, Succeeded
from mulligan.core.job import Counts, FailureClass, ItemKey, JobStatus, Reason, Wait
from mulligan.core.lifecycle import Transition, decide
from mulligan.core.retry import Policy
from mulligan.core.submission import NewItem
from mulligan.store.rows import AuditRow, CheckpointRow
from mulligan.store.store import Store
from mulligan.testing.clock import START_MS

NOW = START_MS + 1_000
POLICY = Policy.of(2)


def decided(item: object, event: object) -> Transition:
    found = decide(item, event, POLICY, NOW, 0.5)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_claiming_does_what_deciding_on_claimed_does(store: Store) -> None:
    with store.write() as session:
        task = a_task(session)
        worker = a_worker(session, *task)
        job = a_job(session, task, 5, cutoff_ms=NOW + 9_999, deadline_ms=NOW + 5_000)
        before = {item.key: item for item in session.items.read([ItemKey(job, n) for n in range(5)])}
        claimed = session.items.claim(worker, task[0], False, 3, 3, NOW)
        assert [item.number for item, _ in claimed] == [0, 1, 2]
        for item, given in claimed:
            assert item == decided(before[item.key], Claimed(worker)).after == read(session, job, item.number)
            assert given.arguments == f'{{"x":{item.number}}}'


@pytest.mark.parametrize(
    ("why", "defaults"),
    [
        ("not due", {"due_ms": NOW + 1}),
        ("past its deadline", {"deadline_ms": NOW}),
        ("of another kind", {"once": True}),
        ("of another priority", {"priority": 4}),
    ],
)
def test_what_may_not_start_is_not_claimed(store: Store, why: str, defaults: dict[str, object]) -> None:
    with store.write() as session:
        task = a_task(session)
        worker = a_worker(session, *task)
        a_job(session, task, 1, **defaults)
        assert session.items.claim(worker, task[0], False, 3, 10, NOW) == [], why


def test_items_of_a_job_being_cancelled_are_not_claimed(store: Store) -> None:
    with store.write() as session:
        task = a_task(session)
        worker = a_worker(session, *task)
        job = a_job(session, task, 2)
        assert session.jobs.flag_cancel(job, NOW)
        assert not session.jobs.flag_cancel(job, NOW), "asked for once is asked for"
        assert session.items.claim(worker, task[0], False, 3, 10, NOW) == []


def test_the_longest_due_is_claimed_first(store: Store) -> None:
    with store.write() as session:
        task = a_task(session)
        worker = a_worker(session, *task)
        late = a_job(session, task, 2, run_id="late", due_ms=NOW)
        early = a_job(session, task, 2, run_id="early", due_ms=NOW - 500)
        found = [item.key for item, _ in session.items.claim(worker, task[0], False, 3, 3, NOW)]
        assert found == [(early, 0), (early, 1), (late, 0)]


def test_heads_tell_the_earliest_due_time_of_each_kind_and_leave_paused_tasks_out(store: Store) -> None:
    with store.write() as session:
        task, other = a_task(session), a_task(session, "other")
        a_job(session, task, 2, run_id="a", due_ms=NOW + 7)
        a_job(session, task, 1, run_id="b", due_ms=NOW + 5, priority=1)
        a_job(session, other, 1, run_id="c", once=True)
        heads = session.items.heads([task[0], other[0]])
        assert sorted(heads) == [(task[0], False, 1, NOW + 5), (task[0], False, 3, NOW + 7), (other[0], True, 3, START_MS)]
        session.tasks.set_paused(task[0], NOW)
        assert [head.task for head in session.items.heads([task[0], other[0]])] == [other[0]]


def test_a_success_is_written_with_its_attempt_and_its_counters(store: Store) -> None:
    with store.write() as session:
        task = a_task(session)
        worker = a_worker(session, *task)
        job = a_job(session, task, 2)
        (item, _), *_ = session.items.claim(worker, task[0], False, 3, 1, NOW)
        moved = decided(item, Succeeded(Run(item.token, worker, NOW, NOW, 7, 99), '{"a":1}'))
        written, ended = session.items.apply([moved], NOW)
        assert (written, ended) == ([moved], [])
        assert read(session, job) == moved.after
        assert session.items.attempts(item.key) == [moved.attempt]
        found = session.jobs.read(job)
        assert found is not None
        assert found.counts == Counts(pending=1, success=1)


def test_a_failure_is_written_with_all_its_facts(store: Store) -> None:
    with store.write() as session:
        task = a_task(session)
        worker = a_worker(session, *task)
        job = a_job(session, task, 1)
        ((item, _),) = session.items.claim(worker, task[0], False, 3, 1, NOW)
        event = Failed(Run(item.token, worker, NOW, NOW), FailureClass.TRANSIENT, "http.503", "E", "503", "{}", 30.0)
        moved = decided(item, event)
        session.items.apply([moved], NOW)
        assert read(session, job) == moved.after
        assert session.items.attempts(item.key) == [moved.attempt]


def test_a_row_that_changed_meanwhile_is_left_alone_and_its_attempt_is_not_written(store: Store) -> None:
    with store.write() as session:
        task = a_task(session)
        worker = a_worker(session, *task)
        job = a_job(session, task, 2)
        claimed = [item for item, _ in session.items.claim(worker, task[0], False, 3, 2, NOW)]
        session.items.apply([decided(claimed[0], CancelRequested())], NOW)
        late = [decided(item, Succeeded(Run(item.token, worker, NOW, NOW), "null")) for item in claimed]
        written, _ = session.items.apply(late, NOW)
        assert written == [late[1]]
        assert read(session, job, 0).status is JobStatus.STARTED
        assert session.items.attempts(ItemKey(job, 0)) == []
        found = session.jobs.read(job)
        assert found is not None
        assert found.counts == Counts(started=1, success=1)


def test_the_last_item_that_ends_ends_its_job_and_one_that_waits_again_reopens_it(store: Store) -> None:
    with store.write() as session:
        task = a_task(session)
        job = a_job(session, task, 1)
        _, ended = session.items.apply([decided(read(session, job), CancelRequested())], NOW)
        assert ended == [job]
        found = session.jobs.read(job)
        assert found is not None
        assert found.ended_ms == NOW
        again = read(session, job)._replace(status=JobStatus.PENDING, wait=Wait.READY, ended_ms=None, cancel_ms=None)
        session.items.apply([Transition(read(session, job), again)], NOW)
        reopened = session.jobs.read(job)
        assert reopened is not None
        assert reopened.ended_ms is None


def test_a_job_that_is_not_sealed_does_not_end(store: Store) -> None:
    with store.write() as session:
        task = a_task(session)
        job = a_job(session, task, 1, seal=False)
        _, ended = session.items.apply([decided(read(session, job), CancelRequested())], NOW)
        assert ended == []
        assert session.jobs.seal(job, "digest", None, NOW), "sealing it is what ends it"


def test_held_items_become_due_a_chunk_at_a_time(store: Store) -> None:
    with store.write() as session:
        task = a_task(session)
        job = a_job(session, task, 5, seal=False, due_ms=2**52, wait=Wait.SUBMITTING)
        session.jobs.seal(job, "digest", NOW, NOW)
        assert session.jobs.releasing() == [(job, NOW)]
        numbers: list[int] = []
        while session.jobs.releasing():
            session.jobs.release(job, NOW, Wait.READY, 2, numbers[-1] + 1 if numbers else 0)
            numbers = [n for n in range(5) if read(session, job, n).wait is Wait.READY]
        assert numbers == [0, 1, 2, 3, 4]


def test_a_run_id_belongs_to_one_job_of_a_task(store: Store) -> None:
    with store.write() as session:
        task, other = a_task(session), a_task(session, "other")
        job = a_job(session, task, 1, run_id="nightly")
        assert a_job(session, other, 1, run_id="nightly") != job, "another task may use it"
        found = session.jobs.by_run_id(task[0], "nightly")
        assert found is not None
        assert (found.job, found.input_digest, found.sealed) == (job, "digest", True)
        assert session.jobs.by_run_id(task[0], "weekly") is None


def test_steps_and_the_newest_cursor_come_back_from_the_kept_generations_only(store: Store) -> None:
    with store.write() as session:
        task = a_task(session)
        job = a_job(session, task, 2)
        key = ItemKey(job, 0)
        for kind, name, generation, value in [
            ("step", "download", 1, "1"),
            ("cursor", "", 1, '"old"'),
            ("cursor", "", 2, '"newer"'),
            ("step", "clean", 2, "2"),
        ]:
            session.records.save_checkpoint(key, CheckpointRow(kind, name, generation, value, 1, task[1], NOW))
        item = read(session, job)
        everything = session.records.saved([item])[key]
        assert (everything.steps, everything.cursor) == ({"download": "1", "clean": "2"}, '"newer"')
        kept = session.records.saved([item._replace(generation=2, keep_from=2)])[key]
        assert (kept.steps, kept.cursor) == ({"clean": "2"}, '"newer"')
        session.records.drop_old_checkpoints(key, 2)
        assert [row.generation for row in session.records.checkpoints(key)] == [2, 2]


def test_logs_come_back_in_order_and_after_a_place(store: Store) -> None:
    with store.write() as session:
        task = a_task(session)
        key = ItemKey(a_job(session, task, 1), 0)
        session.records.add_logs([(*key, 1, 0, "a"), (*key, 1, 1, "b"), (*key, 2, 0, "c")], NOW)
        assert [row[3] for row in session.records.logs(key)] == ["a", "b", "c"]
        assert [row[3] for row in session.records.logs(key, 1, 0)] == ["b", "c"]


def test_a_worker_that_was_declared_lost_is_not_living_and_cannot_beat(store: Store) -> None:
    with store.write() as session:
        task = a_task(session)
        worker = a_worker(session, *task)
        assert session.workers.beat(worker, NOW)
        assert session.tasks.with_workers() == {task[0]}
        assert session.workers.lose(worker, NOW)
        assert not session.workers.lose(worker, NOW), "lost once is lost"
        assert not session.workers.beat(worker, NOW)
        assert not session.workers.is_living(worker)
        assert session.tasks.with_workers() == set()
        assert [row.id for row in session.workers.open()] == [worker], "until its items are taken back"
        session.workers.close(worker, NOW)
        assert session.workers.open() == []


def test_what_is_written_in_a_transaction_that_fails_is_not_there(store: Store) -> None:
    class Broken(Exception):
        pass

    def write_and_fail() -> None:
        with store.write() as session:
            a_job(session, a_task(session), 2)
            raise Broken

    with pytest.raises(Broken):
        write_and_fail()
    assert store.listing.jobs({}) == []
    with store.read() as session:
        assert session.tasks.all("default") == []


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({}, [0, 1, 2, 3]),
        ({"status": "PENDING"}, [1, 2, 3]),
        ({"status": ["REVOKED", "FAILURE"]}, [0]),
        ({"task": "features"}, [0, 1, 2, 3]),
        ({"task": "unknown"}, []),
        ({"run_id": "run"}, [0, 1, 2, 3]),
        ({"key": "2"}, [2]),
        ({"window_start": 100, "window_end": 300}, [1, 2]),
        ({"ids": [(1, 3), (1, 0), (9, 9)]}, [0, 3]),
        ({"namespace": "elsewhere"}, []),
        ({"after": (1, 1)}, [2, 3]),
    ],
)
def test_items_are_listed_by_filter(store: Store, filters: dict[str, object], numbers: list[int]) -> None:
    with store.write() as session:
        items = [NewItem(str(n), "{}", (n * 100, n * 100 + 100)) for n in range(4)]
        job = a_job(session, a_task(session), items)
        session.items.apply([decided(read(session, job), CancelRequested())], NOW)
    assert [each.item.number for each in store.listing.items(filters)] == numbers


def test_pages_of_items_neither_lose_nor_repeat_any(store: Store) -> None:
    with store.write() as session:
        task = a_task(session)
        for run in ("a", "b"):
            a_job(session, task, 700, run_id=run)
    keys = [each.item.key for each in store.listing.all_items({})]
    assert keys == sorted(set(keys))
    assert len(keys) == 1_400


def test_an_unknown_filter_is_refused_with_those_there_are(store: Store) -> None:
    with pytest.raises(ArgumentsInvalid, match=r"no filter 'colour': use .*status"):
        store.listing.items({"colour": "red"})


def test_jobs_are_listed_by_what_their_items_amount_to(store: Store) -> None:
    with store.write() as session:
        task = a_task(session)
        done, waiting = a_job(session, task, 1, run_id="done"), a_job(session, task, 1, run_id="waiting")
        session.items.apply([decided(read(session, done), CancelRequested())], NOW)
    assert [job.id for job in store.listing.jobs({"status": "REVOKED"})] == [done]
    assert [job.id for job in store.listing.jobs({"status": ["PENDING"]})] == [waiting]
    assert [job.id for job in store.listing.jobs({"label": ("team", "a")})] == [waiting, done]
    assert store.listing.jobs({"label": ("team", "b")}) == []


def test_the_audit_and_ended_attempts_refuse_to_be_changed(store: Store) -> None:
    with store.write() as session:
        task = a_task(session)
        worker = a_worker(session, *task)
        a_job(session, task, 1)
        ((item, _),) = session.items.claim(worker, task[0], False, 3, 1, NOW)
        session.items.apply([decided(item, Succeeded(Run(item.token, worker, NOW, NOW), "1"))], NOW)
        session.records.add_audit(AuditRow(0, NOW, "ann", "test", "cancel", "job 1", "", "", "", 1))
    for text in (
        "update attempts set result = '2'",
        "update audit set actor = 'bob'",
        "delete from audit",
    ):
        with pytest.raises(Exception, match=r"never changes|append-only"), store.write():
            store.database._writer.execute(text)  # type: ignore[attr-defined]
    with store.read() as session:
        assert [row.actor for row in session.records.audit()] == ["ann"]


@pytest.mark.parametrize(
    "wrong",
    [
        "update items set status = 'SUCCESS'",
        "update items set status = 'STARTED'",
        "update items set status = 'RUNNING'",
        "update items set worker = 1",
        "update items set wait = null",
        "update items set cancel_ms = 1",
        "update items set priority = 6",
        "update items set keep_from = 2",
        "update jobs set ended_ms = 1",
        "update jobs set pending = -1",
    ],
)
def test_the_database_itself_refuses_what_must_never_be(store: Store, wrong: str) -> None:
    with store.write() as session:
        a_job(session, a_task(session), 1)
    with pytest.raises(Exception, match=r"CHECK constraint"), store.write():
        store.database._writer.execute(wrong)  # type: ignore[attr-defined]


def test_reasons_and_waits_in_the_core_are_those_the_database_knows(store: Store) -> None:
    with store.write() as session:
        job = a_job(session, a_task(session), 1)
        for wait in Wait:
            item = read(session, job)
            session.items.apply([Transition(item, item._replace(wait=wait))], NOW)
        for reason in Reason:
            item = read(session, job)
            session.items.apply([Transition(item, item._replace(reason=reason))], NOW)
        assert read(session, job).reason is list(Reason)[-1]
