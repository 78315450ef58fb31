"""A transaction on a PostgreSQL server. Its statements are sent together, as late as somebody wants to know what one returned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg.pq import ConnStatus, TransactionStatus
from psycopg_pool import ConnectionPool

from mulligan.store.postgres_running import Asked, Connection, Prepared, run_simple
from mulligan.store.watchdog import Watchdog


class Answer:
    """The rows of a statement; whoever wants them has it sent, with all that was asked before it."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.rows: list[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        if self.rows is None:
            self._transaction.send()
        assert self.rows is not None  # noqa: S101 - whatever was sent has rows, or an error was raised
        return iter(self.rows)


class Lending(NamedTuple):
    """Where the connections of transactions come from, and what watches over them."""

    pool: ConnectionPool[Connection]
    prepared: Prepared
    watchdog: Watchdog


class Transaction:
    """Statements on one connection, which is taken from the pool when the first of them are sent.

    `begin` are the statements that it begins with. `limit_s` is how long the server may take for what is sent together, None for
    the usual time.
    """

    def __init__(self, lending: Lending, begin: Sequence[Asked], wait_s: float, limit_s: float | None = None) -> None:
        self._lending = lending
        self._wait_s = wait_s
        self._limit_s = limit_s
        self._asked: list[Asked] = list(begin)
        self._answers: list[Answer | None] = [None] * len(begin)
        self._connection: Connection | None = None
        self._empty = True
        self._over = False
        """Whether nothing more can be sent: it has ended, or something failed, and what follows must not run without that."""

    def ask(self, name: str, parameters: Mapping[str, Any]) -> Answer:
        """Have a named statement run in its turn."""
        answer = Answer(self)
        self._asked.append((name, parameters))
        self._answers.append(answer)
        self._empty = False
        return answer

    def text(self, text: str, parameters: Mapping[str, Any] | None) -> list[Any]:
        """Run a composed statement at once, and return its rows."""
        connection = self.send()
        with self._lending.watchdog.over(connection, self._limit_s):
            cursor = connection.execute(text.encode(), parameters)
        return cursor.fetchall() if cursor.description is not None else []

    def send(self) -> Connection:
        """Send what was asked for and not sent yet."""
        if self._over:
            raise psycopg.errors.InFailedSqlTransaction("the transaction has failed or ended before this")
        asked, self._asked = self._asked, []
        answers, self._answers = self._answers, []
        self._over = True
        found = self._sent_first(asked) if self._connection is None else self._run(self._connection, asked)
        self._over = False
        for answer, rows in zip(answers, found, strict=True):
            if answer is not None:
                answer.rows = rows
        assert self._connection is not None  # noqa: S101 - taken above
        return self._connection

    @property
    def idle(self) -> bool:
        """Whether nothing was asked of it, so that nothing has to be sent."""
        return self._connection is None and self._empty

    @property
    def failed(self) -> bool:
        """Whether a statement of it has failed, so that nothing of it can be committed."""
        lost = self._connection is not None and self._connection.pgconn.transaction_status == TransactionStatus.INERROR
        return self._over or lost

    def commit(self) -> bool:
        """Commit; returns False when the connection was lost meanwhile, so that nobody knows what became of it."""
        connection = self.send()
        try:
            self._simple(connection, "commit")
        except psycopg.OperationalError:
            if not is_lost(connection):
                raise
            return False
        return True

    def end(self) -> None:
        """Roll back what was not committed, and give the connection back."""
        self._over = True
        connection, self._connection = self._connection, None
        if connection is not None:
            self._give_back(connection)

    def _sent_first(self, asked: Sequence[Asked]) -> list[list[Any]]:
        """Begin on a connection of the pool. One that was lost while nobody used it is passed over for the next."""
        tries = self._lending.pool.max_size + 1
        while True:
            connection = self._lending.pool.getconn(self._wait_s)
            try:
                found = self._run(connection, asked)
            except BaseException as error:
                lost = is_lost(connection)
                self._give_back(connection)
                tries -= 1
                if isinstance(error, psycopg.OperationalError) and lost and tries:
                    continue
                raise
            self._connection = connection
            return found

    def _run(self, connection: Connection, asked: Sequence[Asked]) -> list[list[Any]]:
        if not asked:
            return []
        with self._lending.watchdog.over(connection, self._limit_s):
            return self._lending.prepared.run(connection, asked)

    def _simple(self, connection: Connection, text: str) -> None:
        """Run a statement without parameters, outside of what psycopg keeps of a transaction."""
        with self._lending.watchdog.over(connection):
            run_simple(connection, text)

    def _give_back(self, connection: Connection) -> None:
        try:
            if connection.pgconn.transaction_status not in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN):
                try:
                    self._simple(connection, "rollback")
                except psycopg.Error:
                    connection.close()
        finally:
            self._lending.pool.putconn(connection)


def is_lost(connection: Connection) -> bool:
    """Return whether nothing more can come from a connection."""
    return connection.pgconn.status != ConnStatus.OK
