"""`make demo-postgres`: the demo on PostgreSQL, with four workers of which one is killed every five seconds.

On the database that MULLIGAN_DATABASE names, else on a server of its own, which is gone afterwards.
"""

from __future__ import annotations

import os
import sys

from mulligan.cli.main import main
from mulligan.config.settings import POSTGRES
from mulligan.testing.postgres import PostgresMissing, PostgresServer

OPTIONS = ["--folder", "mulligan-demo-postgres", "--workers", "4", "--kill-every", "5"]


def run(arguments: list[str]) -> int:
    """Run the demo, with more options of its own, and return its exit code."""
    if os.environ.get("MULLIGAN_DATABASE", "").startswith(POSTGRES):
        return main(["demo", *OPTIONS, *arguments])
    try:
        server = PostgresServer(durable=True)
    except PostgresMissing as missing:
        sys.stderr.write(f"{missing}, or name a database in MULLIGAN_DATABASE\n")
        return 1
    sys.stdout.write(f"A PostgreSQL for this demo alone, which ends with it (ARGS=--stay keeps both up): {server.url}\n")
    sys.stdout.flush()
    try:
        return main(["demo", *OPTIONS, "--fresh", "--database", server.url, *arguments])
    finally:
        server.close()
        sys.stdout.write("That PostgreSQL is gone now: to look closer, use ARGS=--stay or MULLIGAN_DATABASE\n")


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
