"""`mulligan worker`, quick: nothing that only people need is imported before the worker runs."""

from __future__ import annotations

import argparse
import contextlib
import gc
from collections.abc import Sequence
from typing import NoReturn


class _NotQuick(Exception):
    """The slower parser shall answer: with help, or with what is wrong."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _NotQuick(message)


def quick(arguments: Sequence[str]) -> int | None:
    """Run a worker as its arguments say and return its exit code; None where there is something else to say first."""
    try:
        given = _parser().parse_args(list(arguments))
    except _NotQuick:
        return None
    return run(given.sources, given.database, given.namespace, given.processes)


def run(sources: Sequence[str], database: str | None, namespace: str | None, processes: int | None) -> int:
    """Work until SIGTERM or Ctrl-C: the first drains, the second hands work back. Returns 0 after that.

    Raises TaskError when the sources cannot be loaded, ConfigError, StoreError.
    """
    from mulligan.worker.executors.process.nursery import Nursery

    with contextlib.ExitStack() as stack:
        nursery = Nursery()  # started first of all: it gets ready while this process imports the rest
        stack.callback(nursery.close)
        from mulligan.app import Services
        from mulligan.config.settings import load_settings
        from mulligan.sdk.loading import load
        from mulligan.telemetry import line_teller

        tasks = load(sources)
        services = Services(load_settings(database=database, namespace=namespace, processes=processes))
        stack.callback(services.close)
        worker = services.make_worker(tasks, sources, line_teller(), nursery)
        gc.collect()
        gc.freeze()  # what is loaded stays: collecting it again and again would take a tenth of a busy worker's time
        gc.set_threshold(20_000, 20, 20)
        worker.run(signals=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--database")
    parser.add_argument("--namespace")
    parser.add_argument("--processes", type=_count)
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError(text)
    return count
