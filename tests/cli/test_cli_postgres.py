"""The command line on PostgreSQL: the same commands, and errors that say what is wrong and never the password."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from cli_harness import TASKS, Result, Run, environment, until

from mulligan.testing.postgres import PostgresMissing, PostgresServer

PASSWORD = "s3cret-of-ann"  # noqa: S105
MULLIGAN = [sys.executable, "-m", "mulligan.cli.main"]


@dataclass(frozen=True, slots=True)
class Guarded:
    """A server that asks for passwords: ann owns the database pipes, bob may not make schemas in it."""

    port: int

    def url(self, name: str = "pipes", *, user: str = "ann", password: str = PASSWORD, more: str = "") -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{name}{more}"

    def run(self, text: str) -> list[tuple[object, ...]]:
        """Run a statement in pipes as the superuser, who needs no password."""
        with psycopg.connect(f"postgresql://postgres@127.0.0.1:{self.port}/pipes", autocommit=True) as connection:
            cursor = connection.execute(text.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def server() -> Iterator[Guarded]:
    try:
        made = PostgresServer()
    except PostgresMissing as missing:
        pytest.skip(f"the command line on PostgreSQL: {missing}")
    with psycopg.connect(made.url, autocommit=True) as connection:
        for user in ("ann", "bob"):
            connection.execute(f"create role {user} login password '{PASSWORD}'".encode())
        connection.execute("create database pipes owner ann")
        rules = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (made._data / "pg_hba.conf").write_text(rules)
        connection.execute("select pg_reload_conf()")
    yield Guarded(made.port)
    made.close()


@pytest.fixture
def guarded(server: Guarded) -> Iterator[Guarded]:
    yield server
    for schema in ("mulligan", "theirs"):
        server.run(f"drop schema if exists {schema} cascade")


def work(outside: Path, url: str, command: str = "worker") -> Result:
    """Start a worker on the tasks of cli_tasks.py, which is to be refused."""
    done = subprocess.run(
        [*MULLIGAN, command, str(TASKS), "--database", url], cwd=outside, capture_output=True, text=True, check=False, timeout=30
    )
    return Result(done.returncode, done.stdout, done.stderr)


WRONG = {
    "a wrong password": ({"password": "s3cret-of-bob"}, r'cannot be reached: password authentication failed for user "ann"'),
    "a database that is not there": ({"name": "pipe"}, r'cannot be reached: database "pipe" does not exist'),
    "no right to make the schema": ({"user": "bob"}, r"have it made with `create schema mulligan authorization USER`"),
    "an unknown parameter": ({"more": "?sslmod=require"}, r"there is no parameter 'sslmod'"),
    "a password with an at sign": ({"password": "s3cret@of#ann"}, r"write % as %25, @ as %40"),
    "a password with a slash": ({"password": "s3cret/of"}, r"write % as %25, @ as %40"),
    "a password with a percent sign": ({"password": "s3cret%of"}, r"write % as %25, @ as %40"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_keeps_a_worker_from_its_database_is_said_in_one_line_without_the_password(
    outside: Path, guarded: Guarded, wrong: str
) -> None:
    given, said = WRONG[wrong]
    refused = work(outside, guarded.url(**given), "dev" if "right" in wrong else "worker")
    assert (refused.code, refused.out) == (1, "")
    assert re.fullmatch(r"mulligan: .+ \(\w+\)\n", refused.err)
    assert re.search(said, refused.err), refused.err
    assert "s3cret" not in refused.err


@pytest.mark.parametrize(
    "url", ["postgres+psycopg2://ann:s3cret@h/d", "postgresql:/ann:s3cret@h/d", "postgresql://ann:s3cret@h:x/d"]
)
def test_a_url_with_a_typo_says_what_is_expected_without_the_password(bare: Run, outside: Path, url: str) -> None:
    refused = bare("jobs", "--database", url)
    assert refused.code == 1
    assert re.search(r"postgresql://user@host/name|user:password@host:port", refused.err)
    assert "s3cret" not in refused.err


def test_a_password_whose_signs_make_another_host_of_it_is_not_shown_as_one(bare: Run, outside: Path) -> None:
    refused = bare("jobs", "--database", "postgresql://ann:p@ss/s3cret@127.0.0.1:5432/pipes")
    assert refused.code == 1
    assert "%40" in refused.err
    assert "s3cret" not in refused.err
    assert "'ss'" not in refused.err


@pytest.mark.parametrize(
    "url", ["postgresql://h1:1,h2:2/d?target_session_attrs=any", "postgresql://[::1]:1/d", "postgresql:///d?host=/nowhere"]
)
def test_addresses_of_every_kind_are_tried(bare: Run, outside: Path, url: str) -> None:
    refused = bare("jobs", "--database", url)
    assert refused.code == 1
    assert refused.err.endswith("(store_away)\n")


def test_a_server_that_is_down_is_said_at_once(bare: Run, outside: Path) -> None:
    refused = bare("jobs", "--database", f"postgresql://ann:{PASSWORD}@127.0.0.1:1/pipes")
    expected = (
        "mulligan: postgresql://127.0.0.1:1/pipes cannot be reached: Connection refused; nothing was changed (store_away)\n"
    )
    assert (refused.code, refused.err) == (1, expected)


@pytest.mark.parametrize("schema", ["Team-A", 'x"; drop', "pg_mine", "x" * 51, ""])
def test_a_schema_that_cannot_be_one_is_refused(bare: Run, outside: Path, monkeypatch: pytest.MonkeyPatch, schema: str) -> None:
    (outside / "mulligan.toml").write_text(f"schema = '{schema}'\n")
    refused = bare("jobs", "--database", "postgresql://127.0.0.1:1/pipes")
    assert refused.code == 1
    assert "expected small letters, digits and _" in refused.err


def test_looking_at_a_database_without_a_store_says_so_and_makes_none(bare: Run, outside: Path, guarded: Guarded) -> None:
    for command in (["jobs"], ["show", "1"], ["verify"], ["submit", "one"], ["retry", "1"]):
        refused = bare(*command, "--database", guarded.url())
        assert refused.code == 1
        assert "there is no store in schema 'mulligan'" in refused.err
    assert guarded.run("select 1 from pg_namespace where nspname = 'mulligan'") == []


def test_a_schema_that_an_administrator_made_is_used(guarded: Guarded, outside: Path) -> None:
    from mulligan import connect

    guarded.run("create schema mulligan authorization bob")
    with connect(guarded.url(user="bob")) as client:
        assert client.jobs() == []


@pytest.mark.parametrize(
    "tables",
    [
        "jobs (id int)",
        "meta (id int); create table theirs.operations (id int)",
        "meta (key text, value text); create table theirs.operations (id int)",
    ],
)
def test_a_schema_of_another_program_is_refused_and_left_alone(
    bare: Run, guarded: Guarded, outside: Path, monkeypatch: pytest.MonkeyPatch, tables: str
) -> None:
    guarded.run("create schema theirs authorization ann")
    guarded.run(f"create table theirs.{tables}")
    guarded.run("grant all on all tables in schema theirs to ann")
    monkeypatch.setenv("MULLIGAN_SCHEMA", "theirs")
    before = guarded.run("select tablename from pg_tables where schemaname = 'theirs'")
    for refused in (work(outside, guarded.url()), *(bare(each, "--database", guarded.url()) for each in ("jobs", "migrate"))):
        assert refused.code == 1
        assert "schema 'theirs' holds the tables of another program" in refused.err
    assert guarded.run("select tablename from pg_tables where schemaname = 'theirs'") == before


def test_a_newer_schema_and_one_of_somebody_else_are_refused(bare: Run, guarded: Guarded, outside: Path) -> None:
    from mulligan import connect

    with connect(guarded.url()):
        pass
    for command in ("jobs", "migrate"):
        denied = bare(command, "--database", guarded.url(user="bob"))
        assert denied.code == 1
        assert "this user may not do that: permission denied for schema mulligan (store_read_only)" in denied.err
    guarded.run("update mulligan.meta set value = '99' where key = 'schema_version'")
    for command in ("jobs", "migrate"):
        newer = bare(command, "--database", guarded.url())
        assert newer.code == 1
        assert "is of version 99" in newer.err
        assert newer.err.endswith("(store_newer)\n")


@contextmanager
def _until_done(command: list[str], environ: dict[str, str], folder: Path) -> Iterator[None]:
    worker = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ, cwd=folder)
    try:
        assert worker.stderr is not None
        assert "worker started" in worker.stderr.readline()
        yield
    finally:
        worker.terminate()
        worker.communicate(timeout=30)
    assert worker.returncode == 0


def test_every_command_works_as_on_sqlite(bare: Run, guarded: Guarded, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULLIGAN_DATABASE", guarded.url())
    environ = environment(outside / "x") | {"MULLIGAN_DATABASE": guarded.url()}
    command = [*MULLIGAN, "worker", str(TASKS), "--processes", "2"]
    with _until_done(command, environ, outside):
        assert bare("submit", "add", "a=1", "--wait").code == 0
        assert bare("backfill", "features", "2024-01-01", "2024-01-08", "--arg", 'bad=["2024-01-05"]', "--wait").code == 1
        pipe = outside / "tell"
        os.mkfifo(pipe)
        assert bare("submit", "until_told", f"pipe={pipe}").code == 0
        follow = [*MULLIGAN, "logs", "3-0", "-f"]
        with subprocess.Popen(follow, env=environ, cwd=outside, stdout=subprocess.PIPE, text=True) as following:
            assert following.stdout is not None
            assert following.stdout.readline() == "waiting to be told\n"
            pipe.write_text("now")
            following.communicate(timeout=30)
        assert following.returncode == 0
        assert bare("retry", "2", "--type", "restart").code == 0
        until(lambda: "Generation 2" in bare("explain", "2-4").out, "the end of the second generation")
        assert bare("pause", "add").code == 0
        assert bare("submit", "add", "a=2").code == 0
        assert "task add is paused" in bare("explain", "4-0").out
        assert bare("cancel", "4").code == 0
        assert "Manually Cancelled" in bare("show", "4-0").out
        assert bare("resume", "add").code == 0
        assert bare("overwrite", "1", "--accept-risk").code == 0
        until(lambda: '"generation": 2' in bare("show", "1-0", "--json").out, "the overwrite")
        assert [each["task"] for each in bare("jobs", "--json").data] == ["add", "until_told", "features", "add"]
        assert "living" in bare("workers", "--json").out
        assert {each["action"] for each in bare("audit", "--json").data} >= {"pause", "resume", "cancel", "restart", "overwrite"}
        assert bare("verify").code == 0
        assert bare("migrate").code == 0
