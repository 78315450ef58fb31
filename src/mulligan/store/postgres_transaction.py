"""A transaction on a PostgreSQL server. Its statements are sent together, as late as somebody wants to know what one returned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg.pq import ConnStatus, TransactionStatus
from psycopg_pool import ConnectionPool

from mulligan.core.errors import StoreUnsure
from mulligan.store.postgres_running import Asked, Connection, Prepared, run_simple
from mulligan.store.watchdog import Watchdog

COMMIT: Asked = ("commit", {})


class Answer:
    """The rows of a statement; whoever wants them has it sent, with all that was asked before it.

    They may be looked at after the commit, which then goes along with the statement. Raises StoreUnsure where it was committed,
    but the connection was lost before the answer came.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.rows: list[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        if self.rows is None and self._transaction.unanswered:
            raise StoreUnsure("the connection was lost after a commit: it was stored, but what it returned is not known")
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
        self._sent: tuple[list[Asked], list[Answer | None]] = ([], [])
        """What went along with the commit."""
        self._connection: Connection | None = None
        self._empty = True
        self._over = False
        """Whether nothing more can be sent: it has ended, or something failed, and what follows must not run without that."""
        self.whole = False
        """Whether all of it was sent together with its commit, so that it can be sent once more where that came to nothing."""
        self.unanswered = False
        """Whether the connection was lost when it was committed."""

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
        asked, answers = self._take_asked()
        self._answer(answers, self._begun(asked) if self._connection is None else self._run(self._connection, asked))
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
        """Commit, together with what was not sent yet: if any of that fails nothing is committed.

        Returns False when the connection was lost meanwhile, so that nobody knows what became of it.
        """
        asked, answers = self._take_asked()
        self.whole = self._connection is None
        self._connection = connection = self._connection or self._lending.pool.getconn(self._wait_s)
        self._sent = asked, answers
        try:
            found = self._run(connection, [*asked, COMMIT])
        except psycopg.OperationalError:
            if not is_lost(connection):
                raise
            self.unanswered = True
            return False
        self._answer(answers, found[:-1])
        return True

    def renew(self, begin: Sequence[Asked]) -> None:
        """Have all of it sent once more, with another beginning; where it was sent `whole`, and came to nothing."""
        asked, self._answers = self._sent
        self._asked = [*begin, *asked[len(begin) :]]
        self._over = self.unanswered = False

    def end(self) -> None:
        """Roll back what was not committed, and give the connection back."""
        self._over = True
        connection, self._connection = self._connection, None
        if connection is not None:
            self._give_back(connection)

    def _take_asked(self) -> tuple[list[Asked], list[Answer | None]]:
        if self._over:
            raise psycopg.errors.InFailedSqlTransaction("the transaction has failed or ended before this")
        asked, answers = self._asked, self._answers
        self._asked, self._answers = [], []
        self._over = True  # until it has been answered
        return asked, answers

    def _answer(self, answers: Sequence[Answer | None], found: Sequence[list[Any]]) -> None:
        for answer, rows in zip(answers, found, strict=True):
            if answer is not None:
                answer.rows = rows
        self._over = False

    def _begun(self, asked: Sequence[Asked]) -> list[list[Any]]:
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
