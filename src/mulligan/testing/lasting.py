"""A PostgreSQL store that many tests have, one after the other, with all that its sessions have prepared."""

from __future__ import annotations

from mulligan.store.postgres import PostgresDatabase
from mulligan.testing.postgres import empty


class LastingDatabase(PostgresDatabase):
    """Stays open when somebody is done with it: the next one has it."""

    def close(self) -> None:
        """Close nothing; see `end`."""

    def emptied(self) -> LastingDatabase:
        """Forget all that is in it, and return it."""
        empty(self)
        return self

    def end(self) -> None:
        """Close it."""
        super().close()
