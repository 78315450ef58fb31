"""How often a transaction on PostgreSQL goes to the server and back, and what becomes of commits that go along with the rest."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import psycopg
import pytest
from shelf import a_job

from mulligan import connect, task
from mulligan.core.errors import StoreAway, StoreUnsure
from mulligan.core.job import JobStatus
from mulligan.store import postgres
from mulligan.store.postgres import Place, PostgresDatabase
from mulligan.store.postgres_running import Prepared
from mulligan.store.store import Store
from mulligan.testing.factories import a_definition
from mulligan.testing.harness import Harness

MakePlace = Callable[[], Place]
Journeys = list[list[str]]


@task
def greet(name: str) -> str:
    return f"hello {name}"


@pytest.fixture
def world(a_place: MakePlace) -> Iterator[Harness]:
    with Harness(database=PostgresDatabase(a_place())) as made:
        yield made


@pytest.fixture
def store(a_place: MakePlace) -> Iterator[Store]:
    made = Store(PostgresDatabase(a_place()))
    yield made
    made.close()


@pytest.fixture
def journeys(monkeypatch: pytest.MonkeyPatch) -> Journeys:
    """The statements of each journey from now on."""
    found: Journeys = []
    run = Prepared.run

    def noted(self: Prepared, connection: Any, asked: Sequence[tuple[str, Mapping[str, Any]]]) -> list[list[Any]]:
        found.append([name for name, _ in asked])
        return run(self, connection, asked)

    monkeypatch.setattr(Prepared, "run", noted)
    return found


def lose_answers(monkeypatch: pytest.MonkeyPatch, *, times: int, committed: bool) -> None:
    """Have the connection lost in the journeys of the next commits, after or before the server has done what it was asked for."""
    run, left = Prepared.run, [times]

    def lost(self: Prepared, connection: Any, asked: Sequence[tuple[str, Mapping[str, Any]]]) -> list[list[Any]]:
        if asked[-1][0] != "commit" or not left[0]:
            return run(self, connection, asked)
        left[0] -= 1
        if committed:
            run(self, connection, asked)
        connection.close()
        raise psycopg.OperationalError("the connection was lost")

    monkeypatch.setattr(Prepared, "run", lost)


def events(store: Store) -> list[str]:
    with store.database.read():
        return [row[0] for row in store.database._local.reader.text("select kind from events order by id", None)]  # type: ignore[attr-defined]


class TestJourneys:
    def test_a_checkpoint_is_saved_and_committed_in_one(self, world: Harness, journeys: Journeys) -> None:
        world.submit(a_definition(retries=2))
        worker = world.worker()
        item = worker.take()
        journeys.clear()
        assert worker.save(item, "step", "a", "1")
        assert journeys == [["begin", "add_operation", "is_living", "save_checkpoint", "commit"]]

    def test_a_claim_takes_two(self, world: Harness, journeys: Journeys) -> None:
        world.submit(a_definition(retries=2))
        worker = world.worker()
        journeys.clear()
        assert worker.claim(5)
        assert [each[-1] for each in journeys if "read_definition" not in each] == ["heads", "commit"]

    def test_the_end_of_an_attempt_takes_two(self, world: Harness, journeys: Journeys) -> None:
        world.submit(a_definition(retries=2))
        worker = world.worker()
        item = worker.take()
        journeys.clear()
        worker.succeed(item)
        assert [each[-1] for each in journeys] == ["settle_at_once", "commit"]

    def test_a_job_and_its_work_items_are_stored_by_one_statement(self, world: Harness, journeys: Journeys) -> None:
        world.submit(a_definition(), items=3)
        journeys.clear()
        world.submit(a_definition(), items=3)
        assert [each[-1] for each in journeys] == ["find_published", "add_whole_at_once", "commit"]

    def test_a_client_that_submits_is_told_of_its_job_without_another(self, a_place: MakePlace, journeys: Journeys) -> None:
        place = a_place()
        with connect(place.url, schema=place.schema) as client:
            client.submit(greet, "first")
            journeys.clear()
            job = client.submit(greet, "second")
            assert journeys[2][-2:] == ["read_job", "commit"]
            assert len(journeys) == 3
            assert (job.status, job.counts.total, job.run_id) == (JobStatus.PENDING, 1, client.job(job.id).run_id)

    def test_a_single_look_is_one(self, store: Store, journeys: Journeys) -> None:
        with store.read(single=True) as session:
            assert session.jobs.read(1) is None
        assert journeys == [["read_job"]]


class TestCommitsThatGoAlong:
    def test_what_a_statement_returned_can_be_looked_at_after_the_commit(self, store: Store) -> None:
        with store.write():
            found = store.database.in_writer("any_tally", {})
            there = store.database.in_writer("newest_job", {})
        assert (list(found), list(there)) == ([], [(0,)])

    def test_a_statement_that_fails_undoes_all_that_went_with_it(self, store: Store) -> None:
        def write() -> None:
            with store.write() as session:
                session.records.add_event("kept", 1, None, None, 0)
                store.database.in_writer("add_inputs", {"job": 1, "task": 1, "rows": "no JSON"})

        with pytest.raises(psycopg.DataError):
            write()
        assert events(store) == []

    def test_one_on_a_connection_that_was_lost_at_rest_is_sent_on_the_next(self, store: Store) -> None:
        with store.write() as session:
            a_job(session)
        database: Any = store.database
        with psycopg.connect(database.place.url, autocommit=True) as other:
            for each in database._pool._pool:
                other.execute("select pg_terminate_backend(%s, 5000)", (each.info.backend_pid,))
        with store.write() as session:
            session.records.add_event("once", 1, None, None, 0)
        assert events(store) == ["once"]

    def test_one_that_came_to_nothing_is_sent_again_until_there_is_no_hope(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def write() -> None:
            with store.write() as session:
                session.records.add_event("once", 1, None, None, 0)

        with monkeypatch.context() as lossy:
            lose_answers(lossy, times=2, committed=False)
            write()
        assert events(store) == ["once"]
        lose_answers(monkeypatch, times=100, committed=False)
        with pytest.raises(StoreAway, match="nothing was changed"):
            write()
        assert events(store) == ["once"]

    def test_one_that_was_committed_without_an_answer_is_not_sent_again(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lose_answers(monkeypatch, times=1, committed=True)
        with store.write() as session:
            session.records.add_event("once", 1, None, None, 0)
            found = store.database.in_writer("newest_job", {})
        assert events(store) == ["once"]
        with pytest.raises(StoreUnsure, match="what it returned is not known"):
            list(found)

    def test_one_that_others_were_told_was_not_committed_can_never_be(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        known = uuid.uuid4()
        monkeypatch.setattr(postgres.uuid, "uuid4", lambda: known)
        database: Any = store.database
        assert not database._was_committed(known)

        def write() -> None:
            with store.write() as session:
                session.records.add_event("late", 1, None, None, 0)

        with pytest.raises(psycopg.errors.UniqueViolation):
            write()
        assert events(store) == []


def test_a_claim_whose_answer_was_lost_is_given_back(world: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    world.submit(a_definition(retries=2))
    worker = world.worker()
    with monkeypatch.context() as lossy:
        lose_answers(lossy, times=1, committed=True)
        with pytest.raises(StoreUnsure):
            worker.claim()
    assert world.engine.give_back(worker.id, set()) == 1
    item = worker.take()
    assert item.charges == (), "nothing was charged"
    worker.succeed(item)


def test_a_submission_whose_answer_was_lost_is_told_of_all_the_same(a_place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    place = a_place()
    with connect(place.url, schema=place.schema) as client:
        client.submit(greet, "first")
        with monkeypatch.context() as lossy:
            lose_answers(lossy, times=1, committed=True)
            job = client.submit(greet, "second")
        assert (job.status, job.counts.total) == (JobStatus.PENDING, 1)
        assert len(client.jobs()) == 2


def test_a_statement_that_could_not_be_prepared_is_prepared_when_it_is_run_again(store: Store) -> None:
    database: Any = store.database
    prepared = Prepared({"early": "select 1", "late": "select 2 from made_later"}, keep=True)
    with psycopg.connect(database.place.url, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.UndefinedTable):
            prepared.run(connection, [("early", {}), ("late", {}), ("early", {})])
        connection.execute("create temporary table made_later ()")
        assert prepared.run(connection, [("early", {}), ("late", {}), ("early", {})]) == [[(1,)], [], [(1,)]]
        assert prepared.run(connection, [("late", {})]) == [[]]
