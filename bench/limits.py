"""`python -m bench.limits`: what this machine allows, with no job system in it, and how much of that Mulligan makes use of."""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import psycopg

from bench import bare, page, stores
from bench.machine import as_lines, machine
from bench.report import number, spread

ROWS, BATCH = 200_000, 500
COMMITS, TRIPS, FLUSHES = 2_000, 5_000, 500
SEED = 1

Figures = dict[str, list[float]]
BARE = "bare hot path"


def main() -> None:
    """Measure every limit several times, and print them; with figures of Mulligan, print its share too."""
    given = _parser().parse_args()
    found: Figures = {}
    with stores.server() as server:
        for turn in range(given.runs):
            print(f"run {turn + 1} of {given.runs}", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(prefix="bench-", dir=given.folder) as folder:
                for name, value in _measure(Path(folder), server, given.items):
                    found.setdefault(name, []).append(value)
        facts = machine(server)
    command = shlex.join(["python", "-m", "bench.limits", *sys.argv[1:]])
    lines = [*as_lines(facts, command, "; median, smallest to largest in brackets"), "| limit | in a second |", "| --- | ---: |"]
    lines += [f"| {name} | {spread(values)} |" for name, values in found.items()]
    if given.of and given.of.exists():
        lines += ["", *_shares(found, json.loads(given.of.read_text()))]
    page.publish("\n".join(lines), "limits", given.write)


def _measure(folder: Path, server: str | None, items: int) -> Iterator[tuple[str, float]]:
    yield "flushes to the disk (4 kB appended, fdatasync)", _flushes(folder)
    yield "round trips through a pipe to another process and back", _pipe()
    for synchronous in ("FULL", "NORMAL"):
        yield from _sqlite(folder, synchronous)
        made = bare.drain(bare.BareSqlite(folder / f"bare-{synchronous}.db", synchronous), items)
        yield f"{BARE}, SQLite {synchronous}: items ({items:,}) submitted", made.submitted_s
        yield f"{BARE}, SQLite {synchronous}: items drained", made.drained_s
    if server:
        with stores.database(server) as url:
            yield from _postgres(url)
        with stores.database(server) as url:
            made = bare.drain(bare.BarePostgres(url), items)
        yield f"{BARE}, PostgreSQL: items ({items:,}) submitted", made.submitted_s
        yield f"{BARE}, PostgreSQL: items drained", made.drained_s


def _rate(count: int, work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def _flushes(folder: Path) -> float:
    fd = os.open(folder / "flushed", os.O_WRONLY | os.O_CREAT)

    def flush() -> None:
        for _ in range(FLUSHES):
            os.write(fd, b"x" * 4096)
            os.fdatasync(fd)

    try:
        return _rate(FLUSHES, flush)
    finally:
        os.close(fd)


def _pipe() -> float:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=bare.work, args=(there,), daemon=True)
    process.start()
    there.close()
    here.recv_bytes()

    def trips() -> None:
        for _ in range(TRIPS):
            here.send_bytes(b"[]")
            here.recv_bytes()

    try:
        return _rate(TRIPS, trips)
    finally:
        here.close()
        process.join()


def _sqlite(folder: Path, synchronous: str) -> Iterator[tuple[str, float]]:
    """Commits one by one, claims in batches, and batches of updates at random."""
    db = apsw.Connection(str(folder / f"raw-{synchronous}.db"))
    db.execute("pragma journal_mode = wal")
    db.execute(f"pragma synchronous = {synchronous}")
    db.execute("create table rows (id integer primary key, state int, due int, text text)")
    db.execute("create index ready on rows (due, id) where state = 0")
    with db:
        db.executemany("insert into rows values (?, 0, ?, ?)", ((each, each, "x" * 60) for each in range(ROWS)))
    chosen = random.Random(SEED).sample(range(ROWS), ROWS // 5)

    def singly() -> None:
        for each in chosen[:COMMITS]:
            db.execute("update rows set state = 1 where id = ?", (each,))

    def claims() -> None:
        for _ in range(ROWS // 5 // BATCH):
            list(db.execute(_CLAIM_SQLITE, (BATCH,)))

    def updates() -> None:
        for first in range(0, len(chosen), BATCH):
            db.execute(
                "update rows set state = 3 where id in (select value from json_each(?))",
                (json.dumps(chosen[first : first + BATCH]),),
            )

    yield f"SQLite {synchronous}: commits of one row", _rate(COMMITS, singly)
    yield f"SQLite {synchronous}: rows claimed, {BATCH} in a commit", _rate(ROWS // 5, claims)
    yield f"SQLite {synchronous}: rows at random updated, {BATCH} in a commit", _rate(len(chosen), updates)
    db.close()


_CLAIM_SQLITE = (
    "update rows set state = 2 where id in (select id from rows where state = 0 order by due, id limit ?) returning id"
)
_CLAIM_POSTGRES = """update rows set state = 2 from (
    select id from rows where state = 0 order by due, id limit %s for update skip locked) c
    where rows.id = c.id returning rows.id"""


def _postgres(url: str) -> Iterator[tuple[str, float]]:
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as db:
        db.execute("create table rows (id bigint primary key, state int, due bigint, text text) with (fillfactor = 70)")
        db.execute("create index ready on rows (due, id) where state = 0")
        db.execute("insert into rows select n, 0, n, repeat('x', 60) from generate_series(0, %s) n", (ROWS - 1,))
        chosen = random.Random(SEED).sample(range(ROWS), ROWS // 5)

        def singly() -> None:
            for each in chosen[:COMMITS]:
                db.execute("update rows set state = 1 where id = %s", (each,))

        def claims() -> None:
            for _ in range(ROWS // 5 // BATCH):
                db.execute(_CLAIM_POSTGRES, (BATCH,)).fetchall()

        def updates() -> None:
            for first in range(0, len(chosen), BATCH):
                db.execute("update rows set state = 3 where id = any (%s)", (chosen[first : first + BATCH],))

        yield "PostgreSQL: commits of one row", _rate(COMMITS, singly)
        yield f"PostgreSQL: rows claimed, {BATCH} in a commit", _rate(ROWS // 5, claims)
        yield f"PostgreSQL: rows at random updated, {BATCH} in a commit", _rate(len(chosen), updates)


SHARES = (
    ("W1 drained", "w1", "mulligan-full", "drain", f"{BARE}, SQLite FULL: items drained"),
    ("W1 drained", "w1", "mulligan-normal", "drain", f"{BARE}, SQLite NORMAL: items drained"),
    ("W1 drained", "w1", "mulligan-postgres", "drain", f"{BARE}, PostgreSQL: items drained"),
    ("W5 steps", "w5", "mulligan-full", "steps", "SQLite FULL: commits of one row"),
    ("W5 steps", "w5", "mulligan-normal", "steps", "SQLite NORMAL: commits of one row"),
    ("W5 steps", "w5", "mulligan-postgres", "steps", "PostgreSQL: commits of one row"),
)
TRIP = (("mulligan-full", "SQLite FULL"), ("mulligan-normal", "SQLite NORMAL"), ("mulligan-postgres", "PostgreSQL"))
TRIP_COMMITS, TRIP_PIPES = 3, 1
"""What a round trip cannot do without: three commits (submitted, started, ended) and one way to a child and back."""


def _shares(limits: Figures, cells: list[dict[str, Any]]) -> list[str]:
    """Say how much of each limit Mulligan's workloads use, from the figures that `python -m bench --json` has kept."""
    found = {(each["workload"], each["contender"]): each["runs"] for each in cells if each["runs"]}
    lines = ["| Mulligan | figure | limit | share |", "| --- | ---: | --- | ---: |"]
    for title, workload, who, measure, limit in SHARES:
        with contextlib.suppress(KeyError):
            had, most = statistics.median(run[measure] for run in found[workload, who]), statistics.median(limits[limit])
            lines.append(f"| {title}/s ({who}) | {number(had)} | {limit}: {number(most)} | {had / most:.0%} |")
    for who, store in TRIP:
        with contextlib.suppress(KeyError):
            had = statistics.median(run["p50"] for run in found["w2", who])
            commit_s = 1 / statistics.median(limits[f"{store}: commits of one row"])
            pipe_s = 1 / statistics.median(limits["round trips through a pipe to another process and back"])
            least = (TRIP_COMMITS * commit_s + TRIP_PIPES * pipe_s) * 1000
            what = f"{TRIP_COMMITS} commits and a round trip through a pipe: {number(least)} ms"
            lines.append(f"| W2 p50, ms ({who}) | {number(had)} | {what} | {least / had:.0%} |")
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.limits", description="What this machine allows, with no job system in it.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--items", type=int, default=50_000, help="items of the bare hot path (50,000)")
    parser.add_argument(
        "--of", type=Path, metavar="FILE", help="figures that `python -m bench --json FILE` has kept: prints their shares"
    )
    page.add_options(parser)
    return parser


if __name__ == "__main__":
    main()
