"""How processes on one PostgreSQL notice each other, also after their sessions were lost."""

from __future__ import annotations

import contextlib
import select
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest

from mulligan.core.errors import StoreAway
from mulligan.engine.clock import ServerClock
from mulligan.store import postgres_presence
from mulligan.store.interface import Audience
from mulligan.store.postgres import Place, PostgresDatabase
from mulligan.store.postgres_presence import PostgresListener, PostgresPresence

MakePlace = Callable[[], Place]
Listen = Callable[[PostgresPresence, Audience], PostgresListener]


@pytest.fixture
def database(a_place: MakePlace) -> Iterator[PostgresDatabase]:
    made = PostgresDatabase(a_place())
    yield made
    made.close()


@pytest.fixture
def one(database: PostgresDatabase) -> Iterator[PostgresPresence]:
    made = PostgresPresence(database)
    yield made
    made.close()


@pytest.fixture
def other(database: PostgresDatabase) -> Iterator[PostgresPresence]:
    made = PostgresPresence(database)
    yield made
    made.close()


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Has a presence listen; it has heard the first hint, that of a session that begins, when this returns."""
    with contextlib.ExitStack() as stack:

        def begin(presence: PostgresPresence, audience: Audience) -> PostgresListener:
            listener = presence.listen(audience)
            assert listener is not None
            stack.callback(listener.close)
            heard(listener, 1.0)
            return listener

        yield begin


def heard(listener: PostgresListener, timeout: float = 5.0) -> bool:
    found = bool(select.select([listener], [], [], timeout)[0])
    listener.drain()
    return found


def until(come_true: Callable[[], bool], timeout: float = 10.0) -> None:
    deadline, pause = time.monotonic() + timeout, threading.Event()
    while not come_true():
        assert time.monotonic() < deadline
        pause.wait(0.02)


def terminate_sessions(database: PostgresDatabase) -> None:
    """End every session of the server that waits for hints or holds a worker's lock."""
    with psycopg.connect(database.place.url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'mulligan' and state = 'idle'"
        )


def test_whoever_listens_hears_of_it_and_nobody_else(one: PostgresPresence, other: PostgresPresence, listen: Listen) -> None:
    worker, waiter = listen(other, "worker"), listen(other, "waiter")
    one.wake_workers()
    assert heard(worker)
    assert not heard(waiter, 0.1)
    one.wake_waiters()
    assert heard(waiter)


def test_many_wake_ups_at_once_are_a_few_notifications(one: PostgresPresence, other: PostgresPresence, listen: Listen) -> None:
    listener = listen(other, "worker")
    for _ in range(1000):
        one.wake_workers()
    assert heard(listener)
    count = 1
    while heard(listener, 0.2):
        count += 1
    assert count < 20


def test_schemas_do_not_hear_each_other(one: PostgresPresence, a_place: MakePlace, listen: Listen) -> None:
    stranger = PostgresDatabase(a_place())
    presence = PostgresPresence(stranger)
    listener = listen(presence, "worker")
    one.wake_workers()
    assert not heard(listener, 0.2)
    presence.close()
    stranger.close()


def test_a_lost_session_is_replaced_and_whoever_listens_is_told_to_look(
    one: PostgresPresence, other: PostgresPresence, database: PostgresDatabase, listen: Listen
) -> None:
    listener = listen(other, "worker")
    terminate_sessions(database)
    assert heard(listener)
    while heard(listener, 0.1):
        pass
    one.wake_workers()
    assert heard(listener)


def test_a_lock_is_free_only_on_two_looks_apart(
    one: PostgresPresence, other: PostgresPresence, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    lock = one.lock(uuid.uuid4().hex)
    assert not other.is_free(lock.path)
    lock.release()
    monkeypatch.setattr(postgres_presence.time, "monotonic", lambda: now[0])
    assert not other.is_free(lock.path)
    now[0] += postgres_presence.APART_S / 2
    assert not other.is_free(lock.path)
    now[0] += postgres_presence.APART_S
    assert other.is_free(lock.path)


def test_a_restart_of_the_server_between_two_looks_begins_the_wait_anew(
    one: PostgresPresence, other: PostgresPresence, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    lock = one.lock(uuid.uuid4().hex)
    lock.release()
    monkeypatch.setattr(postgres_presence.time, "monotonic", lambda: now[0])
    assert not other.is_free(lock.path)
    now[0] += 1
    monkeypatch.setattr(postgres_presence, "_LOOK", "select 'another start', false where :key is not null")
    assert not other.is_free(lock.path)
    now[0] += 1
    assert other.is_free(lock.path)


def test_a_lock_whose_session_was_lost_is_taken_again(
    one: PostgresPresence, other: PostgresPresence, database: PostgresDatabase
) -> None:
    lock = one.lock(uuid.uuid4().hex)
    terminate_sessions(database)

    def is_held() -> bool:
        with database.read():
            return bool(
                next(iter(database.text_in_reader(postgres_presence._LOOK, {"key": int(lock.path.removeprefix("advisory:"))})))[1]
            )

    until(is_held)
    assert not other.is_free(lock.path)


def test_behind_a_pooler_in_transaction_mode_nothing_is_kept_in_a_session(a_place: MakePlace) -> None:
    database = PostgresDatabase(a_place()._replace(transaction_pooler=True))
    presence = PostgresPresence(database)
    lock = presence.lock(uuid.uuid4().hex)
    assert not presence.is_free(lock.path)
    assert presence.listen("worker") is None
    presence.wake_workers()
    with psycopg.connect(database.place.url) as connection:
        found = connection.execute("select count(*) from pg_locks where locktype = 'advisory'").fetchone()
        assert found is not None
    presence.close()
    database.close()


class TestServerClock:
    def test_it_is_the_server_s_time_by_this_machine_s_monotonic_clock(self, database: PostgresDatabase) -> None:
        clock = ServerClock(lambda: database.now_ms() + 600_000)
        assert abs(clock.now_ms() - database.now_ms() - 600_000) < 1_000

    def test_while_the_server_cannot_be_asked_it_runs_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = [100.0]
        monkeypatch.setattr("mulligan.engine.clock.time.monotonic", lambda: now[0])
        answers = iter([1_000_000])

        def ask() -> int:
            try:
                return next(answers)
            except StopIteration:
                raise StoreAway("it is gone") from None

        clock = ServerClock(ask)
        for seconds in (1, 40, 80):
            now[0] = 100.0 + seconds
            assert clock.now_ms() == 1_000_000 + seconds * 1000

    def test_a_small_step_back_is_not_taken_and_a_real_one_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = [100.0]
        monkeypatch.setattr("mulligan.engine.clock.time.monotonic", lambda: now[0])
        answers = iter([1_000_000, 1_039_500, 900_000])
        clock = ServerClock(lambda: next(answers))
        now[0] = 139.9
        clock._set_at = 139.9 - 29  # not yet measured again
        clock._set_to = 1_040_000 - 29_000
        assert clock.now_ms() == 1_040_000
        clock._set_at = 100.0
        assert clock.now_ms() == 1_040_000
        clock._set_at = 100.0
        assert clock.now_ms() == 900_000
