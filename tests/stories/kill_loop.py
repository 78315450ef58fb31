"""Kills for as long as asked: `python -m tests.stories.kill_loop --kills 500 [--seed 1] [--workers 1]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from chaos import Chaos
from story_harness import World


def main() -> None:
    """Kill, and print what came of it; any broken promise ends it with the assertion that found it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    sys.stderr.write(f"seed {given.seed}\n")
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        try:
            report = Chaos(world, given.seed, given.workers).run(given.kills, lambda line: sys.stderr.write(f"\r{line}"))
        finally:
            world.close()
    sys.stdout.write(f"\n{report}\n")


if __name__ == "__main__":
    main()
