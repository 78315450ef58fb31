"""What a transaction on PostgreSQL does when its end goes wrong; the stories cut real connections."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from shelf import a_job

from mulligan.core.errors import StoreAway, StoreError, StoreUnsure
from mulligan.store.postgres import Place, PostgresDatabase
from mulligan.store.store import Store

MakePlace = Callable[[], Place]


def test_a_statement_that_failed_and_was_passed_over_is_not_taken_for_a_commit(a_place: MakePlace) -> None:
    store = Store(PostgresDatabase(a_place()))

    def write() -> None:
        with store.write() as session:
            a_job(session)
            with pytest.raises(psycopg.errors.UniqueViolation):
                list(store.database.in_writer("add_inputs", {"job": 1, "task": 1, "rows": '[[0, "0", "{}", null, null]]'}))

    with pytest.raises(StoreError, match="nothing was changed"):
        write()
    assert store.listing.jobs({}) == []
    store.close()


def test_nothing_is_written_after_a_first_statement_that_failed_and_was_passed_over(a_place: MakePlace) -> None:
    store = Store(PostgresDatabase(a_place()))

    def write() -> None:
        with store.write() as session:
            with pytest.raises(psycopg.Error):
                list(store.database.in_writer("add_inputs", {"job": 1, "task": 1, "rows": "no JSON"}))
            session.tasks.add("default", "late", "module")

    def write_no_more() -> None:
        with store.write(), contextlib.suppress(psycopg.Error):
            list(store.database.in_writer("add_inputs", {"job": 1, "task": 1, "rows": "no JSON"}))

    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        write()
    with pytest.raises(StoreError, match="nothing was changed"):
        write_no_more()
    with store.read() as session:
        assert session.tasks.all("default") == []
    store.close()


@pytest.mark.parametrize("pooler", [False, True])
def test_what_became_of_a_commit_is_asked_until_the_server_answers(
    a_place: MakePlace, pooler: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = PostgresDatabase(a_place()._replace(transaction_pooler=pooler))
    execute, left = database._alone, [2]

    def at_first_away(*what: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise psycopg.OperationalError("it is away")
        return execute(*what)

    monkeypatch.setattr(database, "_alone", at_first_away)
    operation = uuid.uuid4()
    assert not database._was_committed(operation), "nobody had committed it"
    assert left == [0]
    assert database._was_committed(operation), "now its id is there"
    database.close()


def test_what_became_of_a_commit_that_was_given_up_is_made_certain_before_anything_else_is_written(
    a_place: MakePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, operation = Store(database := PostgresDatabase(a_place())), uuid.uuid4()
    database.wait_at_most(50)

    def away(*_: Any) -> Any:
        raise psycopg.OperationalError("it is away")

    with monkeypatch.context() as silent:
        silent.setattr(database, "_alone", away)
        with pytest.raises(StoreUnsure, match="look before you ask again"):
            database._was_committed(operation)
        with pytest.raises(StoreAway), store.write() as session:
            a_job(session)
    with store.write() as session:
        a_job(session)
    with database.read():
        assert database.text_in_reader("select count(*) from operations where id = :id", {"id": operation}) == [(1,)]
    assert len(store.listing.jobs({})) == 1
    store.close()
