"""What a bulk operation costs that retries many work items: `python -m bench.bulk [COUNT]`, in processor time, on SQLite FULL."""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from mulligan.core.bulk import BulkAction
from mulligan.engine.asking import Target
from mulligan.engine.bulk import BulkWanted
from mulligan.engine.clock import SystemClock
from mulligan.store.sqlite import SqliteDatabase
from mulligan.testing.factories import a_definition
from mulligan.testing.harness import ASKER, Harness


def main(count: int) -> None:
    """Cancel so many work items, then retry them by an operation without a pace."""
    clock = time.process_time
    with tempfile.TemporaryDirectory() as folder:
        file = SqliteDatabase(str(Path(folder) / "bulk.db"), "FULL")
        with Harness(database=file, clock=SystemClock()) as world:  # type: ignore[arg-type]  # a clock that is not turned
            world.commands.cancel(Target(job=world.submit(a_definition(), count)), ASKER)
            wanted = BulkWanted(BulkAction.RETRY, {"task": "features"}, ASKER)
            before = _memory_mb()
            began = clock()
            world.bulk_pages.plan(wanted)
            planned = clock()
            made = world.bulk.create(wanted)
            created = clock()
            pages = []
            while world.bulk_pages.step(made.id):
                pages.append(clock() - created - sum(pages))
            found = world.bulk.find(made.id)
    done = sum(pages)
    print(f"{found.done:,} of {count:,}: {found.state}")
    print(f"plan {planned - began:.1f} s, creation {created - planned:.1f} s, done in {done:.1f} s ({count / done:,.0f}/s)")
    print(f"longest page {max(pages) * 1000:.0f} ms, memory grew by {_memory_mb() - before:.0f} MB")


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m bench.bulk", description="What a bulk operation costs, in processor time.")
    parser.add_argument("count", nargs="?", type=int, default=100_000, help="work items (100,000)")
    main(parser.parse_args().count)
