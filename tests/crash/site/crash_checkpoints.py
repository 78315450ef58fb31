"""Has SQLite move its log into the file after a few pages already, so that faults hit that as well."""

from __future__ import annotations

from typing import Any


def install(pages: int) -> None:
    """Do so in this process."""
    from mulligan.store import sqlite

    connect = sqlite._connect

    def connected(*args: Any) -> Any:
        connection = connect(*args)
        connection.execute(f"pragma wal_autocheckpoint = {pages}")
        return connection

    sqlite._connect = connected
