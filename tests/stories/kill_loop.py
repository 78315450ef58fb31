"""Kills or breaks for as long as asked: `python -m tests.stories.kill_loop --kills 500 [--store postgres] [--faults]`."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from chaos import Chaos
from faults import WHOLE, Faults
from story_harness import World

from mulligan.store.postgres import Place
from mulligan.testing.postgres import PostgresServer


def main() -> None:
    """Kill, and print what came of it; any broken promise ends it with the assertion that found it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--faults", action="store_true", help="break PostgreSQL and the way to it, and let the workers live")
    given = parser.parse_args()
    sys.stderr.write(f"seed {given.seed}\n")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        server = None
        if given.faults or given.store == "postgres":
            server = PostgresServer(durable=True)
            stack.callback(server.close)
        world = World(Path(folder), Place(server.url) if server else None)
        stack.callback(world.close)
        chaos: Chaos
        if server and given.faults:
            chaos = Faults(world, server, given.seed, given.workers, WHOLE)
            stack.callback(chaos.close)
        else:
            chaos = Chaos(world, given.seed, given.workers)
        report = chaos.run(given.kills, lambda line: sys.stderr.write(f"\r{line}"))
    sys.stdout.write(f"\n{report}\n")


if __name__ == "__main__":
    main()
