"""Runs one workload for one contender, in a process of its own: `python -m bench.single CONTENDER WORKLOAD COUNT`."""

from __future__ import annotations

import json
import sys

from bench.contender import contender
from bench.workloads import WORKLOADS


def main(name: str, workload: str, count: str) -> None:
    """Print the figures as one line of JSON."""
    measured = contender(name)
    try:
        print(json.dumps(WORKLOADS[workload].run(measured, int(count))))
    finally:
        measured.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
