"""The statements themselves: all of them used, every parameter named; migrations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from shelf import run_raw, work_in_every_state

from mulligan.store.migrating import Migration, migrations
from mulligan.store.sqlite import SqliteDatabase
from mulligan.store.statements import checks, statements
from mulligan.store.store import Store
from mulligan.testing.factories import a_definition
from mulligan.testing.harness import Harness

SOURCES = Path(__file__).parents[2] / "src" / "mulligan"
STATEMENTS = statements("sqlite")
PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")


def without_texts(statement: str) -> str:
    return re.sub(r"--[^\n]*|'[^']*'", "", statement)


@pytest.fixture(scope="module")
def world() -> Iterator[Harness]:
    """A store with work in every state."""
    with Harness() as made:
        work_in_every_state(made)
        yield made


def plan(world: Harness, name: str, text: str | None = None) -> str:
    text = text or STATEMENTS[name]
    values = {each: values_for(each) for each in PARAMETER.findall(without_texts(text))}
    with world.store.read():
        rows = world.store.database.text_in_reader(f"explain query plan {text}", values)
        return "\n".join(str(row[3]) for row in rows)


def values_for(parameter: str) -> object:
    batches = {"tasks": json.dumps([1]), "jobs": json.dumps([1]), "keys": json.dumps([[1, 0]]), "rows": json.dumps([[1, 0, 0]])}
    return batches.get(parameter, 1)


def test_every_statement_is_used_and_every_use_has_its_statement() -> None:
    sources = "\n".join(path.read_text("utf-8") for path in (SOURCES / "store" / "verbs").glob("*.py"))
    every = {*STATEMENTS, *statements("postgres")}
    assert set(re.findall(r'_run\(\s*"(\w+)"', sources)) <= every
    assert every <= set(re.findall(r'"(\w+)"', sources))


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_every_statement_can_be_prepared_with_named_parameters_only(world: Harness, name: str) -> None:
    text = STATEMENTS[name]
    assert "?" not in without_texts(text)
    assert plan(world, name) is not None


def test_every_invariant_says_what_is_wrong_when_it_does_not_hold() -> None:
    found = checks("sqlite")
    assert len(found) >= 15
    assert all(wrong and not wrong.startswith("select") and text.startswith("select") for wrong, text in found.values())


COPY = """insert into attempts
    select job, number, token + 9, generation, attempt + 1, worker, outcome, reason, claimed_ms, started_ms, ended_ms,
        failure_class, rule, error_type, error_message, failure, entry, charged, {}, retry_after_ms, rows, result,
        exit_code, signal, pid, cause
    from attempts limit 1"""
BREAKAGE = {
    "I12_counters": "update jobs set pending = pending + 1",
    "I12_ended": "update jobs set pending = 0, started = 0, retry = 0",
    "I3_token": "update items set token = 0, attempt = 0 where status <> 'STARTED'",
    "I5_last_number": "update items set attempt = attempt + 1, token = token + 1",
    "I6_charges": "update items set charges = '[9]'",
    "I2_open_attempt": "update items set worker = 99 where status = 'STARTED'",
    "I8_success_without_attempt": "delete from attempts where outcome = 'SUCCEEDED'",
    "I17_inputs": "delete from inputs where number = 0",
    "I20_audit": "update items set generation = 2",
    "I22_orphans": "delete from items where number = 0",
    "I22_removed": "update jobs set pruned_ms = 1, ended_ms = 1, sealed = 1, success = 4, pending = 0, started = 0, retry = 0",
    "I10_checkpoints": "insert into checkpoints values (1, 0, 'step', 'x', 9, '1', 1, 1, 1)",
    "I24_order": "update items set wait = 'predecessor' where status = 'PENDING'",
    "I24_succeeded": "insert into successors select job, number, 1, 3 from items where status = 'SUCCESS'",
    "I26_failed_now": "update causes set failed_now = failed_now + 1",
    "I26_cause": "update items set cause = null where failure_class is not null",
    "I16_delay": COPY.format("9000, 1000"),
    "I7_at_most_once": COPY.format("delay_ms, planned_ms") + "; update items set once = 1",  # noqa: S608 - constants of this file
}


@pytest.mark.parametrize("name", BREAKAGE)
def test_verify_sees_what_is_broken(name: str, store: Store) -> None:
    with Harness(database=store.database) as world:
        definition = a_definition(retries=3)
        worker = world.worker(definition)
        world.submit(definition, 4)
        one, other, _ = worker.claim(3)
        worker.succeed(one)
        worker.fail(other)
        assert world.verify() == []
        run_raw(world.store, BREAKAGE[name])
        assert name in {each.invariant for each in world.verify()}


def test_migrations_are_numbered_from_one_without_gaps() -> None:
    for dialect in ("sqlite", "postgres"):
        known = migrations(dialect)
        assert [each.number for each in known] == list(range(1, len(known) + 1))
    assert [each.name for each in migrations("sqlite")] == [each.name for each in migrations("postgres")]


def schema(connection: apsw.Connection) -> list[tuple[str, str]]:
    return list(connection.execute("select name, sql from sqlite_schema where sql is not null order by name"))


@pytest.mark.parametrize("version", range(len(migrations("sqlite"))))
def test_an_older_store_is_brought_to_the_schema_of_a_fresh_one(tmp_path: Path, version: int) -> None:
    old, fresh = tmp_path / "old.db", tmp_path / "fresh.db"
    connection = apsw.Connection(str(old))
    for each in migrations("sqlite")[:version]:
        connection.execute(each.script)
        connection.execute(f"pragma user_version = {each.number}")
        connection.execute("pragma application_id = 0x4D554C47")
    connection.close()
    databases = [SqliteDatabase(str(path)) for path in (old, fresh)]
    assert schema(databases[0]._writer) == schema(databases[1]._writer)
    for each in databases:
        each.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "store.db")
    known = migrations("sqlite")
    SqliteDatabase(path).close()
    broken = [*known, Migration(known[-1].number + 1, "extra", "create table extra (x); create table extra (y)")]
    monkeypatch.setattr("mulligan.store.sqlite.migrations", lambda dialect: broken)
    with pytest.raises(apsw.SQLError, match="extra"):
        SqliteDatabase(path)
    monkeypatch.undo()
    database = SqliteDatabase(path)
    assert not [name for name, _ in schema(database._writer) if name == "extra"]
    database.close()
