"""The workloads: each drives one contender in an empty folder and returns what was measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

from bench import bodies
from bench.contender import Contender, Kind
from bench.processes import kill, running

LOOK_S = 0.02
LIMIT_S = 300.0
WARM_UP = 10
KILL_AT = 0.3

Figures = dict[str, float]


class Workload(NamedTuple):
    """A workload: what it is, how large, how it runs and what comes out of it."""

    title: str
    run: Callable[[Contender, int], Figures]
    size: int
    slow_size: int
    """For contenders that do a tenth as much in a second: rates hardly depend on it, and nobody wants to wait."""
    measures: dict[str, str]
    """Name of each figure to how it is headed in the table."""
    contenders: tuple[str, ...]


def drain(contender: Contender, kind: Kind, count: int) -> Figures:
    """Fill the store, then start the worker, and see how fast the store is drained once it has begun."""
    began = time.perf_counter()
    contender.submit(kind, count)
    submitted = time.perf_counter()
    first: tuple[float, int] | None = None  # when the worker was first seen at work, and how much was done by then
    with running(*contender.workers()):
        started = time.perf_counter()
        while True:
            done, now = contender.done(), time.perf_counter()
            if first is None and (done or bodies.attempted()):
                first = (now, done)
            if done >= count:
                break
            _give_up_after(submitted, f"{done} of {count} done")
            time.sleep(LOOK_S)
    assert first is not None
    rate = (count - first[1]) / (now - first[0]) if now > first[0] else count / (now - submitted)
    return {
        "submit": count / (submitted - began),
        "drain": rate,
        "end_to_end": count / (now - began),
        "start_s": first[0] - started,
    }


def plain(contender: Contender, count: int) -> Figures:
    """Drain items that do nothing and may be retried."""
    return drain(contender, "plain", count)


def once(contender: Contender, count: int) -> Figures:
    """Drain items that do nothing and run once at most."""
    return drain(contender, "once", count)


def flaky(contender: Contender, count: int) -> Figures:
    """Drain items that each fail once and are retried at once."""
    return drain(contender, "flaky", count)


def round_trips(contender: Contender, count: int) -> Figures:
    """Submit one item after the other to an idle worker, and wait for each."""
    with running(*contender.workers(many=False)):
        for _ in range(WARM_UP):
            contender.round_trip()
        times = sorted(_timed(contender.round_trip) * 1000 for _ in range(count))
    return {"p50": statistics.median(times), "p99": times[int(len(times) * 0.99) - 1], "most": times[-1]}


def steps(contender: Contender, count: int) -> Figures:
    """Run one task that saves many steps."""
    with running(*contender.workers(many=False)):
        contender.round_trip()
        return {"steps": count / _timed(lambda: contender.steps(count))}


def killed(contender: Contender, count: int) -> Figures:
    """Kill the worker and all it has started in the middle, start another, and read in the journal what became of it."""
    contender.submit("nap", count)
    began = time.perf_counter()
    with running(*contender.workers()) as workers:
        while sum(line.what == "end" for line in bodies.journal()) < count * KILL_AT:
            _give_up_after(began, "too few ended before the kill")
            time.sleep(LOOK_S)
        for each in workers:
            kill(each)
    before = bodies.journal()
    committed = contender.committed()
    cut = _numbers(before, "begin") - _numbers(before, "end")
    restarted = time.time()
    with running(*contender.workers()):
        while contender.done() < count or len(_numbers(bodies.journal(), "end")) < count:
            if time.perf_counter() - began > LIMIT_S / 3:
                break  # what has not come back by now is lost
            time.sleep(LOOK_S)
    journal = bodies.journal()
    after = journal[len(before) :]
    again = [line.at - restarted for line in after if line.what == "begin" and line.number in cut]
    return {
        "lost": count - len(_numbers(journal, "end")),
        "repeated": len(_numbers(after, "begin") & committed),
        "interrupted": len(cut),
        "again_s": max(again) if again else float("inf"),
    }


def _numbers(journal: list[bodies.Line], what: str) -> set[int]:
    return {line.number for line in journal if line.what == what}


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _give_up_after(began: float, message: str) -> None:
    if time.perf_counter() - began > LIMIT_S:
        log = (bodies.folder() / "worker.log").read_text("utf-8", "replace")
        raise TimeoutError(f"{message} after {LIMIT_S:.0f} s; the worker said:\n{log[-2000:]}")


_OURS = ("mulligan-full", "mulligan-normal", "mulligan-postgres")
_ALL = (*_OURS, "huey-full", "huey-off", "dbos", "dbos-postgres", "pgqueuer")
_DRAIN = {
    "submit": "submitted/s",
    "drain": "drained/s",
    "end_to_end": "end to end/s, start of the worker included",
    "start_s": "s from start of the worker to the first item seen at work",
}

WORKLOADS = {
    "w1": Workload("W1: items that do nothing, with retries", plain, 100_000, 4_000, _DRAIN, _ALL),
    "w1-10k": Workload("W1 with 10,000 items", plain, 10_000, 0, _DRAIN, _OURS),
    "w1-once": Workload("W1: items that do nothing, at most once", once, 3_000, 3_000, _DRAIN, _OURS),
    "w2": Workload(
        "W2: submit to an idle worker until finished is seen", round_trips, 300, 300,
        {"p50": "p50, ms", "p99": "p99, ms", "most": "longest, ms"}, _ALL,
    ),
    "w3": Workload("W3: each item fails once and is retried at once", flaky, 10_000, 1_000, _DRAIN, _ALL),
    "w4": Workload(
        f"W4: kill -9 at {KILL_AT:.0%} of tasks of {bodies.NAP_S} s", killed, 200, 200,
        {"lost": "items lost", "repeated": "items with a stored outcome that ran again", "interrupted": "items interrupted",
         "again_s": "s until the last of them ran again"}, ("mulligan-full", "mulligan-postgres", "huey-full"),
    ),
    "w5": Workload(
        "W5: steps saved by one task", steps, 2_000, 500, {"steps": "steps/s"}, (*_OURS, "dbos", "dbos-postgres")
    ),
}  # fmt: skip
