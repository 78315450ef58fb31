"""A store with much in it: what takes hours to come about is written as rows, in the form that Mulligan would have left."""

from __future__ import annotations

import time
from typing import Any

import apsw
import psycopg

from bench import tasks
from mulligan import Client

DAY_MS = 86_400_000
CAUSE = "0123456789ab"
"""Of all that failed."""
ENDINGS = {
    "SUCCESS": {
        "items": "reason = 'succeeded', wait = null, ended_ms = {now}",
        "attempt": "'SUCCEEDED', 'succeeded', null, null, null, null, null, 'null', null",
        "job": "success = pending, pending = 0, ended_ms = {now}",
    },
    "FAILURE": {
        "items": "reason = 'not_retried', wait = null, failure_class = 'PERMANENT', ended_ms = {now}, cause = {cause}",
        "attempt": "'FAILED', 'not_retried', 'PERMANENT', 'builtins.ValueError', 'bad row ' || number, null, null, null, {cause}",
        "job": "failure = pending, pending = 0, ended_ms = {now}",
    },
    "RETRY": {
        "items": "reason = 'will_retry', wait = 'backoff', failure_class = 'UNKNOWN', charges = '[1]', "
        "due_ms = {now} + {later} + number, cause = {cause}",
        "attempt": "'FAILED', 'will_retry', 'UNKNOWN', 'builtins.ValueError', 'bad row ' || number, 0, 1, null, {cause}",
        "job": "retry = pending, pending = 0",
    },
}
"""What the rows of an item, of its one attempt and of its job hold when all items of a job are in a status."""


class Raw:
    """A connection to the store past Mulligan."""

    def __init__(self, url: str) -> None:
        self._sqlite = apsw.Connection(url.removeprefix("sqlite:///")) if url.startswith("sqlite") else None
        self._postgres = None if self._sqlite else psycopg.connect(url, autocommit=True)
        if self._postgres:
            self._postgres.execute("set search_path to mulligan")

    def __call__(self, text: str) -> list[Any]:
        """Run a statement."""
        if self._sqlite:
            return list(self._sqlite.execute(text))
        assert self._postgres
        cursor = self._postgres.execute(text)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []

    def numbers(self, first: int, last: int) -> str:
        """Return what gives the numbers of a range as rows n, in a from clause."""
        if self._postgres:
            return f"generate_series({first}, {last}) as s (n)"
        return f"(with recursive s (n) as (select {first} union all select n + 1 from s where n < {last}) select n from s)"

    def columns(self, table: str) -> list[str]:
        """Return the names of a table's columns."""
        where = f"table_schema = 'mulligan' and table_name = '{table}'"
        told = f"select name from pragma_table_info('{table}')"
        rows = self(told if self._sqlite else f"select column_name from information_schema.columns where {where}")
        return [str(row[0]) for row in rows]

    def settle_down(self) -> None:
        """Have the store as it is when it has grown slowly: nothing left to be written or thrown away."""
        self("pragma wal_checkpoint(truncate)" if self._sqlite else "vacuum analyze")

    def close(self) -> None:
        """Close it."""
        if self._sqlite:
            self._sqlite.close()
        if self._postgres:
            self._postgres.close()


def have(raw: Raw, client: Client, status: str, count: int) -> str:
    """Add a job with so many items that are all in one status; returns its id."""
    job = client.map(tasks.plain, [0])
    grow(raw, job.id, count)
    end(raw, job.id, status)
    return job.id


def grow(raw: Raw, job: str, count: int) -> None:
    """Give a job of one item more of them."""
    columns = raw.columns("items")
    values = ", ".join("n" if each == "number" else each for each in columns)
    series = raw.numbers(1, count - 1)
    raw(f"insert into items ({', '.join(columns)}) select {values} from items, {series} where job = {job} and number = 0")
    raw(
        f"insert into inputs (job, number, task, key, arguments) select job, n, task, cast(n as text), arguments "
        f"from inputs, {series} where job = {job} and number = 0"
    )
    raw(f"update jobs set pending = {count} where id = {job}")


def end(raw: Raw, job: str, status: str) -> None:
    """Have all waiting items of a job end in a status, or wait for a retry, after one attempt each."""
    now = time.time_ns() // 1_000_000
    how = {name: text.format(now=now, later=7 * DAY_MS, cause=f"'{CAUSE}'") for name, text in ENDINGS[status].items()}
    worker = _worker(raw, now)
    raw(
        "insert into attempts (job, number, token, generation, attempt, worker, claimed_ms, started_ms, ended_ms, pid, outcome, "
        "reason, failure_class, error_type, error_message, entry, charged, result, cause) "
        f"select job, number, 1, 1, 1, {worker}, {now}, {now}, {now}, 1, {how['attempt']} from items where job = {job}"
    )
    raw(f"update items set status = '{status}', attempt = 1, token = 1, version = version + 2, {how['items']} where job = {job}")
    raw(f"update jobs set {how['job']} where id = {job}")
    if status != "SUCCESS":
        _count_cause(raw, job, status, now)


def _count_cause(raw: Raw, job: str, status: str, now: int) -> None:
    """Count what failed, as whoever settles it does."""
    failed_now = "count(*)" if status == "FAILURE" else "0"
    raw(
        "insert into causes (task, cause, version, failure_class, error_type, title, parts, failures, failed_now, first_ms, "
        "last_ms, sample_job, sample_number, sample_token) "
        f"select task, '{CAUSE}', 1, 'PERMANENT', 'ValueError', 'bad row {{number}}', '[]', count(*), {failed_now}, {now}, "
        f"{now}, job, 0, 1 from items where job = {job} group by task, job "
        "on conflict (task, cause) do update set failures = causes.failures + excluded.failures, "
        "failed_now = causes.failed_now + excluded.failed_now"
    )


def _worker(raw: Raw, now: int) -> int:
    """Return the id of a worker that has ended, who has done it all."""
    found = raw("select id from workers where instance = 'template'")
    if not found:
        raw(
            "insert into workers (instance, name, pid, lock, lease_ms, started_ms, seen_ms, stopped_ms, closed_ms) "
            f"values ('template', 'template', 1, 'template', 30000, {now}, {now}, {now}, {now})"
        )
        found = raw("select id from workers where instance = 'template'")
    return int(found[0][0])
