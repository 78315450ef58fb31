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
LOST_S = 30.0

Figures = dict[str, float]


class Workload(NamedTuple):
    """A workload: what it is, how it runs, what comes out of it, and who does how many."""

    title: str
    run: Callable[[Contender, int], Figures]
    measures: dict[str, str]
    """Name of each figure to how it is headed in the table."""
    sizes: dict[str, int]
    """For each contender the number of calls: fewer for slow ones, since rates hardly depend on it and nobody wants to wait."""
    most_runs: int = 1000
    """Where a run says the same each time and takes long, it is not repeated as often by the peers."""


def drain(contender: Contender, kind: Kind, count: int, *, alone: bool = False, **given: int) -> Figures:
    """Fill the store, then start the workers, and see how fast the store is drained once they have begun."""
    began = time.perf_counter()
    contender.submit(kind, count)
    submitted = time.perf_counter()
    first: tuple[float, int] | None = None  # when the worker was first seen at work, and how much was done by then
    with running(contender.workers(kind, alone=alone, **given)):
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
    with running(contender.workers("plain", alone=True)):
        for _ in range(WARM_UP):
            contender.round_trip()
        times = sorted(_timed(contender.round_trip) * 1000 for _ in range(count))
    return {"p50": statistics.median(times), "p99": times[int(len(times) * 0.99) - 1], "most": times[-1]}


def steps(contender: Contender, count: int) -> Figures:
    """Run one task that saves many steps."""
    with running(contender.workers("plain", alone=True)):
        contender.round_trip()
        return {"steps": count / _timed(lambda: contender.steps(count))}


def killed(contender: Contender, count: int) -> Figures:
    """Kill the workers and all they have started in the middle, start others, and read in the journal what became of it."""
    contender.submit("nap", count)
    began = time.perf_counter()
    with running(contender.workers("nap", alone=True)) as workers:
        while sum(line.what == "end" for line in bodies.journal()) < count * KILL_AT:
            _give_up_after(began, "too few ended before the kill")
            time.sleep(LOOK_S)
        kill(workers)
    before = bodies.journal()
    committed = contender.committed()
    cut = _numbers(before, "begin") - _numbers(before, "end")
    restarted = time.time()
    with running(contender.workers("nap", alone=True)):
        _wait_for_all(contender, count)
    journal = bodies.journal()
    after = journal[len(before) :]
    again = {line.number: line.at - restarted for line in reversed(after) if line.what == "begin" and line.number in cut}
    figures: Figures = {
        "lost": count - len(_numbers(journal, "end")),
        "repeated": len(_numbers(after, "begin") & committed),
        "interrupted": len(cut),
    }
    if cut:
        figures["again_s"] = max(again.values()) if set(again) == cut else float("inf")
    return figures


def _wait_for_all(contender: Contender, count: int) -> None:
    """Wait until all has ended, or nothing has happened for so long that what has not come back is lost."""
    moved, seen = time.perf_counter(), -1
    while contender.done() < count or len(_numbers(bodies.journal(), "end")) < count:
        lines = len(bodies.journal())
        if lines != seen:
            moved, seen = time.perf_counter(), lines
        if time.perf_counter() - moved > LOST_S:
            return
        time.sleep(LOOK_S)


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
_DRAIN = {
    "submit": "submitted/s",
    "drain": "drained/s",
    "end_to_end": "end to end/s, start of the workers included",
    "start_s": "s from start of the workers to the first item seen at work",
}


def _sizes(ours: int, **peers: int) -> dict[str, int]:
    return {**dict.fromkeys(_OURS, ours), **{name.replace("_", "-"): size for name, size in peers.items()}}


WORKLOADS = {
    "w1": Workload(
        "W1: items that do nothing, with retries", plain, _DRAIN,
        _sizes(100_000, huey_full=4_000, huey_off=4_000, dbos_sqlite=1_000, dbos_postgres=2_000, pgqueuer=30_000),
    ),
    "w1-small": Workload(
        "W1 with few items: what the start of the workers costs", plain, _DRAIN,
        _sizes(10_000, huey_full=4_000, huey_off=10_000, dbos_postgres=2_000, pgqueuer=10_000),
    ),
    "w1-once": Workload("W1: items that do nothing, at most once", once, _DRAIN, _sizes(3_000)),
    "w2": Workload(
        "W2: submit to an idle worker until finished is seen", round_trips,
        {"p50": "p50, ms", "p99": "p99, ms", "most": "longest, ms"},
        _sizes(500, huey_full=300, huey_off=300, dbos_sqlite=100, dbos_postgres=100, pgqueuer=300),
    ),
    "w3": Workload(
        "W3: each item fails once and is retried at once", flaky, _DRAIN,
        _sizes(10_000, huey_full=1_000, huey_off=1_000, dbos_sqlite=500, dbos_postgres=1_000, pgqueuer=2_000),
    ),
    "w4": Workload(
        f"W4: kill -9 at {KILL_AT:.0%} of tasks of {bodies.NAP_S} s", killed,
        {"lost": "items lost", "repeated": "items with a stored outcome that ran again", "interrupted": "items interrupted",
         "again_s": "s until the last of them ran again"},
        {"mulligan-full": 80, "mulligan-postgres": 80, "huey-full": 80, "dbos-sqlite": 80, "dbos-postgres": 80, "pgqueuer": 80},
        most_runs=2,
    ),
    "w5": Workload(
        "W5: steps saved by one task", steps, {"steps": "steps/s"}, _sizes(2_000, dbos_sqlite=500, dbos_postgres=500)
    ),
}  # fmt: skip
