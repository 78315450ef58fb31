"""The bare hot path: claim, run in two children over pipes, settle with history and counters, and nothing else.

What a job system costs is what it does beyond this. One loop drives both stores, which differ in their statements only.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import multiprocessing.connection
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import apsw
import psycopg

BATCH = 500
CHILDREN = 2
LEASE_MS = 30_000
CHUNK = 5_000

Row = list[Any]


class Bare(Protocol):
    """A store of the bare hot path."""

    def fill(self, count: int) -> None: ...

    def claim(self, worker: int) -> list[Row]: ...

    def settle(self, ended: list[Row]) -> None: ...


class Rates(NamedTuple):
    """What came of draining."""

    submitted_s: float
    drained_s: float


def drain(bare: Bare, count: int) -> Rates:
    """Fill the store and drain it with two children."""
    began = time.perf_counter()
    bare.fill(count)
    filled = time.perf_counter()
    with _children() as pipes:
        started = time.perf_counter()
        free, done = list(pipes), 0
        while done < count:
            while free and (rows := bare.claim(1)):
                free.pop().send_bytes(json.dumps(rows).encode())
            busy = [each for each in pipes if each not in free]
            ready = multiprocessing.connection.wait(busy)
            ended: list[Row] = []
            for pipe in ready:
                assert isinstance(pipe, multiprocessing.connection.Connection)
                ended += json.loads(pipe.recv_bytes())
                free.append(pipe)
            bare.settle(ended)
            done += len(ended)
        passed = time.perf_counter() - started
    return Rates(count / (filled - began), count / passed)


@contextmanager
def _children() -> Iterator[list[Any]]:
    context = multiprocessing.get_context("spawn")  # what the parent holds open is no business of theirs
    ours, processes = [], []
    for _ in range(CHILDREN):
        here, there = context.Pipe()
        process = context.Process(target=work, args=(there,), daemon=True)
        process.start()
        there.close()
        here.recv_bytes()  # it is up
        ours.append(here)
        processes.append(process)
    try:
        yield ours
    finally:
        for pipe in ours:
            pipe.close()
        for process in processes:
            process.join()


def work(pipe: Any) -> None:
    """Be a child: do nothing for each item, and tell when that was, until nobody asks any more."""
    pipe.send_bytes(b"up")
    while True:
        try:
            rows = json.loads(pipe.recv_bytes())
        except EOFError:
            return
        ended = []
        for job, number, token, arguments in rows:
            started = _now_ms()
            json.loads(arguments)
            ended.append([job, number, token, started, _now_ms(), "null"])
        pipe.send_bytes(json.dumps(ended).encode())


_TABLES = """
create table jobs (id bigint primary key, waiting bigint, success bigint);
create table items (job bigint, number bigint, status text, due_ms bigint, priority int, token bigint, worker bigint,
    lease_ms bigint, arguments text, primary key (job, number)){0};
create index ready on items (priority, due_ms, job, number) where status = 'WAITING';
create table history (job bigint, number bigint, token bigint, started_ms bigint, ended_ms bigint, outcome text, result text,
    primary key (job, number, token)){0};
"""
_SQLITE = {
    "fill": "insert into items select 1, value ->> 0, 'WAITING', :now, 3, 0, null, null, value ->> 1 from jsonb_each(:rows)",
    "claim": """update items set status = 'RUNNING', token = token + 1, worker = :worker, lease_ms = :lease
        where (job, number) in (select job, number from items indexed by ready
            where status = 'WAITING' and priority = 3 and due_ms <= :now order by due_ms, job, number limit :limit)
        returning job, number, token, arguments""",
    "settle": """update items set status = 'DONE', worker = null, lease_ms = null
        from (select value ->> 0 as job, value ->> 1 as number, value ->> 2 as token from jsonb_each(:rows)) v
        where items.job = v.job and items.number = v.number and items.token = v.token and items.status = 'RUNNING'""",
    "history": """insert into history select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, 'ok', value ->> 5
        from jsonb_each(:rows)""",
    "count": "update jobs set waiting = waiting - :count, success = success + :count where id = 1",
}


class BareSqlite:
    """On a file of SQLite."""

    def __init__(self, file: Path, synchronous: str) -> None:
        self._db = apsw.Connection(str(file))
        self._db.execute("pragma journal_mode = wal")
        self._db.execute(f"pragma synchronous = {synchronous}")
        self._db.execute(_TABLES.format(" without rowid"))

    def fill(self, count: int) -> None:
        """Add one job's items, some thousand in a transaction."""
        self._db.execute("insert into jobs values (1, ?, 0)", (count,))
        for rows in _pieces(count):
            self._in_one(lambda rows=rows: self._run("fill", rows=json.dumps(rows), now=_now_ms()))

    def claim(self, worker: int) -> list[Row]:
        """Take what is due, in one transaction."""
        now = _now_ms()
        return self._in_one(lambda: self._run("claim", worker=worker, lease=now + LEASE_MS, now=now, limit=BATCH))

    def settle(self, ended: list[Row]) -> None:
        """Write what became of items, in one transaction."""

        def write() -> None:
            rows = json.dumps(ended)
            self._run("settle", rows=rows)
            self._run("history", rows=rows)
            self._run("count", count=len(ended))

        self._in_one(write)

    def _run(self, name: str, **values: Any) -> list[Row]:
        return [list(row) for row in self._db.execute(_SQLITE[name], values)]

    def _in_one(self, work: Callable[[], Any]) -> Any:
        self._db.execute("begin immediate")
        made = work()
        self._db.execute("commit")
        return made


_POSTGRES = {
    "fill": """insert into items select 1, n, 'WAITING', %(now)s, 3, 0, null, null, a
        from unnest(%(numbers)s::bigint[], %(arguments)s::text[]) v (n, a)""",
    "claim": """update items i set status = 'RUNNING', token = token + 1, worker = %(worker)s, lease_ms = %(lease)s
        from (select job, number from items where status = 'WAITING' and priority = 3 and due_ms <= %(now)s
              order by due_ms, job, number limit %(limit)s for update skip locked) c
        where i.job = c.job and i.number = c.number returning i.job, i.number, i.token, i.arguments""",
    "settle": """with v as (select * from unnest(%(jobs)s::bigint[], %(numbers)s::bigint[], %(tokens)s::bigint[],
                %(started)s::bigint[], %(ended)s::bigint[], %(results)s::text[])
                v (job, number, token, started_ms, ended_ms, result)),
        done as (update items i set status = 'DONE', worker = null, lease_ms = null from v
            where i.job = v.job and i.number = v.number and i.token = v.token and i.status = 'RUNNING' returning v.*)
        insert into history select job, number, token, started_ms, ended_ms, 'ok', result from done""",
    "count": "update jobs set waiting = waiting - %(count)s, success = success + %(count)s where id = 1",
}


class BarePostgres:
    """In an empty database of PostgreSQL."""

    def __init__(self, url: str) -> None:
        self._db = psycopg.connect(url, autocommit=True, prepare_threshold=0)
        self._db.execute(_TABLES.format(" with (fillfactor = 70)"), prepare=False)

    def fill(self, count: int) -> None:
        """Add one job's items, some thousand in a transaction."""
        self._db.execute("insert into jobs values (1, %s, 0)", (count,))
        for rows in _pieces(count):
            values = {"numbers": [row[0] for row in rows], "arguments": [row[1] for row in rows], "now": _now_ms()}
            self._db.execute(_POSTGRES["fill"], values)

    def claim(self, worker: int) -> list[Row]:
        """Take what is due, in one transaction."""
        now = _now_ms()
        values = {"worker": worker, "lease": now + LEASE_MS, "now": now, "limit": BATCH}
        return [list(row) for row in self._db.execute(_POSTGRES["claim"], values)]

    def settle(self, ended: list[Row]) -> None:
        """Write what became of items, in one transaction."""
        names = ("jobs", "numbers", "tokens", "started", "ended", "results")
        columns = {name: list(each) for name, each in zip(names, zip(*ended, strict=True), strict=True)}
        with self._db.transaction():
            self._db.execute(_POSTGRES["settle"], columns)
            self._db.execute(_POSTGRES["count"], {"count": len(ended)})


def _pieces(count: int) -> Iterator[list[Row]]:
    rows = ([number, json.dumps({"number": number})] for number in range(count))
    while piece := list(itertools.islice(rows, CHUNK)):
        yield piece


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
