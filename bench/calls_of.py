"""`python -m bench.calls_of NAME`: how long one successful call takes through a way of retrying; prints JSON.

A process of its own for each, in the Python that has the package; what is called does nothing.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

LOOPS, TURNS = 20_000, 15
Ways = tuple[Callable[[], object], Callable[[], Awaitable[object]]]


def nothing() -> int:
    """Do what is called."""
    return 1


async def nothing_async() -> int:
    """Do what is awaited."""
    return 1


def plain() -> Ways:
    """Nobody tries again."""
    return nothing, nothing_async


def mulligan_task() -> Ways:
    """A task, called outside of jobs."""
    task: Any = import_module("mulligan").task(retries=2)
    return task(nothing), task(nothing_async)


def mulligan_retrying() -> Ways:
    """A decorated function."""
    retrying: Any = import_module("mulligan").retrying(max_attempts=3)
    return retrying(nothing), retrying(nothing_async)


def mulligan_retry() -> Ways:
    """A function handed over at each call."""
    retry: Any = import_module("mulligan").retry
    return lambda: retry(nothing, max_attempts=3), lambda: retry(nothing_async, max_attempts=3)


def tenacity_decorated() -> Ways:
    """A decorated function."""
    tenacity: Any = import_module("tenacity")
    decorate = tenacity.retry(stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_exponential_jitter(), reraise=True)
    return decorate(nothing), decorate(nothing_async)


def tenacity_call() -> Ways:
    """A function handed over at each call, to an object that is made once."""
    tenacity: Any = import_module("tenacity")
    options = {"stop": tenacity.stop_after_attempt(3), "wait": tenacity.wait_exponential_jitter(), "reraise": True}
    retrying, retrying_async = tenacity.Retrying(**options), tenacity.AsyncRetrying(**options)
    return lambda: retrying(nothing), lambda: retrying_async(nothing_async)


def stamina_decorated() -> Ways:
    """A decorated function."""
    decorate: Any = import_module("stamina").retry(on=Exception, attempts=3)
    return decorate(nothing), decorate(nothing_async)


def stamina_call() -> Ways:
    """A function handed over at each call, to an object that is made once."""
    stamina: Any = import_module("stamina")
    caller, caller_async = stamina.RetryingCaller(attempts=3), stamina.AsyncRetryingCaller(attempts=3)
    return lambda: caller(Exception, nothing), lambda: caller_async(Exception, nothing_async)


WAYS = {
    each.__name__: each
    for each in (
        plain,
        mulligan_task,
        mulligan_retrying,
        mulligan_retry,
        tenacity_decorated,
        tenacity_call,
        stamina_decorated,
        stamina_call,
    )
}


def measure(call: Callable[[], object]) -> float:
    """Return the nanoseconds of one call, in the quietest of several turns."""
    found = []
    for _ in range(TURNS):
        began = time.perf_counter_ns()
        for _ in range(LOOPS):
            call()
        found.append((time.perf_counter_ns() - began) / LOOPS)
    return min(found)


async def measure_async(call: Callable[[], Awaitable[object]]) -> float:
    """Return the nanoseconds of one awaited call, in the quietest of several turns."""
    found = []
    for _ in range(TURNS):
        began = time.perf_counter_ns()
        for _ in range(LOOPS):
            await call()
        found.append((time.perf_counter_ns() - began) / LOOPS)
    return min(found)


def main() -> None:
    """Measure one way."""
    call, call_async = WAYS[sys.argv[1]]()
    print(json.dumps([measure(call), asyncio.run(measure_async(call_async))]))


if __name__ == "__main__":
    main()
