"""The schema of a PostgreSQL store: made, brought up to date under load, refused; and the plans of the hot statements."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from shelf import work_in_every_state

from mulligan.core.errors import StoreAway, StoreBusy, StoreError, StoreForeign, StoreNewer, StoreOlder
from mulligan.store import postgres_schema
from mulligan.store.migrating import Migration, migrations
from mulligan.store.postgres import Place, PostgresDatabase, conninfo, shown, translated
from mulligan.store.postgres_schema import migrate
from mulligan.store.statements import statements
from mulligan.testing.factories import a_definition
from mulligan.testing.harness import Harness

STATEMENTS = statements("postgres")
PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")
MakePlace = Callable[[], Place]


def run(place: Place, text: str) -> list[Any]:
    with psycopg.connect(conninfo(place), autocommit=True) as connection:
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


def steps(*scripts: str) -> list[Migration]:
    """Return our migrations and more of them."""
    known = migrations("postgres")
    return [*known, *(Migration(known[-1].number + n, f"more_{n}", script) for n, script in enumerate(scripts, 1))]


class TestMaking:
    def test_a_schema_is_made_at_the_first_use_and_found_at_the_next(self, a_place: Callable[[], Place]) -> None:
        place = a_place()
        with Harness(database=PostgresDatabase(place)) as world:
            job = world.submit(items=2)
        with Harness(database=PostgresDatabase(place)) as world:
            assert world.job(job).counts.pending == 2

    def test_many_who_make_it_at_once_make_one(self, a_place: MakePlace) -> None:
        place = a_place()
        gate, errors = threading.Barrier(6), []

        def open_it() -> None:
            gate.wait(30)
            try:
                PostgresDatabase(place).close()
            except StoreError as error:
                errors.append(error)

        threads = [threading.Thread(target=open_it) for _ in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert errors == []

    def test_two_schemas_of_one_database_are_two_stores(self, a_place: MakePlace) -> None:
        with Harness(database=PostgresDatabase(a_place())) as one, Harness(database=PostgresDatabase(a_place())) as other:
            one.submit(items=1)
            assert one.store.listing.jobs({})
            assert other.store.listing.jobs({}) == []

    def test_a_schema_with_tables_of_another_program_is_refused_and_left_alone(self, a_place: MakePlace) -> None:
        place = a_place()
        run(place, f"create schema {place.schema}; create table {place.schema}.jobs (x int)")
        with pytest.raises(StoreForeign, match="schema of its own"):
            PostgresDatabase(place)
        assert run(place, f"select tablename from pg_tables where schemaname = '{place.schema}'") == [("jobs",)]  # noqa: S608

    def test_a_server_that_is_not_there_is_named_without_the_password(self) -> None:
        place = Place("postgresql://me:secret@127.0.0.1:1/pipelines?connect_timeout=2")
        with pytest.raises(StoreAway, match=r"127\.0\.0\.1:1/pipelines cannot be reached") as raised:
            PostgresDatabase(place, wait_s=1.0)
        assert "secret" not in str(raised.value)
        assert "secret" not in shown(place)


class TestMigrating:
    def test_steps_are_done_once_each_in_order(self, a_place: MakePlace) -> None:
        place = a_place()
        PostgresDatabase(place).close()
        told: list[str] = []
        more = steps("create table extra (x int)", "alter table extra add column y int")
        done = migrate(place, conninfo(place), more, told.append)
        assert (done.before, done.after) == (len(more) - 2, len(more))
        assert [line.split(" ")[-1] for line in told] == ["done", "done"]
        again = migrate(place, conninfo(place), more, told.append)
        assert again.before == again.after == len(more)

    def test_a_step_that_fails_leaves_nothing_of_itself(self, a_place: MakePlace) -> None:
        place = a_place()
        PostgresDatabase(place).close()
        with pytest.raises(psycopg.errors.DuplicateTable):
            migrate(place, conninfo(place), steps("create table extra (x int); create table extra (y int)"))
        PostgresDatabase(place).close()
        assert run(place, f"select 1 from pg_tables where schemaname = '{place.schema}' and tablename = 'extra'") == []  # noqa: S608

    def test_code_goes_on_with_a_schema_that_only_grew_and_stops_before_one_that_lost_something(self, a_place: MakePlace) -> None:
        place = a_place()
        PostgresDatabase(place).close()
        grown = steps("-- contract: 1\nalter table jobs add column note text")
        migrate(place, conninfo(place), grown)
        PostgresDatabase(place).close()
        lost = [*grown, Migration(len(grown) + 1, "lost", f"-- contract: {len(grown)}\nalter table jobs drop column note")]
        migrate(place, conninfo(place), lost)
        with pytest.raises(StoreNewer, match="install the version"):
            PostgresDatabase(place)
        with pytest.raises(StoreNewer):
            migrate(place, conninfo(place))

    def test_newer_code_asks_for_the_migration(self, a_place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
        place = a_place()
        PostgresDatabase(place).close()
        newer = steps("alter table jobs add column note text")
        monkeypatch.setattr(postgres_schema, "migrations", lambda dialect: newer)
        with pytest.raises(StoreOlder, match="mulligan migrate"):
            PostgresDatabase(place)
        migrate(place, conninfo(place))
        PostgresDatabase(place).close()

    def test_a_step_waits_for_its_locks_in_short_turns_and_is_done_while_work_goes_on(self, a_place: MakePlace) -> None:
        place = a_place()
        with Harness(database=PostgresDatabase(place)) as world:
            definition = a_definition(retries=3)
            worker = world.worker(definition)
            world.submit(definition, 200)
            told: list[str] = []
            with psycopg.connect(conninfo(place)) as holder:
                holder.execute("select * from jobs for update")
                thread = threading.Thread(
                    target=migrate,
                    args=(place, conninfo(place), steps("alter table jobs add column note text"), told.append),
                )
                thread.start()
                while not told:
                    thread.join(0.05)
                assert "others hold its locks" in told[0]
                holder.rollback()
            for item in worker.claim(100):
                worker.succeed(item)
            thread.join(30)
            assert told[-1].endswith("done")
            assert world.verify() == []

    def test_a_step_that_never_gets_its_locks_gives_up_and_says_so(
        self, a_place: MakePlace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = a_place()
        PostgresDatabase(place).close()
        monkeypatch.setattr(postgres_schema, "TRIES", 1)
        with psycopg.connect(conninfo(place)) as holder:
            holder.execute("select * from jobs")
            with pytest.raises(StoreBusy, match="nothing of it was done"):
                migrate(place, conninfo(place), steps("alter table jobs add column note text"))


@pytest.fixture(scope="module")
def world(shared_place: MakePlace) -> Iterator[Harness]:
    """A store with work in every state."""
    with Harness(database=PostgresDatabase(shared_place())) as made:
        work_in_every_state(made)
        yield made


AT_ONCE = {"claim_at_once", "settle_at_once", "apply_at_once", "add_whole_at_once"}
"""Statements that do several steps: each is a journey there."""
STEPS = {
    "lock_ready_jobs",
    "claimable",
    "start_items",
    "settle_items",
    "apply_items",
    "count_moves",
    "add_attempts",
    "add_successes",
}


def test_both_dialects_have_the_same_statements_with_the_same_parameters() -> None:
    sqlite = statements("sqlite")
    assert set(STATEMENTS) - set(sqlite) == AT_ONCE
    assert set(sqlite) - set(STATEMENTS) == STEPS
    for name in set(STATEMENTS) & set(sqlite):
        assert set(PARAMETER.findall(_bare(STATEMENTS[name]))) == set(PARAMETER.findall(_bare(sqlite[name]))), name


def _bare(text: str) -> str:
    return re.sub(r"--[^\n]*|'[^']*'", "", text)


HOT = {
    "lock_jobs": ["jobs_pkey"],
    "heads": ["items_ready"],
    "claim_at_once": ["items_ready", "inputs_pkey", "items_pkey", "jobs_pkey", "attempts_pkey"],
    "settle_at_once": ["items_pkey", "jobs_pkey"],
    "apply_at_once": ["items_pkey", "jobs_pkey"],
    "read_items": ["items_pkey"],
    "held_by": ["items_held"],
    "asked_to_stop": ["items_held"],
    "expired": ["items_deadline"],
    "next_deadline": ["items_deadline"],
    "running_of_job": ["items_held"],
    "save_checkpoint": ["items_"],
    "read_logs": ["logs_pkey"],
    "read_saved": ["checkpoints_pkey"],
    "cancelling_jobs": ["jobs_cancelling"],
    "releasing_jobs": ["jobs_releasing"],
    "abandoned_jobs": ["jobs_unsealed"],
    "open_workers": ["workers_open"],
    "windows_taken": ["inputs_window", "items_pkey"],
    "windows_newest": ["inputs_window", "items_pkey"],
    "later_written": ["inputs_window", "items_pkey"],
    "next_retry": ["items_status"],
    "first_failure": ["items_status"],
    "waiting_of_job": ["items_pkey"],
    "release_items": ["items_pkey"],
    "read_events": ["events_in_order"],
}
VALUES = {"tasks": "[1]", "jobs": "[1]", "keys": "[[1, 0]]", "rows": "[]", "position": 0}


@pytest.mark.parametrize("name", HOT)
def test_a_hot_statement_goes_by_its_index_and_never_through_all_that_there_is(world: Harness, name: str) -> None:
    text = STATEMENTS[name]
    values = {each: VALUES.get(each, 1) for each in PARAMETER.findall(_bare(text))}
    with world.store.write():
        database: Any = world.database
        told = "\n".join(row[0] for row in database._local.writer.text(translated(f"explain {text}"), values))
    assert all(index in told for index in HOT[name]), told
    assert "Seq Scan" not in re.sub(r"Seq Scan on (tasks|workers)", "", told), told


@pytest.mark.parametrize("count", [1, 6000])
def test_no_statistics_lead_a_hot_statement_astray(a_place: MakePlace, count: int) -> None:
    """Those of a store that is nearly empty are the worse ones: a plan that goes through all of it stays when there is more."""
    with Harness(database=PostgresDatabase(a_place())) as world:
        world.submit(items=count)
        worker = world.worker()
        for item in worker.claim(500):
            worker.succeed(item)
        run(world.database.place, "vacuum analyze")  # type: ignore[attr-defined]
        for name in ("heads", "read_items", "release_items", *sorted(AT_ONCE & HOT.keys())):
            test_a_hot_statement_goes_by_its_index_and_never_through_all_that_there_is(world, name)
            database: Any = world.database
            values = {each: VALUES.get(each, 1) for each in PARAMETER.findall(_bare(STATEMENTS[name]))}
            with world.store.write():
                rows = database._local.writer.text(translated(f"explain {STATEMENTS[name]}"), values)
            scans = [row[0] for row in rows if re.search("Scan using (items_pkey|inputs_pkey|jobs_pkey|items_ready)", row[0])]
            conditions = [row[0] for row in rows if "Index Cond" in row[0]]
            assert len(conditions) >= len(scans), rows
